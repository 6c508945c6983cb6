"""What a probe can learn: one frozen value a signal, and the Finding that carries it.

A signal that is not known is absent (``Finding.signal is None``); a field that is not known is ``None``.
Times are aware UTC datetimes, rates are per second, shares are 0 to 1, durations are whole milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    OK = "ok"
    BAD = "bad"
    UNKNOWN = "unknown"


class ProbeName(StrEnum):
    """The probes in the order in which people read them."""

    MISTRAL_API = "mistral_api"
    CANARY = "canary"
    CONTROL = "control"
    HEALTH = "health"
    PROMETHEUS = "prometheus"
    PODS = "pods"
    ROLLOUT = "rollout"
    LOGS = "logs"
    SECRET = "secret"  # noqa: S105 - the name of a probe
    EGRESS = "egress"
    PROVIDER_STATUS = "provider_status"


class Failure(StrEnum):
    """The stage at which a request got no usable answer; decision-table.md, "Signals: models"."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    GARBAGE = "garbage"


_INTERNAL = {"internal": True}
_ALLOWANCES = (
    "x-ratelimit-limit-req-minute",
    "x-ratelimit-remaining-tokens-month",
    # what it was called until 2025
    "x-ratelimitbysize-remaining-month",
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How one request ended: ``failure`` where there was no usable answer, else ``status``.

    A garbage answer has both. ``code``, ``type`` and ``message`` come from an error's body, ``headers`` holds the
    rate-limit ones, lower case.
    """

    status: int | None = None
    failure: Failure | None = None
    code: str | None = None
    type: str | None = None
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    first_byte_ms: int | None = None
    latency_ms: int | None = None

    @property
    def outcome(self) -> str:
        """``dns``, ``timeout``, … or the status as text."""
        return str(self.failure or self.status)

    def is_status(self, *statuses: int) -> bool:
        return self.failure is None and self.status in statuses

    @property
    def is_server_error(self) -> bool:
        return self.failure is None and self.status is not None and 500 <= self.status <= 599

    @property
    def has_no_allowance(self) -> bool:
        """429 with no requests a minute at all, or no tokens left this month."""
        return self.is_status(429) and any(_none_left(self.headers.get(name, "")) for name in _ALLOWANCES)


def _none_left(value: str) -> bool:
    try:
        return float(value) <= 0
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class Model:
    """One row of ``GET /v1/models``."""

    id: str
    aliases: tuple[str, ...] = ()
    deprecation: datetime | None = None
    replacement: str | None = None


def key_prefix(key: str) -> str | None:
    """A key's first four characters, which may be shown; None where that would be a large part of it."""
    return key[:4] if len(key) >= 12 else None


@dataclass(frozen=True, kw_only=True)
class MistralApi(Answer):
    """``GET /v1/models``; ``models`` is filled only when it was answered with 200 and Mistral's JSON."""

    models: tuple[Model, ...] = field(default=(), metadata=_INTERNAL)
    key_source: str | None = None
    """``secret`` where the key came from the cluster's Secret, ``environment`` where from MISTRAL_API_KEY."""
    key_length: int | None = None
    key_prefix: str | None = None
    """The first four characters, never more."""

    @property
    def ok(self) -> bool:
        return self.is_status(200)


@dataclass(frozen=True, kw_only=True)
class CanaryAnswer(Answer):
    """One tiny request to one model; ``slow``: its first byte came later than MISTRAL_SLOW_SECONDS."""

    model: str
    slow: bool = False

    @property
    def ok(self) -> bool:
        return self.is_status(200)


@dataclass(frozen=True, kw_only=True)
class Canary:
    answers: tuple[CanaryAnswer, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Control(Answer):
    """Slack's ``api.test``: any HTTP answer shows that the bot itself is on the network."""


@dataclass(frozen=True, kw_only=True)
class Health(Answer):
    """The company's own health endpoint; ``ok`` as decision-table.md says, ``mistral`` is ``services.mistral``."""

    ok: bool
    mistral: str | None = None


@dataclass(frozen=True, kw_only=True)
class RatioPoint:
    """The share of requests that failed at one moment."""

    at: datetime
    ratio: float


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What Prometheus counts. ``error_ratio`` is E; the ``by_*`` maps are errors per second by label value.

    An empty map means that the series do not carry the label (or that there are no errors); ``pods`` is the number
    of pods that the request series name.
    """

    requests_per_s: float | None = None
    requests_hour_ago_per_s: float | None = None
    error_ratio: float | None = None
    error_ratio_30m: float | None = None
    by_code: Mapping[str, float] = field(default_factory=dict)
    by_pod: Mapping[str, float] = field(default_factory=dict)
    by_model: Mapping[str, float] = field(default_factory=dict)
    pods: int | None = None
    onset: datetime | None = None
    history: tuple[RatioPoint, ...] = field(default=(), metadata=_INTERNAL)


@dataclass(frozen=True, kw_only=True)
class Pods:
    """The pods of the selector. ``waiting`` and ``terminated`` count pods by reason, the latter over 30 minutes."""

    desired: int
    ready: int
    below_desired: bool
    """Fewer ready than desired, and for more than two minutes."""
    waiting: Mapping[str, int] = field(default_factory=dict)
    terminated: Mapping[str, int] = field(default_factory=dict)
    restarts: int = 0
    oldest_start: datetime | None = None
    newest_start: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The newest ReplicaSet with replicas; both fields are None where there is none with a revision above 1."""

    revision: int | None = None
    created: datetime | None = None
    changes: tuple[str, ...] = ()
    """What differs from the revision before, one line each, secrets masked."""


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One error line, redacted and cut."""

    pod: str
    text: str
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class LogPattern:
    """Error lines that differ only in numbers, ids and quoted values."""

    count: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Logs:
    """The error lines of the last five minutes over all pods."""

    lines: int
    error_lines: int
    by_kind: Mapping[str, int] = field(default_factory=dict)
    """HTTP codes as text, ``dns``, ``connect``, ``tls``, ``timeout``, ``invalid_model`` or ``other``."""
    pods: int = 0
    patterns: tuple[LogPattern, ...] = field(default=(), metadata=_INTERNAL)
    newest: tuple[LogLine, ...] = field(default=(), metadata=_INTERNAL)
    left_out: tuple[str, ...] = ()

    @property
    def estimated_error_ratio(self) -> float | None:
        """The share of lines that are errors: an estimate to show where Prometheus is down, never E."""
        return self.error_lines / self.lines if self.lines else None


@dataclass(frozen=True, kw_only=True)
class SecretState:
    """The Secret with Mistral's key, as the pod template references it."""

    name: str
    key: str
    referenced: bool
    """Whether the pod template takes its key from it (else it is KUBE_SECRET, looked at on its own)."""
    exists: bool
    has_key: bool


@dataclass(frozen=True, kw_only=True)
class Egress:
    """What the NetworkPolicies that select the pods leave open, taken together; None: cannot be told."""

    closes_443: bool | None
    closes_53: bool | None
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ProviderStatus:
    """The provider's status page; ``incidents`` are the open ones that concern the API, chat or a used model."""

    indicator: str
    incidents: tuple[str, ...] = ()


Signal = (
    MistralApi | Canary | Control | Health | Traffic | Pods | Rollout | Logs | SecretState | Egress | ProviderStatus
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one probe found; ``summary`` is one sentence.

    ``signal`` is None only where ``verdict`` is unknown; with that verdict it may still hold a part of what was asked.
    """

    probe: ProbeName
    verdict: Verdict
    summary: str
    duration_ms: int = 0
    signal: Signal | None = None

    @property
    def data(self) -> dict[str, Any]:
        """The signal as JSON-ready values, without what is unknown or only of use inside."""
        return {} if self.signal is None else to_data(self.signal)


def to_data(value: object) -> Any:
    """A signal as what ``json`` can write; fields that are None, empty or internal are left out."""
    if is_dataclass(value):
        named = {f.name: getattr(value, f.name) for f in fields(value) if not f.metadata.get("internal")}
        return {name: to_data(held) for name, held in named.items() if held is not None and held not in ({}, ())}
    if isinstance(value, Mapping):
        return {str(key): to_data(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [to_data(held) for held in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return value
