"""Rows to values and back."""

import uuid
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from bot.domain.causes import Severity
from bot.domain.clocks import earliest
from bot.domain.incident import Incident, Milestone, Outgoing, Priority, Role, Status
from bot.domain.timeline import Entry, Event, Kind
from bot.ports import Delivery

_PLAIN = tuple(
    field.name
    for field in fields(Incident)
    if field.name not in ("id", "severity", "status", "components", "roles", "milestones")
)


def incident_row(incident: Incident) -> dict[str, Any]:
    """Everything but the id."""
    return {
        **{name: getattr(incident, name) for name in _PLAIN},
        "severity": incident.severity.value,
        "status": incident.status.value,
        "components": list(incident.components),
        "roles": {role.value: user for role, user in incident.roles.items()},
        "milestones": {name.value: at.isoformat() for name, at in incident.milestones.items()},
        "due_at": earliest(incident),
    }


def incident_of(row: Mapping[Any, Any]) -> Incident:
    return Incident(
        id=row["id"],
        severity=Severity(row["severity"]),
        status=Status(row["status"]),
        components=tuple(row["components"]),
        roles={Role(role): user for role, user in row["roles"].items()},
        milestones={Milestone(name): datetime.fromisoformat(at) for name, at in row["milestones"].items()},
        **{name: row[name] for name in _PLAIN},
    )


def entry_row(entry: Entry) -> dict[str, Any]:
    event = entry.event
    return {
        "incident": entry.incident,
        "number": entry.number,
        "noted": entry.noted,
        "kind": event.kind.value,
        "at": event.at,
        "actor": event.actor,
        "text": event.text,
        "data": dict(event.data),
        "previous": entry.previous,
        "hash": entry.hash,
    }


def entry_of(row: Mapping[Any, Any]) -> Entry:
    event = Event(kind=Kind(row["kind"]), at=row["at"], actor=row["actor"], text=row["text"], data=row["data"])
    return Entry(
        incident=row["incident"],
        number=row["number"],
        noted=row["noted"],
        event=event,
        previous=row["previous"],
        hash=row["hash"],
    )


def delivery_row(message: Outgoing, incident: int, now: datetime) -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "incident": incident,
        "kind": message.kind,
        "destination": message.to,
        "template": message.template,
        "context": dict(message.context),
        "aloud": message.aloud,
        "priority": message.priority.value,
        "state": "waiting",
        "created_at": now,
        "due_at": now,
        "attempts": 0,
        "wanted": 1,
    }


def delivery_of(row: Mapping[Any, Any]) -> Delivery:
    return Delivery(
        seq=row["seq"],
        id=row["id"],
        incident=row["incident"],
        message=Outgoing(
            kind=row["kind"],
            to=row["destination"],
            template=row["template"],
            context=row["context"],
            aloud=row["aloud"],
            priority=Priority(row["priority"]),
        ),
        created_at=row["created_at"],
        attempts=row["attempts"],
        unsure=row["unsure"],
        wanted=row["wanted"],
        channel=row["channel"],
        ts=row["ts"],
        error=row["error"],
    )
