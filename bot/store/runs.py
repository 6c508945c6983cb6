"""The mitigations' side of the Store: a run's row, its incident's timeline and its messages are one transaction.

Whoever writes holds the run first and then its incident, so that no two wait for each other.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, and_, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.domain.incident import Status
from bot.domain.runs import MOVES, WORKED_ON, Circumstances, Run, RunChange, State
from bot.errors import Conflict
from bot.measures import MITIGATIONS
from bot.ports import Frozen
from bot.store.base import Base
from bot.store.rows import run_of, run_row
from bot.store.tables import incidents, runs, switches
from bot.store.writing import enqueue, hold, note_request, tell

_HOUR = timedelta(hours=1)
_WORKED_ON = tuple(state.value for state in WORKED_ON)


class _NotNow(Conflict):
    """Another run changes the same deployment just now, or the circumstances have changed."""


class StoredRuns(Base):
    """What :class:`bot.store.sql.SqlStore` knows of mitigations; see :class:`bot.ports.Runs`."""

    async def add_run(self, change: RunChange, *, now: datetime, request: str) -> Run:
        run = change.run
        async with self._writing() as connection:
            await note_request(connection, request, now, run.incident)
            await _write(connection, change, (run, *change.more), now)
            return await _read(connection, run.id)

    async def move_run(self, before: Run, change: RunChange, *, now: datetime, request: str | None = None) -> Run:
        async with self._writing() as connection:
            if request is not None:
                await note_request(connection, request, now, before.incident)
            return await _move(connection, before, change, now)

    async def begin_run(
        self, before: Run, decide: Callable[[Circumstances], RunChange | None], *, now: datetime
    ) -> Run | None:
        try:
            async with self._writing() as connection:
                around = await _circumstances(connection, before, now)
                change = decide(around)
                if change is None:
                    return None
                after = await _move(connection, before, change, now)
                # from here on it stays as it is
                if await _is_resolved(connection, before.incident) is not around.resolved:
                    raise _NotNow("Its incident was resolved, or opened again, in the same moment.")
                return after
        except _NotNow:
            return None

    async def run(self, identity: str) -> Run | None:
        found = await self._runs(select(runs).where(runs.c.id == identity))
        return found[0] if found else None

    async def runs(self, incident: int) -> Sequence[Run]:
        return await self._runs(
            select(runs).where(runs.c.incident == incident).order_by(runs.c.requested_at, runs.c.id)
        )

    async def in_place(self, limit: int) -> Sequence[Run]:
        left = and_(
            runs.c.temporary,
            runs.c.state == State.ENDED.value,
            runs.c.applied_at.is_not(None),
            runs.c.reverted_by.is_(None),
        )
        return await self._runs(select(runs).where(left).order_by(runs.c.applied_at, runs.c.id).limit(limit))

    async def claim_runs(
        self, now: datetime, *, limit: int, lease_s: float, mine: Collection[str] = ()
    ) -> Sequence[Run]:
        free = or_(runs.c.lease_until.is_(None), runs.c.lease_until <= self._lease_clock(now))
        wanted = select(runs.c.id).where(runs.c.state.in_(_WORKED_ON), free, runs.c.id.not_in(mine))
        if not await self._any(wanted):
            return []
        chosen = (
            wanted
            # whoever was put off last comes last
            .order_by(runs.c.lease_until.nulls_first(), runs.c.requested_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            # as a mere subquery it might be run, and lock, once for each row
            .cte("chosen")
        )
        claimed = (
            update(runs)
            .where(runs.c.id.in_(select(chosen.c.id)))
            .values(
                lease_until=self._lease_clock(now, plus_s=lease_s), fence=runs.c.fence + 1, version=runs.c.version + 1
            )
            .returning(*runs.c)
        )
        async with self._writing() as connection:
            found = [run_of(row) for row in (await connection.execute(claimed)).mappings()]
        return sorted(found, key=lambda run: (run.requested_at, run.id))

    async def renew_run(self, run: Run, now: datetime, *, lease_s: float) -> bool:
        return await self._lease(run, now, lease_s)

    async def release_run(self, run: Run, now: datetime, *, pause_s: float = 0.0) -> None:
        await self._lease(run, now, pause_s)

    async def tick_runs(self, now: datetime, work: Callable[[Run], RunChange | None], *, limit: int) -> int:
        waiting = select(runs).where(runs.c.due_at <= now)
        if not await self._any(waiting):
            return 0
        due = waiting.order_by(runs.c.due_at).limit(limit).with_for_update(skip_locked=True)
        async with self._writing() as connection:
            found = [run_of(row) for row in (await connection.execute(due)).mappings()]
            # two that tick hold several incidents each, and must not wait for each other
            for before in sorted(found, key=lambda run: run.incident):
                change = work(before)
                if change is None:
                    # due by the column, not by its clocks: cannot happen, and must not come again at every tick
                    await connection.execute(update(runs).where(runs.c.id == before.id).values(due_at=None))
                else:
                    await _move(connection, before, change, now)
            return len(found)

    async def frozen(self) -> Frozen | None:
        async with self._reading() as connection:
            switch = (await connection.execute(select(switches))).one()
        if switch.frozen_by is None:
            return None
        return Frozen(by=switch.frozen_by, at=switch.frozen_at, reason=switch.reason)

    async def freeze(self, switch: Frozen | None) -> bool:
        async with self._writing() as connection:
            held = await _held_switch(connection)
            if (held.frozen_by is None) == (switch is None):
                return False
            if switch is None:
                values: dict[str, Any] = {"frozen_by": None, "frozen_at": None, "reason": ""}
            else:
                values = {"frozen_by": switch.by, "frozen_at": switch.at, "reason": switch.reason}
            await connection.execute(update(switches).values(values))
            return True

    async def _runs(self, query: Select[Any]) -> Sequence[Run]:
        async with self._reading() as connection:
            return [run_of(row) for row in (await connection.execute(query)).mappings()]

    async def _lease(self, run: Run, now: datetime, seconds: float) -> bool:
        """Whether ``run`` is still whose ``fence`` that is, who then has it for so long."""
        held = and_(
            runs.c.id == run.id,
            runs.c.fence == run.fence,
            runs.c.state.in_(_WORKED_ON),
            # without a lease it has come back from people, and is anybody's
            runs.c.lease_until.is_not(None),
        )
        renewed = update(runs).where(held).values(lease_until=self._lease_clock(now, plus_s=seconds))
        async with self._writing() as connection:
            return (await connection.execute(renewed)).rowcount == 1


async def _held_switch(connection: AsyncConnection) -> Row[Any]:
    return (await connection.execute(select(switches).with_for_update())).one()


async def _circumstances(connection: AsyncConnection, run: Run, now: datetime) -> Circumstances:
    """As they are until the transaction ends: no other run begins, and the switch stays as it is.

    The incident may be resolved meanwhile: whoever ends a run holds that first, and would wait for it for ever.
    """
    switch = await _held_switch(connection)
    # without a plan it holds nothing, which is what no lock is called either
    would_hold = replace(run, state=State.APPLYING).lock or ""
    busy = select(runs).where(runs.c.lock == would_hold, runs.c.id != run.id)
    lately = or_(runs.c.applied_at > now - _HOUR, and_(runs.c.lock.is_not(None), runs.c.applied_at.is_(None)))
    applied = select(func.count()).where(runs.c.target == run.target, runs.c.id != run.id, lately)
    in_flight = (await connection.execute(busy)).mappings().first()
    return Circumstances(
        frozen_by=switch.frozen_by,
        busy_with=None if in_flight is None else run_of(in_flight).name,
        applied=(await connection.execute(applied)).scalar_one(),
        resolved=await _is_resolved(connection, run.incident),
    )


async def _is_resolved(connection: AsyncConnection, incident: int) -> bool:
    status = await connection.execute(select(incidents.c.status).where(incidents.c.id == incident))
    return bool(status.scalar_one() == Status.RESOLVED.value)


async def _move(connection: AsyncConnection, before: Run, change: RunChange, now: datetime) -> Run:
    row = run_row(change.run) | {"version": before.version + 1}
    if not {before.state, change.run.state} <= WORKED_ON:
        row["lease_until"] = None
    # whoever drives a run hands over the changed one as ``before``, too: what it was is in the database
    ends = not change.run.open and await _is_open(connection, before.id)
    same = and_(runs.c.id == before.id, runs.c.version == before.version, runs.c.fence == before.fence)
    try:
        moved = await connection.execute(update(runs).where(same).values(row))
    except IntegrityError as error:
        raise _NotNow("Another mitigation changes that deployment just now; try again.") from error
    if moved.rowcount != 1:
        raise Conflict(f"{before.remedy} was changed by somebody else in the same moment; try again.")
    await _write(connection, change, change.more, now)
    if ends:
        MITIGATIONS.labels(change.run.remedy, change.run.outcome or change.run.state).inc()
    return await _read(connection, before.id)


async def _is_open(connection: AsyncConnection, identity: str) -> bool:
    state = (await connection.execute(select(runs.c.state).where(runs.c.id == identity))).scalar()
    return state is not None and bool(MOVES[State(state)])


async def _write(connection: AsyncConnection, change: RunChange, new: Sequence[Run], now: datetime) -> None:
    """The runs that begin, and what the change tells."""
    number = change.run.incident
    end = await hold(connection, number)
    if new:
        await connection.execute(insert(runs), [run_row(run) | {"fence": 0, "version": 1} for run in new])
    await tell(connection, number, end, change.events, now)
    await enqueue(connection, [(number, message) for message in change.messages], now)


async def _read(connection: AsyncConnection, identity: str) -> Run:
    found = await connection.execute(select(runs).where(runs.c.id == identity))
    return run_of(found.mappings().one())
