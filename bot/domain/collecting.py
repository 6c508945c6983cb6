"""What an evidence bundle is: when one is collected, what it consists of, and what it says of itself; pure values."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.domain.causes import Severity

# Of these it is collected without being asked for, when one is declared and when it is resolved.
BY_ITSELF = frozenset({Severity.P1, Severity.P2})


class Why(StrEnum):
    DECLARED = "declared"
    RESOLVED = "resolved"
    ASKED = "asked"


class State(StrEnum):
    WAITING = "waiting"
    COLLECTING = "collecting"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Something that is not in the bundle: ``what``, such as ``logs of mistral-service-1``, and ``why``, a sentence."""

    what: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Collection:
    """One bundle, asked for, being collected or there. Moments are aware, in UTC."""

    id: str
    """Opaque; a part of the file's name."""
    incident: int | None
    """None: none is meant, and the bundle holds what the cluster and Prometheus say."""
    target: str
    channel: str
    """Where it was asked for; what is about an incident is told in its home."""
    why: Why
    asked_by: str
    requested_at: datetime
    since: timedelta
    """How far the logs go back."""
    state: State = State.WAITING
    attempts: int = 0
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    doing: str = ""
    """What is being collected just now, for people."""
    files: int = 0
    size: int = 0
    """Bytes: while it is collected of what has been written, then of the bundle's file."""
    name: str = ""
    """The bundle's file in EVIDENCE_DIR, once it is there."""
    sha256: str = ""
    missing: tuple[Missing, ...] = ()
    said: str = ""
    """Why there is no bundle, where it failed."""
    fence: int = 0
    """How often a process has taken it; whoever has an older number has lost it."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """One file of a bundle.

    ``source``: where it came from, such as ``kubernetes: pods/mistral-service-1/log``; ``at``: when it was complete;
    ``size`` in bytes and ``sha256`` of what is in the bundle; ``cut``: why it is not whole, empty where it is;
    ``redacted``: how many secrets of each kind were masked.
    """

    name: str
    source: str
    at: datetime
    size: int
    sha256: str
    cut: str = ""
    redacted: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle says of itself, in ``manifest.json``.

    ``entries`` and ``last_hash`` are the end of the incident's timeline when it was collected.
    """

    incident: str | None
    title: str
    target: str
    why: Why
    begun: datetime
    ended: datetime
    since: timedelta
    entries: int
    last_hash: str
    files: tuple[Held, ...]
    missing: tuple[Missing, ...]

    @property
    def redacted(self) -> Mapping[str, int]:
        """How many secrets of each kind were masked in all files."""
        total: Counter[str] = Counter()
        for one in self.files:
            total.update(one.redacted)
        return dict(sorted(total.items()))

    def as_json(self) -> dict[str, Any]:
        return {
            "version": 1,
            "incident": self.incident,
            "title": self.title,
            "target": self.target,
            "why": self.why.value,
            "begun": self.begun.isoformat(),
            "ended": self.ended.isoformat(),
            "since_s": self.since.total_seconds(),
            "timeline": {"entries": self.entries, "last_hash": self.last_hash},
            "files": [
                {
                    "name": one.name,
                    "source": one.source,
                    "at": one.at.isoformat(),
                    "bytes": one.size,
                    "sha256": one.sha256,
                    "cut": one.cut or None,
                    "redacted": dict(one.redacted),
                }
                for one in self.files
            ],
            "missing": [{"what": one.what, "why": one.why} for one in self.missing],
            "redacted": dict(self.redacted),
        }
