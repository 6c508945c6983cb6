"""What stakeholders and the public are told of an end, and of what comes after it, through the front door."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain import acts
from bot.domain.causes import Severity
from bot.domain.publication import component_states
from bot.sandbox.slack.filling import Values
from tests.databases import copy_of
from tests.flows.desk import COMPONENTS, ROBIN, STAKEHOLDERS, SUPPORT, Desk, desk_at
from tests.flows.test_incident_answers import ADA
from tests.flows.test_incidents import cards


@pytest.fixture
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with desk_at(copy_of("SQLite", tmp_path, request), STAKEHOLDERS) as held:
        await held.declared()
        yield held


async def test_an_end_is_told_to_all_who_were_told_of_the_beginning(desk: Desk) -> None:
    await desk.click_send(await desk.filled(action="queueing", publish=["yes"], components=["Chat"]))
    view = await desk.opened("resolve")
    await desk.slack.wait_for(lambda: "has not ended yet" not in view.all_text)
    answer = await desk.slack.submit(view, {"reason": {"value": "the limit was raised"}})
    preview = desk.slack.views[ROBIN]
    assert answer["response_action"] == "push"
    for part in ("is resolved*, says", "The team will look back", "Chat: all work again"):
        assert part in preview.all_text
    assert (await desk.bot.incidents.one(1)).open
    assert await desk.click_send(preview) == {"response_action": "clear"}
    public, incident = await desk.public(), await desk.bot.incidents.one(1)
    assert public is not None
    assert (incident.open, public.open, public.components) == (False, False, {"Chat": "major_outage"})
    assert component_states(COMPONENTS, [public])["Chat"] == "operational"
    assert "It is over: our AI features work as usual again." in desk.posts(SUPPORT)[-1].text
    told = [entry.event.kind for entry in await desk.bot.store.timeline(1)]
    assert told[-4:] == ["status", "resolved", "told", "published"]


async def lowered(desk: Desk, severity: str = "P3") -> None:
    """To one for which no stakeholders are configured."""
    await desk.slack.command(f"severity {severity}", user=ADA)
    await desk.whispered(f"INC-1 is {severity} now.", ADA)


async def test_whoever_was_told_of_the_beginning_hears_the_end_though_the_severity_was_lowered(desk: Desk) -> None:
    await desk.click_send(await desk.filled(action="queueing"))
    await lowered(desk)
    view = await desk.opened("resolve")
    assert "Stakeholders (1 channel)" in view.all_text
    await desk.slack.wait_for(lambda: "has not ended yet" not in view.all_text)
    await desk.slack.submit(view, {"reason": {"value": "the limit was raised"}})
    assert await desk.click_send(desk.slack.views[ROBIN]) == {"response_action": "clear"}
    began, ended = desk.posts(SUPPORT)
    assert "It is over: our AI features work as usual again." in ended.text
    assert ended.thread_ts == began.ts


async def test_a_form_that_was_open_as_the_severity_was_lowered_still_tells_whoever_was_told_before(desk: Desk) -> None:
    await desk.click_send(await desk.filled(action="queueing"))
    view = await desk.opened()
    await lowered(desk)
    answer = await desk.slack.submit(view, {"action": {"value": "watching"}})
    assert answer["response_action"] == "push"
    assert await desk.click_send(desk.slack.views[ROBIN]) == {"response_action": "clear"}
    assert len(desk.posts(SUPPORT)) == 2


async def test_whom_slack_did_not_let_the_bot_tell_is_not_offered_after_the_severity_was_lowered(desk: Desk) -> None:
    desk.slack.channels[SUPPORT].is_archived = True
    await desk.click_send(await desk.filled(action="queueing"))
    assert [one.message.to for one in await desk.bot.store.dead_letters(10)] == [SUPPORT]
    await lowered(desk)
    assert "Stakeholders" not in (await desk.opened()).all_text


async def test_a_channel_that_a_raised_severity_adds_hears_it_from_the_beginning(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    others = "C0OTHERS"
    policy = replace(STAKEHOLDERS, stakeholders={Severity.P1: (SUPPORT, others), Severity.P2: (SUPPORT,)})
    async with desk_at(copy_of("SQLite", tmp_path, request), policy) as desk:
        await desk.declared(severity="P2")
        await desk.click_send(await desk.filled(action="queueing"))
        assert "The team is still looking for the reason." in (await desk.opened(user=ADA)).all_text
        await lowered(desk, "P1")
        view = await desk.opened()
        assert "Stakeholders (2 channels)" in view.all_text
        assert "The team is looking for the reason." in view.all_text


async def test_an_end_that_the_page_is_not_told_is_remembered_until_it_is(desk: Desk) -> None:
    await desk.click_send(await desk.filled(action="queueing", publish=["yes"]))
    view = await desk.opened("resolve")
    told: Values = {"reason": {"value": "it is over"}, "stakeholders": {"value": ""}, "publish": {"value": []}}
    assert await desk.slack.submit(view, told) == {}, "nobody else is told, so there is nothing to preview"
    await desk.whispered("The status page still says that it is open: `/mistral publish 1`", ROBIN)
    await desk.send()
    (card,) = cards(desk.slack)
    assert "The status page still says that it is open" in card.all_text
    await desk.click_send(await desk.filled("publish 1"))
    public = await desk.public()
    assert public is not None
    assert public.status == "resolved"
    assert "still says" not in card.all_text


async def test_what_was_to_be_published_before_an_end_is_not_published_after_it(desk: Desk) -> None:
    await desk.click_send(await desk.filled(action="queueing", publish=["yes"]))
    late = await desk.filled("publish", user=ADA)
    await desk.click_send(await desk.filled("resolve", reason="it is over", publish=["yes"]))
    answer = await desk.click_send(late)
    assert "INC-1 is resolved, and “investigating” does not fit that" in str(answer)
    public = await desk.public()
    assert public is not None
    assert public.status == "resolved"


async def test_a_resolved_incident_can_be_corrected_and_looked_back_at_in_public(desk: Desk) -> None:
    await desk.bot.incidents.act(1, lambda one, now: acts.resolve(one, (), "", ADA, now))
    await desk.click_send(await desk.filled("publish 1", public_title="Slow answers", public_text="It was short."))
    view = await desk.opened("publish 1")
    assert "We have looked back at what happened" in view.all_text, "that it is over has been told"
    await desk.slack.submit(
        view, {"public_status": {"value": "resolved"}, "public_text": {"value": "It took an hour."}}
    )
    await desk.click_send(desk.slack.views[ROBIN])
    await desk.click_send(await desk.filled("publish 1"))
    public = await desk.public()
    assert public is not None
    assert [(one.status.value, one.text.split(".")[0]) for one in public.updates] == [
        ("resolved", "It was short"),
        ("resolved", "It took an hour"),
        ("postmortem", "We have looked back at what happened"),
    ]
    assert not (await desk.bot.incidents.one(1)).open
