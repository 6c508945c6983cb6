"""Mitigations while everything happens at once: one task of many wins, and the chain stays whole.

On PostgreSQL there are three replicas, each with connections of its own; a file has one bot.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from bot.domain import acts, clocks, mitigation
from bot.domain.incident import Incident, Refusal
from bot.domain.policy import Mitigations, Policy
from bot.domain.runs import IN_FLIGHT, Circumstances, Outcome, Run, RunChange, State
from bot.domain.timeline import fault
from bot.errors import AlreadyDone, Conflict
from bot.ports import Frozen
from bot.store import engine
from bot.store.sql import SqlStore
from bot.store.tables import switches
from tests.databases import KINDS, copy_of, open_store
from tests.domain.incidents import MINUTE, declaring
from tests.fakes import NOW
from tests.store.runs import HOUR, LIMITS, added, approved, approving, begin, planning, proposed

UNLIMITED = Mitigations(per_hour=1000)
SWITCH = Frozen(by="U7", at=NOW, reason="a deploy is going on")
Decide = Callable[[Run, Circumstances], RunChange | None]


@pytest.fixture(params=KINDS)
async def replicas(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[SqlStore]]:
    # whoever waits for a lock, or holds one, is not given up where the machine stands still
    monkeypatch.setattr(engine, "_WAIT_S", 25)
    monkeypatch.setattr(engine, "_IDLE_S", 30)
    url = copy_of(request.param, tmp_path, request)
    async with AsyncExitStack() as stack:
        count = 3 if request.param == "PostgreSQL" else 1
        yield [await stack.enter_async_context(open_store(url)) for _ in range(count)]


@pytest.fixture
async def incident(replicas: list[SqlStore]) -> Incident:
    return await replicas[0].create(declaring(), now=NOW, request="view:0")


async def whole(store: SqlStore, incident: Incident) -> Counter[str]:
    """How often each text stands in the timeline, whose chain is whole."""
    newest = await store.incident(incident.id)
    entries = await store.timeline(incident.id)
    assert newest is not None
    assert fault(entries, count=newest.entries, last_hash=newest.last_hash) is None
    return Counter(entry.event.text for entry in entries)


async def click(store: SqlStore, run: Run, user: str, request: str) -> str:
    """One approval, as the handler does it; what became of it."""
    while True:
        newest = await store.run(run.id)
        assert newest is not None
        try:
            await store.move_run(newest, approving(newest, user), now=NOW, request=request)
        except Conflict:
            continue
        except (Refusal, AlreadyDone) as error:
            return type(error).__name__
        return "approved"


async def test_of_a_thousand_clicks_one_approves(replicas: list[SqlStore], incident: Incident) -> None:
    run = await proposed(replicas[0], incident.id)
    # each is told to two replicas at once
    clicks = [(replicas[(number + twice) % len(replicas)], number) for number in range(500) for twice in (0, 1)]
    ended = Counter(
        await asyncio.gather(*(click(store, run, f"U{number}", f"click:{number}") for store, number in clicks))
    )
    assert ended["approved"] == 1
    assert ended.total() == 1000
    newest = await replicas[0].run(run.id)
    assert newest is not None
    assert (newest.state, len(newest.approvals), newest.version) == (State.APPROVED, 1, run.version + 1)
    assert (await whole(replicas[0], incident))["limit_concurrency approved"] == 1


async def test_of_a_thousand_moves_of_the_same_version_one_is_stored(
    replicas: list[SqlStore], incident: Incident
) -> None:
    run = await proposed(replicas[0], incident.id)
    ended = await asyncio.gather(
        *(
            replicas[number % len(replicas)].move_run(run, approving(run, f"U{number}"), now=NOW)
            for number in range(1000)
        ),
        return_exceptions=True,
    )
    assert Counter(type(one).__name__ for one in ended) == {"Run": 1, "Conflict": 999}
    (moved,) = [one for one in ended if isinstance(one, Run)]
    assert await replicas[0].run(run.id) == moved


async def test_each_run_is_claimed_by_one(replicas: list[SqlStore], incident: Incident) -> None:
    for number in range(60):
        await added(replicas[0], incident.id, f"r{number}")
    found = await asyncio.gather(
        *(replicas[number % len(replicas)].claim_runs(NOW, limit=7, lease_s=600) for number in range(60))
    )
    claimed = Counter(run.id for some in found for run in some)
    # who skips what another is claiming may find less than there is
    rest = await replicas[0].claim_runs(NOW, limit=100, lease_s=600)
    claimed.update(run.id for run in rest)
    assert claimed == {f"r{number}": 1 for number in range(60)}


def looking(run: Run, around: Circumstances) -> RunChange | None:
    return mitigation.begun(run, NOW, around, UNLIMITED)


def blind(run: Run, _: Circumstances) -> RunChange | None:
    """Begins whatever is in flight: the database alone stops it."""
    return mitigation.begun(run, NOW, Circumstances(), UNLIMITED)


@dataclass
class Air:
    """What is in flight on each deployment, as the drivers see it; the most there ever was, and how many have ended."""

    now: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    landed: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)


async def drive(store: SqlStore, decide: Decide, air: Air) -> None:
    """Begins and ends runs until there are no more to claim."""
    while found := await store.claim_runs(NOW, limit=2, lease_s=600):
        for run in found:
            landed = air.landed
            begun = await store.begin_run(run, partial(decide, run), now=NOW)
            if begun is None:
                await store.release_run(run, NOW)
                async with air.changed:
                    while air.landed == landed:
                        await air.changed.wait()
                continue
            assert begun.lock is not None
            air.now[begun.lock] += 1
            air.most[begun.lock] = max(air.most[begun.lock], air.now[begun.lock])
            watched = await store.move_run(begun, mitigation.accepted(begun, NOW, UNLIMITED), now=NOW)
            assert await store.renew_run(watched, NOW, lease_s=600)
            air.now[begun.lock] -= 1
            await store.move_run(watched, mitigation.ended(watched, Outcome.FIXED, "", NOW), now=NOW)
            async with air.changed:
                air.landed += 1
                air.changed.notify_all()


@pytest.mark.parametrize("decide", [looking, blind])
async def test_two_runs_are_never_in_flight_on_one_deployment(
    replicas: list[SqlStore], incident: Incident, decide: Decide
) -> None:
    for number in range(24):
        run = await proposed(replicas[0], incident.id, f"r{number}", f"app-{number % 2}")
        await replicas[0].move_run(run, approving(run), now=NOW)
    await replicas[0].end_leases()
    air = Air()
    async with asyncio.TaskGroup() as drivers:
        for number in range(9):
            drivers.create_task(drive(replicas[number % len(replicas)], decide, air))
    assert air.most == {"prod/default/app-0": 1, "prod/default/app-1": 1}
    runs = await replicas[0].runs(incident.id)
    assert {(run.state, run.outcome) for run in runs} == {(State.ENDED, Outcome.FIXED)}
    assert (await whole(replicas[0], incident))["limit_concurrency begins"] == 24


async def test_of_many_that_begin_at_once_no_more_begin_than_an_hour_allows(
    replicas: list[SqlStore], incident: Incident
) -> None:
    runs = [await approved(replicas[0], incident.id, f"r{number}", f"app-{number}") for number in range(20)]
    ended = await asyncio.gather(*(begin(replicas[at % len(replicas)], run) for at, run in enumerate(runs)))
    states = Counter(None if run is None else run.state for run in ended)
    assert states == {State.APPLYING: LIMITS.per_hour, State.CANCELLED: 20 - LIMITS.per_hour}


async def flying(store: SqlStore, incident: Incident) -> set[str]:
    return {run.id for run in await store.runs(incident.id) if run.state in IN_FLIGHT}


async def test_nothing_begins_after_the_switch_was_turned(replicas: list[SqlStore], incident: Incident) -> None:
    seen = set[int]()

    async def turned(store: SqlStore) -> set[str]:
        assert await store.freeze(SWITCH)
        return await flying(store, incident)

    for turn in range(8):
        runs = [await approved(replicas[0], incident.id, f"{turn}-{at}", f"app-{turn}-{at}") for at in range(12)]
        begins = [
            replicas[at % len(replicas)].begin_run(run, partial(looking, run), now=NOW) for at, run in enumerate(runs)
        ]
        at = turn + 2
        tasks = [asyncio.create_task(begin) for begin in begins[:at]]
        turning = asyncio.create_task(turned(replicas[-1]))
        await asyncio.gather(*tasks, *begins[at:])
        when_turned = await turning
        assert await flying(replicas[0], incident) == when_turned
        states = {(await replicas[0].run(run.id) or run).state for run in runs}
        assert states <= {State.APPLYING, State.CANCELLED}
        seen.add(len(when_turned))
        assert await replicas[0].freeze(None)
    assert seen != {0}, "some began before it"
    assert seen != {12 * (turn + 1) for turn in range(8)}, "and some did not"


async def some_wait(store: SqlStore, count: int) -> None:
    """Until so many connections wait for a lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with asyncio.timeout(20), store.engine.connect() as connection:
        while (await connection.execute(waiting)).scalar_one() < count:
            await connection.rollback()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("replicas", ["PostgreSQL"], indirect=True)
