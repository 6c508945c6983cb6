"""What many incidents say together: how many, why, how fast, how well what was promised was kept; pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.cadence import respond_by
from bot.domain.causes import Severity
from bot.domain.incident import Incident, Milestone
from bot.domain.policy import Policy
from bot.domain.runs import Run
from bot.domain.timeline import Kind

# Each by its two milestones.
SPANS: Mapping[str, tuple[Milestone, Milestone]] = {
    "MTTD": (Milestone.FIRST_ALERT, Milestone.DECLARED),
    "MTTA": (Milestone.DECLARED, Milestone.ACKNOWLEDGED),
    "MTTM": (Milestone.DECLARED, Milestone.MITIGATED),
    "MTTR": (Milestone.DECLARED, Milestone.RESTORED),
}
UNKNOWN = "not known"


@dataclass(frozen=True, kw_only=True)
class Span:
    """Over ``count`` incidents that have both milestones."""

    mean: timedelta | None
    median: timedelta | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Share:
    """``kept`` of ``all``."""

    kept: int
    all: int


@dataclass(frozen=True, kw_only=True)
class Insight:
    incidents: int
    open: int
    by_severity: Mapping[str, int]
    by_cause: Mapping[str, int]
    spans: Mapping[str, Span]
    updates: Share
    responses: Share
    mitigations: Mapping[str, int]
    recurrences: int
    """Incidents of which another one with the same cause on the same target came before, within the window."""
    by_week: Mapping[str, Mapping[str, int]]
    """By the Monday with which the week begins, by severity."""


def insight(
    incidents: Sequence[Incident],
    events: Sequence[tuple[int, str, datetime]],
    runs: Sequence[Run],
    now: datetime,
    policy: Policy,
) -> Insight:
    """``events``: (incident, kind, when) of updates, and of those that were missed; ``incidents``: the oldest first."""
    kinds = Counter(kind for _, kind, _ in events)
    sent, missed = kinds[Kind.UPDATE.value], kinds[Kind.UPDATE_MISSED.value]
    causes = Counter(one.cause or UNKNOWN for one in incidents)
    known = [(one.target, one.cause) for one in incidents if one.cause is not None]
    return Insight(
        incidents=len(incidents),
        open=sum(one.open for one in incidents),
        by_severity={one.value: sum(held.severity is one for held in incidents) for one in Severity},
        by_cause=dict(causes.most_common()),
        spans={name: _span(incidents, *ends) for name, ends in SPANS.items()},
        # one that was missed is late, whether it was sent in the end or not
        updates=Share(kept=max(0, sent - missed), all=max(sent, missed)),
        responses=_responses(incidents, now, policy),
        mitigations=dict(Counter(run.outcome.value for run in runs if run.outcome is not None).most_common()),
        recurrences=len(known) - len(set(known)),
        by_week=_weeks(incidents),
    )


def _span(incidents: Sequence[Incident], first: Milestone, then: Milestone) -> Span:
    # where people have put one before the other it took no time
    spans = [
        max(timedelta(), one.milestones[then] - one.milestones[first])
        for one in incidents
        if first in one.milestones and then in one.milestones
    ]
    if not spans:
        return Span(mean=None, median=None, count=0)
    from statistics import median  # with fractions and decimals, which nothing else needs

    middle = median(one.total_seconds() for one in spans)
    return Span(mean=sum(spans, timedelta()) / len(spans), median=timedelta(seconds=middle), count=len(spans))


def _responses(incidents: Sequence[Incident], now: datetime, policy: Policy) -> Share:
    """Of those whose response was due, or came before."""
    kept = counted = 0
    for one in incidents:
        taken = one.milestones.get(Milestone.ACKNOWLEDGED)
        due = respond_by(one.severity, one.declared_at, policy)
        if taken is None and due > now:
            continue
        counted += 1
        kept += taken is not None and taken <= due
    return Share(kept=kept, all=counted)


def _weeks(incidents: Sequence[Incident]) -> Mapping[str, Mapping[str, int]]:
    if not incidents:
        return {}
    weeks: dict[str, dict[str, int]] = {}
    monday = _monday(min(one.declared_at for one in incidents))
    last = _monday(max(one.declared_at for one in incidents))
    while monday <= last:
        weeks[f"{monday:%Y-%m-%d}"] = dict.fromkeys(Severity, 0)
        monday += timedelta(days=7)
    for one in incidents:
        weeks[f"{_monday(one.declared_at):%Y-%m-%d}"][one.severity] += 1
    return weeks


def _monday(at: datetime) -> datetime:
    begun = at - timedelta(days=at.weekday())
    return begun.replace(hour=0, minute=0, second=0, microsecond=0)
