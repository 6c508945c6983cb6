"""Reads ``evidence``, ``postmortem`` and ``actions`` of the YAML file: what is kept and promised after an incident."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from bot.audiences import folder
from bot.domain.action import ActionPriority
from bot.domain.causes import Severity
from bot.domain.policy import Afterwards, Objective
from bot.policies import Wrong, read_fields, yes_or_no
from bot.settings import EvidenceSettings

_MB = 1_000_000
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
# Slack's limit for a file is 1 GB; more than 10 GB in a bundle nobody opens.
_MOST_MB, _MOST_UPLOAD_MB = 10_000, 1_000
_MOST_DAYS = 3_650


def read_evidence(document: Mapping[str, Any], problems: list[str]) -> EvidenceSettings:
    """How much is collected and kept."""
    return read_fields(document, "evidence", EvidenceSettings(), _EVIDENCE, problems, _EVIDENCE_FIELDS)


def read_afterwards(document: Mapping[str, Any], problems: list[str]) -> Afterwards:
    """What follows an incident."""
    postmortems = read_fields(document, "postmortem", Afterwards(), _POSTMORTEM, problems, _POSTMORTEM_FIELDS)
    return read_fields(document, "actions", postmortems, _ACTIONS, problems, _ACTION_FIELDS)


def _number(least: int, most: int) -> Callable[[Any], int]:
    def read(held: Any) -> int:
        if isinstance(held, bool) or not isinstance(held, int) or not least <= held <= most:
            raise Wrong(f"a whole number from {least} to {most}")
        return held

    return read


def _megabytes(most: int) -> Callable[[Any], int]:
    return lambda held: _number(1, most)(held) * _MB


def _rising_days(held: Any) -> tuple[int, ...]:
    days = tuple(held) if isinstance(held, list) else ()
    right = all(isinstance(one, int) and not isinstance(one, bool) and 0 < one <= _MOST_DAYS for one in days)
    if not isinstance(held, list) or len(days) > 10 or not right or list(days) != sorted(set(days)):
        raise Wrong("a list of at most ten numbers of working days, each larger than the one before it")
    return days


def _severities(held: Any) -> frozenset[Severity]:
    if not isinstance(held, list) or any(one not in list(Severity) for one in held):
        raise Wrong("a list of severities, such as [P1, P2]")
    return frozenset(map(Severity, held))


def _objective(held: Any) -> Objective:
    wrong = "a map such as {percent: 99.9, days: 30}"
    if not isinstance(held, dict) or not {"percent"} <= set(held) <= {"percent", "days"}:
        raise Wrong(wrong)
    percent, days = held["percent"], held.get("days", 30)
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 < percent < 100:
        raise Wrong(wrong)
    return Objective(share=percent / 100, window=timedelta(days=_number(1, _MOST_DAYS)(days)))


def _due_days(held: Any) -> Mapping[ActionPriority, int]:
    if not isinstance(held, dict) or any(one not in list(ActionPriority) for one in held):
        raise Wrong("a map from P1, P2 and P3 to days")
    read = {ActionPriority(name): _number(0, _MOST_DAYS)(days) for name, days in held.items()}
    return {**Afterwards().due_days, **read}


def _metric(held: Any) -> str:
    if not isinstance(held, str) or not _METRIC.fullmatch(held):
        raise Wrong("the name of a histogram, without _bucket")
    return held


_EVIDENCE: Mapping[str, Callable[[Any], Any]] = {
    "keep_days": lambda held: timedelta(days=_number(1, _MOST_DAYS)(held)),
    "since_minutes": lambda held: timedelta(minutes=_number(1, 10_080)(held)),
    "deadline_s": lambda held: float(_number(5, 3_600)(held)),
    "file_mb": _megabytes(_MOST_MB),
    "bundle_mb": _megabytes(_MOST_MB),
    "upload_mb": _megabytes(_MOST_UPLOAD_MB),
    "emails": yes_or_no,
    "latency": _metric,
}
_EVIDENCE_FIELDS = {
    "keep_days": "keep",
    "since_minutes": "since",
    "file_mb": "file_bytes",
    "bundle_mb": "bundle_bytes",
    "upload_mb": "upload_bytes",
}
_POSTMORTEM: Mapping[str, Callable[[Any], Any]] = {
    "severities": _severities,
    "remind_after": _rising_days,
    "objective": _objective,
    "folder": folder,
}
_POSTMORTEM_FIELDS = {"severities": "postmortems"}
_ACTIONS: Mapping[str, Callable[[Any], Any]] = {
    "due_days": _due_days,
    "remind_before": _number(0, 30),
    "remind_after": _rising_days,
}
_ACTION_FIELDS = {"remind_before": "action_before", "remind_after": "action_after"}
