"""What the service's own counters say: how many requests fail, which, and since when."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.domain import traffic
from bot.domain.signals import Finding, ProbeName, Traffic, Verdict
from bot.errors import NotConfigured, UpstreamError
from bot.ports import Metrics, ProbeRun, Sample, Series

_HISTORY = timedelta(hours=2)
_STEP_S = 30.0
_BAD_RATIO = traffic.BAD_RATIO


@dataclass(frozen=True)
class PrometheusProbe:
    name: ProbeName = ProbeName.PROMETHEUS
    answers_when_late: bool = False

    async def check(self, run: ProbeRun) -> Finding:
        if run.metrics is None:
            raise NotConfigured("not configured: set PROMETHEUS_URL")
        answers = await _ask(run, run.metrics, run.clock.now())
        signal = _traffic(run, answers)
        share = signal.error_ratio
        if share is None and signal.requests_per_s is None and signal.error_ratio_30m is None:
            raise UpstreamError(_why_unknown(signal))
        if share is None:
            # what the last half hour was, and that nothing is asked now, is known all the same
            return Finding(probe=self.name, verdict=Verdict.UNKNOWN, summary=_why_unknown(signal), signal=signal)
        verdict = Verdict.BAD if share >= _BAD_RATIO else Verdict.OK
        return Finding(probe=self.name, verdict=verdict, summary=_summary(signal, share), signal=signal)


@dataclass(frozen=True)
class _Answers:
    """What came back by query, else why not."""

    held: Mapping[str, Any]

    def rates(self, name: str) -> Sequence[tuple[Mapping[str, str], float]] | None:
        """None: the query failed."""
        held = self.held[name]
        return None if isinstance(held, UpstreamError) else [(sample.labels, sample.value) for sample in held]

    def points(self, name: str) -> list[tuple[datetime, float]] | None:
        held: Sequence[Series] | UpstreamError = self.held[name]
        if isinstance(held, UpstreamError):
            return None
        return [point for series in held for point in series.points]


async def _ask(run: ProbeRun, metrics: Metrics, now: datetime) -> _Answers:
    errors, requests = run.target.prometheus.errors, run.target.prometheus.requests
    split = ", ".join((run.labels.code, run.labels.pod, run.labels.model))
    instant = {
        **{f"errors {w}": f"sum by ({split}) (rate({errors}[{w}]))" for w in ("1m", "5m", "30m")},
        **{f"requests {w}": f"sum by ({run.labels.pod}) (rate({requests}[{w}]))" for w in ("1m", "5m", "30m")},
        "requests hour ago": f"sum by ({run.labels.pod}) (rate({requests}[5m] offset 1h))",
    }
    ranges = {"errors history": f"sum(rate({errors}[5m]))", "requests history": f"sum(rate({requests}[5m]))"}
    begin, timeout_s = now - _HISTORY, run.timeout_s
    asked: dict[str, Awaitable[Sequence[Sample] | Sequence[Series]]] = {
        name: metrics.query(query, timeout_s=timeout_s) for name, query in instant.items()
    } | {
        name: metrics.query_range(query, start=begin, end=now, step_s=_STEP_S, timeout_s=timeout_s)
        for name, query in ranges.items()
    }
    found = await asyncio.gather(*(_kept(question) for question in asked.values()))
    return _Answers(dict(zip(asked, found, strict=True)))


async def _kept(question: Awaitable[Any]) -> Any:
    try:
        return await question
    except UpstreamError as error:
        return error


def _traffic(run: ProbeRun, answers: _Answers) -> Traffic:
    _check_answered(run, answers)
    short, long = _share(answers, "1m"), _share(answers, "5m")
    share, from_short = traffic.larger(short, long)
    window = answers.rates("errors 1m" if from_short else "errors 5m") or []
    requests = answers.rates("requests 5m") or answers.rates("requests 1m") or []
    ago = traffic.total(answers.rates("requests hour ago") or [])
    failing, asked = answers.points("errors history"), answers.points("requests history")
    history = [] if failing is None or asked is None else traffic.history(failing, asked)
    pods = {labels[run.labels.pod] for labels, _ in requests if labels.get(run.labels.pod)}
    return Traffic(
        requests_per_s=traffic.rounded(traffic.total(requests)),
        requests_hour_ago_per_s=traffic.rounded(ago),
        error_ratio=share,
        error_ratio_30m=_share(answers, "30m"),
        by_code=traffic.by_label(window, run.labels.code),
        by_pod=traffic.by_label(window, run.labels.pod),
        by_model=traffic.by_label(window, run.labels.model),
        pods=len(pods) or None,
        onset=traffic.onset(history, run.clock.now()),
        history=tuple(history),
    )


def _check_answered(run: ProbeRun, answers: _Answers) -> None:
    for pair in (("errors 5m", "errors 1m"), ("requests 5m", "requests 1m")):
        failed = [held for held in (answers.held[name] for name in pair) if isinstance(held, UpstreamError)]
        if len(failed) == len(pair):
            raise failed[0]
    known = [answers.rates(f"requests {window}") for window in ("1m", "5m", "30m")]
    if not any(known):
        raise UpstreamError(
            f"Prometheus has no series of {run.target.prometheus.requests}: set PROMETHEUS_REQUESTS to the counter "
            "that the service exports"
        )


def _share(answers: _Answers, window: str) -> float | None:
    errors, requests = answers.rates(f"errors {window}"), answers.rates(f"requests {window}")
    if errors is None or requests is None:
        return None
    return traffic.ratio(traffic.total(errors), traffic.total(requests))


def _why_unknown(signal: Traffic) -> str:
    if signal.requests_per_s == 0:
        return "there were no requests in the last five minutes, so no share of errors can be told"
    return "Prometheus has no rates of the last five minutes: check that it still scrapes the service"


def _summary(signal: Traffic, share: float) -> str:
    of = "" if signal.requests_per_s is None else f" of {signal.requests_per_s:.3g} requests/s"
    codes = ", ".join(f"{code}: {rate:.3g}/s" for code, rate in list(signal.by_code.items())[:3])
    return f"{100 * share:.3g} %{of} fail" + (f" ({codes})" if codes else "")


PROBE = PrometheusProbe()
