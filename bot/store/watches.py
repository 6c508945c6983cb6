"""The Store's side of how the provider fares: one row an open incident, claimed by whichever replica is first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, insert, literal, or_, select, union_all, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.domain.watching import Watching
from bot.errors import AlreadyDone
from bot.ports.watches import Watched
from bot.store.base import Base
from bot.store.states import OPEN
from bot.store.tables import incidents, watches

# Incidents that have been opened, or reopened, since somebody looked last: they are watched from now on.
_UNWATCHED = (
    select(incidents.c.id, case((watches.c.incident.is_(None), "new"), else_="again").label("what"))
    .outerjoin(watches, watches.c.incident == incidents.c.id)
    .where(incidents.c.status.in_(OPEN), watches.c.due_at.is_(None))
)


class StoredWatches(Base):
    """See :class:`bot.ports.watches.Watches`."""

    async def watching(self, incident: int) -> Watching | None:
        async with self._reading() as connection:
            found = await connection.execute(select(watches).where(watches.c.incident == incident))
            row = found.mappings().first()
        if row is None:
            return None
        return Watching(
            provider=tuple(row["provider"]),
            unread=row["unread"],
            successes=row["successes"],
            announced=row["announced"],
        )

    async def claim_watches(self, now: datetime, *, limit: int, lease_s: float) -> Sequence[Watched]:
        ready = (watches.c.due_at <= now) & or_(
            watches.c.lease_until.is_(None), watches.c.lease_until <= self._lease_clock(now)
        )
        due = select(watches.c.incident, literal("due").label("what")).where(ready)
        async with self._reading() as connection:
            found = (await connection.execute(union_all(_UNWATCHED, due))).all()
        if not found:
            return ()
        for number, what in found:
            if what != "due":
                await self._begin(number, now, anew=what == "new")
        chosen = select(watches.c.incident).where(ready).order_by(watches.c.due_at).limit(limit)
        claimed = (
            update(watches)
            .where(watches.c.incident.in_(select(chosen.with_for_update(skip_locked=True).cte("chosen").c.incident)))
            .values(lease_until=self._lease_clock(now, plus_s=lease_s))
            .returning(watches.c.incident, watches.c.page_at, watches.c.probe_at)
        )
        async with self._writing() as connection:
            rows = (await connection.execute(claimed)).all()
        return [Watched(incident=row.incident, page_at=row.page_at, probe_at=row.probe_at) for row in rows]

    async def watched(self, incident: int, *, page_at: datetime | None, probe_at: datetime | None) -> None:
        due = min((at for at in (page_at, probe_at) if at is not None), default=None)
        values = {"page_at": page_at, "probe_at": probe_at, "due_at": due, "lease_until": None}
        async with self._writing() as connection:
            await connection.execute(update(watches).where(watches.c.incident == incident).values(values))

    async def _begin(self, number: int, now: datetime, *, anew: bool) -> None:
        try:
            async with self._writing() as connection:
                await _watch(connection, number, now, anew=anew)
        except AlreadyDone:
            return  # another replica was first


async def _watch(connection: AsyncConnection, number: int, now: datetime, *, anew: bool) -> None:
    due = {"page_at": now, "probe_at": now, "due_at": now, "lease_until": None}
    fresh = {"provider": [], "unread": "", "successes": 0, "announced": False}
    if anew:
        try:
            await connection.execute(insert(watches).values(incident=number, **fresh, **due))
        except IntegrityError as error:
            raise AlreadyDone(f"INC-{number} is watched already.") from error
    else:
        mine = (watches.c.incident == number) & watches.c.due_at.is_(None)
        await connection.execute(update(watches).where(mine).values(fresh | due))


async def keep_watching(connection: AsyncConnection, incident: int, watching: Watching) -> None:
    """Writes what was found."""
    values: dict[str, Any] = {
        "provider": list(watching.provider),
        "unread": watching.unread[:500],
        "successes": watching.successes,
        "announced": watching.announced,
    }
    await connection.execute(update(watches).where(watches.c.incident == incident).values(values))
