"""The doctor on Prometheus: it answers, and both counters are there."""

import pytest

from bot.checks.prometheus import CHECK
from bot.sandbox import prometheus
from bot.sandbox.scenario import Expect, PrometheusSpec, Scenario
from bot.sandbox.world import World
from tests.clusters import serve
from tests.doctors import examined, lines

REQUESTS = (True, "mistral_requests_total: 3 series")
ERRORS = (True, "mistral_errors_total: 3 series")


async def asked(spec: PrometheusSpec, **environ: str) -> list[tuple[bool, str, str]]:
    world = World(scenario=Scenario(name="a test's", prometheus=spec, expect=Expect(cause="healthy", severity="P4")))
    async with serve(prometheus.application(world)) as url:
        results = await examined(CHECK, {"PROMETHEUS_URL": url, **environ})
    return [(ok, text, result.mend) for (ok, text), result in zip(lines(results), results, strict=True)]


async def test_both_counters_are_counted() -> None:
    told = await asked(PrometheusSpec(requests=20, errors={"429": 4}))
    assert [one[:2] for one in told] == [REQUESTS, ERRORS]


@pytest.mark.parametrize(
    ("variable", "place"), [("PROMETHEUS_REQUESTS", 0), ("PROMETHEUS_ERRORS", 1)], ids=["requests", "errors"]
)
async def test_a_counter_that_is_not_there_names_the_setting(variable: str, place: int) -> None:
    told = await asked(PrometheusSpec(requests=20, errors={"429": 4}), **{variable: "typo_total"})
    assert told[place][:2] == (False, "typo_total: no such series")
    assert f"Set {variable} to" in told[place][2]
    assert told[1 - place][0]


@pytest.mark.parametrize("fail", ["down", "401", "403", "500", "garbage"])
async def test_a_prometheus_that_fails_names_the_settings(fail: str) -> None:
    for ok, text, mend in await asked(PrometheusSpec(requests=20, fail=fail), PROMETHEUS_TOKEN="planted-token-1"):
        assert not ok
        assert "planted" not in text
        assert "PROMETHEUS_URL" in mend
        assert "PROMETHEUS_TOKEN" in mend


async def test_without_a_url_it_is_not_configured() -> None:
    assert await examined(CHECK, {}) == ()