async def test_who_begins_while_the_switch_is_turned_waits_and_sees_it(
    replicas: list[SqlStore], incident: Incident
) -> None:
    run = await approved(replicas[0], incident.id)
    async with replicas[1].engine.begin() as turning:
        await turning.execute(update(switches).values(frozen_by="U7", frozen_at=NOW, reason="deploy"))
        begins = asyncio.create_task(begin(replicas[0], run))
        await some_wait(replicas[2], 1)
    ended = await begins
    assert ended is not None
    assert (ended.state, ended.said) == (State.CANCELLED, "Mitigations are frozen by <@U7>.")


@pytest.mark.parametrize("replicas", ["PostgreSQL"], indirect=True)
async def test_the_switch_is_turned_when_whoever_begins_is_done(replicas: list[SqlStore], incident: Incident) -> None:
    async with replicas[1].engine.begin() as beginning:
        await beginning.execute(select(switches).with_for_update())
        turns = [asyncio.create_task(replicas[0].freeze(SWITCH)) for _ in range(2)]
        await some_wait(replicas[2], 2)
    assert sorted(await asyncio.gather(*turns)) == [False, True], "of two who turn it one has"


async def retried(store: SqlStore, incident: Incident, number: int) -> None:
    while True:
        newest = await store.incident(incident.id)
        assert newest is not None
        try:
            await store.save(newest, acts.note(newest, f"note {number}", "U1", NOW), now=NOW)
        except Conflict:
            continue
        return


