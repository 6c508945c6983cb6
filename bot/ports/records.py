"""The database: what is kept, what waits to be sent, and the database as whoever runs the bot looks at it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from bot.domain.incident import Change, Incident, Outgoing
from bot.domain.timeline import Entry
from bot.ports.messages import MessageRef


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

    async def forget(self, now: datetime) -> int:
        """Deletes what nothing asks for any more, requests and triages that are long done; how many."""


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
