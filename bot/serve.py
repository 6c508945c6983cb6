"""The running bot, wired by hand: Slack and the web at its edges, the store, the deliveries and the clocks within."""

import asyncio
import contextlib
import logging
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from aiohttp import web

from bot.aftermaths import aftermath
from bot.clients.charts import ChartProcess
from bot.collectors import collector
from bot.domain.report import TriageReport
from bot.errors import SettingsError, StoreError
from bot.handlers.action import ActionHandler
from bot.handlers.alert import AlertHandler
from bot.handlers.applying import Applier
from bot.handlers.delivery import DeliveryHandler
from bot.handlers.driving import Driver
from bot.handlers.evidence import EvidenceHandler
from bot.handlers.filing import Filer
from bot.handlers.incident import IncidentHandler
from bot.handlers.mitigation import MitigationHandler
from bot.handlers.planning import Planner
from bot.handlers.postmortem import PostmortemHandler
from bot.handlers.probing import Prober
from bot.handlers.publishing import Publisher
from bot.handlers.rotation import Rotation
from bot.handlers.triage import TriageHandler
from bot.handlers.updating import UpdateHandler
from bot.handlers.verifying import Verifier
from bot.handlers.watching import WatchHandler
from bot.mitigations import load as load_remedies
from bot.pagers import pagers
from bot.ports import Store
from bot.probes import load
from bot.probes.canary import PROBE as CANARY
from bot.probes.mistral_api import PROBE as MISTRAL_API
from bot.probes.provider_status import PROBE as PROVIDER_STATUS
from bot.render import Renderer
from bot.running import Bot, working
from bot.settings import Settings
from bot.slack.approvers import Approvers
from bot.slack.audiences import Audiences
from bot.slack.client import web_client
from bot.slack.forms import Forms
from bot.slack.home import Home
from bot.slack.incidents import SlackIncidents
from bot.slack.listeners import Listeners
from bot.slack.messenger import SlackMessenger
from bot.slack.mitigation_forms import MitigationForms
from bot.slack.mitigations import SlackMitigations
from bot.slack.server import SlackServer
from bot.slack.tasks import Tasks
from bot.slack.triage import SlackTriage
from bot.slack.updates import Updates
from bot.slack.usual import UsualTexts
from bot.starting import one_arena, warm_up
from bot.statuspages import status_pages
from bot.store.engine import make_engine
from bot.store.sql import SqlStore
from bot.web.alerts import AlertRoutes
from bot.web.listening import listening
from bot.web.routes import Readiness, application
from bot.web.status import StatusRoutes
from bot.worlds import prober

logger = logging.getLogger(__name__)

# A process that is told to end has ten seconds: what is being sent comes first, then what people have asked for.
_DRAIN_S = 6.0
# Somebody waits for the card: a slow database goes on beside it, and its form is filled in once that has ended.
_KEPT_WITHIN_S = 0.1
# And longer than a first start takes to make the database, or a restart of the database.
_KEPT_AT_LAST_S = 120.0


async def serve(settings: Settings) -> int:
    """Until SIGTERM or SIGINT; what is under way then has some seconds to end, and what is not sent stays stored.

    The exit status: 1 where a part of the bot failed, which ends it too.
    """
    if problems := [*settings.slack.problems(), *settings.alert_problems()]:
        raise SettingsError(problems)
    one_arena()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with prober(settings) as asks, _store(settings) as store:
        bot = wired(settings, asks, store)
        http_mode = settings.slack.app_token is None
        async with listening(settings, _routes(settings, bot, http_mode=http_mode)):
            # not before: who asks at once is answered first
            bot.tasks.start(warm_up(settings, asks, bot.slack.messenger.renderer), "the warm-up")
            logger.info("listening on %s:%s, %s mode", settings.host, settings.port, "HTTP" if http_mode else "Socket")
            async with working(settings, bot, store, stop) as failed:
                await stop.wait()
                await bot.slack.close()
            await bot.tasks.drain(_DRAIN_S)
    return 1 if failed else 0


