"""What is known during one triage: the findings by name, and the questions that the decision table asks of them.

A question answers True, False or None for "not known" (Kleene's logic): an unknown signal satisfies no condition, and
"not X" holds unless X is known to hold; see decision-table.md, "What is known".
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from bot.domain.signals import (
    Answer,
    Canary,
    CanaryAnswer,
    Control,
    Egress,
    Failure,
    Finding,
    Health,
    Logs,
    MistralApi,
    Pods,
    ProbeName,
    ProviderStatus,
    Rollout,
    SecretState,
    Signal,
    Traffic,
)

Truth = bool | None
S = TypeVar("S", bound=Signal)

# Thresholds of decision-table.md: E that counts as seen by the app, E that makes the service bad, error lines that do.
SEEN_RATIO = 0.001
BAD_RATIO = 0.01
ENOUGH_ERROR_LINES = 10
# A rollout at most this long before the onset may have caused it.
ROLLOUT_WINDOW = timedelta(minutes=30)
SURGE_FACTOR = 2.0

_OFF_NETWORK = (Failure.DNS, Failure.CONNECT)
_STAGE_WORDS = {"timeout": "timeout", "timed": "timeout", "dns": "dns", "resolve": "dns", "tls": "tls", "ssl": "tls"}


def any_of(truths: Iterable[Truth]) -> Truth:
    """True if one is, else None if one is unknown, else False."""
    unknown = False
    for truth in truths:
        if truth:
            return True
        unknown = unknown or truth is None
    return None if unknown else False


def all_of(truths: Iterable[Truth]) -> Truth:
    """False if one is, else None if one is unknown, else True."""
    unknown = False
    for truth in truths:
        if truth is False:
            return False
        unknown = unknown or truth is None
    return None if unknown else True


def holds_unless(truth: Truth) -> bool:
    """What "not X" means: it holds unless X is known to hold."""
    return truth is not True


def kind_of_code(code: str) -> str:
    """The kind of error that a counter's code label names: ``401``, ``5xx``, ``timeout``, ``dns``, … or itself."""
    word = code.strip().lower()
    if len(word) == 3 and word[0] == "5" and (word.isdigit() or word == "5xx"):
        return "5xx"
    if word in ("invalid_model", "1500"):
        return "invalid_model"
    if "connect" in word or word == "network":
        return "connect"
    return next((stage for part, stage in _STAGE_WORDS.items() if part in word), word)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The signals of one triage; None where one is unknown."""

    now: datetime
    models: MistralApi | None = None
    canaries: tuple[CanaryAnswer, ...] | None = None
    control: Control | None = None
    health: Health | None = None
    traffic: Traffic | None = None
    pods: Pods | None = None
    rollout: Rollout | None = None
    logs: Logs | None = None
    secret: SecretState | None = None
    egress: Egress | None = None
    provider: ProviderStatus | None = None

    @classmethod
    def of(cls, findings: Iterable[Finding], now: datetime) -> "Evidence":
        """The signals that ``findings`` carry."""
        signals = {finding.probe: finding.signal for finding in findings}

        def known(probe: ProbeName, kind: type[S]) -> S | None:
            signal = signals.get(probe)
            return signal if isinstance(signal, kind) else None

        canary = known(ProbeName.CANARY, Canary)
        return cls(
            now=now,
            models=known(ProbeName.MISTRAL_API, MistralApi),
            canaries=None if canary is None else canary.answers,
            control=known(ProbeName.CONTROL, Control),
            health=known(ProbeName.HEALTH, Health),
            traffic=known(ProbeName.PROMETHEUS, Traffic),
            pods=known(ProbeName.PODS, Pods),
            rollout=known(ProbeName.ROLLOUT, Rollout),
            logs=known(ProbeName.LOGS, Logs),
            secret=known(ProbeName.SECRET, SecretState),
            egress=known(ProbeName.EGRESS, Egress),
            provider=known(ProbeName.PROVIDER_STATUS, ProviderStatus),
        )

    # The API as the bot sees it.

    def models_are(self, test: Callable[[Answer], bool]) -> Truth:
        return None if self.models is None else test(self.models)

    def a_canary(self, test: Callable[[CanaryAnswer], bool]) -> Truth:
        return None if self.canaries is None else any(map(test, self.canaries))

    def every_canary(self, test: Callable[[CanaryAnswer], bool]) -> Truth:
        """Every one of at least one."""
        return None if self.canaries is None else bool(self.canaries) and all(map(test, self.canaries))

    def api(self, test: Callable[[Answer], bool]) -> Truth:
        """The models or a canary."""
        return any_of((self.models_are(test), self.a_canary(test)))

    @property
    def models_ok(self) -> Truth:
        return None if self.models is None else self.models.ok

    @property
    def a_canary_failed(self) -> Truth:
        return self.a_canary(lambda answer: not answer.ok)

    def models_failed_by(self, *stages: Failure) -> Truth:
        return self.models_are(lambda answer: answer.failure in stages)

    @property
    def control_off_network(self) -> Truth:
        return None if self.control is None else self.control.failure in _OFF_NETWORK

    @property
    def control_resolves(self) -> Truth:
        """It answered, or failed later than dns."""
        return None if self.control is None else self.control.failure is not Failure.DNS

    # The service.

    @property
    def health_ok(self) -> Truth:
        """Unknown too where the bot is blind: health cannot be reached and control neither."""
        if self.health is None:
            return None
        blind = self.health.failure in _OFF_NETWORK and self.control is not None and self.control.failure is not None
        return None if blind else self.health.ok

    @property
    def error_ratio(self) -> float | None:
        """E, rounded so that a share of 1 in 20 is not a hair below 5 %."""
        ratio = None if self.traffic is None else self.traffic.error_ratio
        return None if ratio is None else round(ratio, 6)

    @property
    def service_bad(self) -> Truth:
        ratio = self.error_ratio
        logged: Truth = False
        if ratio is None:
            logged = None if self.logs is None else self.logs.error_lines >= ENOUGH_ERROR_LINES
        unhealthy = None if self.health_ok is None else not self.health_ok
        failing = None if ratio is None else ratio >= BAD_RATIO
        below = None if self.pods is None else self.pods.below_desired
        return any_of((unhealthy, failing, below, logged))

    @property
    def service_fine(self) -> Truth:
        """Stronger than not bad: healthy, E known and below 1 %, and there are requests."""
        ratio = self.error_ratio
        requests = None if self.traffic is None else self.traffic.requests_per_s
        low = None if ratio is None else ratio < BAD_RATIO
        return all_of((self.health_ok, low, None if requests is None else requests > 0))

    @property
    def surge(self) -> Truth:
        if self.traffic is None or self.traffic.requests_per_s is None or self.traffic.requests_hour_ago_per_s is None:
            return None
        now = self.traffic.requests_per_s
        return now > 0 and now >= SURGE_FACTOR * self.traffic.requests_hour_ago_per_s

    @property
    def rollout_before_onset(self) -> Truth:
        if self.rollout is None:
            return None
        created = self.rollout.created
        if created is None:
            return False
        onset = None if self.traffic is None else self.traffic.onset
        return timedelta(0) <= (onset or self.now) - created <= ROLLOUT_WINDOW

    # What the app sees.

    @property
    def metric_kinds(self) -> frozenset[str] | None:
        """The largest group or groups by E's codes; None where they do not tell."""
        traffic, ratio = self.traffic, self.error_ratio
        if traffic is None or ratio is None or ratio <= SEEN_RATIO or not traffic.by_code:
            return None
        return _largest(traffic.by_code)

    @property
    def log_kinds(self) -> frozenset[str] | None:
        """The largest group or groups of at least ten error lines; empty where there are fewer, None if unknown."""
        if self.logs is None:
            return None
        enough = self.logs.error_lines >= ENOUGH_ERROR_LINES
        return _largest(self.logs.by_kind) if enough and self.logs.by_kind else frozenset()

    def app_sees(self, *kinds: str) -> Truth:
        """Whether the largest group of errors is one of ``kinds``: by E's codes, else by the logs."""
        seen = self.metric_kinds
        if seen is None:
            seen = self.log_kinds
        return None if seen is None else not seen.isdisjoint(kinds)

    @property
    def one_pod_fails(self) -> Truth:
        """One pod has at least 80 % of the errors, of two or more pods."""
        if self.traffic is None or not self.traffic.by_pod:
            return False if self.error_ratio == 0 else None
        errors = self.traffic.by_pod
        running = 0 if self.pods is None else max(self.pods.desired, self.pods.ready)
        total = sum(errors.values())
        if max(len(errors), self.traffic.pods or 0, running) < 2 or total <= 0:
            return False
        return max(errors.values()) / total >= 0.8

    # The cluster.

    def pods_wait_for(self, *reasons: str) -> Truth:
        return None if self.pods is None else any(self.pods.waiting.get(reason) for reason in reasons)

    @property
    def out_of_memory(self) -> Truth:
        return None if self.pods is None else bool(self.pods.terminated.get("OOMKilled"))

    @property
    def secret_missing(self) -> Truth:
        if self.secret is None:
            return None
        return self.secret.referenced and not (self.secret.exists and self.secret.has_key)

    @property
    def key_is_the_pods_own(self) -> Truth:
        """The API was asked with the Secret's key, which the pod template takes from there."""
        if self.models is None or self.secret is None:
            return None
        return self.models.key_source == "secret" and self.secret.referenced

    def egress_closes(self, *ports: int) -> Truth:
        if self.egress is None:
            return None
        closed = {443: self.egress.closes_443, 53: self.egress.closes_53}
        return any_of(closed[port] for port in ports)


def _largest(groups: Mapping[str, float]) -> frozenset[str]:
    totals: dict[str, float] = {}
    for code, amount in groups.items():
        kind = kind_of_code(code)
        totals[kind] = totals.get(kind, 0.0) + amount
    most = max(totals.values(), default=0.0)
    return frozenset(kind for kind, amount in totals.items() if most > 0 and amount >= most * (1 - 1e-9))
