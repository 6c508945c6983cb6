"""What Prometheus has of the service over two hours, a minute a point: errors, requests, and how long they take."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bot.errors import UpstreamError
from bot.evidence._shown import as_json
from bot.ports import Bundle, Collecting, Metrics, Series

# The runbook's window and step.
WINDOW, STEP_S = timedelta(hours=2), 60.0
_TIMEOUT_S = 30.0
_QUANTILE = 0.95


@dataclass(frozen=True)
class MetricsSource:
    name: str = "metrics"
    order: int = 1

    async def collect(self, asked: Collecting, bundle: Bundle) -> None:
        if asked.metrics is None:
            bundle.miss("metrics and charts", "Prometheus is not configured: set PROMETHEUS_URL")
            return
        queries = queries_of(asked)
        found = await asyncio.gather(*(_ask(asked, asked.metrics, query) for query in queries.values()))
        nothing: list[str] = []
        for (name, query), held in zip(queries.items(), found, strict=True):
            if isinstance(held, UpstreamError):
                bundle.miss(f"metrics: {name}", str(held))
                continue
            asked.shared[name] = held
            if not held:
                nothing.append(name)
                continue
            path = f"metrics/{name.replace(' ', '-')}.json"
            await bundle.add(path, as_json(_answer(asked, query, held)), source="prometheus: query_range")

        if nothing:
            why = (
                "Prometheus has no such series; PROMETHEUS_ERRORS, PROMETHEUS_REQUESTS and evidence: latency name them"
            )
            bundle.miss(f"metrics: {', '.join(nothing)}", why)


def queries_of(asked: Collecting) -> Mapping[str, str]:
    """What is asked, by what it is called."""
    errors, requests = asked.target.prometheus.errors, asked.target.prometheus.requests
    code, pod, latency = asked.labels.code, asked.labels.pod, asked.limits.latency
    slow = f"histogram_quantile({_QUANTILE}, sum by (le, {{}}) (rate({latency}_bucket[5m])))"
    return {
        "errors": errors,
        "requests": requests,
        "error rate by code": f"sum by ({code}) (rate({errors}[5m]))",
        "error rate by pod": f"sum by ({pod}) (rate({errors}[5m]))",
        "request rate": f"sum(rate({requests}[5m]))",
        "request rate by pod": f"sum by ({pod}) (rate({requests}[5m]))",
        "latency by code": slow.format(code),
        "latency by pod": slow.format(pod),
    }


async def _ask(asked: Collecting, metrics: Metrics, query: str) -> Sequence[Series] | UpstreamError:
    begin = asked.now - WINDOW
    try:
        return await metrics.query_range(query, start=begin, end=asked.now, step_s=STEP_S, timeout_s=_TIMEOUT_S)
    except UpstreamError as error:
        return error


def _answer(asked: Collecting, query: str, held: Sequence[Series]) -> dict[str, object]:
    return {
        "query": query,
        "start": (asked.now - WINDOW).isoformat(),
        "end": asked.now.isoformat(),
        "step_s": STEP_S,
        "result": [
            {
                "metric": dict(series.labels),
                # JSON has no numbers for what Prometheus calls NaN and Inf
                "values": [
                    [at.timestamp(), value if math.isfinite(value) else str(value)] for at, value in series.points
                ],
            }
            for series in held
        ],
    }


SOURCE = MetricsSource()
