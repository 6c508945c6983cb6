"""An action item: what was promised after an incident, by whom and until when; pure values."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class ActionPriority(StrEnum):
    """The runbook's: an immediate fix, a preventive measure, an improvement."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


class ActionState(StrEnum):
    OPEN = "open"
    DONE = "done"
    DROPPED = "dropped"


@dataclass(frozen=True, kw_only=True)
class Action:
    """``id`` 0: not stored yet. ``owner``: a user's id, None: nobody's yet. Moments are aware, in UTC."""

    id: int = 0
    incident: int
    text: str
    priority: ActionPriority
    owner: str | None = None
    due: date
    state: ActionState = ActionState.OPEN
    created_by: str
    created_at: datetime
    closed_by: str | None = None
    closed_at: datetime | None = None
    reminders: int = 0
    """How many were sent."""
    remind_at: datetime | None = None
    """When the next is; None: there is none any more."""
    version: int = 0
