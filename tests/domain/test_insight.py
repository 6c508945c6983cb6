"""Figures over many incidents, each computed here by another way; and which earlier ones are like a new one."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import mean, median

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.cadence import respond_by
from bot.domain.causes import Severity
from bot.domain.diagnosis import diagnose
from bot.domain.incident import Incident, Milestone, Status
from bot.domain.insight import SPANS, insight
from bot.domain.policy import Policy
from bot.domain.report import TriageReport
from bot.domain.runs import REVERT, Outcome, State
from bot.domain.signals import Finding, LogPattern, Logs, ProbeName, Verdict
from bot.domain.similar import patterns_of, similar
from bot.domain.timeline import Kind
from tests.fakes import NOW
from tests.planted import P
from tests.runs import a_run

POLICY = Policy()
BASE = Incident(
    id=1,
    target="default",
    title="x",
    severity=Severity.P1,
    declared_by="U1",
    declared_at=NOW,
    updated_at=NOW,
    channel="C1",
    milestones={Milestone.DECLARED: NOW},
)
_MINUTES = st.integers(-600, 6000)


@st.composite
def incidents(draw: st.DrawFn) -> Incident:
    at = NOW + timedelta(minutes=draw(st.integers(0, 60_000)))
    wanted = draw(st.dictionaries(st.sampled_from(list(Milestone)), _MINUTES, max_size=5))
    milestones = {name: at + timedelta(minutes=minutes) for name, minutes in wanted.items()}
    return replace(
        BASE,
        severity=draw(st.sampled_from(list(Severity))),
        status=draw(st.sampled_from([Status.INVESTIGATING, Status.RESOLVED])),
        cause=draw(st.sampled_from([None, "rate_limited", "provider_outage"])),
        target=draw(st.sampled_from(["default", "eu"])),
        declared_at=at,
        milestones={**milestones, Milestone.DECLARED: at},
    )


@given(st.lists(incidents(), max_size=30), st.integers(0, 9), st.integers(0, 9))
def test_figures_are_what_the_records_say(held: list[Incident], sent: int, missed: int) -> None:
    held = sorted(held, key=lambda one: one.declared_at)
    now = NOW + timedelta(days=30)
    events: Sequence[tuple[int, str, datetime]] = [
        *[(1, "update", NOW)] * sent,
        *[(1, "update missed", NOW)] * missed,
    ]
    found = insight(held, events, (), now, POLICY)
    assert found.incidents == len(held) == sum(found.by_severity.values()) == sum(found.by_cause.values())
    assert found.open == len([one for one in held if one.status != "resolved"])
    for name, (first, then) in SPANS.items():
        took = [
            max(0.0, (one.milestones[then] - one.milestones[first]).total_seconds())
            for one in held
            if {first, then} <= set(one.milestones)
        ]
        span = found.spans[name]
        assert span.count == len(took)
        if took:
            assert span.mean is not None
            assert span.median is not None
            assert abs(span.mean.total_seconds() - mean(took)) < 0.01
            assert span.median.total_seconds() == median(took)
    due = [(one, respond_by(one.severity, one.declared_at, POLICY)) for one in held]
    answered = [(one.milestones.get(Milestone.ACKNOWLEDGED), at) for one, at in due]
    counted = [(taken, at) for taken, at in answered if taken is not None or at <= now]
    assert found.responses.all == len(counted)
    assert found.responses.kept == len([1 for taken, at in counted if taken is not None and taken <= at])
    assert (found.updates.kept, found.updates.all) == (max(0, sent - missed), max(sent, missed))
    seen, again = set[tuple[str, str]](), 0
    for one in held:
        if one.cause is not None:
            again += (one.target, one.cause) in seen
            seen.add((one.target, one.cause))
    assert found.recurrences == again
    assert sum(sum(week.values()) for week in found.by_week.values()) == len(held)
    for monday, week in found.by_week.items():
        begin = datetime.fromisoformat(f"{monday}T00:00:00+00:00")
        inside = [one for one in held if begin <= one.declared_at < begin + timedelta(days=7)]
        assert dict(week) == {name: Counter(one.severity for one in inside)[name] for name in Severity}


def test_ten_thousand_incidents_take_a_second_at_most() -> None:
    many = [replace(BASE, id=number, declared_at=NOW + timedelta(minutes=number)) for number in range(10_000)]
    events = [(number, Kind.UPDATE.value, NOW) for number in range(10_000)]
    began = time.process_time()
    assert insight(many, events, (), NOW + timedelta(days=9), POLICY).incidents == 10_000
    assert time.process_time() - began < 2


def test_mitigations_are_counted_by_how_they_ended() -> None:
    ended = [a_run(state=State.ENDED, outcome=one) for one in (Outcome.FIXED, Outcome.FIXED, Outcome.FAILED)]
    assert insight([BASE], (), ended, NOW, POLICY).mitigations == {"fixed": 2, "failed": 1}


def test_the_same_cause_counts_most_then_what_was_affected_and_logged() -> None:
    new = replace(BASE, id=9, cause="rate_limited", components=("Chat",))
    logs = frozenset({"ERROR mistral <n>"})
    ended = [
        (replace(BASE, id=1, cause="rate_limited", target="eu"), frozenset[str]()),
        (replace(BASE, id=2, cause="provider_outage", components=("Chat",)), logs),
        (replace(BASE, id=3, cause="rate_limited", components=("Chat",)), logs),
        (replace(BASE, id=4), frozenset[str]()),
        (replace(BASE, id=5, cause="rate_limited", target="eu"), frozenset[str]()),
    ]
    fixed = [
        a_run(id="a", incident=3, remedy="fallback", state=State.ENDED, outcome=Outcome.FIXED),
        a_run(id="b", incident=3, remedy=REVERT, state=State.ENDED, outcome=Outcome.FIXED),
        a_run(id="c", incident=5, remedy="restart", state=State.ENDED, outcome=Outcome.FAILED),
    ]
    found = similar(new, logs, ended, fixed)
    assert [one.incident.id for one in found] == [3, 2, 5]
    assert [one.fixed_by for one in found] == [("fallback",), (), ()]


def test_a_kept_triage_has_the_patterns_of_the_logs_and_no_secret() -> None:
    logs = Logs(lines=9, error_lines=3, patterns=(LogPattern(count=3, text=f"ERROR token={P} <n>"),))
    finding = Finding(probe=ProbeName.LOGS, verdict=Verdict.BAD, summary="3 error lines", signal=logs)
    report = TriageReport(
        target="default", started=NOW, duration_ms=1, findings=(finding,), diagnosis=diagnose((finding,), NOW)
    )
    assert patterns_of(report.as_kept()) == {"ERROR token=*** <n>"}
    assert "log_patterns" not in report.as_json()
    assert patterns_of(None) == patterns_of({}) == frozenset()
