"""Every click, command and form is answered to the person who made it: the real Bolt app, a real database, Slack."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from bot.configuration import load
from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.incident import Refusal
from bot.domain.policy import Act
from bot.domain.scopes import SCOPES
from bot.running import Bot
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import Message, Workspace
from bot.serve import wired
from bot.web.routes import application
from bot.worlds import prober
from tests.databases import copy_of, store_at
from tests.flows.test_incidents import cards, form, said, sent

ADA = "U0APPROVER"


@dataclass(frozen=True)
class Served:
    """The bot's parts behind a real HTTP server, in this process: what it is made of can be looked at."""

    bot: Bot
    sandbox: Sandbox

    @property
    def slack(self) -> Workspace:
        return self.sandbox.slack.workspace

    async def send(self) -> None:
        while await self.bot.deliveries.send_some():
            pass

    async def declared(self, **values: str) -> Message:
        """With its card in the channel."""
        await self.slack.command("declare")
        told = {"title": "Completions fail", "severity": "P1", "impact": "", "commander": "", **values}
        await self.slack.submit(await form(self.slack), {block: {"value": value} for block, value in told.items()})
        await self.send()
        return cards(self.slack)[0]

    async def whispered(self, part: str, user: str) -> Message:
        held: Message = await self.slack.wait_for(
            lambda: next((one for one in said(self.slack, part, only_for=user)), None)
        )
        return held


def _tells(message: Message, part: str) -> bool:
    return part in message.all_text


@pytest.fixture
async def served(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    sandbox = Sandbox(load_scenarios()["all is well"], http_mode=True)
    sandbox.slack.workspace.scopes = set(SCOPES)
    sandbox.slack.ack_s = 90
    await sandbox.start()
    settings, store = load(sandbox.environment()), store_at(copy_of("SQLite", tmp_path, request))
    async with prober(settings) as asks:
        bot = wired(settings, asks, store, pace_s=0)
        sandbox.slack.request_url = await sandbox.serve(application(bot.readiness, bot.slack.app)) + "/slack/events"
        yield Served(bot, sandbox)
        await bot.tasks.drain(5)
    await store.close()
    await sandbox.close()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("severity P2", "INC-1 is P2 now."),
        ("role scribe", "<@U0APPROVER> is scribe of INC-1."),
        ("role scribe <@U0COMMANDER|chris>", "<@U0COMMANDER> is scribe of INC-1."),
        ("note the provider was called", "It is in the timeline of INC-1."),
        ("milestone mitigated 00:00", "INC-1: mitigated at"),
        ("severity P1", "INC-1 is P1 already."),
        ("role king", "Say which"),
        ("reopen 1", "INC-1 is open already."),
    ],
    ids=lambda one: str(one)[:30],
)
async def test_a_command_is_answered_to_whoever_typed_it(served: Served, words: str, answer: str) -> None:
    await served.declared()
    # not in the incident's channel, where its card would be sign enough
    await served.slack.command(words, user=ADA, channel="C0GENERAL")
    told = await served.whispered(answer, ADA)
    assert told.channel == "C0GENERAL"


async def test_a_button_of_another_version_is_answered(served: Served) -> None:
    stale = (await served.declared()).as_seen()
    (actions,) = [block for block in stale.blocks if block["type"] == "actions"]
    actions["elements"][0]["action_id"] = "of_tomorrow"
    await served.slack.click(stale, "of_tomorrow", user=ADA)
    await served.whispered("That button is of another version of the bot.", ADA)


async def test_a_form_of_another_version_says_so_itself(served: Served) -> None:
    await served.slack.command("declare")
    view = await form(served.slack)
    view.body["callback_id"] = "of_tomorrow"
    told = {"title": "Completions fail", "severity": "P1", "impact": "", "commander": ""}
    answer = await served.slack.submit(view, {block: {"value": value} for block, value in told.items()})
    assert answer["response_action"] == "update"
    assert "which another version of it has made" in str(answer["view"]["blocks"])
    assert cards(served.slack) == []


