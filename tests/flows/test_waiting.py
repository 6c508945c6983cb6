"""Mitigations that were approved and cannot begin yet: cards say why, and whoever approved hears if they do not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.domain import mitigation
from bot.domain.policy import Policy
from bot.domain.runs import Run, State
from tests.databases import KINDS, copy_of
from tests.fakes import FakeClock
from tests.flows.rooms import ON_CALL, Room, policy_of, room_in
from tests.flows.test_incident_answers import ADA
from tests.flows.test_incidents import said
from tests.mitigated import QUICK


@pytest.fixture
def policy() -> Policy:
    return policy_of(ON_CALL)


@pytest.fixture(params=["SQLite"])
async def room(tmp_path: Path, request: pytest.FixtureRequest, policy: Policy) -> AsyncIterator[Room]:
    async with room_in(copy_of(request.param, tmp_path, request), policy) as held:
        yield held


async def in_flight(room: Room, remedy: str = "restart") -> Run:
    """Approved by Ada and begun; the cluster has not been asked yet, since whoever has begun it has died."""
    await room.ask(f"mitigate {remedy}")
    await room.slack.click(room.card(remedy=remedy), "approve", user=ADA)
    await room.bot.tasks.drain(10)
    store, now = room.bot.store, room.bot.driver.clock.now()
    (run,) = await store.claim_runs(now, limit=5, lease_s=600)
    begun = await store.begin_run(run, lambda around: mitigation.begun(run, now, around, QUICK), now=now)
    assert begun is not None
    assert begun.state is State.APPLYING
    return begun


async def go_on(room: Room, at: datetime, state: State) -> None:
    """Drives the newest run ``at`` a moment, until it is in that state: whoever was put off waits for a second."""
    clock = FakeClock()
    clock.advance((at - clock.now()).total_seconds())
    driver = replace(room.bot.driver, clock=clock)
    for _ in range(600):
        await driver.claim()
        await driver.idle()
        if (await room.runs())[-1].state is state:
            break
        await asyncio.sleep(0.05)
    deliveries = replace(room.bot.deliveries, clock=clock)
    while await deliveries.send_some():
        pass


@pytest.mark.parametrize("room", KINDS, indirect=True)
async def test_what_waits_for_another_says_so_and_its_end_is_told_to_whoever_approved(room: Room) -> None:
    await room.declared()
    await in_flight(room)
    await room.ask()
    await room.click(room.card(), "approve")
    card = room.card("is approved and waits")
    assert "It waits for the restart that is under way on the same deployment." in card.text
    assert "It is dropped <!date^" in card.text
    run = (await room.runs())[-1]
    assert run.start_by is not None
    await go_on(room, run.start_by, State.EXPIRED)
    why = "It was not begun in time, since it waited for the restart; nothing was changed."
    assert why in card.text
    (told,) = said(room.slack, "`fallback` of *INC-1*: *not begun*")
    assert f"{why} Approved by <@{ADA}>." in told.text
    entries = await room.bot.store.timeline(1)
    assert entries[-1].event.text == "fallback expired, since it waited for the restart"


async def test_the_end_of_an_incident_counts_what_is_under_way_and_drops_what_was_approved(room: Room) -> None:
    card = await room.declared()
    await in_flight(room)
    await room.ask("mitigate rotate_key", argument_secret="spare")
    await room.ask("mitigate rollback")
    rollback = room.card(remedy="rollback")
    await room.click(rollback, "approve")
    await room.slack.click(card, "resolve")
    view = await room.open_form()
    assert "the restart is under way" in view.all_text
    assert "the rollback is approved, and is dropped with the end of the incident" in view.all_text
    assert "rotate_key" not in view.all_text
    assert "Why resolve all the same?" in view.all_text
    await room.slack.submit(view, {"reason": {"value": "it healed by itself"}})
    await room.settle()
    await go_on(room, room.bot.driver.clock.now() + timedelta(seconds=30), State.CANCELLED)
    assert "INC-1 is resolved, so it is not begun; `/mistral reopen 1` opens it again." in rollback.text
    assert said(room.slack, "`rollback` of *INC-1*: *not begun*")
