"""Prometheus: does it answer, and do both counters exist there."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.errors import UpstreamError
from bot.ports import CheckResult, Metrics, ProbeRun
from bot.settings import Settings


@dataclass(frozen=True)
class PrometheusCheck:
    name: str = "Prometheus"
    per_target: bool = True

    async def check(self, run: ProbeRun, settings: Settings) -> Sequence[CheckResult]:
        if run.metrics is None:
            return ()
        held = run.target.prometheus
        counters = (("PROMETHEUS_REQUESTS", held.requests), ("PROMETHEUS_ERRORS", held.errors))
        return [await _counter(run.metrics, variable, counter, run.timeout_s) for variable, counter in counters]


async def _counter(metrics: Metrics, variable: str, counter: str, timeout_s: float) -> CheckResult:
    try:
        samples = await metrics.query(f"count({counter})", timeout_s=timeout_s)
    except UpstreamError as error:
        return CheckResult(what=counter, ok=False, detail=str(error), mend="Check PROMETHEUS_URL and PROMETHEUS_TOKEN.")
    if samples:
        return CheckResult(what=counter, ok=True, detail=f"{samples[0].value:.0f} series")
    mend = f"Set {variable} to the counter that your service exports; one of errors may appear with the first error."
    return CheckResult(what=counter, ok=False, detail="no such series", mend=mend)


CHECK = PrometheusCheck()