async def live(store: SqlStore, incident: Incident, number: int) -> None:
    """A run's whole life, by whoever asks for it alone: the others' claims are over at once."""
    run = await added(store, incident.id, f"r{number}")
    run = await store.move_run(run, mitigation.proposed(run, planning(f"app-{number}"), NOW, LIMITS), now=NOW)
    run = await store.move_run(run, approving(run), now=NOW)
    begun = await store.begin_run(run, lambda around: looking(run, around), now=NOW)
    assert begun is not None
    run = await store.move_run(begun, mitigation.accepted(begun, NOW, LIMITS), now=NOW)
    for count in range(3):
        run = await store.move_run(run, mitigation.progressed(run, f"{count} of 3"), now=NOW)
    run = await store.move_run(run, mitigation.rolled_out(run, NOW), now=NOW)
    await store.move_run(run, mitigation.ended(run, Outcome.FIXED, "", NOW), now=NOW)


async def test_the_chain_stays_whole_whatever_is_written_at_once(replicas: list[SqlStore], incident: Incident) -> None:
    policy, late = Policy(), NOW + 40 * 24 * HOUR
    other = await replicas[0].create(declaring(), now=NOW, request="view:9")
    # what a tick finds of either incident, in the other order each time
    for number in range(20):
        await proposed(replicas[0], (incident, other)[number % 2].id, f"offer{number}")

    async def tick(store: SqlStore) -> None:
        for turn in range(5):
            at = NOW + turn * 10 * MINUTE
            await store.tick(at, partial(clocks.tick, now=at, policy=policy), limit=10)
            await store.tick_runs(
                late, lambda run: mitigation.tick(run, late, LIMITS) if run.id.startswith("offer") else None, limit=3
            )

    writers = [
        *(retried(replicas[number % len(replicas)], incident, number) for number in range(20)),
        *(live(replicas[number % len(replicas)], incident, number) for number in range(12)),
        *(tick(store) for store in replicas for _ in range(2)),
    ]
    random.Random(7).shuffle(writers)  # noqa: S311 - any order
    await asyncio.gather(*writers)
    while await replicas[0].tick_runs(late, lambda run: mitigation.tick(run, late, LIMITS), limit=50):
        pass
    found = await whole(replicas[0], incident)
    assert found["limit_concurrency applied"] == found["limit_concurrency: fixed."] == 12
    assert sum(count for told, count in found.items() if told.startswith("note ")) == 20
    assert found["limit_concurrency expired"] == (await whole(replicas[0], other))["limit_concurrency expired"] == 10
