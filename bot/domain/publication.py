"""What the public is told of an incident, in the words of status pages (Statuspage's statuses and states); pure.

Nothing of it is taken from the incident by itself: a person has read each text and sent it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.causes import Severity

TITLE_CHARS, TEXT_CHARS = 150, 3000


class PublicStatus(StrEnum):
    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"
    POSTMORTEM = "postmortem"


ENDED = frozenset({PublicStatus.RESOLVED, PublicStatus.POSTMORTEM})


class Impact(StrEnum):
    """How bad an incident is."""

    NONE = "none"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


IMPACTS: Mapping[Severity, Impact] = {
    Severity.P1: Impact.CRITICAL,
    Severity.P2: Impact.MAJOR,
    Severity.P3: Impact.MINOR,
    Severity.P4: Impact.NONE,
}


class ComponentState(StrEnum):
    """How a component fares, the best first."""

    OPERATIONAL = "operational"
    MAINTENANCE = "under_maintenance"
    DEGRADED = "degraded_performance"
    PARTIAL = "partial_outage"
    MAJOR = "major_outage"


# What an incident of that severity usually does to a component; whoever publishes may choose another.
USUAL_STATES: Mapping[Severity, ComponentState] = {
    Severity.P1: ComponentState.MAJOR,
    Severity.P2: ComponentState.PARTIAL,
    Severity.P3: ComponentState.DEGRADED,
    Severity.P4: ComponentState.OPERATIONAL,
}


@dataclass(frozen=True, kw_only=True)
class Publication:
    """One public update, as somebody has sent it."""

    status: PublicStatus
    title: str
    text: str
    workaround: str = ""
    components: Mapping[str, ComponentState]
    """Those that the incident affects, while it lasts."""
    impact: Impact
    by: str
    """A Slack user's id; never public."""


@dataclass(frozen=True, kw_only=True)
class PublicUpdate:
    """``number``: 1 for the first of its incident."""

    number: int
    status: PublicStatus
    text: str
    workaround: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class PublicIncident:
    """An incident as the public sees it. ``slug`` names it in URLs, and tells nothing of how many there were."""

    incident: int
    slug: str
    title: str
    status: PublicStatus
    impact: Impact
    components: Mapping[str, ComponentState]
    """Those that it affects, or did."""
    began_at: datetime
    resolved_at: datetime | None
    updates: tuple[PublicUpdate, ...]
    """The oldest first."""

    @property
    def open(self) -> bool:
        return self.status not in ENDED

    @property
    def updated_at(self) -> datetime:
        return self.updates[-1].at


@dataclass(frozen=True, kw_only=True)
class PublicView:
    """All that the public sees at a moment: each component's state, and the incidents, the newest first."""

    states: Mapping[str, ComponentState]
    incidents: tuple[PublicIncident, ...]


def component_states(names: Iterable[str], incidents: Iterable[PublicIncident]) -> dict[str, ComponentState]:
    """How each component fares: as the worst of the open incidents that affect it says, else it works."""
    order = list(ComponentState)
    states = dict.fromkeys(names, ComponentState.OPERATIONAL)
    for one in incidents:
        for name, state in one.components.items() if one.open else ():
            states[name] = max(states.get(name, ComponentState.OPERATIONAL), state, key=order.index)
    return states
