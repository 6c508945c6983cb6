"""Every way to touch the world, as Protocols over plain values; ``clients``, ``slack`` and ``app`` provide them.

Ports raise only :mod:`bot.errors`. Anything that reads takes or has a limit.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from bot.domain.incident import Change, Incident, Outgoing
from bot.domain.signals import Failure, Finding, ProbeName
from bot.domain.timeline import Entry
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

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        """The object; raises NotFound, Forbidden, LoginExpired, Unreachable, BadAnswer."""

    def list(self, kind: str, *, selector: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """The objects, read a page at a time; raises as ``get`` does."""

    def log_chunks(self, pod: str, container: str, *, since_s: int, tail_lines: int) -> AsyncIterator[bytes]:
        """The newest log lines, each led by its RFC 3339 time and a space, in chunks that end at any byte."""

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


@dataclass(frozen=True, kw_only=True)
class File:
    """Something to upload."""

    name: str
    title: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a handler says: a template and its values, what goes to the message's thread, and files for it."""

    template: str
    context: Mapping[str, Any]
    thread: "tuple[Reply, ...]" = ()
    files: tuple[File, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MessageRef:
    """A message that was posted."""

    channel: str
    ts: str


class Charts(Protocol):
    async def error_rate(
        self, points: Sequence[tuple[datetime, float]], *, onset: datetime | None, rollouts: Sequence[datetime]
    ) -> bytes:
        """A PNG of the error share over time; raises BotError where it cannot be drawn."""


class Messenger(Protocol):
    """Slack's Web API as the bot uses it; what is sent is rendered here, as late as can be. Raises MessageError."""

    async def post(
        self,
        channel: str,
        reply: Reply,
        *,
        thread_ts: str | None = None,
        aloud: bool = False,
        delivery: str | None = None,
    ) -> MessageRef:
        """A new message in the channel or in a thread of it (``aloud``: shown in the channel too).

        ``delivery`` goes into the message's metadata, so that :meth:`find` finds it.
        """

    async def complete(
        self, message: MessageRef, reply: Reply, *, thread_ts: str | None, delivery: str, since: datetime
    ) -> None:
        """Posts what is missing of the rest of a long text, whose beginning ``message`` is."""

    async def find(self, channel: str, delivery: str, *, since: datetime, thread_ts: str | None) -> MessageRef | None:
        """The message with that delivery id, posted at or after ``since``."""

    async def update(self, message: MessageRef, reply: Reply) -> None:
        """The same message with new content."""

    async def upload(self, message: MessageRef, file: File) -> None:
        """A file in the message's thread."""

    async def pin(self, message: MessageRef) -> None:
        """Pins the message; one that is pinned already stays so."""

    async def make_channel(self, name: str) -> str:
        """The id of the channel called ``name``, made now if there is none."""

    async def invite(self, channel: str, users: Sequence[str]) -> None:
        """Whoever is there already, or can never be invited, is passed over."""


class Pager(Protocol):
    """Wakes somebody. Each file in ``pagers/`` ends in ``PAGER``, a factory of one of these."""

    async def page(self, action: str, incident: Incident) -> None:
        """``action``: trigger, acknowledge or resolve; the same one twice does nothing more. Raises UpstreamError."""


class Check(Protocol):
    """What ``mistral-bot doctor`` asks of one system. Each file in ``checks/`` ends in ``CHECK``, one of these."""

    @property
    def name(self) -> str: ...

    @property
    def per_target(self) -> bool:
        """False where the system is the same for all targets, such as Slack."""

    async def check(self, run: ProbeRun, settings: Settings) -> Sequence[CheckResult]:
        """One result for each thing looked at; empty where the system is not configured."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message that waits or is being sent.

    ``unsure``: an earlier attempt may have arrived. ``wanted``: of a card, the version that is asked for. ``channel``
    and ``ts``: where the card stands since it was sent first.
    """

    seq: int
    id: str
    incident: int
    message: Outgoing
    created_at: datetime
    attempts: int
    unsure: bool
    wanted: int
    channel: str | None
    ts: str | None
    error: str | None


class Store(Protocol):
    """The database. Everything raises StoreError where it cannot be used; what is written is written whole or not."""

    async def check(self) -> None:
        """Asks the least that can be asked."""

    async def create(self, change: Change, *, now: datetime, request: str) -> Incident:
        """Stores a new incident; raises AlreadyDone where ``request`` has made one."""

    async def save(self, before: Incident, change: Change, *, now: datetime, request: str | None = None) -> Incident:
        """Stores what became of ``before``; raises Conflict if that is no longer the newest, AlreadyDone."""

    async def incident(self, number: int) -> Incident | None: ...

    async def made_by(self, request: str) -> Incident | None:
        """The incident that ``request`` made or changed."""

    async def in_channel(self, channel: str) -> Sequence[Incident]:
        """The open incidents that live in or were announced in a channel, the newest first."""

    async def listed(self, *, open_only: bool, limit: int) -> Sequence[Incident]:
        """Incidents, the newest first."""

    async def resolved(self, *, limit: int) -> Sequence[Incident]:
        """Resolved incidents, the newest first."""

    async def timeline(self, number: int) -> Sequence[Entry]: ...

    async def tick(self, now: datetime, work: Callable[[Incident], Change | None], *, limit: int) -> int:
        """Claims incidents whose clocks have run out and stores what ``work`` makes of them; how many there were."""

    async def claim(
        self, now: datetime, *, limit: int, lease_s: float, pages: bool | None = None
    ) -> Sequence[Delivery]:
        """Deliveries that are due, for this process alone until the lease ends; first in order per destination.

        ``pages``: those alone, or all but those; None: all.
        """

    async def sent(self, delivery: Delivery, ref: "MessageRef | None") -> None: ...

    async def later(self, delivery: Delivery, at: datetime, error: str, *, unsure: bool) -> None:
        """To be tried again ``at`` that time."""

    async def dead(self, delivery: Delivery, error: str) -> None:
        """Refused for good: kept, and shown to people."""

    async def card(self, incident: int, channel: str | None = None) -> "MessageRef | None":
        """Where the incident's card stands (in ``channel``)."""

    async def waiting(self) -> Mapping[str, int]:
        """How many deliveries are in each state that is not ``sent``."""

    async def dead_letters(self, limit: int) -> Sequence[Delivery]: ...

    async def revive(self) -> int:
        """Makes dead deliveries wait again; how many."""

    async def keep_triage(self, report: Mapping[str, Any], *, target: str, at: datetime) -> str:
        """Keeps a triage's JSON; its id."""

    async def triage(self, identity: str) -> Mapping[str, Any] | None: ...


@dataclass(frozen=True, kw_only=True)
class DatabaseState:
    """What a database says of itself. ``migration`` None: the bot has never used it."""

    migration: str | None
    newest: str
    """The migration that this bot needs."""
    now: datetime | None
    """Its clock, aware; None: it has none of its own (a file), or is not there yet."""


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A delivery that was not sent. ``state``: waiting, sending or dead."""

    state: str
    due_at: datetime
    delivery: Delivery


class Database(Protocol):
    """The database as whoever runs the bot looks at it; raises StoreError, whose sentence says why it cannot be used.

    Looking makes nothing: a file that is not there is not there afterwards.
    """

    async def state(self) -> DatabaseState: ...

    async def pending(self, limit: int) -> Sequence[Pending]:
        """What was not sent yet or was given up, the oldest first."""
