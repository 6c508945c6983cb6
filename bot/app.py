"""The composition root: the only module that knows every room. It wires by hand, once, what a command needs.

Rooms are imported within the functions: a command pays only for what it uses (Bolt costs a second, Kubernetes another).
"""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import UNAUTHORIZED
from typing import TYPE_CHECKING

from bot.errors import SettingsError
from bot.handlers.probing import Prober, TargetWorld
from bot.ports import Cluster, Http, Reply, ServiceKey
from bot.settings import Settings, Target

if TYPE_CHECKING:
    from bot.render import Renderer

logger = logging.getLogger(__name__)

_DRAIN_S = 8.0


@dataclass(frozen=True)
class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


async def _key_from_settings(target: Target, cluster: Cluster | None) -> ServiceKey | None:
    key = target.mistral.api_key
    return None if key is None else ServiceKey(value=key.reveal(), source="environment")


@asynccontextmanager
async def prober(settings: Settings, *, target: str | None = None, cluster: bool = True) -> AsyncIterator[Prober]:
    """What runs the probes, for one target or all; its connections close with it.

    ``cluster`` False: as if none were configured.
    """
    from bot.clients.http import HttpClient

    async with AsyncExitStack() as stack:
        http = HttpClient(settings.network, settings.limits.response_bytes)
        stack.push_async_callback(http.close)
        wanted = settings.targets if target is None else (settings.target(target),)
        worlds = {one.name: _world(one, settings, http, stack, cluster=cluster) for one in wanted}
        read_key = _key_from_settings
        if any(world.cluster is not None for world in worlds.values()):
            from bot.probes.secret import read_service_key

            async def read_key(target: Target, cluster: Cluster | None) -> ServiceKey | None:
                return await read_service_key(target, cluster, target.mistral.api_key)

        yield Prober(
            worlds=worlds,
            timeouts=settings.timeouts,
            limits=settings.limits,
            labels=settings.labels,
            slack_api_url=settings.slack.api_url,
            clock=SystemClock(),
            read_service_key=read_key,
        )


def _world(target: Target, settings: Settings, http: Http, stack: AsyncExitStack, *, cluster: bool) -> TargetWorld:
    world = TargetWorld(target=target, http=http, metrics=None, cluster=None)
    if target.prometheus.url is not None:
        from bot.clients.prometheus import PrometheusMetrics

        prometheus = PrometheusMetrics(target.prometheus, settings.network, settings.limits.response_bytes)
        stack.callback(prometheus.close)
        world = replace(world, metrics=prometheus)
    if cluster and target.kubernetes.configured:
        from bot.clients.kubernetes import KubernetesCluster

        kubernetes = KubernetesCluster(target.kubernetes, settings.limits, settings.network)
        stack.push_async_callback(kubernetes.close)
        world = replace(world, cluster=kubernetes)
    return world


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
    from bot.handlers.triage import TriageHandler
    from bot.probes import load
    from bot.terminal import show_live

    settings.target(target)
    async with prober(settings, target=target) as asks:
        handler = TriageHandler(prober=asks, probes=load())
        if as_json:
            import json

            report = await handler.run(target)
            print(json.dumps(report.as_json(), ensure_ascii=False, allow_nan=False))
        else:
            report = await show_live(handler, target)
        return report.exit_status


async def doctor(settings: Settings) -> int:
    """Every check of everything that is configured, in the terminal; 1 if any fails."""
    from bot.checks import load
    from bot.handlers.doctor import examine
    from bot.terminal import show_examined

    async with prober(settings) as asks:
        return await show_examined(examine(asks, load(), settings))


async def serve(settings: Settings) -> int:
    """The bot itself, until SIGTERM or SIGINT; what is under way then has ten seconds to end."""
    from aiohttp import web

    from bot.clients.charts import ChartProcess
    from bot.handlers.triage import TriageHandler
    from bot.probes import load
    from bot.probes.mistral_api import PROBE
    from bot.render import Renderer
    from bot.slack.listeners import Listeners
    from bot.slack.messenger import SlackMessenger, web_client
    from bot.slack.server import SlackServer
    from bot.slack.tasks import Tasks
    from bot.slack.triage import SlackTriage
    from bot.web.routes import Readiness, application

    if problems := settings.slack.problems():
        raise SettingsError(problems)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with prober(settings) as asks:
        readiness, tasks, renderer = Readiness(), Tasks(), Renderer(settings.templates_dir)
        tasks.start(_warm_up(settings, asks, renderer), "the warm-up")
        messenger = SlackMessenger(
            client=web_client(settings),
            renderer=renderer,
            network=settings.network,
            answered=readiness.answered,
        )
        handler = TriageHandler(prober=asks, probes=load(), charts=ChartProcess(), log_excerpts=settings.log_excerpts)
        shown = SlackTriage(handler=handler, health_probe=PROBE, messenger=messenger)
        listeners = Listeners(triage=shown, targets=tuple(target.name for target in settings.targets), tasks=tasks)
        slack = SlackServer(settings, messenger, listeners)
        http_mode = settings.slack.app_token is None
        runner = web.AppRunner(application(readiness, slack.app if http_mode else None), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.host, settings.port).start()
        except OSError as error:
            held = f"HOST and PORT hold {settings.host}:{settings.port}"
            raise SettingsError([f"{held}; they should hold an address that is free: {error.strerror}"]) from error
        logger.info("listening on %s:%s, %s mode", settings.host, settings.port, "HTTP" if http_mode else "Socket")
        touch = asyncio.create_task(slack.stay_in_touch())
        await stop.wait()
        touch.cancel()
        await asyncio.gather(touch, return_exceptions=True)
        await slack.close()
        await runner.cleanup()
        await tasks.drain(_DRAIN_S)
    return 0


async def _warm_up(settings: Settings, prober: Prober, renderer: "Renderer") -> None:
    """Does what the first triage would wait for, beside the start: imports, templates, the login to the cluster."""
    from bot.probes.control import PROBE

    await asyncio.to_thread(_load_libraries, settings)
    await asyncio.to_thread(renderer.compile_all)
    for target in settings.targets:
        # the lightest probe: with it comes the service's key, and so the cluster's login
        await prober.run([PROBE], target.name, lambda _: None)


def _load_libraries(settings: Settings) -> None:
    if any(target.kubernetes.configured for target in settings.targets):
        from bot.clients.kubeconfig import load_vendor

        load_vendor()
    if any(target.prometheus.url for target in settings.targets):
        from bot.clients.prometheus import load_library

        load_library()
