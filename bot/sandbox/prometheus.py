"""Prometheus's API over the scenario's rates, for the shapes of query that the bot makes; others are a 400."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from bot.sandbox.scenario import PrometheusSpec
from bot.sandbox.story import Spell
from bot.sandbox.world import World

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RATE = re.compile(
    r"sum\s*(?:by\s*\((?P<by>[^)]*)\)\s*)?\(\s*(?P<how>rate|increase)\((?P<name>\w+)(?:\{[^}]*\})?\[(?P<window>\d+[smh])\]"
    r"(?:\s+offset\s+(?P<offset>\d+[smh]))?\)\s*\)"
)
_RAW = re.compile(r"(?P<name>\w+)(?:\{[^}]*\})?")
_QUANTILE = re.compile(r"histogram_quantile\(.+\)")
# Since when the counters have been counting.
_COUNTING_SINCE = time.time() - 86_400.0
_COUNT = re.compile(r"count\(\s*(?P<name>\w+)(?:\{[^}]*\})?\s*\)")
_ERRORS, _REQUESTS = "mistral_errors_total", "mistral_requests_total"
_SURGE_BEGAN_S = 1800.0
_OVER_SINCE_S = 300.0
_OVER_BEGAN_S = 2100.0
_HANGS_S = 30.0


@dataclass(frozen=True)
class _Step:
    """A rate that held between two ages in seconds; ``began_s`` None: always."""

    labels: Mapping[str, str]
    per_s: float
    began_s: float | None = None
    ended_s: float | None = None

    def mean(self, age_s: float, window_s: float) -> float:
        """The mean rate over the window that ended ``age_s`` ago."""
        oldest = age_s + window_s if self.began_s is None else min(self.began_s, age_s + window_s)
        newest = age_s if self.ended_s is None else max(self.ended_s, age_s)
        return self.per_s * max(0.0, oldest - newest) / window_s


@dataclass(frozen=True)
class _Series:
    """The counters of a scenario over ``pods`` pods; ``spells``: when errors came, None: as ``spec`` says."""

    spec: PrometheusSpec
    pods: int
    spells: Sequence[Spell] | None
    surge_began_s: float

    def steps(self, name: str) -> Iterator[_Step]:
        """How the counter of that name has gone; nothing for another."""
        spec = self.spec
        names = [*spec.by_pod, *(f"mistral-service-{index}" for index in range(self.pods - len(spec.by_pod)))]
        names = names or ["mistral-service-0"]
        if name == _REQUESTS:
            for pod in names:
                yield from self._requests({"pod": pod}, 1 / len(names))
        if name == _ERRORS:
            shares = _shares(spec.by_pod, "pod") or [({"pod": pod}, 1 / len(names)) for pod in names]
            models = _shares(spec.by_model, "model") or [({}, 1.0)]
            for pod_label, pod_share in shares:
                for model_label, model_share in models:
                    yield from self._errors({**pod_label, **model_label}, pod_share * model_share)

    def _requests(self, labels: Mapping[str, str], share: float) -> Iterator[_Step]:
        spec, ended_s = self.spec, _stopped_s(self.spec)
        if spec.requests_hour_ago is None:
            yield _Step(labels, spec.requests * share, ended_s=ended_s)
            return
        yield _Step(labels, spec.requests * share, began_s=self.surge_began_s, ended_s=ended_s)
        yield _Step(labels, spec.requests_hour_ago * share, ended_s=self.surge_began_s)

    def _errors(self, labels: Mapping[str, str], share: float) -> Iterator[_Step]:
        spec = self.spec
        if self.spells is not None:
            for spell in self.spells:
                for code, per_s in self._rates(spell).items():
                    yield _Step({**labels, "code": code}, per_s * share, spell.began_s, spell.ended_s)
            return
        began_s = None if spec.onset_minutes_ago is None else 60 * spec.onset_minutes_ago
        ended_s = _stopped_s(spec)
        for code, per_s in spec.errors.items():
            yield _Step({**labels, "code": code}, per_s * share, began_s=began_s, ended_s=ended_s)
        if spec.errors_ratio_last_30m is not None:
            code = next(iter(spec.errors), "500")
            per_s = spec.errors_ratio_last_30m * spec.requests * share
            over_s = max(_OVER_SINCE_S, ended_s or 0.0)
            yield _Step({**labels, "code": code}, per_s, began_s=_OVER_BEGAN_S, ended_s=over_s)

    def _rates(self, spell: Spell) -> Mapping[str, float]:
        """Errors per second by code: at the spell's share, or as many as its ratio of the requests wants."""
        if spell.ratio is None:
            return {code: per_s * spell.share for code, per_s in self.spec.errors.items()}
        return {next(iter(self.spec.errors), "500"): spell.ratio * self.spec.requests}


