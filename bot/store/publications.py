"""The side of the Store that the public sees: incidents and updates as they were published, and drafts of them."""

import contextlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.domain.publication import (
    ENDED,
    ComponentState,
    Impact,
    Publication,
    PublicIncident,
    PublicStatus,
    PublicUpdate,
)
from bot.domain.telling import STATUS
from bot.ports import Draft, Published
from bot.store.base import Base
from bot.store.states import state_of
from bot.store.tables import deliveries, drafts, public_incidents, public_updates


class StoredPublications(Base):
    """See :class:`bot.ports.Publications`."""

    async def public(self, incident: int) -> PublicIncident | None:
        return await self._one(public_incidents.c.incident == incident)

    async def public_called(self, slug: str) -> PublicIncident | None:
        return await self._one(public_incidents.c.slug == slug)

    async def public_incidents(
        self, *, open_only: bool = False, limit: int, since: PublicIncident | None = None
    ) -> Sequence[PublicIncident]:
        newest = (public_incidents.c.began_at.desc(), public_incidents.c.incident.desc())
        query = select(public_incidents).order_by(*newest)
        if open_only:
            query = query.where(public_incidents.c.status.not_in(ENDED))
        if since is not None:
            at_once = and_(public_incidents.c.began_at == since.began_at, public_incidents.c.incident < since.incident)
            query = query.where(or_(public_incidents.c.began_at < since.began_at, at_once))
        async with self._reading() as connection:
            return await _read(connection, query.limit(limit))

    async def public_version(self) -> tuple[int, int]:
        # the count too: of two that are written at once the one that was numbered first may be seen last
        query = select(func.coalesce(func.max(public_updates.c.seq), 0), func.count())
        async with self._reading() as connection:
            newest, count = (await connection.execute(query.select_from(public_updates))).one()
        return int(newest), int(count)

    async def published(self, incident: int) -> Sequence[Published]:
        query = select(deliveries).where(deliveries.c.incident == incident, deliveries.c.kind == "status")
        async with self._reading() as connection:
            rows = (await connection.execute(query.order_by(deliveries.c.seq))).mappings()
            return [
                Published(
                    page=row["destination"].removeprefix(STATUS),
                    state=state_of(row["state"]),
                    known=row["ts"],
                    error=row["error"],
                )
                for row in rows
            ]

    async def keep_draft(self, draft: Draft) -> None:
        row = {"id": draft.id, "incident": draft.incident, "by": draft.by, "held": dict(draft.held)}
        row["at"] = datetime.now(UTC)
        async with self._writing() as connection:
            kept = await connection.execute(update(drafts).where(drafts.c.id == draft.id).values(row))
            if not kept.rowcount:
                # the same one may be kept by somebody else in this moment, and then is
                with contextlib.suppress(IntegrityError):
                    async with connection.begin_nested():
                        await connection.execute(insert(drafts).values(row))

    async def draft(self, identity: str) -> Draft | None:
        async with self._reading() as connection:
            row = (await connection.execute(select(drafts).where(drafts.c.id == identity))).mappings().first()
        if row is None:
            return None
        return Draft(id=row["id"], incident=row["incident"], by=row["by"], held=row["held"])

    async def _one(self, which: Any) -> PublicIncident | None:
        async with self._reading() as connection:
            found = await _read(connection, select(public_incidents).where(which))
        return found[0] if found else None


async def publish(connection: AsyncConnection, incident: int, told: Publication, now: datetime) -> None:
    """Writes the incident as the public is to see it from now on, and the update, numbered after the last."""
    mine = public_incidents.c.incident == incident
    row: dict[str, Any] = {
        "title": told.title,
        "status": told.status.value,
        "impact": told.impact.value,
        "components": {name: state.value for name, state in told.components.items()},
    }
    before = (await connection.execute(select(public_incidents).where(mine).with_for_update())).mappings().first()
    ended = told.status in ENDED
    if before is None:
        row |= {"incident": incident, "slug": uuid.uuid4().hex[:12], "began_at": now}
        await connection.execute(insert(public_incidents).values(row | {"resolved_at": now if ended else None}))
    else:
        row["resolved_at"] = (before["resolved_at"] or now) if ended else None
        await connection.execute(update(public_incidents).where(mine).values(row))
    newest = select(func.coalesce(func.max(public_updates.c.number), 0)).where(public_updates.c.incident == incident)
    number = (await connection.execute(newest)).scalar_one()
    told_row = {"status": told.status.value, "text": told.text, "workaround": told.workaround, "by": told.by}
    await connection.execute(
        insert(public_updates).values(told_row | {"incident": incident, "number": number + 1, "at": now})
    )


async def _read(connection: AsyncConnection, query: Any) -> list[PublicIncident]:
    rows = (await connection.execute(query)).mappings().all()
    numbers = [row["incident"] for row in rows]
    updates: dict[int, list[PublicUpdate]] = {number: [] for number in numbers}
    # by parts: SQLite takes a bounded number of parameters
    for begin in range(0, len(numbers), 500):
        part = public_updates.c.incident.in_(numbers[begin : begin + 500])
        found = await connection.execute(select(public_updates).where(part).order_by(public_updates.c.seq))
        for row in found.mappings():
            updates[row["incident"]].append(_update_of(row))
    return [_incident_of(row, updates[row["incident"]]) for row in rows]


def _update_of(row: Mapping[Any, Any]) -> PublicUpdate:
    held = {name: row[name] for name in ("number", "text", "workaround", "at")}
    return PublicUpdate(status=PublicStatus(row["status"]), **held)


def _incident_of(row: Mapping[Any, Any], updates: Sequence[PublicUpdate]) -> PublicIncident:
    return PublicIncident(
        **{name: row[name] for name in ("incident", "slug", "title", "began_at", "resolved_at")},
        status=PublicStatus(row["status"]),
        impact=Impact(row["impact"]),
        components={name: ComponentState(state) for name, state in row["components"].items()},
        updates=tuple(updates),
    )
