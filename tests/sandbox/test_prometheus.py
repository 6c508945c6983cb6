"""The sandbox's Prometheus fails as its scenario says, and refuses what it cannot read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from bot.clients.prometheus import PrometheusMetrics
from bot.configuration import load
from bot.errors import BadAnswer, Forbidden, LoginExpired, Unreachable, UpstreamError
from bot.probes.prometheus import PROBE
from bot.sandbox.prometheus import application
from bot.sandbox.scenario import Expect, PrometheusSpec, Scenario
from bot.sandbox.world import World
from bot.settings import Network
from tests.fakes import probe_run


@asynccontextmanager
async def serving(spec: PrometheusSpec) -> AsyncIterator[tuple[PrometheusMetrics, World]]:
    world = World(scenario=Scenario(name="one", prometheus=spec, expect=Expect(cause="", severity="")))
    runner = web.AppRunner(application(world), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    metrics = PrometheusMetrics(load({"PROMETHEUS_URL": url}).target("default").prometheus, Network(), 8_000_000)
    try:
        yield metrics, world
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("fail", "kind"),
    [
        ("down", Unreachable),
        ("timeout", Unreachable),
        ("401", LoginExpired),
        ("403", Forbidden),
        ("500", BadAnswer),
        ("garbage", BadAnswer),
        ("nan", UpstreamError),
    ],
)
async def test_each_way_to_fail_is_unknown_to_the_probe(fail: str, kind: type[UpstreamError]) -> None:
    async with serving(PrometheusSpec(requests=20, fail=fail)) as (metrics, _):
        with pytest.raises(kind) as told:
            await PROBE.check(probe_run(metrics=metrics, timeout_s=0.5))
    assert type(told.value) is kind


async def test_another_query_is_refused_and_the_request_is_noted() -> None:
    async with serving(PrometheusSpec(requests=20)) as (metrics, world):
        with pytest.raises(BadAnswer, match="parse error"):
            await metrics.query("topk(3, up)", timeout_s=2)
        assert [request.path for request in world.requests] == ["/api/v1/query"]


async def test_the_doctor_can_count_the_series() -> None:
    async with serving(PrometheusSpec(requests=20)) as (metrics, _):
        (requests,) = await metrics.query("count(mistral_requests_total)", timeout_s=2)
        assert requests.value == 3
        assert list(await metrics.query("count(up)", timeout_s=2)) == []