def application(world: World) -> web.Application:
    """Answers from ``world.scenario.prometheus`` at each request; without one, with 503."""

    async def answer(request: web.Request) -> web.StreamResponse:
        world.seen("prometheus", request.method, request.path)
        spec = world.prometheus
        if spec is None:
            return web.Response(status=503, text="Service Unavailable")
        failed = await _failed(request, spec)
        if failed is not None:
            return failed
        if request.path.endswith("/values"):
            return _success([_ERRORS, _REQUESTS])
        form = await request.post()
        held = {**request.query, **{name: str(value) for name, value in form.items()}}
        pods = world.scenario.cluster.desired if world.scenario.cluster else 3
        try:
            series = _Series(spec, pods, world.spells, world.surge_began_s)
            return _answer(held, series, ranged=request.path.endswith("/query_range"))
        except ValueError as error:
            said = {"status": "error", "errorType": "bad_data", "error": str(error)}
            return web.json_response(said, status=400)

    application = web.Application()
    for path in ("/api/v1/query", "/api/v1/query_range", "/api/v1/label/__name__/values"):
        application.router.add_get(path, answer)
        application.router.add_post(path, answer)
    return application


async def _failed(request: web.Request, spec: PrometheusSpec) -> web.Response | None:
    match spec.fail:
        case "down":
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        case "timeout":
            await asyncio.sleep(_HANGS_S)
            return web.Response(status=503, text="query timed out")
        case "401" | "403" | "500":
            return web.Response(status=int(spec.fail), text="no")
        case "garbage":
            return web.Response(text="<html><body>Sign in</body></html>", content_type="text/html")
    return None


def _answer(held: Mapping[str, str], series: _Series, *, ranged: bool) -> web.Response:
    query, now, spec = held.get("query", "").strip(), time.time(), series.spec
    counted, rated = _COUNT.fullmatch(query), _RATE.fullmatch(query)
    if counted and not ranged:
        count = len({tuple(step.labels.items()) for step in series.steps(counted["name"])})
        rows = [{"metric": {}, "value": [now, str(count)]}] if count else []
        return _success({"resultType": "vector", "result": rows})
    if ranged and _QUANTILE.fullmatch(query):
        return _success({"resultType": "matrix", "result": []})  # the service exports no histogram
    if ranged and (raw := _RAW.fullmatch(query)):
        counted_up = list(series.steps(raw["name"]))
        labels = sorted({label for step in counted_up for label in step.labels})
        return _over_time(held, lambda at: _counts(counted_up, labels, now - at, at - _COUNTING_SINCE), spec)
    if rated is None:
        raise ValueError('invalid parameter "query": 1:1: parse error: the sandbox reads sums of rates and counts only')
    window_s, offset_s = _seconds(rated["window"]), _seconds(rated["offset"] or "0s")
    by = [label.strip() for label in (rated["by"] or "").split(",") if label.strip()]
    steps = list(series.steps(rated["name"]))
    if not ranged:
        at = float(held.get("time") or now)
        sums = _sums(steps, by, now - at + offset_s, window_s)
        rows = [{"metric": dict(key), "value": [at, _text(rate, spec)]} for key, rate in sums.items()]
        return _success({"resultType": "vector", "result": rows})
    times = window_s if rated["how"] == "increase" else 1.0

    def over_time(at: float) -> dict[Any, float]:
        return {key: times * rate for key, rate in _sums(steps, by, now - at + offset_s, window_s).items()}

    return _over_time(held, over_time, spec)


def _over_time(
    held: Mapping[str, str], values_at: Callable[[float], Mapping[Any, float]], spec: PrometheusSpec
) -> web.Response:
    """The answer to a range query."""
    start, end, step_s = float(held["start"]), float(held["end"]), float(held["step"])
    if step_s <= 0 or (end - start) / step_s > 11_000:
        raise ValueError("exceeded maximum resolution of 11,000 points per timeseries.")
    values: dict[Any, list[list[object]]] = {}
    for index in range(int((end - start) / step_s) + 1):
        at = start + index * step_s
        for key, value in values_at(at).items():
            values.setdefault(key, []).append([at, _text(value, spec)])
    rows = [{"metric": dict(key), "values": points} for key, points in values.items()]
    return _success({"resultType": "matrix", "result": rows})


def _counts(steps: Sequence[_Step], labels: Sequence[str], age_s: float, counting_s: float) -> dict[Any, float]:
    """What each counter stood at so long ago, when it had been counting for so long."""
    means = _sums(steps, labels, age_s, counting_s)
    return {key: round(mean * counting_s) for key, mean in means.items()}


def _success(data: object) -> web.Response:
    return web.json_response({"status": "success", "data": data}, dumps=json.dumps)


def _text(rate: float, spec: PrometheusSpec) -> str:
    return "NaN" if spec.fail == "nan" else repr(rate)


def _seconds(duration: str) -> float:
    return float(duration[:-1]) * _SECONDS[duration[-1]]


def _sums(
    steps: Sequence[_Step], by: Sequence[str], age_s: float, window_s: float
) -> dict[tuple[tuple[str, str], ...], float]:
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for step in steps:
        key = tuple((label, step.labels[label]) for label in by if label in step.labels)
        sums[key] = sums.get(key, 0.0) + step.mean(age_s, window_s)
    return sums


def _stopped_s(spec: PrometheusSpec) -> float | None:
    return None if spec.stopped_minutes_ago is None else 60 * spec.stopped_minutes_ago


def _shares(held: Mapping[str, float], label: str) -> list[tuple[dict[str, str], float]]:
    whole = sum(held.values())
    return [({label: value}, rate / whole) for value, rate in held.items()] if whole else []
