"""What Statuspage's public API v2 answers (https://metastatuspage.com/api), so that clients and badges of it read ours.

Ids are stable and tell nothing: an incident's is its slug, the others are hashes of what they name.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.domain.publication import ComponentState, Impact, PublicIncident, PublicStatus, PublicUpdate, PublicView
from bot.settings import StatusPageSettings

# The page's indicator, by the worst of its components.
_INDICATORS: Mapping[ComponentState, str] = {
    ComponentState.OPERATIONAL: "none",
    ComponentState.MAINTENANCE: "maintenance",
    ComponentState.DEGRADED: "minor",
    ComponentState.PARTIAL: "major",
    ComponentState.MAJOR: "critical",
}
# The descriptions that clients of Statuspage know.
_DESCRIPTIONS: Mapping[str, str] = {
    "none": "All Systems Operational",
    "maintenance": "Service Under Maintenance",
    "minor": "Minor Service Outage",
    "major": "Partial System Outage",
    "critical": "Major Service Outage",
}
_ORDER = ["none", "maintenance", "minor", "major", "critical"]
_LISTED = 50
# Of a component that no incident has touched since the page began.
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class StatusApi:
    """The answers as JSON values, all of one view."""

    def __init__(self, page: StatusPageSettings, view: PublicView) -> None:
        self._page, self._view = page, view
        self._updated = max((one.updated_at for one in view.incidents), default=_BEGINNING)

    def summary(self) -> dict[str, Any]:
        held = self.unresolved()
        maintenance: dict[str, Any] = {"scheduled_maintenances": []}
        return {**held, **self.components(), **maintenance, **self.status()}

    def status(self) -> dict[str, Any]:
        indicator = self._indicator()
        return {
            "page": self._about(),
            "status": {"indicator": indicator, "description": _DESCRIPTIONS[indicator]},
        }

    def components(self) -> dict[str, Any]:
        held = [self._component(name, place) for place, name in enumerate(self._view.states, 1)]
        return {"page": self._about(), "components": held}

    def incidents(self) -> dict[str, Any]:
        return self._listed(self._view.incidents[:_LISTED])

    def unresolved(self) -> dict[str, Any]:
        return self._listed([one for one in self._view.incidents if one.open])

    def _listed(self, incidents: Sequence[PublicIncident]) -> dict[str, Any]:
        return {"page": self._about(), "incidents": [self._incident(one) for one in incidents]}

    def _indicator(self) -> str:
        found = [_INDICATORS[state] for state in self._view.states.values()]
        found += [one.impact.value for one in self._view.incidents if one.open and one.impact is not Impact.NONE]
        return max(found, key=_ORDER.index, default="none")

    def _about(self) -> dict[str, Any]:
        return {
            "id": identity("page", self._page.name),
            "name": self._page.name,
            "url": "" if self._page.url is None else f"{self._page.url}/status",
            "time_zone": "Etc/UTC",
            "updated_at": _moment(self._updated),
        }

    def _component(self, name: str, position: int) -> dict[str, Any]:
        touched = [one for one in self._view.incidents if name in one.components]
        return {
            "id": identity("component", name),
            "name": name,
            "status": self._view.states[name].value,
            "created_at": _moment(_BEGINNING),
            "updated_at": _moment(max((one.updated_at for one in touched), default=_BEGINNING)),
            "position": position,
            "description": None,
            "showcase": False,
            "start_date": None,
            "group_id": None,
            "page_id": identity("page", self._page.name),
            "group": False,
            "only_show_if_degraded": False,
        }

    def _incident(self, one: PublicIncident) -> dict[str, Any]:
        monitored = next((held.at for held in one.updates if held.status is PublicStatus.MONITORING), None)
        places = {name: place for place, name in enumerate(self._view.states, 1)}
        return {
            "id": one.slug,
            "name": one.title,
            "status": one.status.value,
            "created_at": _moment(one.began_at),
            "updated_at": _moment(one.updated_at),
            "monitoring_at": None if monitored is None else _moment(monitored),
            "resolved_at": None if one.resolved_at is None else _moment(one.resolved_at),
            "impact": one.impact.value,
            "shortlink": "" if self._page.url is None else f"{self._page.url}/status/incidents/{one.slug}",
            "started_at": _moment(one.began_at),
            "page_id": identity("page", self._page.name),
            "incident_updates": [_update(one, held) for held in reversed(one.updates)],
            "components": [self._component(name, places[name]) for name in one.components if name in places],
        }


def _update(one: PublicIncident, held: PublicUpdate) -> dict[str, Any]:
    at = _moment(held.at)
    body = f"{held.text}\n\nWorkaround: {held.workaround}" if held.workaround else held.text
    return {
        "id": f"{one.slug}{held.number:04}",
        "status": held.status.value,
        "body": body,
        "incident_id": one.slug,
        "created_at": at,
        "updated_at": at,
        "display_at": at,
        "affected_components": [],
        "deliver_notifications": True,
        "custom_tweet": None,
        "tweet_id": None,
    }


def identity(kind: str, name: str) -> str:
    """Twelve characters that stay the same for the same thing."""
    return hashlib.sha256(f"{kind}:{name}".encode()).hexdigest()[:12]


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
