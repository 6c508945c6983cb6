"""The deliveries' side of the Store: claimed by one process at a time, in order for each incident and destination."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, update

from bot.ports import Backlog, Delivery, Lane, MessageRef
from bot.store.base import Base
from bot.store.rows import delivery_of
from bot.store.states import SENDING, WAITING, sending_sql, state_of, waiting_sql
from bot.store.tables import deliveries, incidents, runs

_PENDING = (*WAITING, *SENDING)
_UNSENT = (
    select(deliveries.c.state, func.count().label("many"), func.min(deliveries.c.created_at).label("oldest"))
    .where(deliveries.c.state.in_((*_PENDING, "dead")))
    .group_by(deliveries.c.state)
)
_CLOCKS = (incidents.c.due_at, runs.c.due_at)


class Outbox(Base):
    """What :class:`bot.store.sql.SqlStore` knows of deliveries."""

    async def claim(self, now: datetime, *, limit: int, lease_s: float, lane: Lane | None = None) -> Sequence[Delivery]:
        earlier = deliveries.alias("earlier")
        overtakes = exists().where(
            earlier.c.incident == deliveries.c.incident,
            earlier.c.destination == deliveries.c.destination,
            earlier.c.state.in_(_PENDING),
            earlier.c.seq < deliveries.c.seq,
            # how far a run is changes by the second: what is shown of it anew must not hold up what comes after it
            or_(earlier.c.kind != "run", earlier.c.ts.is_(None)),
            # nor must a bundle, which may lie with a process that is not there
            earlier.c.template != "evidence",
        )
        due = select(deliveries.c.seq).where(self._ready(now), ~overtakes, *_in(lane))
        if not await self._any(due):
            return []
        chosen = (
            due.order_by(deliveries.c.priority, deliveries.c.seq)
            .limit(limit)
            .with_for_update(skip_locked=True)
            # as a mere subquery it might be run, and lock, once for each row
            .cte("chosen")
        )
        claimed = (
            update(deliveries)
            .where(deliveries.c.seq.in_(select(chosen.c.seq)))
            .values(
                # whoever held it until its lease ran out may have sent it
                unsure=or_(deliveries.c.unsure, deliveries.c.state.in_(SENDING)),
                state=sending_sql(),
                lease_until=self._lease_clock(now, plus_s=lease_s),
                attempts=deliveries.c.attempts + 1,
            )
            .returning(*deliveries.c)
        )
        async with self._writing() as connection:
            rows = (await connection.execute(claimed)).mappings().all()
        return [delivery_of(row) for row in sorted(rows, key=lambda row: (row["priority"], row["seq"]))]

    async def due_among(self, now: datetime, destinations: AbstractSet[str]) -> AbstractSet[str]:
        place = deliveries.c.destination
        query = select(place).distinct().where(self._ready(now), place.in_(destinations))
        async with self._reading() as connection:
            return set((await connection.execute(query)).scalars())

    def _ready(self, now: datetime) -> ColumnElement[bool]:
        return or_(
            and_(deliveries.c.state.in_(WAITING), deliveries.c.due_at <= now),
            and_(deliveries.c.state.in_(SENDING), deliveries.c.lease_until <= self._lease_clock(now)),
        )

    async def sent(self, delivery: Delivery, ref: MessageRef | None) -> None:
        newest = deliveries.c.wanted <= delivery.wanted
        values: dict[str, Any] = {
            "state": case((newest, "sent"), else_=waiting_sql()),
            "unsure": False,
            "lease_until": None,
            "attempts": 0,
            "error": None,
        }
        if ref is not None:
            values |= {"channel": ref.channel, "ts": ref.ts}
        await self._set(delivery, values)

    async def later(self, delivery: Delivery, at: datetime, error: str, *, unsure: bool) -> None:
        values = {"state": waiting_sql(), "due_at": at, "error": error[:500], "unsure": unsure, "lease_until": None}
        await self._set(delivery, values)

    async def dead(self, delivery: Delivery, error: str) -> None:
        await self._set(delivery, {"state": "dead", "error": error[:500], "lease_until": None})

    async def card(self, incident: int, channel: str | None = None) -> MessageRef | None:
        there = [] if channel is None else [deliveries.c.channel == channel]
        return await self._first("card", [deliveries.c.incident == incident, *there])

    async def first_notice(self, incident: int, channel: str) -> MessageRef | None:
        where = [deliveries.c.incident == incident, deliveries.c.destination == channel]
        return await self._first("notice", where)

    async def noticed(self, incident: int) -> Sequence[str]:
        place = deliveries.c.destination
        # what was refused for good has told nobody
        told = or_(deliveries.c.ts.is_not(None), deliveries.c.state != "dead")
        query = select(place).where(deliveries.c.incident == incident, deliveries.c.kind == "notice", told)
        async with self._reading() as connection:
            ordered = query.group_by(place).order_by(func.min(deliveries.c.seq))
            return list((await connection.execute(ordered)).scalars())

    async def shown(self, kind: str, template: str) -> MessageRef | None:
        return await self._first(kind, [deliveries.c.template == template])

    async def _first(self, kind: str, where: list[ColumnElement[bool]]) -> MessageRef | None:
        query = select(deliveries.c.channel, deliveries.c.ts).where(
            deliveries.c.kind == kind, deliveries.c.ts.is_not(None), *where
        )
        async with self._reading() as connection:
            row = (await connection.execute(query.order_by(deliveries.c.seq).limit(1))).first()
        return None if row is None else MessageRef(channel=row[0], ts=row[1])

    async def waiting(self) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        async with self._reading() as connection:
            for row in await connection.execute(_UNSENT):
                counts[state_of(row.state)] = counts.get(state_of(row.state), 0) + row.many
        return counts

    async def backlog(self, now: datetime) -> Backlog:
        counts: dict[str, int] = {}
        oldest: dict[str, float] = {}
        async with self._reading() as connection:
            for row in await connection.execute(_UNSENT):
                state = state_of(row.state)
                counts[state] = counts.get(state, 0) + row.many
                oldest[state] = max(oldest.get(state, 0.0), (now - row.oldest).total_seconds())
            due = [(await connection.execute(select(func.min(clock)))).scalar() for clock in _CLOCKS]
        overdue = [(now - at).total_seconds() for at in due if at is not None]
        return Backlog(deliveries=counts, oldest_s=oldest, overdue_s=max(0.0, *overdue, 0.0))

    async def dead_letters(self, limit: int) -> Sequence[Delivery]:
        query = select(deliveries).where(deliveries.c.state == "dead").order_by(deliveries.c.seq).limit(limit)
        async with self._reading() as connection:
            return [delivery_of(row) for row in (await connection.execute(query)).mappings()]

    async def revive(self) -> int:
        again = update(deliveries).where(deliveries.c.state == "dead").values(state=waiting_sql(), attempts=0)
        async with self._writing() as connection:
            return (await connection.execute(again)).rowcount

    async def _set(self, delivery: Delivery, values: dict[str, Any]) -> None:
        # only while it is still ours: a lease that ran out may have given it to another process
        ours = and_(
            deliveries.c.seq == delivery.seq,
            deliveries.c.state.in_(SENDING),
            deliveries.c.attempts == delivery.attempts,
        )
        async with self._writing() as connection:
            await connection.execute(update(deliveries).where(ours).values(values))


def _in(lane: Lane | None) -> list[ColumnElement[bool]]:
    if lane is None:
        return []
    if lane.destination is not None:
        return [deliveries.c.destination == lane.destination]
    return [deliveries.c.destination.not_in(lane.others)] if lane.others else []
