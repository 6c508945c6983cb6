"""Mitigations in both databases: stored whole or not at all, in the incident's timeline, reminded of and shown."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain import acts, mitigation
from bot.domain.incident import HOME, Incident, Outgoing
from bot.domain.runs import Approval, Outcome, Run, RunChange, State
from bot.errors import AlreadyDone, Conflict, StoreError
from bot.ports import MessageRef
from bot.store.sql import SqlStore
from tests.domain.incidents import declaring
from tests.fakes import NOW
from tests.store.runs import (
    HOUR,
    LIMITS,
    SECOND,
    added,
    applied,
    approved,
    approving,
    asking,
    planning,
    proposed,
    told,
)


async def test_a_run_comes_back_as_it_was_stored(store: SqlStore, incident: Incident) -> None:
    asked = asking(incident.id, reason="Ünï 🔥 ' ; DROP TABLE runs", never="it hides the cause")
    made = await store.add_run(mitigation.asked(asked), now=NOW, request="view:1")
    assert made == replace(asked, version=1)
    full = replace(
        made,
        state=State.ENDED,
        outcome=Outcome.NO_EFFECT,
        automatic=True,
        plan=planning(),
        approve_by=NOW + SECOND,
        start_by=NOW + 2 * SECOND,
        approvals=(Approval(user="U2", at=NOW, reason="nobody else is awake"), Approval(user="U3", at=NOW + SECOND)),
        said="Nothing changed.",
        applied_at=NOW + 3 * SECOND,
        ended_at=NOW + 4 * SECOND,
        reverted_by="r2",
        kept="until Monday",
        remind_at=NOW + HOUR,
    )
    held = await store.move_run(made, RunChange(run=full), now=NOW)
    assert held == replace(full, version=2)
    assert await store.run("r1") == held
    assert await store.run("r9") is None


async def test_an_incidents_runs_are_told_the_oldest_first(store: SqlStore, incident: Incident) -> None:
    other = await store.create(declaring(), now=NOW, request="view:9")
    for identity, at in (("b", 2), ("c", 1), ("a", 3)):
        await added(store, incident.id, identity, requested_at=NOW + at * SECOND)
    await added(store, other.id, "d")
    assert [run.id for run in await store.runs(incident.id)] == ["c", "b", "a"]
    assert [run.id for run in await store.runs(other.id)] == ["d"]


async def test_a_request_makes_and_moves_a_run_once(store: SqlStore, incident: Incident) -> None:
    await added(store, incident.id)
    with pytest.raises(AlreadyDone):
        await store.add_run(mitigation.asked(asking(incident.id, "r2")), now=NOW, request="ask:r1")
    run = await proposed(store, incident.id, "r3")
    moved = await store.move_run(run, approving(run), now=NOW, request="click:1")
    with pytest.raises(AlreadyDone):
        await store.move_run(moved, mitigation.progressed(moved, "again"), now=NOW, request="click:1")
    assert await store.run("r3") == moved
    assert [one.id for one in await store.runs(incident.id)] == ["r1", "r3"]
    assert await store.made_by("click:1") == await store.incident(incident.id)


async def test_what_is_told_of_a_run_stands_in_its_incidents_timeline(store: SqlStore, incident: Incident) -> None:
    run = await applied(store, incident.id)
    await store.move_run(run, mitigation.progressed(run, "2 of 3"), now=NOW)
    assert await told(store, incident) == [
        "limit_concurrency asked for: too many at once",
        "limit_concurrency proposed",
        "limit_concurrency approved",
        "limit_concurrency begins",
        "limit_concurrency applied",
    ]
    with pytest.raises(Conflict):
        # it would seal after the same entry
        await store.save(incident, acts.note(incident, "seen", "U1", NOW), now=NOW)
    newest = await store.incident(incident.id)
    assert newest is not None
    await store.save(newest, acts.note(newest, "seen", "U1", NOW), now=NOW)
    assert (await told(store, incident))[-1] == "seen"


async def test_what_shows_on_the_card_alone_changes_no_incident(store: SqlStore, incident: Incident) -> None:
    run = await applied(store, incident.id)
    before = await store.incident(incident.id)
    moved = await store.move_run(run, mitigation.progressed(run, "2 of 3 replicas"), now=NOW)
    assert (moved.said, await store.incident(incident.id)) == ("2 of 3 replicas", before)


async def test_of_two_changes_of_the_same_version_one_is_stored(store: SqlStore, incident: Incident) -> None:
    run = await proposed(store, incident.id)
    moved = await store.move_run(run, approving(run), now=NOW)
    before = await told(store, incident)
    with pytest.raises(Conflict, match="changed by somebody else"):
        await store.move_run(run, mitigation.rejected(run, "U3", "not now", NOW), now=NOW, request="click:2")
    assert await store.run("r1") == moved
    assert await told(store, incident) == before
    await store.move_run(moved, mitigation.expired(moved, NOW), now=NOW, request="click:2")


async def test_runs_that_begin_with_a_move_are_stored_with_it(store: SqlStore, incident: Incident) -> None:
    run = await approved(store, incident.id)
    change = mitigation.superseded(run, "The deployment has changed.", "r2", NOW + SECOND)
    await store.move_run(run, change, now=NOW + SECOND)
    first, second = await store.runs(incident.id)
    assert (first.state, second.state, second.plan) == (State.SUPERSEDED, State.PLANNING, None)
    assert (second.version, second.fence, second.approvals) == (1, 0, ())
    assert [one.id for one in await store.claim_runs(NOW, limit=10, lease_s=60)] == ["r2"], "free at once"
    assert (await told(store, incident))[-1].startswith("limit_concurrency asked for")


async def test_what_fails_in_the_middle_leaves_nothing(store: SqlStore, incident: Incident) -> None:
    run = await proposed(store, incident.id)
    before = await told(store, incident)
    unwritable = Outgoing(kind="post", to=HOME, template=None)  # type: ignore[arg-type]
    change = replace(approving(run), messages=(unwritable,), more=(asking(incident.id, "r2"),))
    with pytest.raises(StoreError):
        await store.move_run(run, change, now=NOW, request="click:1")
    assert await store.runs(incident.id) == [run]
    assert await told(store, incident) == before
    with pytest.raises(StoreError):
        await store.add_run(mitigation.asked(asking(99, "r3")), now=NOW, request="view:3")
    assert await store.run("r3") is None, "there is no such incident"


async def test_what_is_temporary_and_was_not_taken_back_is_in_place(store: SqlStore, incident: Incident) -> None:
    held = {}
    for number in range(6):
        run = await applied(store, incident.id, f"r{number}", f"app-{number}")
        held[run.id] = replace(run, state=State.ENDED, applied_at=NOW - number * SECOND)
    held["r1"] = replace(held["r1"], reverted_by="r9")
    held["r2"] = replace(held["r2"], temporary=False)
    held["r3"] = replace(held["r3"], applied_at=None)
    held["r4"] = replace(held["r4"], state=State.VERIFYING)
    for identity, run in held.items():
        before = await store.run(identity)
        assert before is not None
        held[identity] = await store.move_run(before, RunChange(run=run), now=NOW)
    assert [run.id for run in held.values() if run.in_place] == ["r0", "r5"]
    assert await store.in_place(10) == [held["r5"], held["r0"]]
    assert await store.in_place(1) == [held["r5"]]


async def test_runs_are_never_forgotten(store: SqlStore, incident: Incident) -> None:
    run = await applied(store, incident.id)
    await store.forget(NOW + timedelta(days=1000))
    assert await store.run("r1") == run


async def test_an_offer_expires_once(store: SqlStore, incident: Incident) -> None:
    first, second = [await proposed(store, incident.id, one) for one in ("r1", "r2")]
    await store.move_run(first, approving(first), now=NOW)
    assert second.approve_by is not None
    early, at = second.approve_by - SECOND, second.approve_by
    assert await store.tick_runs(early, lambda run: mitigation.tick(run, early, LIMITS), limit=10) == 0
    assert await store.tick_runs(at, lambda run: mitigation.tick(run, at, LIMITS), limit=10) == 1
    assert await store.tick_runs(at, lambda run: mitigation.tick(run, at, LIMITS), limit=10) == 0
    assert [run.state for run in await store.runs(incident.id)] == [State.APPROVED, State.EXPIRED]
    assert (await told(store, incident))[-1] == "limit_concurrency expired"


async def test_people_are_reminded_of_what_is_in_place_and_several_at_a_time(
    store: SqlStore, incident: Incident
) -> None:
    other = await store.create(declaring(), now=NOW, request="view:9")
    for number in range(6):
        of = (incident, other)[number % 2]
        run = await applied(store, of.id, f"r{number}", f"app-{number}")
        await store.move_run(run, mitigation.ended(run, Outcome.FIXED, "", NOW), now=NOW)
    at = NOW + LIMITS.remind_after
    counts = [await store.tick_runs(at, lambda run: mitigation.tick(run, at, LIMITS), limit=4) for _ in range(3)]
    assert counts == [4, 2, 0]
    waiting = await all_waiting(store)
    assert sum(message.template == "still_in_place" for message in waiting) == 6
    assert len(await told(store, incident)) == 18


async def test_what_goes_on_is_reminded_of_when_it_is_over(store: SqlStore, incident: Incident) -> None:
    run = await applied(store, incident.id)
    at = NOW + LIMITS.remind_after
    assert run.in_place is False
    counts = [await store.tick_runs(at, lambda one: mitigation.tick(one, at, LIMITS), limit=4) for _ in range(2)]
    assert counts == [0, 0], "while it goes on it has no clock"
    assert await store.run("r1") == run
    await store.move_run(run, mitigation.ended(run, Outcome.FIXED, "", at), now=at)
    assert await store.tick_runs(at, lambda one: mitigation.tick(one, at, LIMITS), limit=4) == 1


async def test_a_clock_that_has_nothing_to_do_comes_once_and_is_set_again_by_the_next_move(
    store: SqlStore, incident: Incident
) -> None:
    run = await proposed(store, incident.id)
    at = NOW + HOUR
    assert [await store.tick_runs(at, lambda _: None, limit=4) for _ in range(2)] == [1, 0]
    assert await store.run("r1") == run
    await store.move_run(run, RunChange(run=replace(run, said="still here")), now=NOW)
    assert await store.tick_runs(at, lambda one: mitigation.tick(one, at, LIMITS), limit=4) == 1


async def all_waiting(store: SqlStore) -> list[Outgoing]:
    """What waits to be sent, in the order in which it is."""
    found: list[Outgoing] = []
    while some := await store.claim(NOW + 365 * 24 * HOUR, limit=100, lease_s=60):
        for number, delivery in enumerate(some):
            found.append(delivery.message)
            await store.sent(delivery, MessageRef(channel="C1", ts=f"{len(found)}.{number}"))
    return found


async def test_a_run_has_one_card_that_is_asked_for_anew(store: SqlStore, incident: Incident) -> None:
    await all_waiting(store)
    for identity in ("r1", "r2"):
        await applied(store, incident.id, identity, identity)
    assert [(one.kind, one.template) for one in await all_waiting(store)] == [("run", "r1"), ("run", "r2")]
    run = await store.run("r2")
    assert run is not None
    await store.move_run(run, mitigation.progressed(run, "2 of 3"), now=NOW)
    (again,) = await store.claim(NOW, limit=10, lease_s=60)
    assert (again.message.template, again.ts) == ("r2", "2.0")
    assert await store.card(incident.id) == MessageRef(channel="C1", ts="1.0"), "the incident's own is another"


async def test_a_card_that_is_shown_anew_does_not_hold_up_what_comes_after_it(
    store: SqlStore, incident: Incident
) -> None:
    await all_waiting(store)
    run = await applied(store, incident.id)
    held = await store.incident(incident.id)
    assert held is not None
    await store.save(held, acts.tell(held, Outgoing(kind="post", to=HOME, template="seen")), now=NOW)
    (card,) = await store.claim(NOW, limit=10, lease_s=60)
    assert (card.message.kind, card.ts) == ("run", None), "what comes after it waits until it stands"
    run = await store.move_run(run, mitigation.progressed(run, "1 of 3"), now=NOW)
    await store.sent(card, MessageRef(channel="C1", ts="1.1"))
    again, post = await store.claim(NOW, limit=10, lease_s=60)
    assert (again.seq, again.ts, again.wanted > card.wanted) == (card.seq, "1.1", True)
    assert post.message.template == "seen"
    await store.move_run(run, mitigation.progressed(run, "2 of 3"), now=NOW)
    await store.sent(again, MessageRef(channel="C1", ts="1.1"))
    await store.dead(post, "Slack refuses")
    (last,) = await store.claim(NOW, limit=10, lease_s=60)
    await store.dead(last, "Slack refuses")
    await store.move_run(await newest(store, run), mitigation.rolled_out(await newest(store, run), NOW), now=NOW)
    (revived,) = await store.claim(NOW, limit=10, lease_s=60)
    assert revived.seq == card.seq, "what has become of the run is tried anew"


async def newest(store: SqlStore, run: Run) -> Run:
    found = await store.run(run.id)
    assert found is not None
    return found
