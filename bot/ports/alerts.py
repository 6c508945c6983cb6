"""What is stored of alerts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.domain.alerting import Decide
from bot.domain.alerts import AlertKey, Payload, Proposal
from bot.domain.incident import Change, Incident


@dataclass(frozen=True, kw_only=True)
class AlertFigures:
    """The alerts of one incident. ``names``: of those that fire, each once; ``began_at``: of the first of all."""

    firing: int
    resolved: int
    names: tuple[str, ...]
    began_at: datetime


class Alerts(Protocol):
    async def alert_figures(self, incident: int) -> AlertFigures | None:
        """None: no alert belongs to the incident."""

    async def receive_alerts(self, payloads: Sequence[Payload], now: datetime) -> bool:
        """Writes what is new in ``payloads``, which came in this order; whether there is something to work in."""

    async def work_alerts(self, now: datetime, decide: Decide, *, limit: int) -> int:
        """Stores what ``decide`` makes of the news of at most ``limit`` keys; how many there were.

        A key is held by one process meanwhile.
        """

    async def claim_alert_triages(self, now: datetime, *, limit: int, lease_s: float) -> Sequence[AlertKey]:
        """Keys whose triage is to run, for this process alone until the lease ends."""

    async def end_alert_triages(
        self,
        keys: Sequence[AlertKey],
        decide: Callable[[Incident], Change],
        now: datetime,
        *,
        triage: str | None,
        again_at: datetime | None = None,
    ) -> None:
        """Stores what ``decide`` makes of the keys' incidents, and ``triage`` of the keys; or it runs ``again_at``."""

    async def alert_key(self, key: str) -> AlertKey | None: ...

    async def proposal(self, identity: str) -> Proposal | None:
        """The proposal whose card has that id."""

    async def proposed(self, key: str) -> Proposal | None:
        """The newest proposal of a key, declared or not."""
