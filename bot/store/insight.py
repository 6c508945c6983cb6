"""The Store's side of what is learnt: looked up over many incidents, and changed by nothing here."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select

from bot.domain.incident import Incident, Status
from bot.domain.runs import Run
from bot.store.base import Base
from bot.store.rows import incident_of, run_of
from bot.store.tables import incidents, runs, timeline, triages


class StoredInsight(Base):
    """See :class:`bot.ports.aftermath.Insight`."""

    async def ended_like(self, incident: Incident, *, limit: int) -> Sequence[Incident]:
        alike = incidents.c.target == incident.target if incident.cause is None else incidents.c.cause == incident.cause
        query = (
            select(incidents)
            .where(alike, incidents.c.status == Status.RESOLVED.value, incidents.c.id != incident.id)
            .order_by(incidents.c.id.desc())
            .limit(limit)
        )
        async with self._reading() as connection:
            return [incident_of(row) for row in (await connection.execute(query)).mappings()]

    async def declared_since(self, since: datetime) -> Sequence[Incident]:
        query = select(incidents).where(incidents.c.declared_at >= since).order_by(incidents.c.id)
        async with self._reading() as connection:
            return [incident_of(row) for row in (await connection.execute(query)).mappings()]

    async def events_of(self, incidents: Sequence[int], kinds: Sequence[str]) -> Sequence[tuple[int, str, datetime]]:
        query = (
            select(timeline.c.incident, timeline.c.kind, timeline.c.at)
            .where(timeline.c.incident.in_(incidents), timeline.c.kind.in_(kinds))
            .order_by(timeline.c.incident, timeline.c.number)
        )
        async with self._reading() as connection:
            return [(row.incident, row.kind, row.at) for row in await connection.execute(query)]

    async def triages_of(self, identities: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        query = select(triages.c.id, triages.c.report).where(triages.c.id.in_(identities))
        async with self._reading() as connection:
            return {row.id: row.report for row in await connection.execute(query)}

    async def runs_of(self, incidents: Sequence[int]) -> Sequence[Run]:
        query = select(runs).where(runs.c.incident.in_(incidents)).order_by(runs.c.requested_at, runs.c.id)
        async with self._reading() as connection:
            return [run_of(row) for row in (await connection.execute(query)).mappings()]