def wired(settings: Settings, asks: Prober, store: SqlStore, *, pace_s: float | None = None) -> Bot:
    """All parts, put together; nothing listens or connects yet. ``pace_s``: as SlackMessenger's."""
    readiness, tasks, renderer = Readiness(), Tasks(), Renderer(settings.templates_dir)
    messenger = _messenger(settings, readiness, renderer, pace_s)
    drafts = PostmortemHandler(store=store, clock=asks.clock, policy=settings.policy, prober=asks)
    deliveries = _deliveries(settings, asks, store, messenger, drafts)
    wake = deliveries.wake
    postmortems = replace(drafts, wake=wake)
    evidence = _evidence(settings, asks, store, wake)
    incidents = IncidentHandler(store=store, clock=asks.clock, policy=settings.policy, wake=wake)
    triage = TriageHandler(prober=asks, probes=load(), charts=ChartProcess(), log_excerpts=settings.log_excerpts)
    mitigations, driver = _mitigations(settings, asks, store, wake)
    actions = ActionHandler(store=store, clock=asks.clock, policy=settings.policy, wake=wake)
    acts = SlackIncidents(handler=incidents, messenger=messenger)
    listeners = Listeners(
        triage=SlackTriage(
            handler=triage, health_probe=MISTRAL_API, messenger=messenger, keep=_keeper(store, asks, tasks)
        ),
        incidents=acts,
        forms=_forms(settings, acts),
        updates=_updates(settings, acts, triage, tuple(page.name for page in deliveries.pages)),
        mitigations=_in_slack(mitigations, acts, messenger, settings.incident_channel),
        home=Home(incidents=acts, messenger=messenger),
        aftermath=aftermath(settings, acts, evidence, postmortems, actions),
        messenger=messenger,
        targets=tuple(target.name for target in settings.targets),
        tasks=tasks,
    )
    alerts = _alerts(settings, asks, store, triage, wake)
    return Bot(
        slack=SlackServer(settings, messenger, listeners),
        deliveries=deliveries,
        incidents=incidents,
        mitigations=mitigations,
        driver=driver,
        store=store,
        tasks=tasks,
        readiness=readiness,
        alerts=alerts,
        watch=_watch(settings, asks, store, wake),
        evidence=evidence,
        postmortems=postmortems,
        actions=actions,
        alert_routes=AlertRoutes(alerts, settings.alertmanager_token),
        status_routes=_status_routes(settings, store),
    )


def _messenger(settings: Settings, readiness: Readiness, renderer: Renderer, pace_s: float | None) -> SlackMessenger:
    return SlackMessenger(
        client=web_client(settings),
        renderer=renderer,
        network=settings.network,
        answered=lambda: readiness.answered("Slack"),
        pace_s=pace_s,
    )


def _deliveries(
    settings: Settings, asks: Prober, store: Store, messenger: SlackMessenger, postmortems: PostmortemHandler
) -> DeliveryHandler:
    publisher = Publisher(handler=postmortems, charts=ChartProcess(), templates=settings.templates_dir)
    http = next(iter(asks.worlds.values())).http
    return DeliveryHandler(
        store=store,
        messenger=replace(messenger, patience_s=0.0),
        pagers=pagers(settings, http),
        clock=asks.clock,
        policy=settings.policy,
        pages=status_pages(settings, http),
        components=settings.components,
        filer=Filer(
            store=store,
            messenger=messenger,
            clock=asks.clock,
            evidence=settings.evidence_dir,
            folder=settings.policy.afterwards.folder,
            publish=publisher.files,
        ),
    )


def _evidence(settings: Settings, asks: Prober, store: Store, wake: Callable[[], None]) -> EvidenceHandler:
    return EvidenceHandler(
        store=store, clock=asks.clock, collector=collector(settings, asks), settings=settings.evidence, wake=wake
    )


def _forms(settings: Settings, incidents: SlackIncidents) -> Forms:
    return Forms(
        handler=incidents.handler,
        incidents=incidents,
        messenger=incidents.messenger,
        channel=settings.incident_channel,
        components=settings.components,
    )


