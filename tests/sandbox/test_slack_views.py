"""Modals and App Home in the sandbox's Slack, asked by the real SDK and answered to by a real Bolt app."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import APP_TOKEN, BOT_TOKEN, View


def text(words: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": words}


def option(value: str) -> dict[str, Any]:
    return {"text": text(value.upper()), "value": value}


def entry(block_id: str, kind: str, *, optional: bool = False, **element: Any) -> dict[str, Any]:
    held = {"type": kind, "action_id": "a", **element}
    return {"type": "input", "block_id": block_id, "label": text(block_id), "optional": optional, "element": held}


def modal(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    held = {"type": "modal", "callback_id": "declare", "title": text("Declare"), "submit": text("Declare")}
    return {**held, "private_metadata": "run-1", "blocks": list(blocks) or [entry("title", "plain_text_input")], **more}


@dataclass
class Bot:
    """A Bolt app that opens ``view`` on a command, and answers submissions as it is told."""

    app: AsyncApp
    client: AsyncWebClient
    view: dict[str, Any] = field(default_factory=modal)
    triggers: list[str] = field(default_factory=list)
    submitted: list[dict[str, Any]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)

    def listen(self) -> None:
        async def command(ack: Any, body: dict[str, Any]) -> None:
            await ack()
            self.triggers.append(body["trigger_id"])
            if body["text"] == "open":
                await self.client.views_open(trigger_id=body["trigger_id"], view=self.view)

        async def submission(ack: Any, body: dict[str, Any]) -> None:
            self.submitted.append(body)
            await ack(**(self.answers.pop(0) if self.answers else {}))

        async def anything(ack: Any, body: dict[str, Any]) -> None:
            await ack()
            self.seen.append(body)

        self.app.command("/mistral")(command)
        self.app.view("declare")(submission)
        self.app.view_closed("declare")(anything)
        self.app.action("act")(anything)
        self.app.event("app_home_opened")(anything)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    held = Sandbox(load_scenarios()["all is well"])
    await held.start()
    yield held
    await held.close()


@pytest.fixture
async def bot(sandbox: Sandbox) -> AsyncIterator[Bot]:
    client = AsyncWebClient(token=BOT_TOKEN, base_url=sandbox.urls["slack"] + "/api/", retry_handlers=[])

    async def authorize() -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=None, team_id="T0SANDBOX", bot_token=BOT_TOKEN)

    app = AsyncApp(client=client, authorize=authorize)
    held = Bot(app, client)
    held.listen()
    handler = AsyncSocketModeHandler(app, APP_TOKEN, web_client=client)
    await handler.connect_async()
    await sandbox.slack.wait_connected()
    yield held
    await handler.close_async()


async def opened(sandbox: Sandbox, *, user: str = "U0REQUESTER") -> View:
    slack = sandbox.slack.workspace
    await slack.command("open", user=user)
    view = await slack.wait_for(lambda: slack.views.get(user))
    assert isinstance(view, View)
    return view


async def test_what_is_filled_in_reaches_the_bot_as_slack_sends_it(sandbox: Sandbox, bot: Bot) -> None:
    severities = [option("p1"), option("p2")]
    bot.view = modal(
        entry("title", "plain_text_input", initial_value="Slow answers"),
        entry("severity", "static_select", options=severities, initial_option=option("p2")),
        entry("kind", "radio_buttons", options=severities),
        entry("parts", "multi_static_select", options=severities),
        entry("more", "checkboxes", options=severities, optional=True),
        entry("commander", "users_select"),
        entry("at", "datetimepicker"),
    )
    view = await opened(sandbox)
    values: dict[str, Any] = {"kind": "p1", "parts": ["p2", "p1"], "commander": "U0APPROVER", "at": "2026-03-01T10:00"}
    answer = await sandbox.slack.workspace.submit(view, {block: {"a": value} for block, value in values.items()})
    (body,) = bot.submitted
    assert answer == {}
    assert sandbox.slack.workspace.views == {}
    assert (body["type"], body["user"]["id"]) == ("view_submission", "U0REQUESTER")
    held = body["view"]
    assert (held["id"], held["private_metadata"], held["callback_id"]) == (view.id, "run-1", "declare")
    assert held["hash"] == view.hash
    assert {block: actions["a"] for block, actions in held["state"]["values"].items()} == {
        "title": {"type": "plain_text_input", "value": "Slow answers"},
        "severity": {"type": "static_select", "selected_option": option("p2")},
        "kind": {"type": "radio_buttons", "selected_option": option("p1")},
        "parts": {"type": "multi_static_select", "selected_options": [option("p2"), option("p1")]},
        "more": {"type": "checkboxes", "selected_options": []},
        "commander": {"type": "users_select", "selected_user": "U0APPROVER"},
        "at": {"type": "datetimepicker", "selected_date_time": 1772359200},
    }


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "has to be filled in: title"),
        ({"title": {"a": "x" * 51}}, "0 to 50 characters, not 51"),
        ({"title": {"a": "x"}, "severity": {"a": "p9"}}, "offers .*not 'p9'"),
        ({"title": {"a": "x"}, "severity": {"a": "p1"}, "who": {"a": "U0NOBODY"}}, "nobody called U0NOBODY"),
        ({"title": {"a": "x"}, "severity": {"a": "p1"}, "tittle": {"a": "x"}}, "nothing to fill in"),
    ],
    ids=["required", "too long", "not offered", "unknown person", "unknown field"],
)
async def test_what_slacks_client_does_not_let_through_does_not_reach_the_bot(
    sandbox: Sandbox, bot: Bot, values: dict[str, dict[str, Any]], why: str
) -> None:
    bot.view = modal(
        entry("title", "plain_text_input", max_length=50),
        entry("severity", "static_select", options=[option("p1")]),
        entry("who", "users_select", optional=True),
    )
    view = await opened(sandbox)
    with pytest.raises(LookupError, match=why):
        await sandbox.slack.workspace.submit(view, values)
    assert bot.submitted == []


async def test_errors_leave_the_modal_open_and_the_next_try_closes_it(sandbox: Sandbox, bot: Bot) -> None:
    view = await opened(sandbox)
    bot.answers = [{"response_action": "errors", "errors": {"title": "Say more."}}]
    answer = await sandbox.slack.workspace.submit(view, {"title": {"a": "x"}})
    assert answer == {"response_action": "errors", "errors": {"title": "Say more."}}
    assert sandbox.slack.workspace.views["U0REQUESTER"].errors == {"title": "Say more."}
    await sandbox.slack.workspace.submit(view, {"title": {"a": "more"}})
    assert sandbox.slack.workspace.views == {}


async def test_an_update_shows_another_view_under_the_same_id(sandbox: Sandbox, bot: Bot) -> None:
    view = await opened(sandbox)
    before = view.hash
    bot.answers = [{"response_action": "update", "view": modal(title=text("Are you sure?"))}]
    await sandbox.slack.workspace.submit(view, {"title": {"a": "x"}})
    shown = sandbox.slack.workspace.views["U0REQUESTER"]
    assert (shown.id, shown.title) == (view.id, "Are you sure?")
    assert shown.hash != before


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "errors", "errors": {"nowhere": "x"}},
        {"response_action": "update", "view": modal(title=text("x" * 25))},
        {"response_action": "vanish"},
    ],
    ids=["errors at no input", "a view that is too large", "nonsense"],
)
async def test_an_answer_that_slack_cannot_show_is_told(sandbox: Sandbox, bot: Bot, answer: dict[str, Any]) -> None:
    view = await opened(sandbox)
    bot.answers = [answer]
    with pytest.raises(LookupError, match="Slack"):
        await sandbox.slack.workspace.submit(view, {"title": {"a": "x"}})


async def test_a_double_click_submits_the_same_view_twice(sandbox: Sandbox, bot: Bot) -> None:
    view, slack = await opened(sandbox), sandbox.slack.workspace
    await asyncio.gather(*(slack.submit(view, {"title": {"a": "x"}}) for _ in range(2)))
    assert [body["view"]["id"] for body in bot.submitted] == [view.id] * 2
    assert slack.views == {}


async def test_a_trigger_opens_one_view_and_soon(sandbox: Sandbox, bot: Bot) -> None:
    slack = sandbox.slack.workspace

    async def refused(trigger: str) -> str:
        with pytest.raises(SlackApiError) as told:
            await bot.client.views_open(trigger_id=trigger, view=modal())
        return str(told.value.response["error"])

    await slack.command("wait")
    (trigger,) = bot.triggers
    await bot.client.views_open(trigger_id=trigger, view=modal())
    assert await refused(trigger) == "exchanged_trigger_id"
    assert await refused("1.2.abc") == "invalid_trigger_id"
    assert await refused("nonsense") == "invalid_trigger_id"
    await slack.command("wait")
    slack.trigger_s = 0
    assert await refused(bot.triggers[-1]) == "expired_trigger_id"


async def test_a_view_that_is_pushed_covers_the_form_and_back_shows_what_was_typed(sandbox: Sandbox, bot: Bot) -> None:
    slack = sandbox.slack.workspace
    parts = entry("parts", "multi_static_select", options=[option("p1"), option("p2")], optional=True)
    bot.view = modal(entry("title", "plain_text_input"), parts)
    form = await opened(sandbox)
    preview = modal({"type": "section", "text": text("so it looks")}, title=text("Preview"))
    bot.answers = [{"response_action": "push", "view": preview}] * 2
    await slack.submit(form, {"title": {"a": "typed"}, "parts": {"a": ["p2"]}})
    top = slack.views["U0REQUESTER"]
    assert (top.title, top.payload()["previous_view_id"], top.payload()["root_view_id"]) == (
        "Preview",
        form.id,
        form.id,
    )
    await slack.close(top)
    assert slack.views["U0REQUESTER"] is form
    await slack.submit(form)
    typed = bot.submitted[-1]["view"]["state"]["values"]
    assert typed["title"]["a"]["value"] == "typed"
    assert typed["parts"]["a"]["selected_options"] == [option("p2")]


async def test_an_acknowledgement_alone_goes_back_and_clear_closes_all_that_is_open(sandbox: Sandbox, bot: Bot) -> None:
    slack, push = sandbox.slack.workspace, {"response_action": "push", "view": modal()}
    form = await opened(sandbox)
    bot.answers = [push, {}, push, push, {"response_action": "clear"}]
    told = {"title": {"a": "x"}}
    await slack.submit(form, told)
    await slack.submit(slack.views[form.user], told)
    assert slack.views[form.user] is form
    for _ in range(3):
        await slack.submit(slack.views[form.user], told)
    assert slack.views == {}


async def test_slack_takes_no_fourth_view_and_a_second_click_pushes_no_second_one(sandbox: Sandbox, bot: Bot) -> None:
    slack, push = sandbox.slack.workspace, {"response_action": "push", "view": modal()}
    form, told = await opened(sandbox), {"title": {"a": "x"}}
    bot.answers = [push] * 4
    await asyncio.gather(*(slack.submit(form, told) for _ in range(2)))
    assert len(slack.views[form.user].stack) == 2
    await slack.submit(slack.views[form.user], told)
    with pytest.raises(LookupError, match="push_limit_reached"):
        await slack.submit(slack.views[form.user], told)


async def test_a_view_is_pushed_by_a_trigger_upon_a_modal_that_is_open(sandbox: Sandbox, bot: Bot) -> None:
    slack = sandbox.slack.workspace
    await slack.command("wait")
    with pytest.raises(SlackApiError, match="not_found"):
        await bot.client.views_push(trigger_id=bot.triggers[-1], view=modal())
    form = await opened(sandbox)
    for number in range(2):
        await slack.command("wait")
        await bot.client.views_push(trigger_id=bot.triggers[-1], view=modal(title=text(f"upon it {number}")))
        with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
            await bot.client.views_push(trigger_id=bot.triggers[-1], view=modal())
    assert [one.title for one in slack.views[form.user].stack] == ["upon it 1", "upon it 0", "Declare"]
    await bot.client.views_update(view_id=form.id, view=modal(title=text("beneath")))
    assert slack.views[form.user].stack[-1].title == "beneath"
    await slack.command("wait")
    with pytest.raises(SlackApiError, match="push_limit_reached"):
        await bot.client.views_push(trigger_id=bot.triggers[-1], view=modal())


async def test_a_view_is_updated_by_its_id_while_its_hash_is_known(sandbox: Sandbox, bot: Bot) -> None:
    view = await opened(sandbox)
    old = view.hash
    await bot.client.views_update(view_id=view.id, hash=old, view=modal(title=text("Loaded")))
    assert view.title == "Loaded"
    for arguments, word in (({"view_id": view.id, "hash": old}, "hash_conflict"), ({"view_id": "V0"}, "not_found")):
        with pytest.raises(SlackApiError, match=word):
            await bot.client.views_update(**arguments, view=modal())


async def test_a_home_is_published_for_each_person_and_its_buttons_work(sandbox: Sandbox, bot: Bot) -> None:
    slack = sandbox.slack.workspace
    button = {"type": "button", "action_id": "act", "text": text("Open"), "value": "i-1"}
    menu = {"type": "static_select", "action_id": "act", "options": [option("p1")]}
    home = {"type": "home", "blocks": [{"type": "actions", "block_id": "b", "elements": [button]}]}
    await bot.client.views_publish(user_id="U0APPROVER", view=home)
    first = slack.homes["U0APPROVER"].id
    await slack.click(slack.homes["U0APPROVER"], "act", user="U0APPROVER")
    home["blocks"] = [{"type": "actions", "block_id": "b", "elements": [menu]}]
    await bot.client.views_publish(user_id="U0APPROVER", view=home)
    await slack.choose(slack.homes["U0APPROVER"], "act", "p1", user="U0APPROVER")
    await slack.open_home("U0APPROVER")
    clicked, chosen, event = bot.seen
    assert (clicked["view"]["id"], clicked["actions"][0]["value"]) == (first, "i-1")
    assert "channel" not in clicked
    assert chosen["actions"][0]["selected_option"] == option("p1")
    assert chosen["view"]["state"]["values"] == {
        "b": {"act": {"type": "static_select", "selected_option": option("p1")}}
    }
    assert (event["event"]["tab"], event["event"]["view"]["id"]) == ("home", first)
    assert set(slack.homes) == {"U0APPROVER"}


async def test_a_modal_that_is_closed_tells_the_bot_where_it_asked(sandbox: Sandbox, bot: Bot) -> None:
    bot.view = modal(notify_on_close=True)
    await sandbox.slack.workspace.close(await opened(sandbox))
    bot.view = modal()
    await sandbox.slack.workspace.close(await opened(sandbox))
    assert [body["type"] for body in bot.seen] == ["view_closed"]
    assert sandbox.slack.workspace.views == {}
