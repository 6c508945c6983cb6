"""The Store's side of evidence: bundles that were asked for, each collected by one process at a time."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.domain.collecting import Collection, Missing, State, Why
from bot.domain.incident import BOT, HOME, Change, Incident, Outgoing
from bot.domain.timeline import Event, Kind
from bot.ports import Record
from bot.store.actions import action_of
from bot.store.aftermath import actions, collections
from bot.store.base import Base
from bot.store.rows import entry_of, incident_of, run_of
from bot.store.tables import alerts, incidents, runs, timeline, triages
from bot.store.writing import enqueue, hold, note_request, tell

# What was triaged so long before the first that is known of an incident belongs to it, too.
_BEFORE = timedelta(minutes=30)
_MOST_TRIAGES = 200
# Where a flood of alerts declares many incidents of one target at once, these few say what there is to be said.
_MOST_WAITING = 3
_ENDED = (State.DONE, State.FAILED)
_PLAIN = (
    *("id", "incident", "target", "channel", "asked_by", "requested_at", "attempts", "begun_at", "ended_at"),
    *("doing", "files", "size", "name", "sha256", "said", "fence"),
)


def card(collection: Collection) -> Outgoing:
    """Its card, in the incident's home or where it was asked for."""
    to = HOME if collection.incident is not None else collection.channel
    return Outgoing(kind="evidence", to=to, template=collection.id)


async def begin_collection(connection: AsyncConnection, number: int, change: Change, now: datetime) -> None:
    """Where ``change`` wants a bundle of the incident."""
    if change.evidence is None:
        return
    incident = change.incident
    alike = (collections.c.state == State.WAITING.value) & (collections.c.target == incident.target)
    waiting = await connection.execute(select(func.count()).where(alike, collections.c.why != Why.ASKED.value))
    if int(waiting.scalar_one()) >= _MOST_WAITING:
        return
    wanted = Collection(
        id=uuid.uuid4().hex,
        incident=number,
        target=incident.target,
        channel=incident.channel,
        why=change.evidence,
        asked_by=BOT,
        requested_at=now,
        # what the settings say
        since=timedelta(),
    )
    await connection.execute(insert(collections).values(_row(wanted)))


