"""The database: what is kept, what waits to be sent, and the database as whoever runs the bot looks at it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from bot.domain.incident import Change, Incident, Outgoing
from bot.domain.runs import Circumstances, Run, RunChange
from bot.domain.timeline import Entry
from bot.ports.aftermath import Aftermath
from bot.ports.alerts import Alerts
from bot.ports.messages import MessageRef
from bot.ports.statuspages import Publications
from bot.ports.watches import Watches


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message that waits or is being sent.

    ``incident`` None: it is about none, as a proposal is. ``unsure``: an earlier attempt may have arrived. ``wanted``:
    of a card, the version that is asked for. ``channel`` and ``ts``: where the card stands since it was sent first; of
    a status page, its name and what it calls the incident.
    """

    seq: int
    id: str
    incident: int | None
    message: Outgoing
    created_at: datetime
    attempts: int
    unsure: bool
    wanted: int
    channel: str | None
    ts: str | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Lane:
    """What is sent beside the rest, so that neither holds up the other: one destination, or all but the ``others``."""

    destination: str | None = None
    others: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """The kill switch is on: no mitigation begins."""

    by: str
    at: datetime
    reason: str


class Runs(Protocol):
    """The mitigations in the database. What is written is written whole or not, the incident's timeline with it."""

    async def add_run(self, change: RunChange, *, now: datetime, request: str) -> Run:
        """Stores a new run; raises AlreadyDone where ``request`` has been carried out before."""

    async def move_run(self, before: Run, change: RunChange, *, now: datetime, request: str | None = None) -> Run:
        """Stores what became of ``before``, and the runs that begin with it.

        Raises Conflict if ``before`` is no longer the newest, or another process has taken the run; AlreadyDone.
        """

    async def begin_run(
        self, before: Run, decide: Callable[[Circumstances], RunChange | None], *, now: datetime
    ) -> Run | None:
        """As ``move_run``, with what ``decide`` makes of the circumstances; None where it makes nothing.

        No two runs begin, and none begins while the switch is turned or its incident resolved, at the same time.
        """

    async def run(self, identity: str) -> Run | None: ...

    async def runs(self, incident: int) -> Sequence[Run]:
        """All of an incident, the oldest first."""

    async def in_place(self, limit: int) -> Sequence[Run]:
        """Those that have left something temporary in a cluster, the oldest first."""

    async def claim_runs(
        self, now: datetime, *, limit: int, lease_s: float, mine: Collection[str] = ()
    ) -> Sequence[Run]:
        """Runs to be worked on, for this process alone until the lease ends; each with a new ``fence``.

        ``mine``: those that this process works on already, and does not take from itself where it stood still.
        """

    async def renew_run(self, run: Run, now: datetime, *, lease_s: float) -> bool:
        """Whether the run is still this process's, which it then is for another lease."""

    async def release_run(self, run: Run, now: datetime, *, pause_s: float = 0.0) -> None:
        """Lets any process take the run, after ``pause_s``."""

    async def tick_runs(self, now: datetime, work: Callable[[Run], RunChange | None], *, limit: int) -> int:
        """Claims runs whose clocks have run out and stores what ``work`` makes of them; how many there were."""

    async def frozen(self) -> Frozen | None: ...

    async def freeze(self, switch: Frozen | None) -> bool:
        """Turns the kill switch on, or with None off; whether it was the other way before."""


class Store(Runs, Alerts, Watches, Publications, Aftermath, Protocol):
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

    async def claim(self, now: datetime, *, limit: int, lease_s: float, lane: Lane | None = None) -> Sequence[Delivery]:
        """Deliveries that are due, for this process alone until the lease ends; first in order per destination.

        ``lane`` None: all.
        """

    async def due_among(self, now: datetime, destinations: AbstractSet[str]) -> AbstractSet[str]:
        """Those of ``destinations`` for which something is due."""

    async def sent(self, delivery: Delivery, ref: "MessageRef | None") -> None: ...

    async def later(self, delivery: Delivery, at: datetime, error: str, *, unsure: bool) -> None:
        """To be tried again ``at`` that time."""

    async def dead(self, delivery: Delivery, error: str) -> None:
        """Refused for good: kept, and shown to people."""

    async def card(self, incident: int, channel: str | None = None) -> "MessageRef | None":
        """Where the incident's card stands (in ``channel``)."""

    async def shown(self, kind: str, template: str) -> "MessageRef | None":
        """Where the card of that kind stands whose ``template`` is that."""

    async def first_notice(self, incident: int, channel: str) -> "MessageRef | None":
        """The first message about the incident for the stakeholders in ``channel``."""

    async def noticed(self, incident: int) -> Sequence[str]:
        """The channels of stakeholders that were told of the incident, or will be, the first told first."""

    async def waiting(self) -> Mapping[str, int]:
        """How many deliveries are in each state that is not ``sent``."""

    async def backlog(self, now: datetime) -> "Backlog":
        """What is left undone, for whoever watches the bot."""

    async def dead_letters(self, limit: int) -> Sequence[Delivery]: ...

    async def revive(self) -> int:
        """Makes dead deliveries wait again; how many."""

    async def keep_triage(
        self,
        report: Mapping[str, Any],
        *,
        target: str,
        at: datetime,
        identity: str | None = None,
        patience_s: float = 0.0,
    ) -> str:
        """Keeps a triage's JSON; its id, which is ``identity`` where there is one already.

        Tries for ``patience_s``, and :meth:`triage` knows it meanwhile; then raises StoreError.
        """

    async def triage(self, identity: str) -> Mapping[str, Any] | None: ...

    async def forget(self, now: datetime) -> int:
        """Deletes what nothing asks for any more, requests and triages that are long done; how many."""


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """``deliveries`` and how old the oldest is, in seconds, by state; ``overdue_s``: the clock that is longest due."""

    deliveries: Mapping[str, int]
    oldest_s: Mapping[str, float]
    overdue_s: float


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
