"""The probe against a real Prometheus, and the same worlds in the sandbox's, which must say the same."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from bot.clients.prometheus import PrometheusMetrics
from bot.configuration import load
from bot.domain.signals import Traffic
from bot.errors import UpstreamError
from bot.probes.prometheus import PROBE
from bot.sandbox.prometheus import application
from bot.sandbox.scenario import Expect, PrometheusSpec, Scenario
from bot.sandbox.world import World
from bot.settings import Network
from tests.fakes import FakeClock, probe_run
from tests.prometheus_server import openmetrics, prometheus_or_skip, serving

SPECS = {
    "constant": PrometheusSpec(requests=20, errors={"401": 8}),
    "onset": PrometheusSpec(requests=20, errors={"500": 5}, onset_minutes_ago=6),
    "over": PrometheusSpec(requests=20, errors_ratio_last_30m=0.2),
    "surge": PrometheusSpec(requests=90, requests_hour_ago=20, errors={"429": 55}),
    "no_errors": PrometheusSpec(requests=20),
    "stopped": PrometheusSpec(requests=20, errors_ratio_last_30m=0.2, stopped_minutes_ago=8),
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, float]]:
    prometheus_or_skip()
    now = time.time()
    series = {
        "constant_requests": [(f'pod="mistral-service-{i}"', lambda age: 20 / 3) for i in range(3)],
        "constant_errors": [(f'code="401",pod="mistral-service-{i}"', lambda age: 8 / 3) for i in range(3)],
        "onset_requests": [('pod="mistral-service-0"', lambda age: 20.0)],
        "onset_errors": [('code="500",pod="mistral-service-0"', lambda age: 5.0 if age < 360 else 0.0)],
        "over_requests": [('pod="mistral-service-0"', lambda age: 20.0)],
        "over_errors": [('code="500",pod="mistral-service-0"', lambda age: 4.0 if 330 < age < 2100 else 0.0)],
        "surge_requests": [('pod="mistral-service-0"', lambda age: 90.0 if age < 1800 else 20.0)],
        "surge_errors": [('code="429",pod="mistral-service-0"', lambda age: 55.0)],
        "no_errors_requests": [('pod="mistral-service-0"', lambda age: 20.0)],
        "stopped_requests": [('pod="mistral-service-0"', lambda age: 20.0 if age > 510 else 0.0)],
        "stopped_errors": [('code="500",pod="mistral-service-0"', lambda age: 4.0 if 510 < age < 2100 else 0.0)],
        "idle_requests": [('pod="mistral-service-0"', lambda age: 0.0)],
        "idle_errors": [('code="500",pod="mistral-service-0"', lambda age: 0.0)],
    }
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with serving(folder, openmetrics(series, now)) as url:
        yield url, now


async def _look(url: str, environ: dict[str, str]) -> Traffic:
    environ = {"PROMETHEUS_URL": url, **environ}
    metrics = PrometheusMetrics(load(environ).target("default").prometheus, Network(), 8_000_000)
    clock = FakeClock(at=datetime.now(UTC))
    finding = await PROBE.check(probe_run(environ=environ, metrics=metrics, clock=clock, timeout_s=5.0))
    assert isinstance(finding.signal, Traffic)
    return finding.signal


async def _real(url: str, shape: str) -> Traffic:
    names = {"PROMETHEUS_REQUESTS": f"{shape}_requests_total", "PROMETHEUS_ERRORS": f"{shape}_errors_total"}
    return await _look(url, names)


async def _sandbox(spec: PrometheusSpec) -> Traffic:
    scenario = Scenario(name="one", prometheus=spec, expect=Expect(cause="", severity=""))
    runner = web.AppRunner(application(World(scenario=scenario)))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return await _look(f"http://127.0.0.1:{runner.addresses[0][1]}", {})
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("shape", SPECS)
async def test_the_sandbox_says_what_a_real_prometheus_says(real: tuple[str, float], shape: str) -> None:
    true, made = await _real(real[0], shape), await _sandbox(SPECS[shape])
    assert true.error_ratio == pytest.approx(made.error_ratio, abs=0.08)
    assert true.error_ratio_30m == pytest.approx(made.error_ratio_30m, abs=0.03)
    assert true.requests_per_s == pytest.approx(made.requests_per_s, rel=0.05)
    assert true.requests_hour_ago_per_s == pytest.approx(made.requests_hour_ago_per_s, rel=0.05)
    assert set(true.by_code) == set(made.by_code)
    assert (true.onset is None) == (made.onset is None)


async def test_constant_errors_have_a_share_and_no_onset(real: tuple[str, float]) -> None:
    found = await _real(real[0], "constant")
    assert (found.error_ratio, found.onset, found.pods) == (0.4, None, 3)
    assert found.by_code == pytest.approx({"401": 8}, rel=0.05)
    assert len(found.by_pod) == 3


async def test_the_onset_is_at_most_a_minute_late_and_never_early(real: tuple[str, float]) -> None:
    found = await _real(real[0], "onset")
    true = datetime.fromtimestamp(real[1] - 360, UTC)
    assert found.error_ratio == pytest.approx(0.25, abs=0.02)
    assert found.onset is not None
    assert true <= found.onset <= true + timedelta(seconds=75)


async def test_what_is_over_shows_in_half_an_hour_only(real: tuple[str, float]) -> None:
    found = await _real(real[0], "over")
    assert (found.error_ratio, found.onset) == (0.0, None)
    assert found.error_ratio_30m == pytest.approx(0.17, abs=0.02)


async def test_no_errors_series_is_a_share_of_zero(real: tuple[str, float]) -> None:
    assert (await _real(real[0], "no_errors")).error_ratio == 0.0


async def test_where_the_traffic_has_stopped_the_last_half_hour_is_known(real: tuple[str, float]) -> None:
    found = await _real(real[0], "stopped")
    assert (found.error_ratio, found.requests_per_s) == (None, 0.0)
    assert found.error_ratio_30m == pytest.approx(0.2, abs=0.02)


async def test_no_requests_at_all_is_no_share_in_any_window(real: tuple[str, float]) -> None:
    found = await _real(real[0], "idle")
    assert (found.error_ratio, found.error_ratio_30m, found.requests_per_s) == (None, None, 0.0)


async def test_a_counter_that_does_not_exist_is_told(real: tuple[str, float]) -> None:
    with pytest.raises(UpstreamError, match="no series of missing_requests_total"):
        await _real(real[0], "missing")
