"""MTTA and MTTR: means by severity, from milestones as people have corrected them."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.causes import Severity
from bot.domain.figures import by_severity
from bot.domain.incident import Incident, Milestone
from tests.domain.incidents import HOUR, MINUTE, declared, severities
from tests.fakes import NOW


def lasting(
    severity: Severity = Severity.P1, *, acknowledged: timedelta | None = None, restored: timedelta | None = None
) -> Incident:
    reached = {Milestone.ACKNOWLEDGED: acknowledged, Milestone.RESTORED: restored}
    held = declared(severity)
    later = {name: NOW + span for name, span in reached.items() if span is not None}
    return replace(held, milestones={**held.milestones, **later})


def test_means_are_told_by_severity_the_worst_first() -> None:
    rows = by_severity(
        [
            lasting(Severity.P3, acknowledged=HOUR, restored=4 * HOUR),
            lasting(Severity.P1, acknowledged=2 * MINUTE, restored=20 * MINUTE),
            lasting(Severity.P1, acknowledged=4 * MINUTE, restored=40 * MINUTE),
        ]
    )
    assert rows == [
        (Severity.P1, 3 * MINUTE, 30 * MINUTE, 2),
        (Severity.P3, HOUR, 4 * HOUR, 1),
    ]


def test_what_nobody_acknowledged_counts_where_it_can() -> None:
    assert by_severity([lasting(restored=HOUR), lasting(acknowledged=MINUTE)]) == [(Severity.P1, MINUTE, HOUR, 2)]
    assert by_severity([lasting()]) == [(Severity.P1, None, None, 1)]
    assert by_severity([]) == []


def test_what_was_acknowledged_before_it_was_declared_took_no_time() -> None:
    rows = by_severity([lasting(acknowledged=-HOUR), lasting(acknowledged=HOUR)])
    assert rows == [(Severity.P1, HOUR / 2, None, 2)]


_SPANS = st.none() | st.timedeltas(timedelta(days=-1), timedelta(days=30))


@given(st.lists(st.builds(lasting, severities, acknowledged=_SPANS, restored=_SPANS)))
def test_every_incident_counts_once_and_no_mean_is_below_nothing(held: list[Incident]) -> None:
    rows = by_severity(held)
    assert sum(count for *_, count in rows) == len(held)
    assert [row[0] for row in rows] == sorted({one.severity for one in held})
    assert all(span is None or span >= timedelta() for row in rows for span in row[1:3])
