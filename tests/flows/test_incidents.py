"""Incidents through the front door: commands, forms and buttons in Slack, the unmodified bot as a process."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import Message, View, Workspace
from bot.sandbox.slack.faults import CUT, LOST, Fault, rate_limited, refused, server_error
from bot.sandbox.slack.filling import Values
from tests.databases import copy_of

RATE_LIMITED = load_scenarios()["rate limited under the usual traffic"]


@pytest.fixture
async def sandbox(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    held = Sandbox(RATE_LIMITED, environ={"DATABASE_URL": copy_of("SQLite", tmp_path, request)})
    held.slack.workspace.scopes = set(SCOPES)
    await held.start()
    await held.start_bot()
    await held.slack.wait_connected()
    await held.ready()
    yield held
    await held.close()


async def form(slack: Workspace, user: str = "U0REQUESTER") -> View:
    opened: View = await slack.wait_for(lambda: slack.views.get(user))
    return opened


async def sent(slack: Workspace, view: View, values: Values) -> dict[str, Any]:
    """Fills in a form, looks at its preview and sends that; what the bot acknowledged the last with."""
    answer = await slack.submit(view, values)
    assert answer["response_action"] == "push", answer
    return await slack.submit(slack.views[view.user])


def cards(slack: Workspace) -> list[Message]:
    return [one for one in slack.messages if "INC-" in one.text and "*Incident commander*" in one.all_text]


async def declared(slack: Workspace, **values: str) -> Message:
    await slack.command("declare")
    told = {"title": "Completions fail", "severity": "P1", "impact": "nobody can chat", "commander": "", **values}
    await slack.submit(await form(slack), {block: {"value": value} for block, value in told.items()})
    await slack.wait_for(lambda: cards(slack))
    return cards(slack)[0]


async def test_a_triage_becomes_an_incident_with_one_click(sandbox: Sandbox) -> None:
    slack = sandbox.slack.workspace
    await slack.command("triage")
    card = await slack.wait_for(lambda: next((one for one in slack.messages if "`rate_limited`" in one.all_text), None))
    await slack.click(card, "declare")
    view = await form(slack)
    await slack.submit(view, {})
    incident = (await slack.wait_for(lambda: cards(slack)))[0]
    assert incident.channel == "C0INCIDENTS"
    assert "P2 INC-1" in incident.text
    assert "INVESTIGATING" in incident.all_text
    await slack.wait_for(lambda: incident.ts in slack.channels["C0INCIDENTS"].pins)
    await slack.wait_for(lambda: any("INC-1 is declared" in one.text and one.only_for for one in slack.messages))


async def test_an_incident_from_declaring_to_resolving_is_one_card(sandbox: Sandbox) -> None:
    slack = sandbox.slack.workspace
    card = await declared(slack)
    await slack.command("update", user="U0APPROVER")
    told = {"status": {"value": "identified"}, "action": {"value": "queueing requests"}}
    await sent(slack, await form(slack, "U0APPROVER"), told)
    await slack.wait_for(lambda: "IDENTIFIED" in card.all_text and "queueing requests" in card.all_text)
    await slack.command("severity P3")
    await slack.wait_for(lambda: "P3 INC-1" in card.text)
    await slack.click(card, "resolve")
    view = await form(slack)
    await slack.wait_for(lambda: "a triage of just now says" in str(view.blocks))
    await slack.submit(view, {"reason": {"value": "the limit was raised"}, "owner": {"value": "U0APPROVER"}})
    await slack.wait_for(lambda: "RESOLVED" in card.all_text)
    assert cards(slack) == [card]
    await slack.click(card, "reopen")
    await slack.wait_for(lambda: "INVESTIGATING" in card.all_text)


def said(slack: Workspace, part: str, *, only_for: str | None = None) -> list[Message]:
    return [one for one in slack.messages if part in one.all_text and (only_for is None or one.only_for == only_for)]


def posted(slack: Workspace, part: str) -> list[Message]:
    """What everybody sees."""
    return [one for one in said(slack, part) if one.only_for is None]


@pytest.mark.parametrize(
    "faults",
    [(LOST,), (CUT,), (server_error(),), (server_error(503), LOST), (rate_limited(1),), (LOST, rate_limited(1), CUT)],
    ids=["lost answer", "cut", "500", "503, then a lost answer", "429", "all of it"],
)
async def test_whatever_slack_does_to_the_card_it_is_there_once(sandbox: Sandbox, faults: tuple[Fault, ...]) -> None:
    slack = sandbox.slack.workspace
    sandbox.slack.faults.add("chat.postMessage", *faults)
    card = await declared(slack)
    await slack.command("role scribe")
    await slack.wait_for(lambda: posted(slack, "is scribe of"), timeout_s=40)
    assert sandbox.slack.faults.left("chat.postMessage") == 0
    assert cards(slack) == [card]
    assert len(posted(slack, "is scribe of")) == 1
    assert slack.messages.index(card) < slack.messages.index(posted(slack, "is scribe of")[0])


async def test_a_form_submitted_twice_and_clicks_that_are_repeated_do_it_once(sandbox: Sandbox) -> None:
    slack = sandbox.slack.workspace
    await slack.command("declare")
    view = await form(slack)
    told = {"title": {"value": "Twice"}, "severity": {"value": "P2"}, "commander": {"value": ""}}
    await slack.submit(view, told)
    await slack.submit(view, told)
    await slack.redeliver_last()
    await slack.wait_for(lambda: cards(slack))
    (card,) = cards(slack)
    stale = card.as_seen()
    await slack.click(stale, "command", user="U0APPROVER")
    await slack.redeliver_last()
    await slack.wait_for(lambda: said(slack, "is commander of"))
    await slack.command("note it was seen by Ada")
    await slack.redeliver_last()
    await slack.wait_for(lambda: said(slack, "It is in the timeline", only_for="U0REQUESTER"))
    await slack.command("timeline")
    timeline = (await slack.wait_for(lambda: said(slack, "Timeline of INC-1")))[0].all_text
    assert timeline.count("it was seen by Ada") == 1
    assert timeline.count("*declared*") == 1
    assert len(cards(slack)) == 1
    assert len(said(slack, "is commander of")) == 1


async def test_a_stale_card_and_wrong_words_are_answered_to_whoever_asked(sandbox: Sandbox) -> None:
    slack = sandbox.slack.workspace
    await slack.command("update")
    await slack.wait_for(lambda: said(slack, "No incident is open", only_for="U0REQUESTER"))
    card = await declared(slack)
    stale = card.as_seen()
    await slack.command("severity P9")
    await slack.wait_for(lambda: said(slack, "Say which", only_for="U0REQUESTER"))
    await slack.click(card, "resolve")
    view = await form(slack)
    answer = await slack.submit(view, {"reason": {"value": "it is over"}})
    assert answer == {}
    await slack.wait_for(lambda: "RESOLVED" in card.all_text)
    await slack.click(stale, "update", user="U0APPROVER")
    await slack.wait_for(lambda: said(slack, "is resolved; `/mistral reopen 1`", only_for="U0APPROVER"))
    await slack.command("declare", user="U0GUEST")
    await slack.wait_for(lambda: said(slack, "everybody but guests", only_for="U0GUEST"))
    await slack.command("reopen 99")
    await slack.wait_for(lambda: said(slack, "There is no incident INC-99"))


async def test_hostile_and_long_words_are_kept_and_shown_as_text(sandbox: Sandbox) -> None:
    slack = sandbox.slack.workspace
    title = "<!channel> \u202eevil 🔥 `x` *y* & " + "t" * 100
    card = await declared(slack, title=title[:150], impact="<@U0APPROVER> " + "i" * 2900)
    assert "<!channel>" not in card.all_text
    assert "&lt;@U0APPROVER&gt;" in card.all_text


async def test_a_message_with_a_pushpin_and_by_shortcut_is_in_the_timeline_with_its_own_time(sandbox: Sandbox) -> None:
    slack = sandbox.slack.workspace
    await declared(slack)
    await slack.say("the dashboards are red")
    message = said(slack, "the dashboards are red")[0]
    await slack.react(message, "pushpin", user="U0APPROVER")
    await slack.wait_for(lambda: said(slack, "It is in the timeline of INC-1", only_for="U0APPROVER"))
    await slack.react(message, "eyes")
    await slack.say("we called the provider")
    await slack.shortcut("add_to_timeline", said(slack, "we called the provider")[0])
    await slack.wait_for(lambda: said(slack, "It is in the timeline of INC-1", only_for="U0REQUESTER"))
    await slack.command("timeline")
    timeline = (await slack.wait_for(lambda: said(slack, "Timeline of INC-1")))[0].all_text
    assert timeline.count("the dashboards are red") == 1
    assert timeline.count("we called the provider") == 1


async def test_app_home_and_catch_up_tell_what_is_open(sandbox: Sandbox) -> None:
    slack = sandbox.slack.workspace
    await declared(slack)
    await slack.open_home("U0REQUESTER")
    home = await slack.wait_for(lambda: slack.homes.get("U0REQUESTER"))
    assert "INC-1" in home.all_text
    await slack.command("catch-up", user="U0APPROVER")
    told = (await slack.wait_for(lambda: said(slack, "*So far*", only_for="U0APPROVER")))[0]
    assert "nobody has taken command" in told.all_text
    await slack.command("list")
    await slack.wait_for(lambda: said(slack, "*INC-1* P1 Completions fail"))


async def test_a_channel_that_takes_no_posts_is_told_to_a_person_and_nothing_is_lost(sandbox: Sandbox) -> None:
    slack = sandbox.slack.workspace
    card = await declared(slack)
    sandbox.slack.faults.add("chat.update", refused("is_archived"))
    await slack.command("role scribe")
    await slack.wait_for(lambda: said(slack, "I cannot post *INC-1*"))
    assert cards(slack) == [card]


async def test_a_bot_that_is_killed_goes_on_where_it_was(sandbox: Sandbox) -> None:
    slack = sandbox.slack.workspace
    card = await declared(slack)
    await slack.wait_for(lambda: card.ts in slack.channels["C0INCIDENTS"].pins)
    sandbox.slack.down = True
    await sandbox.kill_bot()
    sandbox.slack.down = False
    await sandbox.start_bot()
    await sandbox.slack.wait_connected()
    await sandbox.ready()
    await slack.command("role scribe")
    await slack.wait_for(lambda: posted(slack, "is scribe of"))
    assert cards(slack) == [card]


async def test_a_channel_that_is_renamed_and_people_without_names_change_nothing(sandbox: Sandbox) -> None:
    slack = sandbox.slack.workspace
    slack.people["U0APPROVER"] = replace(slack.people["U0APPROVER"], name="")
    card = await declared(slack)
    slack.channels["C0INCIDENTS"].name = "war-room"
    await slack.command("role scribe", user="U0APPROVER")
    await slack.wait_for(lambda: [one for one in said(slack, "is scribe of INC-1") if not one.only_for])
    await slack.wait_for(lambda: "scribe <@U0APPROVER>" in card.all_text)
    assert cards(slack) == [card]
