"""What is stored of how the provider fares while an incident is open."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.domain.watching import Watching


@dataclass(frozen=True, kw_only=True)
class Watched:
    """An incident whose provider is to be looked at; when its page, and when its API. None: not."""

    incident: int
    page_at: datetime | None
    probe_at: datetime | None


class Watches(Protocol):
    """What was found is written with a Change's ``watching``."""

    async def watching(self, incident: int) -> Watching | None:
        """As it was found last; None: it has not been looked at yet."""

    async def claim_watches(self, now: datetime, *, limit: int, lease_s: float) -> Sequence[Watched]:
        """Open incidents whose provider is due, for this process alone until the lease ends."""

    async def watched(self, incident: int, *, page_at: datetime | None, probe_at: datetime | None) -> None:
        """It was looked at; when the next looks are due. None, None: no more."""
