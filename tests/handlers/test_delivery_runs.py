"""A mitigation's card from a real database to the sandbox's Slack: one, in its place, whatever Slack does meanwhile."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain import acts, mitigation
from bot.domain.policy import ApprovalRule, Mitigations, Policy
from bot.domain.runs import Approval, Circumstances, Outcome, Run, RunChange
from bot.sandbox.slack import Message
from bot.sandbox.slack.faults import LOST, Fault
from tests.handlers.conftest import ADA, HERE, ONE_FAULT, ROBIN, World
from tests.runs import a_plan, a_run

LIMITS = Mitigations(approvers=(ApprovalRule(users=frozenset({ADA})),))


def with_approvers(world: World) -> World:
    policy = Policy(mitigations=LIMITS)
    return replace(world, deliveries=replace(world.deliveries, policy=policy))


def with_card(run: Run) -> RunChange:
    """As a proposal's, which is the first that anybody hears of the run."""
    return RunChange(run=run, messages=(mitigation.card(run),))


async def asked(world: World, incident: int) -> Run:
    run = a_run(incident=incident, requested_by=ROBIN, requested_at=world.clock.now())
    return await world.store.add_run(with_card(run), now=world.clock.now(), request="view:run")


async def proposed(world: World, run: Run) -> Run:
    now = world.clock.now()
    return await world.store.move_run(run, mitigation.proposed(run, a_plan(), now, LIMITS), now=now)


async def in_place(world: World, run: Run) -> Run:
    """Through every step to its end."""
    now = world.clock.now()
    given = Approval(user=ADA, at=now)
    steps: tuple[Callable[[Run], RunChange | None], ...] = (
        lambda one: mitigation.approved(one, given, enough=True, policy=LIMITS),
        lambda one: mitigation.begun(one, now, Circumstances(), LIMITS),
        lambda one: mitigation.accepted(one, now, LIMITS),
        lambda one: mitigation.rolled_out(one, now),
        lambda one: mitigation.ended(one, Outcome.FIXED, "All is well.", now),
    )
    for step in steps:
        change = step(run)
        assert change is not None
        run = await world.store.move_run(run, change, now=now)
    return run


async def move(world: World, number: int) -> str:
    """The incident to a channel of its own, whose id is given."""
    own = await world.deliveries.messenger.make_channel("inc-1-own")
    before = await world.store.incident(number)
    assert before is not None
    now = world.clock.now()
    await world.store.save(before, acts.moved_to(before, own, now), now=now)
    return own


def run_cards(world: World) -> list[Message]:
    return world.said("`fallback` for *INC-1*")


@pytest.mark.parametrize(("fault", "timeout_s"), ONE_FAULT.values(), ids=ONE_FAULT)
@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
async def test_a_runs_card_is_there_once_and_up_to_date(world: World, method: str, fault: Fault) -> None:
    world = with_approvers(world)
    incident = await world.declare()
    await world.settle()
    world.sandbox.slack.faults.add(method, fault)
    run = await asked(world, incident.id)
    await world.settle()
    (card,) = run_cards(world)
    assert "making the preview" in card.text
    await proposed(world, run)
    await world.settle()
    assert world.sandbox.slack.faults.left(method) == 0, "the fault was met"
    assert run_cards(world) == [card]
    assert "waits for approval" in card.text
    assert "<@U0APPROVER> may approve" in card.all_text
    assert card.channel == HERE
    assert card.thread_ts is None
    assert card.ts not in world.slack.channels[HERE].pins
    assert await world.dead() == 0


async def test_a_runs_card_that_somebody_deleted_is_posted_anew_once(world: World) -> None:
    incident = await world.declare()
    run = await asked(world, incident.id)
    await world.settle()
    (card,) = run_cards(world)
    world.slack.remove(card)
    world.sandbox.slack.faults.add("chat.postMessage", LOST)
    await proposed(world, run)
    await world.settle()
    (anew,) = run_cards(world)
    assert "waits for approval" in anew.text
    assert await world.dead() == 0


async def test_a_runs_card_stays_where_it_is_when_the_incident_moves_and_later_ones_go_there(world: World) -> None:
    incident = await world.declare()
    run = await asked(world, incident.id)
    await world.settle()
    own, now = await move(world, incident.id), world.clock.now()
    run = await proposed(world, run)
    second = a_run(id="run2", incident=incident.id, remedy="restart", requested_at=now, temporary=False)
    await world.store.add_run(with_card(second), now=now, request="view:run2")
    await world.settle()
    (card,) = run_cards(world)
    assert card.channel == HERE
    assert "waits for approval" in card.text
    (other,) = world.said("`restart` for *INC-1*")
    assert other.channel == own


async def test_a_card_whose_answer_was_lost_before_the_incident_moved_is_found_where_it_is(world: World) -> None:
    incident = await world.declare()
    await world.settle()
    world.sandbox.slack.faults.add("chat.postMessage", LOST)
    await asked(world, incident.id)
    assert await world.deliveries.send_some() == 1
    (card,) = run_cards(world)
    await move(world, incident.id)
    await world.settle()
    assert run_cards(world) == [card]


async def test_the_incidents_card_says_what_is_in_place_until_it_is_reverted(world: World) -> None:
    incident = await world.declare()
    run = await in_place(world, await proposed(world, await asked(world, incident.id)))
    await world.settle()
    (card,) = world.said("*Incident commander*")
    assert "In place: `fallback`, applied <!date^" in card.all_text
    (ended,) = world.said("`fallback` of *INC-1*: *fixed*")
    assert "All is well." in ended.all_text
    kept = mitigation.keep(run, ADA, "the provider <!here> is slow", world.clock.now(), LIMITS)
    run = await world.store.move_run(run, kept, now=world.clock.now())
    await world.settle()
    assert "kept: the provider &lt;!here&gt; is slow" in card.all_text
    gone = RunChange(run=replace(run, reverted_by="run2"), messages=mitigation.cards(run))
    await world.store.move_run(run, gone, now=world.clock.now())
    await world.settle()
    assert "In place:" not in card.all_text
    assert "It has been reverted" in run_cards(world)[0].all_text


async def test_people_are_reminded_of_what_is_still_in_place_with_its_buttons(world: World) -> None:
    incident = await world.declare()
    await in_place(world, await proposed(world, await asked(world, incident.id)))
    await world.settle()
    world.clock.advance(LIMITS.remind_after / timedelta(seconds=1) + 1)
    now = world.clock.now()
    assert await world.store.tick_runs(now, lambda run: mitigation.tick(run, now, LIMITS), limit=10) == 1
    await world.settle()
    (reminder,) = world.said("is still in place, since <!date^")
    buttons = [(e["action_id"], e["value"]) for b in reminder.blocks if b["type"] == "actions" for e in b["elements"]]
    assert buttons == [("revert", "run1"), ("keep", "run1")]


async def test_a_card_that_its_channel_does_not_take_is_told_to_a_person(world: World) -> None:
    incident = await world.declare()
    await world.settle()
    world.slack.channels[HERE].is_archived = True
    await asked(world, incident.id)
    await world.settle()
    assert await world.dead() == 1
    (told,) = world.said("I cannot post *INC-1*")
    assert told.channel == world.slack.direct(ROBIN).id
