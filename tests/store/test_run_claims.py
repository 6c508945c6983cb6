"""Which process works on a mitigation and when it may begin, in both databases: claims, leases and what holds it up."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain import acts, mitigation
from bot.domain.incident import Incident
from bot.domain.runs import REVERT, Circumstances, Outcome, Run, RunChange, State
from bot.errors import Conflict
from bot.ports import Frozen
from bot.store.sql import SqlStore
from tests.fakes import NOW
from tests.store.runs import (
    HOUR,
    LIMITS,
    SECOND,
    added,
    applied,
    approved,
    approving,
    begin,
    claimed,
    planning,
    proposed,
    told,
)

_EITHER: dict[str, dict[str, str]] = {"r1": {}, "back": {"remedy": REVERT}}


async def test_another_fence_is_refused_though_the_version_is_the_newest(store: SqlStore, incident: Incident) -> None:
    run = await claimed(store, await added(store, incident.id))
    for stale in (replace(run, fence=run.fence - 1), replace(run, fence=run.fence + 1)):
        with pytest.raises(Conflict):
            await store.move_run(stale, mitigation.progressed(stale, "mine"), now=NOW)
    assert await store.run("r1") == run


async def test_a_process_that_slept_through_its_lease_moves_nothing(store: SqlStore, incident: Incident) -> None:
    slept = await approved(store, incident.id)
    await store.release_run(slept, NOW)
    awake = await claimed(store, slept)
    assert awake.fence == slept.fence + 1
    assert not await store.renew_run(slept, NOW, lease_s=60)
    with pytest.raises(Conflict):
        await begin(store, slept)
    assert await begin(store, awake) is not None
    with pytest.raises(Conflict):
        await store.move_run(slept, mitigation.cancelled(slept, "late", NOW), now=NOW)
    await store.release_run(slept, NOW)
    assert not await store.claim_runs(NOW, limit=10, lease_s=60), "whoever has lost it gives nothing away"


async def test_a_process_claims_what_is_to_be_worked_on_and_nothing_else(store: SqlStore, incident: Incident) -> None:
    for number, state in enumerate(State):
        run = await added(store, incident.id, f"r{number}")
        plan = planning(f"app-{number}")
        await store.move_run(run, RunChange(run=replace(run, state=state, plan=plan)), now=NOW)
    found = await store.claim_runs(NOW, limit=100, lease_s=60)
    assert {run.state for run in found} == {
        *(State.PLANNING, State.APPROVED, State.APPLYING, State.WATCHING, State.VERIFYING)
    }
    assert {(run.fence, run.version) for run in found} == {(1, 3)}
    assert [await store.run(run.id) for run in found] == list(found)
    assert not await store.claim_runs(NOW, limit=100, lease_s=60)


async def test_a_claim_takes_no_more_than_was_asked_for_and_the_oldest_first(
    store: SqlStore, incident: Incident
) -> None:
    for number in range(5):
        await added(store, incident.id, f"r{number}", requested_at=NOW - number * SECOND)
    found = [[run.id for run in await store.claim_runs(NOW, limit=2, lease_s=60)] for _ in range(4)]
    assert found == [["r4", "r3"], ["r2", "r1"], ["r0"], []]


async def test_whoever_was_put_off_comes_after_those_that_were_not(store: SqlStore, incident: Incident) -> None:
    waits = await claimed(store, await added(store, incident.id, "r1", requested_at=NOW - HOUR))
    await store.release_run(waits, NOW)
    await added(store, incident.id, "r2")
    found = [[run.id for run in await store.claim_runs(NOW, limit=1, lease_s=60)] for _ in range(2)]
    assert found == [["r2"], ["r1"]]


async def test_a_lease_ends_by_itself_and_is_renewed_while_it_is_ones_own(store: SqlStore, incident: Incident) -> None:
    await added(store, incident.id)
    (run,) = await store.claim_runs(NOW, limit=10, lease_s=0)
    (taken,) = await store.claim_runs(NOW, limit=10, lease_s=0)
    assert (taken.fence, taken.version) == (2, run.version + 1)
    assert await store.renew_run(taken, NOW, lease_s=60)
    assert not await store.renew_run(run, NOW, lease_s=60)
    assert not await store.claim_runs(NOW, limit=10, lease_s=60)
    assert await store.run("r1") == taken, "what the process knows of it is the newest still"
    moved = await store.move_run(taken, mitigation.proposed(taken, planning(), NOW, LIMITS), now=NOW)
    assert not await store.renew_run(moved, NOW, lease_s=60), "it waits for people"


async def test_a_process_does_not_take_from_itself_what_it_works_on(store: SqlStore, incident: Incident) -> None:
    run = await claimed(store, await added(store, incident.id))
    await store.release_run(run, NOW)
    await added(store, incident.id, "r2")
    (found,) = await store.claim_runs(NOW, limit=10, lease_s=60, mine=("r1",))
    assert found.id == "r2"
    (taken,) = await store.claim_runs(NOW, limit=10, lease_s=60)
    assert (taken.id, taken.fence) == ("r1", run.fence + 1)


async def test_what_is_released_is_free_after_the_pause(store: SqlStore, incident: Incident) -> None:
    run = await claimed(store, await added(store, incident.id))
    await store.release_run(run, NOW, pause_s=60)
    assert not await store.claim_runs(NOW, limit=10, lease_s=60)
    await store.release_run(run, NOW)
    (again,) = await store.claim_runs(NOW, limit=10, lease_s=60)
    assert again.fence == run.fence + 1


@pytest.mark.parametrize("store", ["SQLite"], indirect=True)
async def test_without_a_clock_of_the_database_the_bots_own_ends_leases(store: SqlStore, incident: Incident) -> None:
    run = await claimed(store, await added(store, incident.id))
    assert not await store.claim_runs(NOW + 59 * SECOND, limit=10, lease_s=60)
    (taken,) = await store.claim_runs(NOW + 60 * SECOND, limit=10, lease_s=60)
    await store.release_run(taken, NOW, pause_s=5)
    assert not await store.claim_runs(NOW + 4 * SECOND, limit=10, lease_s=60)
    (last,) = await store.claim_runs(NOW + 5 * SECOND, limit=10, lease_s=60)
    assert last.fence == run.fence + 2


@pytest.mark.parametrize("store", ["PostgreSQL"], indirect=True)
async def test_replicas_whose_clocks_disagree_do_not_take_what_another_works_on(
    store: SqlStore, incident: Incident
) -> None:
    await added(store, incident.id)
    assert len(await store.claim_runs(NOW, limit=10, lease_s=60)) == 1
    assert not await store.claim_runs(NOW + HOUR, limit=10, lease_s=60)


async def test_a_lease_lasts_while_a_process_goes_on_and_ends_where_people_come_in(
    store: SqlStore, incident: Incident
) -> None:
    planned = await claimed(store, await added(store, incident.id))
    await store.move_run(planned, mitigation.progressed(planned, "planning"), now=NOW)
    assert not await store.claim_runs(NOW, limit=10, lease_s=60)
    run = await proposed(store, incident.id, "r2")
    run = await store.move_run(run, approving(run), now=NOW)
    assert not await store.renew_run(run, NOW, lease_s=60), "whoever has planned it does not have it any more"
    await store.release_run(run, NOW, pause_s=60)
    (taken,) = await store.claim_runs(NOW, limit=10, lease_s=60)
    begun = await begin(store, taken)
    assert begun is not None
    assert not await store.claim_runs(NOW, limit=10, lease_s=60), "it begins with the lease it had"
    assert await store.renew_run(begun, NOW, lease_s=60)


async def test_the_leases_of_a_process_that_died_are_ended(store: SqlStore, incident: Incident) -> None:
    run = await claimed(store, await added(store, incident.id))
    await store.end_leases()
    (again,) = await store.claim_runs(NOW, limit=10, lease_s=60)
    assert again.fence == run.fence + 1


async def test_a_run_does_not_begin_while_another_is_in_flight_on_its_deployment(
    store: SqlStore, incident: Incident
) -> None:
    first = await begin(store, await approved(store, incident.id, "r1", remedy="restart"))
    assert first is not None
    second = await approved(store, incident.id, "r2")
    elsewhere = await approved(store, incident.id, "r3", "worker")
    seen: list[Circumstances] = []
    assert await store.begin_run(second, lambda around: seen.append(around), now=NOW) is None
    assert (seen[0].busy_with, seen[0].frozen_by) == ("restart", None)
    assert await begin(store, second) is None
    assert await store.run("r2") == second
    assert await begin(store, elsewhere) is not None
    await store.move_run(first, mitigation.ended(first, Outcome.FAILED, "", NOW), now=NOW)
    begun = await begin(store, second)
    assert begun is not None
    assert begun.state is State.APPLYING


async def test_a_run_that_meets_a_revert_is_told_what_that_takes_back(store: SqlStore, incident: Incident) -> None:
    await applied(store, incident.id, "r1", remedy=REVERT, arguments={"of": "r0", "remedy": "fallback"})
    seen: list[Circumstances] = []
    await store.begin_run(await approved(store, incident.id, "r2"), lambda around: seen.append(around), now=NOW)
    assert seen[0].busy_with == "revert of fallback"


async def test_a_run_does_not_begin_once_its_incident_is_resolved(store: SqlStore, incident: Incident) -> None:
    run, back = [await approved(store, incident.id, one, one, **more) for one, more in _EITHER.items()]
    newest = await store.incident(incident.id)
    assert newest is not None
    await store.save(newest, acts.resolve(newest, (), "it is over", "U1", NOW), now=NOW)
    ended, begun = await begin(store, run), await begin(store, back)
    assert ended is not None
    assert begun is not None
    assert (ended.state, begun.state) == (State.CANCELLED, State.APPLYING)


async def test_a_run_does_not_begin_as_its_incident_is_resolved(
    store: SqlStore, incident: Incident, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, looks = await approved(store, incident.id), iter([False, True])

    async def look(*_: object) -> bool:
        return next(looks)

    with monkeypatch.context() as resolving:
        resolving.setattr("bot.store.runs._is_resolved", look)
        assert await begin(store, run) is None
    assert await store.run(run.id) == run, "it is looked at again"
    assert await begin(store, run) is not None


async def test_a_run_of_another_target_is_no_hindrance(store: SqlStore, incident: Incident) -> None:
    await applied(store, incident.id, "r1", "app-eu", target="eu")
    seen: list[Circumstances] = []
    run = await approved(store, incident.id, "r2")
    await store.begin_run(run, lambda around: seen.append(around), now=NOW)
    assert seen == [Circumstances()]


async def test_the_database_itself_lets_one_change_a_deployment(store: SqlStore, incident: Incident) -> None:
    first, second = [await approved(store, incident.id, one) for one in ("r1", "r2")]
    assert await begin(store, first) is not None
    before = await told(store, incident)
    assert await store.begin_run(second, lambda _: forced(second), now=NOW) is None
    with pytest.raises(Conflict, match="Another mitigation"):
        await store.move_run(second, forced(second), now=NOW)
    assert await store.run("r2") == second
    assert await told(store, incident) == before


def forced(run: Run) -> RunChange:
    """Begins whatever else there is."""
    change = mitigation.begun(run, NOW, Circumstances(), LIMITS)
    assert change is not None
    return change


async def test_the_last_hours_runs_are_counted_for_the_target(store: SqlStore, incident: Incident) -> None:
    for number, ago in enumerate((30, 59, 61, 300)):
        run = await applied(store, incident.id, f"old{number}", f"app-{number}")
        past = replace(run, state=State.ENDED, applied_at=NOW - timedelta(minutes=ago))
        await store.move_run(run, RunChange(run=past), now=NOW)
    await applied(store, incident.id, "eu", "app-8", target="eu")
    await begin(store, await approved(store, incident.id, "begun", "app-9"))
    failed = await begin(store, await approved(store, incident.id, "failed", "app-10"))
    assert failed is not None
    await store.move_run(failed, mitigation.ended(failed, Outcome.FAILED, "refused", NOW), now=NOW)
    run = await approved(store, incident.id, "new")
    seen: list[Circumstances] = []
    await store.begin_run(run, lambda around: seen.append(around), now=NOW)
    assert seen == [Circumstances(applied=3)], "two of the last hour, and one that is not applied yet"


async def test_at_the_limit_a_run_is_cancelled(store: SqlStore, incident: Incident) -> None:
    for number in range(LIMITS.per_hour):
        await applied(store, incident.id, f"r{number}", f"app-{number}")
    ended = await begin(store, await approved(store, incident.id, "late"))
    assert ended is not None
    assert (ended.state, ended.lock) == (State.CANCELLED, None)
    revert = await approved(store, incident.id, "back", remedy=REVERT)
    begun = await begin(store, revert)
    assert begun is not None
    assert begun.state is State.APPLYING


async def test_the_switch_is_turned_once_and_seen_by_whoever_begins(store: SqlStore, incident: Incident) -> None:
    run = await approved(store, incident.id)
    assert await store.frozen() is None
    assert not await store.freeze(None), "it was off already"
    switch = Frozen(by="U7", at=NOW, reason="a deploy is going on")
    assert await store.freeze(switch)
    assert not await store.freeze(Frozen(by="U8", at=NOW + HOUR, reason="me too"))
    assert await store.frozen() == switch, "it is still whose it was"
    ended = await begin(store, run)
    assert ended is not None
    assert (ended.state, ended.said) == (State.CANCELLED, "Mitigations are frozen by <@U7>.")
    assert await store.freeze(None)
    assert await store.frozen() is None
    begun = await begin(store, await approved(store, incident.id, "r2"))
    assert begun is not None
    assert begun.state is State.APPLYING
