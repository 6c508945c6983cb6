"""What follows an incident: bundles of evidence and what is collected for them, postmortems, and action items."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from bot.domain.action import Action
from bot.domain.collecting import Collection, Manifest
from bot.domain.incident import Incident, Outgoing
from bot.domain.postmortem import Postmortem, Version
from bot.domain.runs import Run
from bot.domain.timeline import Entry
from bot.ports.messages import Charts
from bot.ports.upstreams import Clock, Cluster, Metrics
from bot.settings import EvidenceSettings, Labels, Target


class Bundle(Protocol):
    """A bundle that is being written: under a temporary name, until it is whole.

    Names are paths within it, such as ``logs/POD/CONTAINER.log``; what in them would lead elsewhere is replaced.
    """

    @property
    def files(self) -> int:
        """How many are in it."""

    @property
    def size(self) -> int:
        """Bytes that were taken so far, the file that is being written included."""

    async def add(self, name: str, content: AsyncIterator[bytes] | bytes, *, source: str, text: bool = True) -> None:
        """A file. Text is redacted as it comes; what is over a limit is left out, and the manifest says so.

        Where ``content`` raises an UpstreamError, what had come stays, marked as cut; so it does when this call is
        cancelled. Raises BotError where the disk takes no more.
        """

    def miss(self, what: str, why: str) -> None:
        """Notes what could not be collected, and why."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What the database says of an incident."""

    incident: Incident
    entries: Sequence[Entry]
    triages: Sequence[tuple[str, datetime, Mapping[str, Any]]]
    """(id, when, the triage's JSON), the oldest first."""
    runs: Sequence[Run]
    alerts: Sequence[Mapping[str, Any]]
    """name, labels, summary, url, starts_at, ends_at (ISO, or None) of each, the oldest first."""
    actions: Sequence[Action]


@dataclass(frozen=True, kw_only=True)
class Collecting:
    """What a source of evidence has to work with; ``record`` None: the bundle is about no incident."""

    target: Target
    labels: Labels
    limits: EvidenceSettings
    since: timedelta
    now: datetime
    clock: Clock
    cluster: Cluster | None
    """None: not configured."""
    metrics: Metrics | None
    """None: not configured."""
    charts: Charts
    record: Record | None
    shared: dict[str, Any] = field(default_factory=dict)
    """What a source that is asked first leaves for those after it, such as the metrics for the charts."""


class Source(Protocol):
    """Where evidence comes from. Each file in ``evidence/`` ends in ``SOURCE``, which is one of these."""

    @property
    def name(self) -> str: ...

    @property
    def order(self) -> int:
        """Sources with the same number are asked at once, after those with a lower one."""

    async def collect(self, asked: Collecting, bundle: Bundle) -> None:
        """Adds what there is, and notes what there is not; an UpstreamError is noted for the whole source."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A bundle that is whole: its file in EVIDENCE_DIR."""

    name: str
    size: int
    sha256: str
    manifest: Manifest


class Collections(Protocol):
    """The bundles in the database."""

    async def ask_collection(self, asked: Collection, *, now: datetime, request: str) -> Collection:
        """Stores that one is wanted; raises AlreadyDone where ``request`` has been carried out before."""

    async def claim_collection(self, now: datetime, *, lease_s: float) -> Collection | None:
        """The one to be collected next, for this process alone until the lease ends, with a new ``fence``."""

    async def move_collection(
        self, collection: Collection, *, now: datetime, lease_s: float = 0.0, messages: Sequence[Outgoing] = ()
    ) -> bool:
        """Stores how far it is, and has its card sent, or sent anew; False: another process has taken it over.

        When it has ended, the incident's timeline says so and ``messages`` wait to be sent.
        """

    async def collection(self, identity: str) -> Collection | None: ...

    async def collections(self, incident: int) -> Sequence[Collection]:
        """All of an incident, the oldest first."""

    async def record(self, number: int) -> Record | None:
        """All that is known of the incident."""


class Postmortems(Protocol):
    """Postmortems in the database; each version stays as it was written."""

    async def postmortem(self, incident: int) -> Postmortem | None:
        """None: the incident has not ended yet."""

    async def postmortem_version(self, incident: int, number: int) -> Version | None: ...

    async def write_postmortem(self, version: Version, *, now: datetime, request: str) -> Postmortem:
        """Stores the version that follows the newest.

        Raises Conflict if ``version.number`` is not the one after it, AlreadyDone.
        """

    async def publish_postmortem(
        self, incident: int, number: int, *, by: str, now: datetime, request: str, messages: Sequence[Outgoing]
    ) -> Postmortem:
        """Notes that the version is published now, with what is to be sent; 0: what the bot drafted.

        Raises AlreadyDone.
        """

    async def tick_postmortems(
        self,
        now: datetime,
        work: Callable[[Incident, Postmortem], tuple[Postmortem, Sequence[Outgoing]]],
        *,
        limit: int,
    ) -> int:
        """Claims those whose clocks have run out and stores what ``work`` makes of them; how many there were."""


class Actions(Protocol):
    """Action items in the database."""

    async def add_action(self, action: Action, *, now: datetime, request: str) -> Action:
        """Stores a new one, and notes it in the incident's timeline; raises AlreadyDone."""

    async def save_action(self, before: Action, after: Action, *, actor: str, now: datetime, request: str) -> Action:
        """Stores what became of ``before``; raises Conflict if that is no longer the newest, AlreadyDone."""

    async def action(self, identity: int) -> Action | None: ...

    async def actions(
        self, *, incident: int | None = None, owner: str | None = None, open_only: bool, limit: int
    ) -> Sequence[Action]:
        """The earliest due first."""

    async def tick_actions(
        self, now: datetime, work: Callable[[Action, Incident], tuple[Action, Sequence[Outgoing]]], *, limit: int
    ) -> int:
        """Claims those whose clocks have run out and stores what ``work`` makes of them; how many there were."""


class Insight(Protocol):
    """What is looked up over many incidents."""

    async def ended_like(self, incident: Incident, *, limit: int) -> Sequence[Incident]:
        """Resolved incidents with the same cause or, where it is not known, the same target, the newest first."""

    async def declared_since(self, since: datetime) -> Sequence[Incident]:
        """The oldest first."""

    async def events_of(self, incidents: Sequence[int], kinds: Sequence[str]) -> Sequence[tuple[int, str, datetime]]:
        """(incident, kind, when) of the entries of those kinds in their timelines."""

    async def triages_of(self, identities: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """The JSON of those triages that are still kept, by their ids."""

    async def runs_of(self, incidents: Sequence[int]) -> Sequence[Run]:
        """Their mitigations, the oldest first."""


class Aftermath(Collections, Postmortems, Actions, Insight, Protocol):
    """All of it."""


Progress = Callable[[str, int, int], Awaitable[None]]
"""Is told what is being collected, how many files and how many bytes there are."""
