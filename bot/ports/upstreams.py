"""Ways to ask the outside during a triage: HTTP, Prometheus, the Kubernetes API; the probes and checks that ask."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from bot.domain.signals import Failure, Finding, ProbeName
from bot.settings import Labels, Limits, Settings, Target


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds that only go forward, for durations."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One HTTP request and how it ended.

    ``failure`` is None where an answer came whole: then ``status`` is set and ``body`` is at most the limit. With
    Failure.GARBAGE there was a status, but the answer was cut off, larger than the limit or not HTTP. A status
    other than 2xx counts whatever became of its body. ``headers`` has lower-case names.
    """

    status: int | None = None
    failure: Failure | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    first_byte_ms: int | None = None
    latency_ms: int = 0


class Http(Protocol):
    async def fetch(
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Exchange:
        """Asks once: no retries, no redirects, all within ``timeout_s``; never raises for what the far end does."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One series of an instant query."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series of a range query."""

    labels: Mapping[str, str]
    points: tuple[tuple[datetime, float], ...]


class Metrics(Protocol):
    async def query(self, promql: str, *, timeout_s: float) -> Sequence[Sample]:
        """An instant query at the server's now; raises UpstreamError."""

    async def query_range(
        self, promql: str, *, start: datetime, end: datetime, step_s: float, timeout_s: float
    ) -> Sequence[Series]:
        """A range query; raises UpstreamError."""


class Cluster(Protocol):
    """The Kubernetes API in the target's namespace. ``kind`` is such as ``Pod`` or ``NetworkPolicy``."""

    async def prepare(self) -> None:
        """Does what takes long the first time; raises nothing."""

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        """The object; raises NotFound, Forbidden, LoginExpired, Unreachable, BadAnswer."""

    def list(self, kind: str, *, selector: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """The objects, read a page at a time; raises as ``get`` does."""

    def log_chunks(
        self, pod: str, container: str, *, since_s: int, tail_lines: int | None, previous: bool = False
    ) -> AsyncIterator[bytes]:
        """The newest log lines, each led by its RFC 3339 time and a space, in chunks that end at any byte.

        ``tail_lines`` None: all of that time. ``previous``: of the container that ran before it was restarted.
        """

    async def patch(self, kind: str, name: str, patch: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """The object after a JSON merge patch (RFC 7386), or with ``dry_run`` as it would be.

        A patch that names a ``metadata.resourceVersion`` raises Changed where the object has moved on; otherwise as
        ``get`` does, and BadAnswer, with the API server's reason, where the server refuses what is asked. After
        Unreachable it may have been made or not: only reading the object tells.
        """

    async def may(self, verb: str, resource: str, *, group: str = "", name: str = "", subresource: str = "") -> bool:
        """Whether RBAC lets the bot do that in the namespace (SelfSubjectAccessReview)."""


@dataclass(frozen=True, kw_only=True)
class ServiceKey:
    """The key that the service uses; ``source`` is ``secret`` or ``environment``. Never shown, never logged."""

    value: str = field(repr=False)
    source: str


@dataclass(frozen=True, kw_only=True)
class ProbeRun:
    """What one probe has to work with during one triage of one target."""

    target: Target
    timeout_s: float
    limits: Limits
    labels: Labels
    slack_api_url: str
    clock: Clock
    http: Http
    metrics: Metrics | None
    """None: not configured."""
    cluster: Cluster | None
    """None: not configured."""
    service_key: Callable[[], Awaitable[ServiceKey | None]]
    """The key as decision-table.md says, within its own short time-out; None where there is none to be had."""
    once: "Once"


class Once(Protocol):
    async def __call__(self, what: str, read: Callable[[], Awaitable[Any]]) -> Any:
        """The result (or error) of ``read()``, made once in a triage for all probes that ask for the same ``what``."""


class Probe(Protocol):
    """One signal. Each file in ``probes/`` ends in ``PROBE``, which is one of these."""

    @property
    def name(self) -> ProbeName: ...

    @property
    def answers_when_late(self) -> bool:
        """True where no answer in time is an answer: ``check`` then keeps ``run.timeout_s`` itself."""

    async def check(self, run: ProbeRun) -> Finding:
        """Looks once. Raises UpstreamError where the signal is unknown: its sentence becomes the summary."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One line of ``mistral-bot doctor``; ``mend`` says how to mend what is not ok, and is empty where it is."""

    what: str
    ok: bool
    detail: str
    mend: str = ""


class Check(Protocol):
    """What ``mistral-bot doctor`` asks of one system. Each file in ``checks/`` ends in ``CHECK``, one of these."""

    @property
    def name(self) -> str: ...

    @property
    def per_target(self) -> bool:
        """False where the system is the same for all targets, such as Slack."""

    async def check(self, run: ProbeRun, settings: Settings) -> Sequence[CheckResult]:
        """One result for each thing looked at; empty where the system is not configured."""
