"""One fake per port, and ``probe_run`` that puts them together into what a probe is given."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from bot.configuration import load
from bot.domain.incident import Incident
from bot.domain.publication import ComponentState, PublicIncident, PublicStatus, PublicView
from bot.errors import BotError, Changed, Forbidden, NotFound, Unreachable
from bot.ports import Exchange, ProbeRun, Sample, Series, ServiceKey
from bot.sandbox.kubernetes_patch import merge_patch
from bot.settings import Target

_T = TypeVar("_T")
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@dataclass
class FakeClock:
    """Stands still until :meth:`advance`."""

    at: datetime = NOW
    seconds: float = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds


def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the running loop's clock goes on by 0.04 s at most between two looks at it.

    So a short time-out is not over where the machine stood still for longer than that, as CI's does for seconds.
    """
    loop = asyncio.get_running_loop()
    real = loop.time
    seen = told = real()

    def time() -> float:
        nonlocal seen, told
        now = real()
        seen, told = now, told + min(now - seen, 0.04)
        return told

    def awake() -> None:
        loop.call_later(0.02, awake)  # a loop with nothing to do would not look for longer

    monkeypatch.setattr(loop, "time", time)
    awake()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request that :class:`FakeHttp` was asked to make."""

    method: str
    url: str
    timeout_s: float
    headers: Mapping[str, str]
    json: Any


@dataclass
class FakeHttp:
    """Answers by the end of the URL (the longest that fits), else with 404; a callable is given the request."""

    answers: Mapping[str, Exchange | Callable[[Asked], Exchange]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Exchange:
        request = Asked(method=method, url=url, timeout_s=timeout_s, headers=headers or {}, json=json)
        self.asked.append(request)
        await asyncio.sleep(0)
        fitting = [end for end in self.answers if url.endswith(end)]
        if not fitting:
            return Exchange(status=404, latency_ms=1, first_byte_ms=1)
        answer = self.answers[max(fitting, key=len)]
        return answer if isinstance(answer, Exchange) else answer(request)


@dataclass
class FakeMetrics:
    """Answers with what stands under the first key that occurs in the query, else with no series.

    A BotError in place of a result is raised. ``asked`` has the queries in order.
    """

    samples: Mapping[str, Sequence[Sample] | BotError] = field(default_factory=dict)
    series: Mapping[str, Sequence[Series] | BotError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def query(self, promql: str, *, timeout_s: float) -> Sequence[Sample]:
        self.asked.append(promql)
        for part, result in self.samples.items():
            if part in promql:
                return _or_raise(result)
        return ()

    async def query_range(
        self, promql: str, *, start: datetime, end: datetime, step_s: float, timeout_s: float
    ) -> Sequence[Series]:
        self.asked.append(promql)
        for part, result in self.series.items():
            if part in promql:
                return _or_raise(result)
        return ()


def _or_raise(result: Sequence[_T] | BotError) -> Sequence[_T]:
    if isinstance(result, BotError):
        raise result
    return result


@dataclass
class FakeCluster:
    """Objects by kind, log bytes by pod; kinds in ``forbidden`` and everything under ``error`` raise.

    ``forbidden`` may name a verb too, as ``patch Deployment``. A patch puts another object in the old one's place.

    ``list`` ignores a selector unless it is a plain ``key=value,…``, which must then be among the labels.
    """

    objects: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)
    logs: Mapping[str, bytes] = field(default_factory=dict)
    forbidden: frozenset[str] = frozenset()
    error: BotError | None = None
    namespace: str = "default"
    chunk_bytes: int = 1000
    endless: frozenset[str] = frozenset()
    """Pods whose log is told and then never ends."""
    read_logs: list[tuple[str, str, int, int | None]] = field(default_factory=list)
    """(pod, container, since_s, tail_lines) of each log that was asked for."""
    patches: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    """(kind, name, patch) of each that was made; dry runs are not among them."""
    preparing: Callable[[], Awaitable[None]] | None = None

    async def prepare(self) -> None:
        if self.preparing is not None:
            await self.preparing()

    def _may(self, verb: str, kind: str, name: str = "") -> None:
        if self.error is not None:
            raise self.error
        if self.forbidden & {kind, f"{verb} {kind}"}:
            plural = {"NetworkPolicy": "networkpolicies", "Pod/log": "pods/log"}.get(kind, f"{kind.lower()}s")
            raise Forbidden(f"forbidden: {verb} {plural}{name and '/' + name} in {self.namespace}")

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        self._may("get", kind, name)
        for held in self.objects.get(kind, ()):
            if held["metadata"]["name"] == name:
                return held
        raise NotFound(f"there is no {kind} {name} in {self.namespace}")

    async def list(self, kind: str, *, selector: str | None = None) -> AsyncIterator[dict[str, Any]]:
        self._may("list", kind)
        wanted = {} if selector is None else dict(part.split("=", 1) for part in selector.split(",") if "=" in part)
        for held in self.objects.get(kind, ()):
            labels = held["metadata"].get("labels") or {}
            if wanted.items() <= labels.items():
                yield held

    async def log_chunks(
        self, pod: str, container: str, *, since_s: int, tail_lines: int | None, previous: bool = False
    ) -> AsyncIterator[bytes]:
        self._may("get", "Pod/log")
        self.read_logs.append((pod, container, since_s, tail_lines))
        held = self.logs.get(pod)
        if held is None:
            raise NotFound(f"there is no Pod {pod} in {self.namespace}")
        for begin in range(0, len(held), self.chunk_bytes):
            yield held[begin : begin + self.chunk_bytes]
        if pod in self.endless:
            await asyncio.Event().wait()

    async def patch(self, kind: str, name: str, patch: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        self._may("patch", kind, name)
        held = await self.get(kind, name)
        version = held["metadata"].get("resourceVersion", "1")
        if patch.get("metadata", {}).get("resourceVersion", version) != version:
            raise Changed(f"{kind.lower()}s/{name} in {self.namespace} has changed since it was read")
        made: dict[str, Any] = merge_patch(deepcopy(held), patch)
        if made.get("spec") != held.get("spec"):
            made["metadata"]["generation"] = held["metadata"].get("generation", 1) + 1
        if not dry_run:
            made["metadata"]["resourceVersion"] = str(int(version) + 1)
            self.objects = {**self.objects, kind: [made if one is held else one for one in self.objects[kind]]}
            self.patches.append((kind, name, patch))
        return made

    async def may(self, verb: str, resource: str, *, group: str = "", name: str = "", subresource: str = "") -> bool:
        if self.error is not None:
            raise self.error
        kinds = {kind.lower() + "s" for kind in self.forbidden} | self.forbidden
        return not kinds & {resource, f"{verb} {resource}"}


async def read_each_time(what: str, read: Callable[[], Awaitable[Any]]) -> Any:
    """An ``once`` for a probe that runs alone."""
    return await read()


def target(**environ: str) -> Target:
    """The default target that these variables describe."""
    return load(environ).target("default")


def probe_run(**overrides: Any) -> ProbeRun:
    """What a probe is given; each field can be named, and ``environ`` (variables) or ``key`` (None: none) instead."""
    settings = load(overrides.pop("environ", {}))
    key = overrides.pop("key", "test-key-0123456789")

    async def service_key() -> ServiceKey | None:
        return None if key is None else ServiceKey(value=key, source="environment")

    fields: dict[str, Any] = {
        "target": settings.target("default"),
        "timeout_s": 30.0,
        "limits": settings.limits,
        "labels": settings.labels,
        "slack_api_url": settings.slack.api_url,
        "clock": FakeClock(),
        "http": FakeHttp(),
        "metrics": None,
        "cluster": None,
        "service_key": service_key,
        "once": read_each_time,
    }
    return ProbeRun(**{**fields, **overrides})


@dataclass
class FakePage:
    """A status page that remembers what it was asked to say; while ``error`` is set it raises that."""

    name: str = "fake"
    error: BotError | None = None
    said: list[tuple[int, PublicStatus, str | None]] = field(default_factory=list)
    """(updates, status, known) of each call that succeeded."""
    states: Mapping[str, ComponentState] = field(default_factory=dict)

    async def publish(self, incident: PublicIncident, view: PublicView, *, known: str | None) -> str:
        if self.error is not None:
            raise self.error
        self.said.append((len(incident.updates), incident.status, known))
        self.states = view.states
        return f"{self.name}-{incident.slug}"

    def link(self, incident: PublicIncident, known: str | None) -> str | None:
        return f"https://status.example/{incident.slug}"


@dataclass
class Bell:
    """A pager: what it was told, and whether it cannot be reached."""

    name: str = "bell"
    fails: bool = False
    heard: list[str] = field(default_factory=list)
    rung: asyncio.Event = field(default_factory=asyncio.Event)

    async def page(self, action: str, incident: Incident) -> None:
        self.heard.append(action)
        self.rung.set()
        if self.fails:
            raise Unreachable(f"{self.name} cannot be reached")
