"""What the bot's own database says of the incident: timeline, triages, mitigations, alerts, action items."""

from dataclasses import dataclass
from typing import Any

from bot.domain.runs import Run
from bot.domain.timeline import Entry
from bot.evidence._shown import as_json
from bot.ports import Bundle, Collecting, Record

_SOURCE = "the bot's database"


@dataclass(frozen=True)
class RecordSource:
    name: str = "record"
    order: int = 0

    async def collect(self, asked: Collecting, bundle: Bundle) -> None:
        record = asked.record
        if record is None:
            return
        await bundle.add("incident/timeline.json", as_json(_timeline(record)), source=_SOURCE)
        await bundle.add("incident/timeline.txt", _told(record).encode(), source=_SOURCE)
        for number, (identity, at, report) in enumerate(record.triages, 1):
            held = {"id": identity, "at": at.isoformat(), **report}
            await bundle.add(f"incident/triages/{number:03}.json", as_json(held), source=_SOURCE)
        await bundle.add("incident/mitigations.json", as_json([_run(run) for run in record.runs]), source=_SOURCE)
        await bundle.add("incident/alerts.json", as_json(list(record.alerts)), source=_SOURCE)
        await bundle.add("incident/actions.json", as_json([vars(one) for one in record.actions]), source=_SOURCE)


def _timeline(record: Record) -> dict[str, Any]:
    incident = record.incident
    return {
        "incident": incident.name,
        "entries": incident.entries,
        "last_hash": incident.last_hash,
        "timeline": [_entry(entry) for entry in record.entries],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    event = entry.event
    return {
        "number": entry.number,
        "at": event.at.isoformat(),
        "noted": entry.noted.isoformat(),
        "kind": event.kind.value,
        "actor": event.actor,
        "text": event.text,
        "data": dict(event.data),
        "previous": entry.previous,
        "hash": entry.hash,
    }


def _told(record: Record) -> str:
    lines = [
        f"{entry.event.at:%Y-%m-%d %H:%M:%S}Z  {entry.event.kind.value:<13}  {entry.event.actor:<12}  "
        + " ".join(entry.event.text.split())
        for entry in record.entries
    ]
    return "\n".join([f"{record.incident.name}, times in UTC", *lines, f"last hash: {record.incident.last_hash}", ""])


def _run(run: Run) -> dict[str, Any]:
    """With what it changed, as people saw it; a new key never was among that."""
    plan = run.plan
    return {
        "id": run.id,
        "remedy": run.remedy,
        "arguments": dict(run.arguments),
        "state": run.state.value,
        "outcome": None if run.outcome is None else run.outcome.value,
        "requested_by": run.requested_by,
        "requested_at": run.requested_at,
        "reason": run.reason,
        "approvals": [vars(one) for one in run.approvals],
        "applied_at": run.applied_at,
        "ended_at": run.ended_at,
        "said": run.said,
        "reverted_by": run.reverted_by,
        "kept": run.kept,
        "changed": [] if plan is None else [dict(zip(("what", "was", "is"), one, strict=True)) for one in plan.shown],
        "diff": [] if plan is None else list(plan.diff),
        "commands": [] if plan is None else list(plan.commands),
    }


SOURCE = RecordSource()
