"""Rows to values and back."""

import uuid
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from bot.domain.alerts import Alert, AlertKey, Does, Judged
from bot.domain.causes import Severity
from bot.domain.changes import change_json, change_of
from bot.domain.clocks import earliest
from bot.domain.incident import Incident, Milestone, Outgoing, Priority, Role, Status
from bot.domain.mitigation import due_at
from bot.domain.runs import Approval, Outcome, Plan, Run, State
from bot.domain.timeline import Entry, Event, Kind
from bot.ports import Delivery
from bot.store.states import waiting

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


def delivery_row(message: Outgoing, incident: int | None, now: datetime) -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "incident": incident,
        "kind": message.kind,
        "destination": message.to,
        "template": message.template,
        "context": dict(message.context),
        "aloud": message.aloud,
        "priority": message.priority.value,
        "state": waiting(message.kind, message.to),
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


_AS_THEY_ARE = tuple(
    field.name
    for field in fields(Run)
    if field.name not in ("arguments", "severity", "state", "outcome", "plan", "approvals", "fence", "version")
)


def run_row(run: Run) -> dict[str, Any]:
    """Everything but who has it (``fence``, the lease) and its ``version``."""
    return {
        **{name: getattr(run, name) for name in _AS_THEY_ARE},
        "arguments": dict(run.arguments),
        "severity": run.severity.value,
        "state": run.state.value,
        "outcome": None if run.outcome is None else run.outcome.value,
        "plan": None if run.plan is None else _plan_json(run.plan),
        "approvals": [{"user": one.user, "at": one.at.isoformat(), "reason": one.reason} for one in run.approvals],
        "lock": run.lock,
        "due_at": due_at(run),
    }


def run_of(row: Mapping[Any, Any]) -> Run:
    return Run(
        **{name: row[name] for name in (*_AS_THEY_ARE, "arguments", "fence", "version")},
        severity=Severity(row["severity"]),
        state=State(row["state"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        plan=None if row["plan"] is None else _plan_of(row["plan"]),
        approvals=tuple(
            Approval(user=one["user"], at=datetime.fromisoformat(one["at"]), reason=one["reason"])
            for one in row["approvals"]
        ),
    )


def _plan_json(plan: Plan) -> dict[str, Any]:
    held = {field.name: getattr(plan, field.name) for field in fields(Plan)}
    return held | {"changes": [change_json(change) for change in plan.changes]}


def _plan_of(held: Mapping[str, Any]) -> Plan:
    """JSON has no tuples: what it gives back as lists is tuples again."""
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in held.items()}
    changes, shown = held["changes"], held["shown"]
    made = {"changes": tuple(change_of(one) for one in changes), "shown": tuple((a, b, c) for a, b, c in shown)}
    return Plan(**(plain | made))


_KEY_AS_IT_IS = tuple(field.name for field in fields(AlertKey) if field.name not in ("does", "severity"))


def alert_key_row(key: AlertKey) -> dict[str, Any]:
    """Everything but whether it waits and who has it."""
    held = {name: getattr(key, name) for name in _KEY_AS_IT_IS}
    plain = {"named": dict(key.named), "truncated": list(key.truncated)}
    return held | plain | {"does": key.does.value, "severity": key.severity.value}


def alert_key_of(row: Mapping[Any, Any]) -> AlertKey:
    held = {name: row[name] for name in _KEY_AS_IT_IS}
    return AlertKey(**held, does=Does(row["does"]), severity=Severity(row["severity"]))


_ALERT_AS_IT_IS = ("fingerprint", "starts_at", "ends_at", "key", "name", "labels", "summary", "url")


def alert_row(alert: Alert, now: datetime) -> dict[str, Any]:
    """Of one that was not told of before, heard of ``now``; ``named`` is the key's."""
    judged = alert.judged
    said = {"does": judged.does.value, "severity": judged.severity.value, "target": judged.target}
    held = {name: getattr(alert, name) for name in _ALERT_AS_IT_IS} | {"labels": dict(alert.labels)}
    return held | said | {"starts_at": alert.starts_at or now, "seen_at": now, "told": False}


def alert_of(row: Mapping[Any, Any]) -> Alert:
    judged = Judged(does=Does(row["does"]), severity=Severity(row["severity"]), target=row["target"])
    return Alert(**{name: row[name] for name in _ALERT_AS_IT_IS}, id=row["id"], named={}, judged=judged)
