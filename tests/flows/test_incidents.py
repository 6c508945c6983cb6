"""Incidents through the front door: commands, forms and buttons in Slack, the unmodified bot as a process."""

from collections.abc import AsyncIterator

import pytest

from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import Message, View, Workspace

RATE_LIMITED = load_scenarios()["rate limited under the usual traffic"]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    held = Sandbox(RATE_LIMITED)
    await held.start()
    await held.start_bot()
    await held.slack.wait_connected()
    await held.ready()
    yield held
    await held.close()


async def form(slack: Workspace, user: str = "U0REQUESTER") -> View:
    opened: View = await slack.wait_for(lambda: slack.views.get(user))
    return opened


def cards(slack: Workspace) -> list[Message]:
    return [one for one in slack.messages if "INC-" in one.text and "*Incident commander*" in one.all_text]


async def declared(slack: Workspace, **values: str) -> Message:
    await slack.command("declare")
    told = {"title": "Completions fail", "severity": "P1", "impact": "nobody can chat", **values}
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
    await slack.submit(
        await form(slack, "U0APPROVER"), {"status": {"value": "identified"}, "action": {"value": "queueing requests"}}
    )
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
