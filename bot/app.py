"""The composition root of the command line: wires by hand, once, what a command needs.

Rooms are imported within the functions: a command pays only for what it uses (Bolt costs a second, Kubernetes another).
"""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from http.client import UNAUTHORIZED
from typing import TYPE_CHECKING

from bot.ports import Reply
from bot.settings import Settings
from bot.worlds import prober

if TYPE_CHECKING:
    from bot.handlers.publishing import Publisher
    from bot.store.inspection import SqlDatabase


async def health(settings: Settings, target: str) -> Reply:
    """The models probe alone, as cheaply as can be.

    A key in the settings is tried before the cluster is asked for the Secret's (which costs half a second of imports);
    where that one is refused, the service's own decides.
    """
    from bot.handlers.triage import check_health
    from bot.probes.mistral_api import PROBE

    if settings.target(target).mistral.api_key is not None:
        async with prober(settings, target=target, cluster=False) as asks:
            reply = await check_health(asks, PROBE, target)
        if reply.context["status"] != UNAUTHORIZED or not settings.target(target).kubernetes.configured:
            return reply
    async with prober(settings, target=target) as asks:
        return await check_health(asks, PROBE, target)


async def triage(settings: Settings, target: str, *, as_json: bool) -> int:
    """One triage in the terminal; returns the exit status."""
    settings.target(target)
    async with prober(settings, target=target) as asks:
        # beside the login to the cluster, which has begun
        from bot.handlers.triage import TriageHandler
        from bot.probes import load
        from bot.terminal import show_live

        handler = TriageHandler(prober=asks, probes=load())
        if as_json:
            import json

            report = await handler.run(target)
            print(json.dumps(report.as_json(), allow_nan=False))
        else:
            report = await show_live(handler, target)
        return report.exit_status


async def doctor(settings: Settings) -> int:
    """Every check of everything that is configured, in the terminal; 1 if any fails."""
    from bot.checks import load
    from bot.handlers.doctor import examine
    from bot.terminal import show_examined

    async with prober(settings) as asks, _database(settings) as database:
        return await show_examined(examine(asks, load(database), settings))


async def incidents(settings: Settings, *, as_json: bool) -> int:
    """Every incident, the newest first."""
    from bot.handlers.records import ALL, incident_json
    from bot.store.sql import SqlStore
    from bot.terminal import show_incidents, show_json

    async with _used_database(settings) as database:
        held = await SqlStore(database.engine).listed(open_only=False, limit=ALL)
    if as_json:
        show_json([incident_json(incident) for incident in held])
    else:
        show_incidents(held)
    return 0


async def verify(settings: Settings) -> int:
    """Every incident's timeline; 1 if any is not whole."""
    from bot.handlers.records import verified
    from bot.store.sql import SqlStore
    from bot.terminal import show_verified

    async with _used_database(settings) as database:
        return await show_verified(verified(SqlStore(database.engine)))


async def deliveries(settings: Settings, *, as_json: bool) -> int:
    """What waits or was given up, the oldest first."""
    from bot.handlers.records import ALL, pending_json
    from bot.terminal import show_json, show_pending

    async with _used_database(settings) as database:
        held = await database.pending(ALL)
    if as_json:
        show_json([pending_json(one) for one in held])
    else:
        show_pending(held)
    return 0


async def retry(settings: Settings) -> int:
    """Makes what was given up wait again; a bot that runs sends it."""
    from bot.store.sql import SqlStore

    async with _used_database(settings) as database:
        revived = await SqlStore(database.engine).revive()
    print(f"{revived} dead {'delivery waits' if revived == 1 else 'deliveries wait'} again")
    return 0


async def metrics(settings: Settings, span: timedelta, *, as_json: bool) -> int:
    """Incidents, how fast and how well they went, and deliveries, counted."""
    from bot.handlers.insight import InsightHandler
    from bot.handlers.records import figures, figures_json, insight_json
    from bot.store.sql import SqlStore
    from bot.terminal import show_figures, show_insight, show_json
    from bot.worlds import SystemClock

    async with _used_database(settings) as database:
        store = SqlStore(database.engine)
        held = await figures(store)
        learnt = await InsightHandler(store=store, clock=SystemClock(), policy=settings.policy).over(span)
    if as_json:
        show_json({**figures_json(held), "since": insight_json(learnt, span)})
    else:
        show_figures(held)
        show_insight(learnt, span)
    return 0


async def postmortem(settings: Settings, number: int) -> int:
    """Its Markdown on stdout, a draft where it is not over yet."""
    async with _publisher(settings) as publisher:
        print(publisher.markdown(await publisher.handler.draft(number)), end="")
    return 0


async def read_postmortem(settings: Settings, number: int, edited: str, by: str) -> int:
    """A version from the text of an edited file."""
    import uuid

    from bot.handlers.publishing import sections_of

    async with _publisher(settings) as publisher:
        drafted = await publisher.handler.draft(number)
        changed = sections_of(edited, publisher.markdown(drafted))
        if not changed:
            print("nothing was changed")
            return 0
        done = await publisher.handler.write(
            number,
            drafted.number,
            changed,
            confirmed=drafted.confirmed_by is not None,
            user=by.strip()[:40] or "the command line",
            request=f"file:{uuid.uuid4().hex}",
        )
    print(f"version {done.newest.number if done.newest else 0}: {', '.join(sorted(changed))}")
    return 0


@contextlib.asynccontextmanager
async def _publisher(settings: Settings) -> "AsyncIterator[Publisher]":
    from bot.clients.charts import ChartProcess
    from bot.handlers.postmortem import PostmortemHandler
    from bot.handlers.publishing import Publisher
    from bot.store.sql import SqlStore

    async with _used_database(settings) as database, prober(settings, cluster=False) as asks:
        store = SqlStore(database.engine)
        handler = PostmortemHandler(store=store, clock=asks.clock, policy=settings.policy, prober=asks)
        yield Publisher(handler=handler, charts=ChartProcess(), templates=settings.templates_dir)


async def evidence(settings: Settings, number: int | None, *, target: str, since: timedelta) -> int:
    """A bundle about an incident, or of a target; its path is the last line on stdout."""
    import uuid

    from bot.collectors import collector
    from bot.domain.collecting import Collection, Why
    from bot.errors import BotError
    from bot.store.sql import SqlStore
    from bot.terminal import Collected, show_collected

    record = None
    if number is not None:
        async with _used_database(settings) as database:
            record = await SqlStore(database.engine).record(number)
        if record is None:
            raise BotError(f"there is no INC-{number}; `mistral-bot incidents` lists them all")
        target = record.incident.target
    settings.target(target)
    async with prober(settings, target=target) as asks:
        wanted = Collection(
            id=uuid.uuid4().hex,
            incident=number,
            target=target,
            channel="",
            why=Why.ASKED,
            asked_by="the command line",
            requested_at=asks.clock.now(),
            since=since,
        )
        progress = Collected()
        written = await collector(settings, asks).collect(wanted, record, progress.tell)
    show_collected(written, settings.evidence_dir)
    return 0


async def serve(settings: Settings) -> int:
    """The bot itself, until SIGTERM or SIGINT."""
    from bot.serve import serve as run

    return await run(settings)


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> "AsyncIterator[SqlDatabase]":
    from bot.store.inspection import SqlDatabase

    database = SqlDatabase(settings.database_url)
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def _used_database(settings: Settings) -> "AsyncIterator[SqlDatabase]":
    """One that there is something in to be read; raises StoreError."""
    async with _database(settings) as database:
        await database.used()
        yield database
