"""What is stored of alerts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


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
