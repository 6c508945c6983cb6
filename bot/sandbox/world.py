"""``World``: what is happening now. Every server of the sandbox asks it at each request: a change takes effect at once.

Without a story the scenario holds as it is. With one, what its remedies have done to the cluster, its end and what
somebody changed by hand are laid over the scenario.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bot.sandbox.deeds import DEEDS
from bot.sandbox.scenario import (
    AnswerSpec,
    ClusterSpec,
    MistralSpec,
    PrometheusSpec,
    ProviderStatusSpec,
    Scenario,
)
from bot.sandbox.story import EVERYTHING, Spell, Story, Telling

_LIMITED = {"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "code": "1300"}
# What Mistral's API can be made to answer by hand.
API_CHANGES: Mapping[str, AnswerSpec] = {
    "200": AnswerSpec(),
    "401": AnswerSpec(status=401),
    "402": AnswerSpec(status=402),
    "429": AnswerSpec(status=429, body=_LIMITED, headers={"Retry-After": "20"}),
    "503": AnswerSpec(status=503),
    "no answer": AnswerSpec(fail="timeout"),
    "cut": AnswerSpec(fail="connect"),
    "a login page": AnswerSpec(fail="garbage"),
}
_SURGE_BEGAN_S = 1800.0
# From this share of failed requests on, the service calls itself unwell.
_UNWELL = 0.5


@dataclass(frozen=True, kw_only=True)
class SeenRequest:
    """One request that the bot made; ``upstream`` is the server's name, ``at`` the world's clock."""

    upstream: str
    method: str
    path: str
    at: float


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What was changed by hand; as it stands here: nothing. ``api`` is a key of API_CHANGES."""

    api: str = ""
    error_ratio: float | None = None
    pods_down: int = 0
    prometheus_down: bool = False


class Cluster(Protocol):
    """What the world asks its cluster."""

    @property
    def held(self) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """The objects by resource and name."""

    def refresh(self) -> None:
        """Moves rollouts on to now."""

    def done(self, remedy: str) -> float:
        """The share of the serving pods that run as ``remedy`` leaves them."""

    def tried(self, remedy: str) -> bool:
        """Whether any pod is as ``remedy`` leaves it, whether it starts or not."""

    def release(self) -> None:
        """Somebody rolls out a release that does not start."""


@dataclass
class World:
    """The newest 10,000 requests are kept."""

    scenario: Scenario
    requests: deque[SeenRequest] = field(default_factory=lambda: deque(maxlen=10_000))
    service_key: str = "sandbox-key-4f9a1c7e2b8d"
    """The Mistral key in the cluster's Secret and in the bot's environment."""
    rollout_s: float = 0.4
    """How long the pods of a new template take to be ready, all of them."""
    monotonic: Callable[[], float] = time.monotonic
    """By which the pods get ready."""
    telling: Telling | None = None
    changes: Changes = field(default_factory=Changes)
    cluster: Cluster | None = None

    @property
    def now(self) -> float:
        """By the world's clock, in Unix seconds."""
        return time.time()

    def seen(self, upstream: str, method: str, path: str) -> None:
        self.requests.append(SeenRequest(upstream=upstream, method=method, path=path, at=self.now))
        self.look()

    def tell(self, story: Story) -> None:
        """From now on this happens, from its beginning, also where it is what happened before."""
        self.telling, self.changes = Telling(story, self.now), Changes()
        self.scenario = replace(story.scenario)
        self.requests.clear()

    def change(self, changes: Changes) -> None:
        self.changes = changes
        self.look()

    def look(self) -> None:
        """Notes how far the story is cured by what the cluster runs now."""
        telling = self.telling
        if telling is None:
            return
        done: dict[str, float] = {}
        if self.cluster is not None:
            self.cluster.refresh()
            done = {remedy: self.cluster.done(remedy) for remedy in telling.story.cures}
        cures = telling.story.cures
        telling.mark(self.now, 1.0 - max(done.values(), default=0.0), self.changes.error_ratio)
        telling.api_well = any(share >= _UNWELL for remedy, share in done.items() if cures[remedy] == EVERYTHING)

    def remedies_tried(self) -> tuple[str, ...]:
        """Those as which any pod runs, or tries to."""
        return () if self.cluster is None else tuple(filter(self.cluster.tried, DEEDS))

    @property
    def failing(self) -> bool:
        """Whether the scenario still holds for the service."""
        return self.telling is None or not (self.telling.cured or self.telling.over(self.now))

    @property
    def keys(self) -> frozenset[str]:
        """Those that Mistral takes."""
        spare = self.scenario.cluster.spare_keys.values() if self.telling and self.scenario.cluster else ()
        return frozenset({self.service_key, *spare})

    def mistral(self, key: str) -> MistralSpec:
        """What its API does for whoever has that ``key``."""
        spec = self.scenario.mistral or MistralSpec()
        if self.changes.api:
            return _answering(spec, API_CHANGES[self.changes.api])
        if self.telling is None:
            return spec
        new_key = "rotate_key" in self.telling.story.cures and key in self.keys - {self.service_key}
        well = new_key or self.telling.api_well or self.telling.over(self.now)
        return _answering(spec, AnswerSpec()) if well else spec

    @property
    def service(self) -> AnswerSpec:
        spec = self.scenario.service or AnswerSpec()
        if (ratio := self.changes.error_ratio) is not None:
            return AnswerSpec(status=503 if ratio >= _UNWELL else 200)
        return spec if self.failing else AnswerSpec()

    @property
    def prometheus(self) -> PrometheusSpec | None:
        spec = self.scenario.prometheus
        return replace(spec, fail="down") if spec is not None and self.changes.prometheus_down else spec

    @property
    def spells(self) -> Sequence[Spell] | None:
        """When errors came at which share of the scenario's rates; None: always, all of them."""
        return None if self.telling is None else tuple(self.telling.spells(self.now))

    @property
    def surge_began_s(self) -> float:
        """How long ago the requests became as many as they are."""
        return _SURGE_BEGAN_S if self.telling is None else self.now - self.telling.began

    @property
    def provider_status(self) -> ProviderStatusSpec:
        over = self.telling is not None and self.telling.over(self.now)
        return ProviderStatusSpec() if over or self.scenario.provider_status is None else self.scenario.provider_status

    @property
    def cluster_spec(self) -> ClusterSpec:
        return self.scenario.cluster or ClusterSpec(desired=0, ready=0, secret="missing")  # noqa: S106 - a state


def _answering(spec: MistralSpec, answer: AnswerSpec) -> MistralSpec:
    return replace(spec, models=answer, canary=dict.fromkeys(spec.canary, answer))
