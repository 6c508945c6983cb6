"""What the probe makes of what Prometheus says."""

import math
from collections.abc import Sequence

import pytest

from bot.domain.signals import Traffic, Verdict
from bot.errors import BotError, NotConfigured, Unreachable, UpstreamError
from bot.ports import Sample
from bot.probes.prometheus import PROBE
from tests.fakes import FakeMetrics, probe_run

REQUESTS = [Sample(labels={"pod": "a"}, value=15.0), Sample(labels={"pod": "b"}, value=5.0)]
ERRORS = [Sample(labels={"code": "401", "pod": "a"}, value=8.0)]


async def test_without_a_url_nothing_is_asked() -> None:
    with pytest.raises(NotConfigured, match="PROMETHEUS_URL"):
        await PROBE.check(probe_run())


async def test_a_share_of_one_percent_and_more_is_bad_and_is_told_by_code() -> None:
    metrics = FakeMetrics(samples={"errors_total": ERRORS, "requests_total": REQUESTS})
    finding = await PROBE.check(probe_run(metrics=metrics))
    assert finding.verdict is Verdict.BAD
    assert finding.summary == "40 % of 20 requests/s fail (401: 8/s)"
    assert isinstance(finding.signal, Traffic)
    assert finding.signal.by_pod == {"a": 8.0}
    assert finding.signal.pods == 2


async def test_without_an_errors_series_all_is_well() -> None:
    finding = await PROBE.check(probe_run(metrics=FakeMetrics(samples={"requests_total": REQUESTS})))
    assert (finding.verdict, finding.summary) == (Verdict.OK, "0 % of 20 requests/s fail")


async def test_a_missing_counter_is_told_by_name() -> None:
    with pytest.raises(UpstreamError, match="no series of mistral_requests_total"):
        await PROBE.check(probe_run(metrics=FakeMetrics()))


async def test_not_a_number_is_unknown() -> None:
    nan = [Sample(labels={}, value=math.nan)]
    with pytest.raises(UpstreamError, match="no rates"):
        await PROBE.check(probe_run(metrics=FakeMetrics(samples={"errors_total": nan, "requests_total": nan})))


async def test_without_requests_now_the_share_is_unknown_and_the_last_half_hour_is_told() -> None:
    samples = {
        "errors_total[30m]": [Sample(labels={"code": "500"}, value=1.0)],
        "requests_total[30m]": [Sample(labels={}, value=5.0)],
        "requests_total": [Sample(labels={}, value=0.0)],
    }
    finding = await PROBE.check(probe_run(metrics=FakeMetrics(samples=samples)))
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.summary == "there were no requests in the last five minutes, so no share of errors can be told"
    assert isinstance(finding.signal, Traffic)
    assert (finding.signal.error_ratio, finding.signal.error_ratio_30m) == (None, 0.2)


async def test_counters_that_ended_lately_tell_of_the_last_half_hour_too() -> None:
    samples = {
        "errors_total[30m]": [Sample(labels={"code": "500"}, value=1.0)],
        "requests_total[30m]": [Sample(labels={}, value=5.0)],
    }
    finding = await PROBE.check(probe_run(metrics=FakeMetrics(samples=samples)))
    assert (finding.verdict, finding.summary) == (
        Verdict.UNKNOWN,
        "Prometheus has no rates of the last five minutes: check that it still scrapes the service",
    )
    assert isinstance(finding.signal, Traffic)
    assert (finding.signal.requests_per_s, finding.signal.error_ratio_30m) == (None, 0.2)


async def test_what_is_optional_may_fail() -> None:
    down = Unreachable("Prometheus did not answer")
    samples: dict[str, Sequence[Sample] | BotError] = {
        "[30m]": down,
        "offset": down,
        "errors_total": ERRORS,
        "requests_total": REQUESTS,
    }
    finding = await PROBE.check(probe_run(metrics=FakeMetrics(samples=samples, series={"rate": down})))
    assert isinstance(finding.signal, Traffic)
    assert (finding.signal.error_ratio, finding.signal.error_ratio_30m) == (0.4, None)


async def test_where_the_main_questions_fail_their_error_is_the_answer() -> None:
    down = Unreachable("Prometheus did not answer")
    with pytest.raises(Unreachable):
        await PROBE.check(probe_run(metrics=FakeMetrics(samples={"errors_total": down, "requests_total": REQUESTS})))
