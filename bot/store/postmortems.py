"""The Store's side of postmortems and their versions."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert, or_, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.domain.incident import Change, Incident, Outgoing
from bot.domain.postmortem import Postmortem, PostmortemState, Version
from bot.domain.timeline import Event, Kind
from bot.errors import AlreadyDone, Conflict
from bot.store.aftermath import postmortem_versions, postmortems
from bot.store.base import Base
from bot.store.rows import incident_of
from bot.store.tables import incidents
from bot.store.writing import enqueue, hold, note_request, tell

CARD = Outgoing(kind="postmortem", to="home")
_NOTHING = {"state": PostmortemState.UNWRITTEN.value, "version": 0, "reminders": 0}


async def keep_postmortem(connection: AsyncConnection, number: int, change: Change, now: datetime) -> None:
    """An incident that has ended may be to have one, and is looked at at once; one that was reopened is let alone."""
    if change.over is None:
        return
    # whoever looks first sets its clock, by the policy
    clock = {"remind_at": now if change.over else None, "reminders": 0}
    mine = postmortems.c.incident == number
    held = await connection.execute(update(postmortems).where(mine).values(clock))
    if not held.rowcount and change.over:
        await connection.execute(insert(postmortems).values(_NOTHING | clock | {"incident": number}))


class StoredPostmortems(Base):
    """See :class:`bot.ports.aftermath.Postmortems`."""

    async def postmortem(self, incident: int) -> Postmortem | None:
        async with self._reading() as connection:
            return await _one(connection, incident)

    async def postmortem_version(self, incident: int, number: int) -> Version | None:
        async with self._reading() as connection:
            return await _version(connection, incident, number)

    async def write_postmortem(self, version: Version, *, now: datetime, request: str) -> Postmortem:
        number = version.incident
        async with self._writing() as connection:
            end = await hold(connection, number)
            await note_request(connection, request, now, number)
            follows = (postmortems.c.incident == number) & (postmortems.c.version == version.number - 1)
            state = PostmortemState.DRAFT.value
            moved = await connection.execute(
                update(postmortems).where(follows).values(version=version.number, state=state)
            )
            if moved.rowcount != 1:
                raise Conflict("The postmortem was changed by somebody else in the same moment; open it again.")
            await connection.execute(insert(postmortem_versions).values(_version_row(version)))
            event = Event(
                kind=Kind.POSTMORTEM,
                at=now,
                actor=version.by,
                text=f"version {version.number} of the postmortem written",
                data={"version": version.number},
            )
            await tell(connection, number, end, [event], now)
            await enqueue(connection, [(number, CARD)], now)
            return await _stored(connection, number)

    async def publish_postmortem(
        self, incident: int, number: int, *, by: str, now: datetime, request: str, messages: Sequence[Outgoing]
    ) -> Postmortem:
        state = {
            "state": PostmortemState.PUBLISHED.value,
            "published": number,
            "published_at": now,
            "published_by": by,
            "remind_at": None,
        }
        async with self._writing() as connection:
            end = await hold(connection, incident)
            await note_request(connection, request, now, incident)
            other = or_(postmortems.c.published.is_(None), postmortems.c.published != number)
            mine = (postmortems.c.incident == incident) & other
            if (await connection.execute(update(postmortems).where(mine).values(state))).rowcount != 1:
                raise AlreadyDone(f"Version {number} of the postmortem of INC-{incident} is published already.")
            event = Event(
                kind=Kind.POSTMORTEM,
                at=now,
                actor=by,
                text=f"version {number} of the postmortem published",
                data={"published": number},
            )
            await tell(connection, incident, end, [event], now)
            await enqueue(connection, [(incident, one) for one in (CARD, *messages)], now)
            return await _stored(connection, incident)

    async def tick_postmortems(
        self,
        now: datetime,
        work: Callable[[Incident, Postmortem], tuple[Postmortem, Sequence[Outgoing]]],
        *,
        limit: int,
    ) -> int:
        clocks = postmortems.c.remind_at
        due = select(postmortems.c.incident).where(clocks <= now).order_by(clocks).limit(limit)
        async with self._reading() as connection:
            if (await connection.execute(due.limit(1))).first() is None:
                return 0
        async with self._writing() as connection:
            held = await connection.execute(due.with_for_update(skip_locked=True))
            found = [int(number) for number in held.scalars()]
            for number in found:
                row = (await connection.execute(select(incidents).where(incidents.c.id == number))).mappings().one()
                after, messages = work(incident_of(row), await _stored(connection, number))
                clock = {"remind_at": after.remind_at, "reminders": after.reminders}
                await connection.execute(update(postmortems).where(postmortems.c.incident == number).values(clock))
                await enqueue(connection, [(number, one) for one in messages], now)
        return len(found)


async def _stored(connection: AsyncConnection, incident: int) -> Postmortem:
    held = await _one(connection, incident)
    if held is None:
        raise Conflict("There is no postmortem of an incident that has not ended; resolve it first.")
    return held


async def _one(connection: AsyncConnection, incident: int) -> Postmortem | None:
    found = await connection.execute(select(postmortems).where(postmortems.c.incident == incident))
    row = found.mappings().first()
    if row is None:
        return None
    return Postmortem(
        incident=incident,
        state=PostmortemState(row["state"]),
        newest=await _version(connection, incident, row["version"]),
        published=row["published"],
        published_at=row["published_at"],
        published_by=row["published_by"],
        reminders=row["reminders"],
        remind_at=row["remind_at"],
    )


async def _version(connection: AsyncConnection, incident: int, number: int) -> Version | None:
    columns = postmortem_versions.c
    found = await connection.execute(
        select(postmortem_versions).where(columns.incident == incident, columns.number == number)
    )
    row = found.mappings().first()
    return None if row is None else Version(**row)


def _version_row(version: Version) -> dict[str, Any]:
    return {**vars(version), "written": dict(version.written)}
