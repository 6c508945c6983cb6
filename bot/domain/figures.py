"""MTTA and MTTR: means over resolved incidents, from milestones that people may have corrected; pure."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from bot.domain.causes import Severity
from bot.domain.incident import Incident, Milestone

Row = tuple[Severity, timedelta | None, timedelta | None, int]


def by_severity(incidents: Iterable[Incident]) -> list[Row]:
    """(severity, MTTA, MTTR, how many) for each severity that occurs, P1 first.

    MTTA: from declared to acknowledged (somebody took command). MTTR: from declared to restored. Where people have
    corrected one to before the declaration it took no time.
    """
    held = list(incidents)
    rows: list[Row] = []
    for severity in Severity:
        those = [one for one in held if one.severity is severity]
        if those:
            rows.append((severity, _mean(those, Milestone.ACKNOWLEDGED), _mean(those, Milestone.RESTORED), len(those)))
    return rows


def _mean(incidents: Sequence[Incident], until: Milestone) -> timedelta | None:
    spans = [
        max(timedelta(), one.milestones[until] - one.milestones[Milestone.DECLARED])
        for one in incidents
        if until in one.milestones and Milestone.DECLARED in one.milestones
    ]
    return sum(spans, timedelta()) / len(spans) if spans else None
