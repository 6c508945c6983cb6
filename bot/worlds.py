"""The targets and the ways to ask them, wired by hand: what every command that probes has in common.

Vendors' libraries are imported within the functions: a command pays only for what it uses.
"""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bot.handlers.probing import Prober, TargetWorld
from bot.ports import Cluster, Http, ServiceKey
from bot.settings import Settings, Target


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
        world = replace(world, metrics=prometheus)
    if cluster and target.kubernetes.configured:
        from bot.clients.kubernetes import KubernetesCluster

        kubernetes = KubernetesCluster(target.kubernetes, settings.limits, settings.network)
        stack.push_async_callback(kubernetes.close)
        world = replace(world, cluster=kubernetes)
    return world
