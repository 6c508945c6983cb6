"""Which incidents that are over were like this one, and what fixed them then; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.domain.incident import Incident
from bot.domain.runs import REVERT, Outcome, Run

MOST = 3
_CAUSE, _COMPONENTS, _LOGS, _TARGET = 4.0, 2.0, 2.0, 1.0
# The same target alone says little.
_ENOUGH = 2.0


@dataclass(frozen=True, kw_only=True)
class Similar:
    """``fixed_by``: the remedies that fixed it; empty: none did through the bot."""

    incident: Incident
    score: float
    fixed_by: tuple[str, ...]


def similar(
    incident: Incident,
    patterns: frozenset[str],
    ended: Sequence[tuple[Incident, frozenset[str]]],
    runs: Sequence[Run],
) -> list[Similar]:
    """The most alike, the newest first among equals; ``patterns``: of the logs, of each incident's triage."""
    scored = [(_score(incident, patterns, one, theirs), one) for one, theirs in ended]
    best = sorted((pair for pair in scored if pair[0] >= _ENOUGH), key=lambda pair: (-pair[0], -pair[1].id))
    return [Similar(incident=one, score=score, fixed_by=_fixed(one, runs)) for score, one in best[:MOST]]


def patterns_of(report: Mapping[str, Any] | None) -> frozenset[str]:
    """The patterns of the error lines that a kept triage holds."""
    return frozenset(map(str, (report or {}).get("log_patterns", ())))


def _score(incident: Incident, patterns: frozenset[str], other: Incident, theirs: frozenset[str]) -> float:
    score = _TARGET * (incident.target == other.target)
    if incident.cause is not None and incident.cause == other.cause:
        score += _CAUSE
    return score + _COMPONENTS * _overlap(incident.components, other.components) + _LOGS * _overlap(patterns, theirs)


def _overlap(one: Sequence[str] | frozenset[str], other: Sequence[str] | frozenset[str]) -> float:
    both = set(one) | set(other)
    return len(set(one) & set(other)) / len(both) if both else 0.0


def _fixed(incident: Incident, runs: Sequence[Run]) -> tuple[str, ...]:
    found = (run.remedy for run in runs if run.incident == incident.id and run.outcome is Outcome.FIXED)
    return tuple(dict.fromkeys(remedy for remedy in found if remedy != REVERT))