def _alerts(
    settings: Settings, asks: Prober, store: Store, triage: TriageHandler, wake: Callable[[], None]
) -> AlertHandler:
    return AlertHandler(
        store=store,
        clock=asks.clock,
        rules=settings.alerts,
        policy=settings.policy,
        triage=triage,
        channel=settings.incident_channel,
        wake=wake,
    )


def _watch(settings: Settings, asks: Prober, store: Store, wake: Callable[[], None]) -> WatchHandler:
    return WatchHandler(
        store=store,
        clock=asks.clock,
        prober=asks,
        page=PROVIDER_STATUS,
        api=(MISTRAL_API, CANARY),
        watch=settings.policy.watch,
        wake=wake,
    )


def _routes(settings: Settings, bot: Bot, *, http_mode: bool) -> web.Application:
    bolt = bot.slack.app if http_mode else None
    return application(bot.readiness, bolt, bot.alert_routes, bot.status_routes, settings.http)


def _status_routes(settings: Settings, store: Store) -> StatusRoutes | None:
    page = settings.status_page
    return StatusRoutes(store, page, settings.components, settings.templates_dir) if page.builtin else None


def _mitigations(
    settings: Settings, asks: Prober, store: Store, wake: Callable[[], None]
) -> tuple[MitigationHandler, Driver]:
    remedies, rotation, probes = load_remedies(settings.remedies), Rotation(), load()
    limits = settings.policy.mitigations
    driver = Driver(
        store=store,
        clock=asks.clock,
        policy=limits,
        planner=Planner(prober=asks, probes=probes, remedies=remedies, store=store, policy=limits),
        applier=Applier(prober=asks, policy=limits, rotation=rotation),
        verifier=Verifier(prober=asks, probes=probes, remedies=remedies, store=store, policy=limits, rotation=rotation),
        wake=wake,
    )
    handler = MitigationHandler(
        store=store,
        clock=asks.clock,
        policy=settings.policy,
        remedies=remedies,
        targets={target.name: target for target in settings.targets},
        prober=asks,
        rotation=rotation,
        wake=wake,
        drive=driver.drive,
    )
    return handler, driver


def _updates(settings: Settings, incidents: SlackIncidents, triage: TriageHandler, pages: tuple[str, ...]) -> Updates:
    handler, messenger = incidents.handler, incidents.messenger
    texts = UsualTexts(renderer=messenger.renderer, names_provider=settings.status_page.names_provider)
    return Updates(
        handler=UpdateHandler(incidents=handler, pages=pages),
        incidents=incidents,
        messenger=messenger,
        triage=triage,
        audiences=Audiences(
            store=handler.store, incidents=incidents, texts=texts, pages=pages, components=settings.components
        ),
    )


def _in_slack(
    handler: MitigationHandler, incidents: SlackIncidents, messenger: SlackMessenger, channel: str | None
) -> SlackMitigations:
    approvers = Approvers(handler=handler, messenger=messenger)
    forms = MitigationForms(
        handler=handler, incidents=incidents, messenger=messenger, approvers=approvers, channel=channel
    )
    return SlackMitigations(handler=handler, incidents=incidents, messenger=messenger, approvers=approvers, forms=forms)


def _keeper(store: Store, asks: Prober, tasks: Tasks) -> Callable[[TriageReport], Awaitable[str]]:
    async def stored(report: TriageReport, identity: str, done: asyncio.Event) -> None:
        try:
            await store.keep_triage(
                report.as_kept(),
                target=report.target,
                at=asks.clock.now(),
                identity=identity,
                patience_s=_KEPT_AT_LAST_S,
            )
        except StoreError as error:
            logger.warning("a triage was not kept: %s", error)
        finally:
            done.set()

    async def keep(report: TriageReport) -> str:
        identity, done = uuid.uuid4().hex, asyncio.Event()
        tasks.start(stored(report, identity, done), "keeping a triage")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KEPT_WITHIN_S):
                await done.wait()
        return identity

    return keep


@contextlib.asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[SqlStore]:
    store = SqlStore(make_engine(settings.database_url), prepared=False)
    try:
        yield store
    finally:
        await store.close()
