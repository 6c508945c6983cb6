"""The Store port over SQL: incidents, their timeline and triages; ``outbox`` has deliveries, ``runs`` mitigations."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from bot.domain.incident import Change, Incident
from bot.domain.timeline import Entry
from bot.errors import StoreError
from bot.store.actions import StoredActions
from bot.store.aftermath import collections
from bot.store.alert_work import FORGOTTEN_AFTER, StoredAlerts
from bot.store.changing import add_incident, change_incident, row_after, sealed_after
from bot.store.collections import StoredCollections
from bot.store.insight import StoredInsight
from bot.store.outbox import Outbox
from bot.store.postmortems import StoredPostmortems
from bot.store.publications import StoredPublications
from bot.store.rows import entry_of, incident_of
from bot.store.runs import StoredRuns
from bot.store.states import OPEN, SENDING
from bot.store.tables import alert_keys, deliveries, drafts, incidents, requests, runs, timeline, triages, watches
from bot.store.watches import StoredWatches
from bot.store.writing import append, enqueue, note_request

logger = logging.getLogger(__name__)

_PREPARED_WITHIN_S = 1.8
# As long as SQLAlchemy lets PostgreSQL's writers wait for a connection.
_TURN_WITHIN_S = 30
# Longer than PostgreSQL lets a statement take (engine.py): it counts where nobody answers who could end one.
_ANSWERED_WITHIN_S = 35.0
# What nobody waits for is tried again so often.
_AGAIN_S = 1.0
# Slack repeats an event for an hour, and a form may stay open over a weekend; a triage is told of in a postmortem.
_KEPT = {requests: timedelta(days=14), drafts: timedelta(days=14), triages: timedelta(days=90)}
_LONG_AGO = datetime.fromtimestamp(0, UTC)


class SqlStore(
    Outbox,
    StoredRuns,
    StoredAlerts,
    StoredWatches,
    StoredPublications,
    StoredCollections,
    StoredPostmortems,
    StoredActions,
    StoredInsight,
):
    """See :class:`bot.ports.Store`."""

    def __init__(self, engine: AsyncEngine, *, prepared: bool = True) -> None:
        """``prepared`` False: until :meth:`is_prepared` is called whoever asks waits, but not for long."""
        self.engine = engine
        self._prepared = asyncio.Event()
        self._turn = asyncio.Lock()
        self._being_kept: dict[str, Mapping[str, Any]] = {}
        """Triages that wait to be written: a card with their ids is shown before that where the database is busy."""
        if prepared:
            self._prepared.set()

    def is_prepared(self) -> None:
        """The tables are there."""
        self._prepared.set()

    async def close(self) -> None:
        await self.engine.dispose()

    async def check(self) -> None:
        async with self._reading() as connection:
            await connection.execute(select(1))

    async def create(self, change: Change, *, now: datetime, request: str) -> Incident:
        async with self._writing() as connection:
            await note_request(connection, request, now)
            made = await add_incident(connection, change, now)
            await connection.execute(update(requests).where(requests.c.key == request).values(incident=made.id))
            return made

    async def save(self, before: Incident, change: Change, *, now: datetime, request: str | None = None) -> Incident:
        async with self._writing() as connection:
            if request is not None:
                await note_request(connection, request, now, before.id)
            return await change_incident(connection, before, change, now)

    async def tick(self, now: datetime, work: Callable[[Incident], Change | None], *, limit: int) -> int:
        waiting = select(incidents).where(incidents.c.due_at <= now)
        if not await self._any(waiting):
            return 0
        due = waiting.order_by(incidents.c.due_at).limit(limit).with_for_update(skip_locked=True)
        async with self._writing() as connection:
            found = [incident_of(row) for row in (await connection.execute(due)).mappings()]
            changed = [(before, work(before)) for before in found]
            rows, entries, messages = [], [], []
            for before, change in changed:
                if change is None:
                    # due by the column, not by its clocks: cannot happen, and must not come again at every tick
                    change = Change(incident=before)
                added = sealed_after(before, change, now)
                row = row_after(before, change, added)
                rows.append({"_id": before.id, **{name: row[name] for name in _TICKING}})
                entries += added
                messages += [(before.id, message) for message in change.messages]
            if rows:
                await connection.execute(_UPDATE_MANY, rows)
            await append(connection, entries)
            await enqueue(connection, messages, now)
            return len(found)

    async def incident(self, number: int) -> Incident | None:
        async with self._reading() as connection:
            found = await connection.execute(select(incidents).where(incidents.c.id == number))
            row = found.mappings().first()
            return None if row is None else incident_of(row)

    async def made_by(self, request: str) -> Incident | None:
        async with self._reading() as connection:
            found = await connection.execute(select(requests.c.incident).where(requests.c.key == request))
            number = found.scalar()
        return None if number is None else await self.incident(int(number))

    async def in_channel(self, channel: str) -> Sequence[Incident]:
        here = (incidents.c.channel == channel) | (incidents.c.own_channel == channel)
        return await self._incidents(select(incidents).where(here & incidents.c.status.in_(OPEN)).limit(50))

    async def listed(self, *, open_only: bool, limit: int) -> Sequence[Incident]:
        query = select(incidents).limit(limit)
        return await self._incidents(query.where(incidents.c.status.in_(OPEN)) if open_only else query)

    async def resolved(self, *, limit: int) -> Sequence[Incident]:
        return await self._incidents(select(incidents).where(incidents.c.status == "resolved").limit(limit))

    async def timeline(self, number: int) -> Sequence[Entry]:
        query = select(timeline).where(timeline.c.incident == number).order_by(timeline.c.number)
        async with self._reading() as connection:
            return [entry_of(row) for row in (await connection.execute(query)).mappings()]

    async def keep_triage(
        self,
        report: Mapping[str, Any],
        *,
        target: str,
        at: datetime,
        identity: str | None = None,
        patience_s: float = 0.0,
    ) -> str:
        identity, until = identity or uuid.uuid4().hex, time.monotonic() + patience_s
        # one that was written though the answer was lost is there already
        row = self._new(triages).values(id=identity, target=target, at=at, report=dict(report))
        self._being_kept[identity] = report
        try:
            while True:
                try:
                    async with self._writing() as connection:
                        await connection.execute(row)
                except StoreError:
                    if time.monotonic() >= until:
                        raise
                else:
                    return identity
                await asyncio.sleep(_AGAIN_S)
        finally:
            del self._being_kept[identity]

    async def triage(self, identity: str) -> Mapping[str, Any] | None:
        if identity in self._being_kept:
            return self._being_kept[identity]
        async with self._reading() as connection:
            found = await connection.execute(select(triages.c.report).where(triages.c.id == identity))
            held: Mapping[str, Any] | None = found.scalar()
            return held

    async def end_leases(self) -> None:
        """What a process held that has died is free at once; only for whoever knows that there is no other process."""
        sending = update(deliveries).where(deliveries.c.state.in_(SENDING)).values(lease_until=_LONG_AGO)
        async with self._writing() as connection:
            await connection.execute(sending)
            for leased in (runs, alert_keys, watches, collections):
                await connection.execute(update(leased).values(lease_until=None))

    async def forget(self, now: datetime) -> int:
        async with self._writing() as connection:
            old = [delete(table).where(table.c.at < now - kept) for table, kept in _KEPT.items()]
            gone = sum([(await connection.execute(one)).rowcount for one in old])
            return gone + await self._forget_alerts(connection, now - FORGOTTEN_AFTER)

    async def _incidents(self, query: Any) -> Sequence[Incident]:
        async with self._reading() as connection:
            found = await connection.execute(query.order_by(incidents.c.id.desc()))
            return [incident_of(row) for row in found.mappings()]

    async def _wait(self) -> None:
        if not self._prepared.is_set():
            async with asyncio.timeout(_PREPARED_WITHIN_S):
                await self._prepared.wait()

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        with _translated():
            await self._wait()
            async with self._in_turn(), asyncio.timeout(_ANSWERED_WITHIN_S), self.engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """SQLite lets one write, and may let another wait too long: here they go in turn, and hold no connection."""
        if self.engine.dialect.name != "sqlite":
            yield
            return
        async with asyncio.timeout(_TURN_WITHIN_S):
            await self._turn.acquire()
        try:
            yield
        finally:
            self._turn.release()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with _translated():
            await self._wait()
            async with asyncio.timeout(_ANSWERED_WITHIN_S), self.engine.connect() as connection:
                yield await connection.execution_options(reads_only=True)


class _translated:  # noqa: N801 - read as the statement that it is
    """Turns what the database and its driver raise into StoreError; the sentence holds nothing of the URL."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, SQLAlchemyError | OSError | TimeoutError):
            cause = error.orig if isinstance(error, DBAPIError) else error
            logger.warning("the database cannot be used: %s: %s", type(cause).__name__, cause)
            raise StoreError(
                "The database cannot be used just now; nothing was changed. Try again in a minute."
            ) from error


# What the clocks change; a tick writes thousands of rows.
_TICKING = (
    *("remind_at", "nudge_at", "nudges", "escalate_at", "escalations"),
    *("entries", "last_hash", "version", "due_at"),
)
_UPDATE_MANY = (
    update(incidents).where(incidents.c.id == bindparam("_id")).values({name: bindparam(name) for name in _TICKING})
)
