"""Action items through Slack: typed or filled in, listed, closed, reminded of; and the figures of all incidents."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.action import ActionPriority, ActionState
from bot.domain.incident import CARD, Change, Incident
from bot.domain.policy import Policy
from bot.errors import Conflict
from tests.databases import copy_of
from tests.fakes import FakeClock
from tests.flows.desk import HERE, ROBIN, Desk, desk_at
from tests.flows.test_incident_answers import ADA
from tests.flows.test_incidents import cards, form
from tests.planted import P


@pytest.fixture
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with desk_at(copy_of("SQLite", tmp_path, request), Policy(), evidence_dir=tmp_path / "evidence") as held:
        await held.declared(severity="P3")
        yield held


async def typed(desk: Desk, words: str, user: str = ROBIN) -> None:
    await desk.slack.command(words, user=user)
    await desk.bot.tasks.drain(5)
    await desk.send()


async def test_one_line_makes_an_action_item_with_all_that_it_says(desk: Desk) -> None:
    day = (datetime.now(UTC) + timedelta(days=40)).date()
    await typed(desk, f"action INC-1 raise the limit P1 <@{ADA}|ada> due {day}")
    (made,) = await desk.bot.store.actions(open_only=True, limit=5)
    assert (made.text, made.priority, made.owner, made.due) == ("raise the limit", ActionPriority.P1, ADA, day)
    assert [one.event.text for one in await desk.bot.store.timeline(1)][-1] == "raise the limit"
    await desk.whispered(f"Action item 1 of INC-1 (P1, open), due {day}: <@{ADA}>.", ROBIN)


async def test_what_is_not_said_is_by_priority_and_secrets_are_not_kept(desk: Desk) -> None:
    await typed(desk, f"action 3 retries and the key sk-proj-{P}")
    (made,) = await desk.bot.store.actions(open_only=True, limit=5)
    assert made.text == "3 retries and the key ***"
    assert (made.priority, made.owner) == (ActionPriority.P2, None)
    assert made.due == datetime.now(UTC).date() + timedelta(days=30)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("action INC-1 x due 2020-01-01", "due today or later"),
        ("action INC-1 x due 2026-13-45", "is no day"),
        ("action INC-1 P1", "needs a text"),
        ("action INC-77 x", "INC-77"),
        ("actions INC-1", "No action item is open."),
    ],
)
async def test_what_cannot_be_is_answered_in_a_sentence(desk: Desk, words: str, answer: str) -> None:
    await typed(desk, words)
    await desk.whispered(answer, ROBIN)
    assert not await desk.bot.store.actions(open_only=False, limit=5)


async def test_a_form_makes_one_and_another_changes_it(desk: Desk) -> None:
    await desk.slack.command("action INC-1", user=ROBIN)
    view = await form(desk.slack, ROBIN)
    told = {"text": "raise the limit", "priority": "P1", "owner": "", "due": ""}
    await desk.slack.submit(view, {block: {"value": value} for block, value in told.items()})
    await desk.bot.tasks.drain(5)
    await typed(desk, "actions")
    listed = await desk.whispered("raise the limit", ROBIN)
    await desk.slack.click(listed, "action_edit", user=ROBIN)
    view = await form(desk.slack, ROBIN)
    await desk.slack.submit(view, {"owner": {"value": ADA}, "state": {"value": "dropped"}})
    await desk.bot.tasks.drain(5)
    (held,) = await desk.bot.store.actions(open_only=False, limit=5)
    assert (held.state, held.owner, held.closed_by) == (ActionState.DROPPED, ADA, ROBIN)


async def test_done_is_done_once_and_whoever_clicks_again_is_told(desk: Desk) -> None:
    await typed(desk, "action INC-1 raise the limit")
    await typed(desk, "actions")
    listed = await desk.whispered("raise the limit", ROBIN)
    for _ in range(2):
        await desk.slack.click(listed, "action_done", user=ROBIN)
        await desk.bot.tasks.drain(5)
    await desk.whispered("Action item 1 is done.", ROBIN)
    await desk.whispered("Action item 1 is done already.", ROBIN)


async def test_two_who_change_it_at_once_are_told(desk: Desk) -> None:
    await typed(desk, "action INC-1 raise the limit")
    (held,) = await desk.bot.store.actions(open_only=True, limit=5)
    now = desk.bot.actions.clock.now()
    await desk.bot.store.save_action(held, replace(held, text="a"), actor=ADA, now=now, request="1")
    with pytest.raises(Conflict):
        await desk.bot.store.save_action(held, replace(held, text="b"), actor=ADA, now=now, request="2")


async def test_reminders_come_before_and_after_it_is_due_and_then_no_more(desk: Desk) -> None:
    clock = FakeClock(datetime(2026, 12, 1, 12, tzinfo=UTC))
    handler = replace(desk.bot.actions, clock=clock, wake=lambda: None)
    incident = await desk.bot.incidents.one(1)
    due = date(2026, 12, 9)  # a Wednesday
    await handler.add(incident, "raise the limit", ActionPriority.P1, ADA, due, user=ROBIN, request="1")
    told: dict[date, list[str]] = {}
    for _ in range(40):
        clock.advance(86_400)
        before = len(desk.slack.messages)
        await handler.tick()
        await sent(desk, clock)
        for one in desk.slack.messages[before:]:
            told.setdefault(clock.now().date(), []).append("channel" if one.channel == HERE else "owner")
    assert told == {
        date(2026, 12, 8): ["owner"],
        date(2026, 12, 10): ["owner"],
        date(2026, 12, 14): ["owner", "channel"],
        date(2026, 12, 18): ["owner", "channel"],
    }


async def test_after_a_pause_one_reminder_comes_and_none_of_what_is_done(desk: Desk) -> None:
    clock = FakeClock(datetime(2026, 12, 1, 12, tzinfo=UTC))
    handler = replace(desk.bot.actions, clock=clock, wake=lambda: None)
    incident = await desk.bot.incidents.one(1)
    for request in "ab":
        await handler.add(incident, request, ActionPriority.P1, ADA, date(2026, 12, 9), user=ROBIN, request=request)
    await handler.done(2, ADA, "done")
    clock.advance(60 * 86_400)
    before = len(desk.slack.messages)
    for _ in range(3):
        await handler.tick()
    await sent(desk, clock)
    assert len(desk.slack.messages) - before == 2, "one, to its owner and to the channel"


async def sent(desk: Desk, clock: FakeClock) -> None:
    while await replace(desk.bot.deliveries, clock=clock).send_some():
        pass


async def test_metrics_are_a_table_with_a_chart_beneath(desk: Desk) -> None:
    await typed(desk, "severity 1 P2")
    await desk.slack.command("metrics 7d", user=ROBIN)
    await desk.bot.tasks.drain(20)
    (table,) = [one for one in desk.slack.messages if "The last 7 days: 1 incident*" in one.text]
    assert "*MTTR* \u2013" in table.all_text
    (chart,) = [one for one in desk.slack.messages if one.file_names == ["incidents.png"]]
    assert chart.thread_ts == table.ts
    assert desk.slack.files[chart.files[0]].startswith(b"\x89PNG")
    await typed(desk, "metrics soon")
    await desk.whispered("Say over how long", ROBIN)


async def test_a_card_names_what_fixed_an_incident_like_it(desk: Desk) -> None:
    view = await desk.opened("resolve 1")
    await desk.slack.submit(view, {"reason": {"value": "it is over"}})
    await desk.send()
    await desk.slack.command("declare", user=ROBIN)
    view = await form(desk.slack, ROBIN)
    values = {"title": "Again", "severity": "P3", "impact": "", "commander": ""}
    await desk.slack.submit(view, {block: {"value": value} for block, value in values.items()})
    await desk.send()
    incident = await desk.bot.incidents.one(2)
    assert incident.cause is None
    card = next(one for one in cards(desk.slack) if "INC-2" in one.text)
    assert "Like:" not in card.all_text, "the same target alone is no likeness"
    for number in (1, 2):
        held = await desk.bot.incidents.one(number)
        change = _with_cause(held)
        await desk.bot.store.save(held, change, now=desk.bot.incidents.clock.now())
    await desk.send()
    card = next(one for one in cards(desk.slack) if "INC-2" in one.text)
    assert "*INC-1* Completions fail" in card.all_text


def _with_cause(held: Incident) -> Change:
    return Change(incident=replace(held, cause="rate_limited"), messages=(CARD,))
