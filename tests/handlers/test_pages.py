"""Pages: whoever is to be woken is, once, whatever else hangs, and nobody for what is over."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from bot.domain import acts
from bot.domain.incident import PAGER, Change, Incident, Outgoing, Priority, Role
from bot.sandbox.slack.faults import late
from tests.fakes import Bell
from tests.handlers.conftest import ADA, PATIENCE_S, ROBIN, World

TRIGGER = Outgoing(kind="page", to=PAGER, template="trigger", priority=Priority.PAGE)


async def test_a_page_is_not_held_up_by_a_slack_that_hangs(world: World) -> None:
    bell = Bell()
    deliveries = replace(world.deliveries, pagers=(bell,))
    incident = await world.declare()
    hung = late(PATIENCE_S + 30)
    world.sandbox.slack.faults.add("chat.postMessage", *(hung for _ in range(20)))
    work = asyncio.create_task(deliveries.work())
    try:
        deliveries.wake()
        await world.slack.wait_for(lambda: world.sandbox.slack.faults.left("chat.postMessage") < 20)
        await world.incidents.act(incident.id, lambda one, now: acts.tell(one, TRIGGER))
        deliveries.wake()
        async with asyncio.timeout(PATIENCE_S / 2):
            await bell.rung.wait()
        assert (await world.store.waiting())["sending"] >= 1, "the card is still being sent"
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


@pytest.mark.parametrize(
    ("pagers", "told"), [((), "No pager is configured"), ((Bell(),), "The pager is ringing")], ids=["none", "one"]
)
async def test_a_pager_is_said_to_ring_where_there_is_one(world: World, pagers: tuple[Bell, ...], told: str) -> None:
    await world.declare()
    world.clock.advance(16 * 60)
    await world.incidents.tick()
    deliveries = replace(world.deliveries, pagers=pagers)
    while await deliveries.send_some():
        pass
    (escalated,) = world.said("Nobody has taken command")
    assert told in escalated.all_text


@pytest.mark.parametrize("away", ["first", "second"])
async def test_while_one_pager_is_away_the_others_ring_once_and_hear_of_the_end(world: World, away: str) -> None:
    bells = [Bell(name, fails=name == away) for name in ("first", "second")]
    world = replace(world, deliveries=replace(world.deliveries, pagers=bells))
    incident = await world.declare()
    await _told(world, incident.id, TRIGGER)
    await world.incidents.act(incident.id, lambda one, now: acts.resolve(one, (), "", ROBIN, now))
    await _told(world, incident.id, replace(TRIGGER, template="resolve"))
    heard = {bell.name: bell.heard for bell in bells}
    assert heard.pop(away).count("trigger") == 5, "and not any more once it is over"
    assert list(heard.values()) == [["trigger", "resolve"]]


async def test_nobody_is_woken_for_what_somebody_has_taken_meanwhile(world: World) -> None:
    bell = Bell(fails=True)
    world = replace(world, deliveries=replace(world.deliveries, pagers=[bell]))
    incident = await world.declare()
    world.clock.advance(16 * 60)
    await world.incidents.tick()
    await _told(world, incident.id)
    assert set(bell.heard) == {"trigger"}
    bell.heard.clear()
    await world.incidents.act(incident.id, lambda one, now: acts.give_role(one, Role.COMMANDER, ADA, ADA, now))
    await _told(world, incident.id)
    assert set(bell.heard) == {"acknowledge"}


async def test_whoever_knows_no_such_pager_leaves_it_to_another_for_ten_minutes(world: World) -> None:
    bell = Bell("first")
    world = replace(world, deliveries=replace(world.deliveries, pagers=[bell]))
    incident = await world.declare()
    await _told(world, incident.id, replace(TRIGGER, to=f"{PAGER}:second"))
    assert await world.dead() == 0
    world.clock.advance(600)
    await _told(world, incident.id)
    assert (await world.dead(), bell.heard) == (1, [])


async def test_pagers_ring_though_somebody_changes_the_incident_at_that_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bells = [Bell("first"), Bell("second")]
    world = replace(world, deliveries=replace(world.deliveries, pagers=bells))
    incident, save = await world.declare(), world.store.save

    async def changed(before: Incident, change: Change, **more: Any) -> Incident:
        monkeypatch.setattr(world.store, "save", save)
        await world.give(incident, Role.SCRIBE)
        return await save(before, change, **more)

    await world.incidents.act(incident.id, _telling(TRIGGER))
    monkeypatch.setattr(world.store, "save", changed)
    while await world.deliveries.send_some():
        pass
    assert [bell.heard for bell in bells] == [["trigger"], ["trigger"]]


async def test_what_was_to_be_said_of_an_open_incident_is_not_said_of_one_that_is_over(world: World) -> None:
    incident = await world.declare()
    for _ in range(8):
        world.clock.advance(600)
        await world.incidents.tick()
    assert (await world.store.waiting())["waiting"] > 5
    await world.incidents.act(incident.id, lambda one, now: acts.resolve(one, (), "", ROBIN, now))
    await world.settle()
    assert world.said("is resolved")
    assert not world.said("Nobody has taken command")
    assert not world.said("The update of")
    assert await world.dead() == 0


async def _told(world: World, number: int, *messages: Outgoing) -> None:
    """And tried to be sent for some minutes."""
    for message in messages:
        await world.incidents.act(number, _telling(message))
    for _ in range(5):
        while await world.deliveries.send_some():
            pass
        world.clock.advance(60)


def _telling(message: Outgoing) -> Callable[[Incident, datetime], Change]:
    return lambda one, now: acts.tell(one, message)
