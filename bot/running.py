"""The running bot: its parts stay in touch with Slack and the database, tick, and send, until they are told to end."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from bot.errors import StoreError
from bot.handlers.action import ActionHandler
from bot.handlers.alert import AlertHandler
from bot.handlers.delivery import DeliveryHandler
from bot.handlers.driving import Driver
from bot.handlers.evidence import EvidenceHandler, swept
from bot.handlers.incident import IncidentHandler
from bot.handlers.mitigation import MitigationHandler
from bot.handlers.postmortem import PostmortemHandler
from bot.handlers.watching import WatchHandler
from bot.measures import LOOP_LAG
from bot.ports import Store
from bot.scheduler import Scheduler, Tick
from bot.settings import Settings
from bot.slack.server import SlackServer
from bot.slack.tasks import Tasks
from bot.starting import migrated
from bot.store.sql import SqlStore
from bot.web.alerts import AlertRoutes
from bot.web.routes import Readiness
from bot.web.status import StatusRoutes

logger = logging.getLogger(__name__)

# Of the ten seconds that a process has which is told to end.
_SENDING_S = 3.0
_CLOCKS_S, _DELIVERIES_S, _MITIGATIONS_S, _DATABASE_S, _FORGET_S = 5.0, 2.0, 2.0, 10.0, 3600.0
_ALERTS_S = 5.0
_PROVIDER_S = 5.0
_EVIDENCE_S = 3.0
_LAG_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Bot:
    """The parts that run by themselves."""

    slack: SlackServer
    deliveries: DeliveryHandler
    incidents: IncidentHandler
    mitigations: MitigationHandler
    driver: Driver
    store: Store
    tasks: Tasks
    readiness: Readiness
    alerts: AlertHandler
    watch: WatchHandler
    evidence: EvidenceHandler
    postmortems: PostmortemHandler
    actions: ActionHandler
    alert_routes: AlertRoutes
    status_routes: StatusRoutes | None


@contextlib.asynccontextmanager
async def working(
    settings: Settings, bot: Bot, store: SqlStore, stop: asyncio.Event
) -> AsyncIterator["list[asyncio.Task[None]]"]:
    """Stays in touch with Slack and the database, ticks, and sends; all of it ends with the context.

    A part that fails is in the list that this gives, and ``stop`` is set: a bot that looks alive and does nothing is
    worse than one that is started again.
    """
    look_at_database = _looker(bot, store)
    scheduler = Scheduler(_ticks(settings, bot, store, look_at_database))
    bot.readiness.ticks_late = scheduler.late

    async def with_database() -> None:
        await migrated(settings, store)
        await look_at_database()
        scheduler.start()
        async with asyncio.TaskGroup() as parts:
            watch = parts.create_task(scheduler.watch())
            parts.create_task(bot.driver.work())
            parts.create_task(bot.alerts.work())
            parts.create_task(bot.evidence.work())
            await bot.deliveries.work()
            watch.cancel()

    sending = asyncio.create_task(with_database())
    tasks = [asyncio.create_task(bot.slack.stay_in_touch()), sending, asyncio.create_task(_watch_loop())]
    failed: list[asyncio.Task[None]] = []

    def ended(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            logger.error("a part of the bot has failed; the bot ends, to be started again", exc_info=task.exception())
            failed.append(task)
            stop.set()

    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield failed
    finally:
        await scheduler.stop()
        bot.driver.end()
        bot.alerts.end()
        bot.evidence.end()
        bot.deliveries.end()
        await asyncio.wait([sending], timeout=_SENDING_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch_loop() -> None:
    """How late the event loop is, which is what everything else waits for."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_EVERY_S
        await asyncio.sleep(_LAG_EVERY_S)
        LOOP_LAG.observe(max(0.0, loop.time() - due))


def _looker(bot: Bot, store: SqlStore) -> Callable[[], Awaitable[None]]:
    async def look_at_database() -> None:
        with contextlib.suppress(StoreError):
            bot.readiness.backlog = await store.backlog(bot.incidents.clock.now())
            bot.readiness.answered("the database")

    return look_at_database


def _ticks(
    settings: Settings, bot: Bot, store: SqlStore, look_at_database: Callable[[], Awaitable[None]]
) -> tuple[Tick, ...]:
    async def look_at_clocks() -> None:
        with contextlib.suppress(StoreError):  # the store has told the log
            await bot.incidents.tick()
            await bot.mitigations.tick()
            await bot.postmortems.tick()
            await bot.actions.tick()

    async def forget() -> None:
        with contextlib.suppress(StoreError):
            await store.forget(bot.incidents.clock.now())

    async def sweep() -> None:
        await swept(settings.evidence, settings.evidence_dir, bot.incidents.clock)

    async def collect() -> None:
        bot.evidence.look()

    async def wake() -> None:
        bot.deliveries.wake()

    async def drive() -> None:
        bot.driver.drive()

    async def watch_provider() -> None:
        with contextlib.suppress(StoreError):
            await bot.watch.tick()

    async def look_at_alerts() -> None:
        bot.alerts.look()

    return (
        Tick("alerts", _ALERTS_S, look_at_alerts),
        Tick("provider", _PROVIDER_S, watch_provider),
        Tick("clocks", _CLOCKS_S, look_at_clocks),
        Tick("deliveries", _DELIVERIES_S, wake),
        Tick("mitigations", _MITIGATIONS_S, drive),
        Tick("database", _DATABASE_S, look_at_database),
        Tick("forget", _FORGET_S, forget),
        Tick("evidence", _EVIDENCE_S, collect),
        Tick("sweep", _FORGET_S, sweep),
    )