async def test_a_click_is_answered_and_so_is_the_same_click_again(served: Served) -> None:
    card = await served.declared()
    stale = card.as_seen()
    await served.slack.click(card, "command", user=ADA)
    await served.whispered("You have command of INC-1.", ADA)
    await served.slack.click(stale, "command", user=ADA)
    await served.whispered("<@U0APPROVER> has that role already.", ADA)
    await served.slack.click(stale, "command", user="U0COMMANDER")
    await served.whispered("<@U0APPROVER> has command already", "U0COMMANDER")
    await served.slack.click(card, "resolve")
    await served.slack.submit(await form(served.slack), {"reason": {"value": "it is over"}})
    await served.send()
    stale = card.as_seen()
    for answer in ("INC-1 is open again; its card is in <#C0INCIDENTS>.", "INC-1 is open already."):
        await served.slack.click(stale, "reopen")
        await served.whispered(answer, "U0REQUESTER")


async def test_roles_are_shown_to_whoever_asks_and_claimed_by_button(served: Served) -> None:
    await served.declared()
    await served.slack.command("role", user=ADA)
    roles = await served.whispered("Who does what in INC-1", ADA)
    assert roles.all_text.count("nobody yet") >= 4
    for role in ("commander", "communications", "scribe"):
        await served.slack.click(roles, f"role_{role}", user=ADA)
        held = f"{role.capitalize()}: <@{ADA}>"
        await served.slack.wait_for(partial(_tells, roles, held))
        with pytest.raises(LookupError):
            await served.slack.click(roles, f"role_{role}", user=ADA)
    await served.send()
    assert "*Incident commander*: <@U0APPROVER>" in cards(served.slack)[0].all_text
    assert len([one for one in served.slack.messages if "Who does what" in one.all_text]) == 1
    await served.slack.command("role", user="U0REQUESTER")
    theirs = await served.whispered("Who does what in INC-1", "U0REQUESTER")
    # who has become one since
    await served.slack.click(theirs, "role_scribe", user="U0GUEST")
    await served.whispered("To update is for everybody but guests", "U0GUEST")


async def test_a_pushpin_where_no_incident_is_open_is_nobodys_business(served: Served) -> None:
    await served.slack.say("lunch?", channel="C0GENERAL")
    await served.slack.react(said(served.slack, "lunch?")[0], "pushpin")
    await served.bot.tasks.drain(5)
    assert [one.text for one in served.slack.messages] == ["lunch?"]


async def test_a_form_that_is_refused_says_why_beneath_a_field_and_keeps_what_was_typed(served: Served) -> None:
    await served.declared()
    await served.slack.command("update", user=ADA)
    view = await form(served.slack, ADA)
    await served.slack.command("resolve")
    await served.slack.submit(await form(served.slack), {"reason": {"value": "it is over"}})
    answer = await served.slack.submit(view, {"action": {"value": "queueing"}})
    assert "INC-1 is resolved" in answer["errors"]["status"]
    assert served.slack.views[ADA] is view
    await served.slack.close(view)
    await served.slack.command("declare")
    view = await form(served.slack)
    answer = await served.slack.submit(
        view, {"title": {"value": " \x00\u00a0"}, "severity": {"value": "P2"}, "commander": {"value": ""}}
    )
    assert answer["errors"] == {"title": "An incident needs a title."}


async def test_an_update_sent_from_elsewhere_says_where_it_went(served: Served) -> None:
    await served.declared()
    await served.slack.command("update", user=ADA, channel="C0GENERAL")
    await sent(served.slack, await form(served.slack, ADA), {"action": {"value": "queueing"}})
    told = await served.whispered("The update of INC-1 is sent; its card is in <#C0INCIDENTS>.", ADA)
    assert told.channel == "C0GENERAL"


