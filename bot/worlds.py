"""The targets and the ways to ask them, wired by hand: what every command that probes has in common.

Vendors' libraries are imported within the functions: a command pays only for what it uses.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bot.handlers.probing import Prober, TargetWorld
from bot.ports import Cluster, Http, ServiceKey
from bot.settings import Settings, Target

if TYPE_CHECKING:
    from bot.clients.kubernetes import KubernetesCluster


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
    async with AsyncExitStack() as stack:
        wanted = settings.targets if target is None else (settings.target(target),)
        clusters = {one.name: _cluster(one, settings, stack) for one in wanted if cluster}
        if target is not None and (only := clusters.get(target)) is not None:
            # somebody waits in a terminal: the login is read beside what is imported next
            only.logins.begin()
            await asyncio.sleep(0)
        from bot.clients.http import HttpClient

        http = HttpClient(settings.network, settings.limits.response_bytes)
        stack.push_async_callback(http.close)
        worlds = {one.name: _world(one, settings, http, clusters.get(one.name)) for one in wanted}
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


def _cluster(target: Target, settings: Settings, stack: AsyncExitStack) -> "KubernetesCluster | None":
    if not target.kubernetes.configured:
        return None
    from bot.clients.kubernetes import KubernetesCluster

    made = KubernetesCluster(target.kubernetes, settings.limits, settings.network)
    stack.push_async_callback(made.close)
    return made


def _world(target: Target, settings: Settings, http: Http, cluster: Cluster | None) -> TargetWorld:
    world = TargetWorld(target=target, http=http, metrics=None, cluster=cluster)
    if target.prometheus.url is not None:
        from bot.clients.prometheus import PrometheusMetrics

        prometheus = PrometheusMetrics(target.prometheus, settings.network, settings.limits.response_bytes)
        world = replace(world, metrics=prometheus)
    return world
