"""Alerts, and the rules that say what each does; pure.

A rule's matchers are Alertmanager's: ``=``, ``!=``, ``=~`` and ``!~``, anchored at both ends, where a label that is not
there is empty. RE2 runs the expressions, which no text can make slow.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

import re2

from bot.domain.causes import Severity
from bot.domain.redaction import redact


class Does(StrEnum):
    """What an alert does; the strongest first."""

    OPEN = "open"
    PROPOSE = "propose"
    NOTE = "note"
    IGNORE = "ignore"


@lru_cache(maxsize=1000)
def expression(pattern: str) -> Any:
    """The compiled pattern; raises ``re2.error`` where RE2 cannot read it."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


@dataclass(frozen=True, kw_only=True)
class Matcher:
    label: str
    operator: str
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        held = labels.get(self.label, "")
        if self.operator.endswith("~"):
            return bool(expression(self.value).fullmatch(held)) is (self.operator == "=~")
        return (held == self.value) is (self.operator == "=")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What alerts do that all of ``match`` fit. ``severity`` None: as the alert's own label says."""

    match: tuple[Matcher, ...] = ()
    does: Does = Does.PROPOSE
    severity: Severity | None = None
    target: str = "default"

    def fits(self, labels: Mapping[str, str]) -> bool:
        return all(one.fits(labels) for one in self.match)


def _said(values: str, does: Does) -> Rule:
    return Rule(match=(Matcher(label="severity", operator="=~", value=f"(?i)({values})"),), does=does)


# What no rule of the file fits.
USUAL = (_said("critical|page|P1|P2", Does.OPEN), _said("info|none", Does.NOTE), Rule())
# The words that people write into the label ``severity``.
_SEVERITIES = {
    **{one.value.lower(): one for one in Severity},
    "critical": Severity.P2,
    "page": Severity.P2,
    "info": Severity.P4,
    "none": Severity.P4,
}
SEVERITY_WORDS = (*Severity, "critical", "page", "error", "warning", "info", "none")


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """``key``: the labels whose values make the key of which one incident is open; those that are missing are empty."""

    key: tuple[str, ...] = ("alertname",)
    reopen_within: timedelta = timedelta(minutes=30)
    rules: tuple[Rule, ...] = ()

    def judged(self, labels: Mapping[str, str]) -> "Judged":
        """What the first rule that fits says, and where none does, the usual ones."""
        rule = next(one for one in (*self.rules, *USUAL) if one.fits(labels))
        said = _SEVERITIES.get(labels.get("severity", "").strip().lower(), Severity.P3)
        return Judged(does=rule.does, severity=rule.severity or said, target=rule.target)

    def named(self, labels: Mapping[str, str]) -> dict[str, str]:
        """The labels that make the key of an alert."""
        return {name: labels.get(name, "") for name in self.key}


@dataclass(frozen=True, kw_only=True)
class Judged:
    does: Does
    severity: Severity
    target: str


def digest(held: Any) -> str:
    """64 digits, the same for the same JSON value."""
    text = json.dumps(held, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert as it is known. Moments are aware; ``ends_at`` None: it fires.

    ``starts_at`` None, only on its way in: the sender keeps no such time, and means the one that fires.
    """

    fingerprint: str
    starts_at: datetime | None
    ends_at: datetime | None = None
    key: str
    named: Mapping[str, str]
    """The labels that make the key, as they may be shown."""
    name: str
    labels: Mapping[str, str]
    """As they may be shown."""
    summary: str = ""
    url: str = ""
    judged: Judged
    id: int = 0
    """As it is stored; 0: it is not yet."""

    @property
    def title(self) -> str:
        # a name may say that what follows is a secret
        both = redact(f"{self.name}: {self.summary}")
        return both if self.summary and self.summary != self.name else self.name


@dataclass(frozen=True, kw_only=True)
class Payload:
    """What one request told. ``group``: whose alerts these are; ``truncated``: some of the group's were left out."""

    alerts: tuple[Alert, ...]
    group: str = ""
    truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class AlertKey:
    """What is known of a key: ``incident`` is the newest of its alerts, ``proposal`` the newest card."""

    key: str
    named: Mapping[str, str]
    does: Does
    severity: Severity
    target: str
    incident: int | None = None
    proposal: str | None = None
    triage: str | None = None
    truncated: Sequence[str] = field(default_factory=tuple)
    triage_at: datetime | None = None
    triages: int = 0
    ask_at: datetime | None = None
    asked_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What the card of a proposal shows. ``alerts``: the first of ``count``; ``declared``: the incident, if it is."""

    key: AlertKey
    alerts: tuple[Alert, ...]
    count: int
    firing: int
    declared: int | None