async def test_a_triage_that_fails_while_resolving_is_said_and_does_not_stand_in_the_way(served: Served) -> None:
    # a target that the settings have lost since it was declared
    told = Declaration(target="gone", title="Completions fail", severity=Severity.P1, channel="C0INCIDENTS")
    await served.bot.incidents.declare(told, ADA, "view:gone")
    await served.send()
    (card,) = cards(served.slack)
    await served.slack.click(card, "resolve")
    view = await form(served.slack)
    said = "no triage can look whether it is over: the target “gone” is not configured any more"
    await served.slack.wait_for(lambda: said in view.all_text)
    await served.slack.submit(view, {"reason": {"value": "the graphs say so"}})
    await served.send()
    assert "RESOLVED" in card.all_text


async def test_who_does_not_wait_for_the_triage_resolves_with_a_reason(served: Served) -> None:
    card = await served.declared()
    await served.slack.click(card, "resolve")
    view = await form(served.slack)
    with pytest.raises(LookupError, match="Why resolve all the same"):
        await served.slack.submit(view, {"reason": {"value": ""}})
    assert "has not ended yet" in view.all_text, "the triage still runs"
    await served.slack.submit(view, {"reason": {"value": "the graphs say so"}})
    await served.bot.tasks.drain(20)
    await served.send()
    assert "RESOLVED" in card.all_text
    told = [one.text for one in served.slack.messages if one.only_for]
    assert told == ["INC-1 is declared; its card is in <#C0INCIDENTS>."], "the form that is gone troubles nobody"


async def test_a_guest_who_is_one_no_longer_may_act_after_a_while(served: Served) -> None:
    slack, now = served.slack, [0.0]
    room = replace(served.bot.slack.listeners.incidents, monotonic=lambda: now[0])
    with pytest.raises(Refusal, match="everybody but guests"):
        await room.allowed(Act.DECLARE, "U0GUEST")
    slack.people["U0GUEST"] = replace(slack.people["U0GUEST"], is_restricted=False)
    now[0] += 301
    await room.allowed(Act.DECLARE, "U0GUEST")
    served.sandbox.slack.down = True
    now[0] += 301
    await room.allowed(Act.DECLARE, "U0GUEST")


async def test_app_home_tells_clocks_and_how_many_more_there_are(served: Served) -> None:
    for number in range(18):
        title = f"{number} <!channel> " + "\u202e&" * 60
        told = Declaration(target="default", title=title, severity=Severity.P2, channel="C0INCIDENTS")
        await served.bot.incidents.declare(told, ADA, f"view:{number}")
    for number in (1, 2):
        await served.bot.incidents.act(number, lambda one, now: acts.resolve(one, (), "", ADA, now))
    await served.slack.open_home(ADA)
    home = await served.slack.wait_for(lambda: served.slack.homes.get(ADA))
    assert home.all_text.count("and 1 more") == 2, "of mine and of all"
    assert "somebody should take command by <!date^" in home.all_text
    assert "update due <!date^" in home.all_text
    assert "*INC-18*" in home.all_text
    assert "*INC-1*" in home.all_text, "what was resolved"
    assert "(mean of 2)" in home.all_text
    assert "<!channel>" not in home.all_text


async def test_what_somebody_asks_to_see_fits_however_long_it_is(served: Served) -> None:
    await served.declared(title="&" * 150, impact="`<!channel>`\n*" + "i" * 2900)
    await served.bot.incidents.act(1, lambda one, now: acts.note(one, "a `\x00` note & " + "n" * 2900, ADA, now))
    for _ in range(50):
        await served.bot.incidents.act(1, lambda one, now: acts.note(one, "<@U0APPROVER> & " * 150, ADA, now))
    for words, part in (("timeline", "the newest 40 of 5"), ("catch-up", "*So far*"), ("list", "*INC-1*")):
        await served.slack.command(words, user="U0NAMELESS")
        told = await served.whispered(part, "U0NAMELESS")
        assert "<!channel>" not in told.all_text
        assert not any(str(block.get("text", {}).get("text", "")).endswith("…\n```") for block in told.blocks)
    timeline = await served.whispered("the newest 40", "U0NAMELESS")
    assert timeline.all_text.count("*note*") == 40
