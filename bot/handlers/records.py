"""What is on record, for the command line: incidents, whether their timelines are whole, and the figures."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.domain.causes import Severity
from bot.domain.figures import Row, by_severity
from bot.domain.incident import Incident
from bot.domain.insight import SPANS, Insight
from bot.domain.timeline import fault
from bot.ports import Pending, Store

# No company has more; it is the largest number that every database takes.
ALL = 2**31 - 1
_STATES = ("waiting", "sending", "dead")
# An incident that is changed while it is looked at is looked at again.
_LOOKS = 5


@dataclass(frozen=True, kw_only=True)
class Verified:
    """One incident's timeline; ``fault`` None: it is whole."""

    incident: Incident
    fault: str | None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """``open``: incidents by severity; ``rows``: MTTA and MTTR of those that are resolved; ``deliveries``: by state."""

    open: Mapping[Severity, int]
    rows: Sequence[Row]
    deliveries: Mapping[str, int]


async def verified(store: Store) -> AsyncIterator[Verified]:
    """Every incident, the newest first. Raises StoreError."""
    for incident in await store.listed(open_only=False, limit=ALL):
        yield await _verified(store, incident)


async def _verified(store: Store, incident: Incident) -> Verified:
    found = None
    for _ in range(_LOOKS):
        try:
            entries = await store.timeline(incident.id)
            found = fault(entries, count=incident.entries, last_hash=incident.last_hash)
        except (ValueError, TypeError):
            return Verified(incident=incident, fault="an entry was changed into something that is none")
        now = await store.incident(incident.id) if found else None
        if now is None or now.version == incident.version:
            break
        incident = now
    return Verified(incident=incident, fault=found)


async def figures(store: Store) -> Figures:
    """As things are now. Raises StoreError."""
    held = await store.listed(open_only=False, limit=ALL)
    waiting = await store.waiting()
    return Figures(
        open={one: sum(held_.open and held_.severity is one for held_ in held) for one in Severity},
        rows=by_severity(incident for incident in held if not incident.open),
        deliveries={state: waiting.get(state, 0) for state in _STATES},
    )


def incident_json(incident: Incident) -> dict[str, Any]:
    """An incident as ``incidents --output json`` prints it; the keys stay what they are."""
    return {
        "id": incident.id,
        "name": incident.name,
        "title": incident.title,
        "severity": incident.severity.value,
        "status": incident.status.value,
        "target": incident.target,
        "impact": incident.impact,
        "action": incident.action,
        "components": list(incident.components),
        "cause": incident.cause,
        "roles": {role.value: user for role, user in incident.roles.items()},
        "milestones": {milestone.value: _moment(at) for milestone, at in incident.milestones.items()},
        "declared_by": incident.declared_by,
        "declared_at": _moment(incident.declared_at),
        "updated_at": _moment(incident.updated_at),
        "next_update_at": _moment(incident.next_update_at),
        "resolved_at": _moment(incident.resolved_at),
        "channel": incident.home,
    }


def pending_json(pending: Pending) -> dict[str, Any]:
    """A delivery as ``deliveries --output json`` prints it."""
    delivery = pending.delivery
    return {
        "id": delivery.id,
        "incident": delivery.incident,
        "state": pending.state,
        "destination": delivery.message.to,
        "kind": delivery.message.kind,
        "attempts": delivery.attempts,
        "created_at": _moment(delivery.created_at),
        "due_at": _moment(pending.due_at),
        "error": delivery.error,
    }


def figures_json(held: Figures) -> dict[str, Any]:
    """The figures as ``metrics --output json`` prints them; times are in seconds, null where there is none."""
    return {
        "open": {severity.value: count for severity, count in held.open.items()},
        "resolved": {
            severity.value: {"incidents": count, "mtta_s": _seconds(mtta), "mttr_s": _seconds(mttr)}
            for severity, mtta, mttr, count in held.rows
        },
        "deliveries": dict(held.deliveries),
    }


def insight_json(held: Insight, span: timedelta) -> dict[str, Any]:
    """What many incidents say, as ``metrics --output json`` prints it under ``since``; times are in seconds."""
    return {
        "span_s": span.total_seconds(),
        "incidents": held.incidents,
        "by_severity": dict(held.by_severity),
        "by_cause": dict(held.by_cause),
        "spans": {
            name: {"from": SPANS[name][0], "to": SPANS[name][1], "mean_s": _seconds(one.mean)}
            | {"median_s": _seconds(one.median), "incidents": one.count}
            for name, one in held.spans.items()
        },
        "updates_in_time": {"kept": held.updates.kept, "all": held.updates.all},
        "responses_in_time": {"kept": held.responses.kept, "all": held.responses.all},
        "mitigations": dict(held.mitigations),
        "recurrences": held.recurrences,
        "by_week": {monday: dict(counts) for monday, counts in held.by_week.items()},
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()
