"""The timeline of an incident: append-only, numbered, each entry sealed with the hash of the one before it; pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

FIRST_HASH = "0" * 64


class Kind(StrEnum):
    """What happened."""

    DECLARED = "declared"
    UPDATE = "update"
    STATUS = "status"
    SEVERITY = "severity"
    ROLE = "role"
    NOTE = "note"
    MILESTONE = "milestone"
    CORRECTION = "correction"
    SNOOZED = "snoozed"
    UPDATE_MISSED = "update missed"
    ESCALATED = "escalated"
    MITIGATION = "mitigation"
    ALERT = "alert"
    TRIAGE = "triage"
    TOLD = "told"
    PUBLISHED = "published"
    PROVIDER = "provider"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    EVIDENCE = "evidence"
    POSTMORTEM = "postmortem"
    ACTION = "action"


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something to be appended. ``at``: when it happened, aware; ``actor``: a user's id, or ``bot``."""

    kind: Kind
    at: datetime
    actor: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An event in its place. ``noted``: when it was written down, which may be later than when it happened."""

    incident: int
    number: int
    noted: datetime
    event: Event
    previous: str
    hash: str


def seal(events: Iterable[Event], *, incident: int, last_number: int, last_hash: str, noted: datetime) -> list[Entry]:
    """The entries that follow the one numbered ``last_number`` (0 and FIRST_HASH: there is none)."""
    entries: list[Entry] = []
    for event in events:
        last_number += 1
        sealed = _hash(incident, last_number, noted, event, last_hash)
        entries.append(
            Entry(incident=incident, number=last_number, noted=noted, event=event, previous=last_hash, hash=sealed)
        )
        last_hash = sealed
    return entries


def fault(entries: Iterable[Entry], *, count: int, last_hash: str) -> str | None:
    """What is wrong with a chain that should have ``count`` entries and end with ``last_hash``; None: nothing."""
    number, previous = 0, FIRST_HASH
    for entry in entries:
        number += 1
        if entry.number != number:
            return f"entry {number} is missing"
        if entry.previous != previous:
            return f"entry {number} does not follow the one before it"
        if entry.hash != _hash(entry.incident, number, entry.noted, entry.event, previous):
            return f"entry {number} was changed"
        previous = entry.hash
    if number != count:
        return f"{count} entries were written and {number} are there"
    return None if previous == last_hash else "the last entry is not the one that was written last"


def _hash(incident: int, number: int, noted: datetime, event: Event, previous: str) -> str:
    told = [
        incident,
        number,
        _stamp(noted),
        event.kind,
        _stamp(event.at),
        event.actor,
        event.text,
        dict(event.data),
        previous,
    ]
    text = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _stamp(at: datetime) -> int:
    """Microseconds since 1970: the same however a database writes the time and whichever zone it gives back."""
    return round(at.timestamp() * 1_000_000)