class StoredCollections(Base):
    """See :class:`bot.ports.aftermath.Collections`."""

    async def ask_collection(self, asked: Collection, *, now: datetime, request: str) -> Collection:
        wanted = replace(asked, id=uuid.uuid4().hex, requested_at=now)
        async with self._writing() as connection:
            await note_request(connection, request, now, wanted.incident)
            await connection.execute(insert(collections).values(_row(wanted)))
        return wanted

    async def claim_collection(self, now: datetime, *, lease_s: float) -> Collection | None:
        lost = and_(
            collections.c.state == State.COLLECTING.value,
            or_(collections.c.lease_until.is_(None), collections.c.lease_until <= self._lease_clock(now)),
        )
        free = or_(collections.c.state == State.WAITING.value, lost)
        first = select(collections.c.id).where(free).order_by(collections.c.requested_at).limit(1)
        if not await self._any(first):
            return None
        chosen = first.with_for_update(skip_locked=True).cte("chosen")
        claimed = (
            update(collections)
            .where(collections.c.id.in_(select(chosen.c.id)))
            .values(
                state=State.COLLECTING.value,
                fence=collections.c.fence + 1,
                attempts=collections.c.attempts + 1,
                begun_at=now,
                lease_until=self._lease_clock(now, plus_s=lease_s),
            )
            .returning(*collections.c)
        )
        async with self._writing() as connection:
            row = (await connection.execute(claimed)).mappings().first()
        return None if row is None else _of(row)

    async def move_collection(
        self, collection: Collection, *, now: datetime, lease_s: float = 0.0, messages: Sequence[Outgoing] = ()
    ) -> bool:
        number, ended = collection.incident, collection.state in _ENDED
        mine = (
            (collections.c.id == collection.id)
            & (collections.c.fence == collection.fence)
            & (collections.c.state == State.COLLECTING.value)
        )
        until = None if ended else self._lease_clock(now, plus_s=lease_s)
        async with self._writing() as connection:
            # whoever writes to a timeline holds its incident before anything else
            end = await hold(connection, number) if number is not None and ended else None
            moved = await connection.execute(
                update(collections).where(mine).values(_row(collection) | {"lease_until": until})
            )
            if moved.rowcount != 1:
                return False
            if end is not None and number is not None:
                await tell(connection, number, end, [_event(collection, now)], now)
            await enqueue(connection, [(number, one) for one in (card(collection), *messages)], now)
        return True

    async def collection(self, identity: str) -> Collection | None:
        async with self._reading() as connection:
            found = await connection.execute(select(collections).where(collections.c.id == identity))
            row = found.mappings().first()
        return None if row is None else _of(row)

    async def collections(self, incident: int) -> Sequence[Collection]:
        query = select(collections).where(collections.c.incident == incident).order_by(collections.c.requested_at)
        async with self._reading() as connection:
            return [_of(row) for row in (await connection.execute(query)).mappings()]

    async def record(self, number: int) -> Record | None:
        async with self._reading() as connection:

            async def rows(query: Any) -> Sequence[Any]:
                return (await connection.execute(query)).mappings().all()

            found = await rows(select(incidents).where(incidents.c.id == number))
            if not found:
                return None
            incident = incident_of(found[0])
            of_it = [one.c.incident == number for one in (timeline, runs, alerts, actions)]
            entries = [
                entry_of(row) for row in await rows(select(timeline).where(of_it[0]).order_by(timeline.c.number))
            ]
            kept = await rows(_triages(incident))
            held = await rows(select(runs).where(of_it[1]).order_by(runs.c.requested_at, runs.c.id))
            fired = await rows(select(alerts).where(of_it[2]).order_by(alerts.c.starts_at, alerts.c.id))
            promised = await rows(select(actions).where(of_it[3]).order_by(actions.c.due, actions.c.id))
        return Record(
            incident=incident,
            entries=entries,
            triages=[(row["id"], row["at"], row["report"]) for row in kept],
            runs=[run_of(row) for row in held],
            alerts=[_alert(row) for row in fired],
            actions=[action_of(row) for row in promised],
        )


def _triages(incident: Incident) -> Any:
    """Those of its target while it lasted, and the one that says what is wrong."""
    begun = min([incident.declared_at, *incident.milestones.values()]) - _BEFORE
    while_open = (triages.c.target == incident.target) & (triages.c.at >= begun)
    if incident.resolved_at is not None:
        while_open &= triages.c.at <= incident.resolved_at
    query = select(triages).where(or_(while_open, triages.c.id == incident.triage))
    return query.order_by(triages.c.at).limit(_MOST_TRIAGES)


def _alert(row: Any) -> dict[str, Any]:
    ends = row["ends_at"]
    return {
        "name": row["name"],
        "labels": row["labels"],
        "summary": row["summary"],
        "url": row["url"],
        "starts_at": row["starts_at"].isoformat(),
        "ends_at": None if ends is None else ends.isoformat(),
    }


def _event(collection: Collection, now: datetime) -> Event:
    failed = collection.state is State.FAILED
    text = collection.said if failed else f"evidence collected: {collection.name}"
    data = {} if failed else {"sha256": collection.sha256, "bytes": collection.size, "files": collection.files}
    return Event(kind=Kind.EVIDENCE, at=now, actor=BOT, text=text, data=data)


def _row(collection: Collection) -> dict[str, Any]:
    return {name: getattr(collection, name) for name in _PLAIN} | {
        "why": collection.why.value,
        "state": collection.state.value,
        "since_s": round(collection.since.total_seconds()),
        "missing": [[one.what, one.why] for one in collection.missing],
    }


def _of(row: Any) -> Collection:
    return Collection(
        **{name: row[name] for name in _PLAIN},
        why=Why(row["why"]),
        state=State(row["state"]),
        since=timedelta(seconds=row["since_s"]),
        missing=tuple(Missing(what=what, why=why) for what, why in row["missing"]),
    )
