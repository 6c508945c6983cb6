"""The postmortem that is already written: what the record says of an incident, in the runbook's order; pure.

What people wrote stands instead of what is drafted; what nobody recorded is said to be missing, and never made up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.domain.action import Action
from bot.domain.cadence import respond_by
from bot.domain.causes import CAUSES
from bot.domain.incident import BOT, TEXT_CHARS, Incident, Milestone, plain
from bot.domain.policy import Objective, Policy
from bot.domain.postmortem import Version
from bot.domain.redaction import redact
from bot.domain.runs import REVERT, Outcome, Run
from bot.domain.timeline import Entry, Kind

# What people may write; the order is that of the document.
SECTIONS: Mapping[str, str] = {
    "summary": "Summary",
    "root_cause": "Root cause",
    "users": "Users affected",
    "revenue": "Revenue impact",
    "detection": "Detection",
    "resolution": "Resolution",
    "went_well": "What went well",
    "improve": "What could be improved",
    "lucky": "What we got lucky with",
    "notes": "Notes",
}
# A table of more rows nobody reads; all of them are in the evidence.
MOST_ROWS = 200
_GAP = "not recorded"
# The runbook's five, by the milestone that each is.
_MILESTONES = (
    (Milestone.FIRST_ALERT, "First alert triggered"),
    (Milestone.DECLARED, "Incident declared"),
    (Milestone.ACKNOWLEDGED, "Command taken"),
    (Milestone.IDENTIFIED, "Root cause identified"),
    (Milestone.MITIGATED, "Mitigation applied"),
    (Milestone.RESTORED, "Service restored"),
)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Requests while it lasted, as Prometheus counted them; ``why`` is set where it could not say."""

    requests: float | None = None
    errors: float | None = None
    window_requests: float | None = None
    """Within the objective's window."""
    why: str = ""

    @property
    def share(self) -> float | None:
        if self.requests is None or self.errors is None or self.requests <= 0:
            return None
        return min(1.0, self.errors / self.requests)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What there is to draft from; ``triages``: (when, the triage's JSON), the oldest first."""

    incident: Incident
    entries: Sequence[Entry]
    triages: Sequence[tuple[datetime, Mapping[str, Any]]]
    runs: Sequence[Run]
    alerts: Sequence[Mapping[str, Any]]
    actions: Sequence[Action]
    failed: Failed
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the timeline; ``at`` None: it is missing."""

    at: datetime | None
    what: str
    milestone: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The document. ``sections``: each one's text, written by people or drafted; ``written``: which people wrote."""

    incident: Incident
    number: int
    title: str
    date: datetime
    duration: timedelta | None
    rows: Sequence[Row]
    left_out: int
    confirmed_by: str | None
    sections: Mapping[str, str]
    drafted: Mapping[str, str]
    written: frozenset[str]
    failed: Failed
    budget: float | None
    objective: Objective | None
    actions: Sequence[Action]
    questions: Sequence[str]
    time_to_detect: timedelta | None
    pictures: Sequence[str] = field(default=())


def draft(facts: Facts, policy: Policy, version: Version | None) -> Draft:
    """The postmortem as it reads now."""
    incident = facts.incident
    written = {} if version is None else {key: text for key, text in version.written.items() if text}
    drafted = {
        "summary": _summary(facts),
        "root_cause": _root_cause(facts),
        "users": "",
        "revenue": "",
        "detection": _detection(facts),
        "resolution": _resolution(facts),
        "went_well": "",
        "improve": "",
        "lucky": "",
        "notes": "",
    }
    rows, left_out = _rows(facts)
    objective = policy.afterwards.objective
    return Draft(
        incident=incident,
        number=0 if version is None else version.number,
        title=f"Incident: Mistral AI, {_kind(incident)}",
        date=begun(incident),
        duration=_duration(incident),
        rows=rows,
        left_out=left_out,
        confirmed_by=None if version is None else version.confirmed_by,
        sections={**drafted, **written},
        drafted=drafted,
        written=frozenset(written),
        failed=facts.failed,
        budget=budget_spent(facts.failed, objective),
        objective=objective,
        actions=facts.actions,
        questions=_questions(facts, policy),
        time_to_detect=_span(incident, Milestone.FIRST_ALERT, Milestone.DECLARED),
    )


def begun(incident: Incident) -> datetime:
    """When it began, as far as is recorded."""
    return min([incident.declared_at, *incident.milestones.values()])


def ended(incident: Incident) -> datetime | None:
    return incident.milestones.get(Milestone.RESTORED) or incident.resolved_at


def budget_spent(failed: Failed, objective: Objective | None) -> float | None:
    """The share of the window's error budget that this incident took; None: no objective, or nothing to count.

    The budget is what may fail of all requests of the window that ends with the incident.
    """
    if objective is None or failed.errors is None or not failed.window_requests:
        return None
    return failed.errors / ((1 - objective.share) * failed.window_requests)


def wrote(text: str) -> str:
    """What somebody has typed, as it is kept: without a token or the like that was pasted into it."""
    return redact(plain(text))[:TEXT_CHARS]


def _kind(incident: Incident) -> str:
    cause = CAUSES.get(incident.cause or "")
    return incident.title if cause is None else cause.headline


def _duration(incident: Incident) -> timedelta | None:
    end = ended(incident)
    return None if end is None else max(timedelta(), end - begun(incident))


def _span(incident: Incident, first: Milestone, then: Milestone) -> timedelta | None:
    held = incident.milestones
    return max(timedelta(), held[then] - held[first]) if first in held and then in held else None


def _summary(facts: Facts) -> str:
    incident = facts.incident
    cause = CAUSES.get(incident.cause or "")
    why = "" if cause is None or cause.headline == incident.title else f"Cause: {cause.headline}"
    parts = [incident.title, incident.impact, why]
    # an incident that a triage declares begins with its headline as title and impact
    return " ".join(dict.fromkeys(_sentence(part) for part in parts if part.strip()))


def _sentence(said: str) -> str:
    said = " ".join(said.split())
    return said[0].upper() + said[1:] + ("" if said[-1] in ".!?…" else ".")


def _rows(facts: Facts) -> tuple[list[Row], int]:
    """The milestones, those that are missing too, among the events; the oldest first."""
    incident = facts.incident
    corrected = {one.event.text for one in facts.entries if one.event.kind is Kind.CORRECTION}
    marks = [
        Row(
            at=incident.milestones.get(milestone),
            what=what if milestone in incident.milestones else f"{what}: {_GAP}",
            milestone=True,
            note="corrected by hand" if milestone in corrected else "",
        )
        for milestone, what in _MILESTONES
    ]
    events = [_event(entry) for entry in facts.entries if entry.event.kind is not Kind.MILESTONE]
    room = MOST_ROWS - len(marks)
    left_out = max(0, len(events) - room)
    if left_out:
        # how it began and how it ended say most
        events = events[: room // 2] + events[-(room - room // 2) :]
    known = [(row.at, row) for row in (*marks, *events) if row.at is not None]
    known.sort(key=lambda pair: pair[0])
    return [*(row for _, row in known), *(row for row in marks if row.at is None)], left_out


def _event(entry: Entry) -> Row:
    event = entry.event
    who = "" if event.actor == BOT else f" (by {_person(event.actor)})"
    text = " ".join(event.text.split())
    return Row(at=event.at, what=f"{event.kind.value}: {text}{who}" if text else f"{event.kind.value}{who}")


def _person(user: str) -> str:
    return f"@{user}"


def _report(facts: Facts) -> Mapping[str, Any] | None:
    """The triage that says what was wrong: the incident's own cause, else the first that found something."""
    of_cause = [report for _, report in facts.triages if report.get("cause") == facts.incident.cause]
    found = of_cause or [report for _, report in facts.triages if report.get("family") not in (None, "healthy")]
    return found[0] if found else None


def _root_cause(facts: Facts) -> str:
    report = _report(facts)
    if report is None:
        return "No triage found a cause while it lasted."
    lines = [f"{report.get('headline', '')} ({report.get('cause', '')}, {report.get('confidence', '')} confidence)."]
    # what the triage ruled out on its way is in the evidence
    if path := [step for step in map(str, report.get("path", ())) if not step.startswith("not: ")]:
        lines.append("How it was found: " + " → ".join(path) + ".")
    seen = [one for one in report.get("findings", ()) if one.get("verdict") == "bad"]
    lines += [f"- {one.get('probe', '')}: {one.get('summary', '')}" for one in seen]
    if also := [str(one) for one in report.get("also", ())]:
        lines.append("What was seen also fits: " + ", ".join(also) + ".")
    return "\n".join(lines)


def _detection(facts: Facts) -> str:
    incident, first = facts.incident, facts.alerts[0] if facts.alerts else None
    by = "the bot, for an alert" if incident.declared_by == BOT else _person(incident.declared_by)
    lines = []
    if first is not None:
        lines.append(f"Automated alerting: the alert {first.get('name', '')} fired first, at {first.get('starts_at')}.")
    elif Milestone.FIRST_ALERT in incident.milestones:
        lines.append("Automated alerting, as recorded by hand.")
    else:
        lines.append("No alert is recorded: a person noticed it, or a call for help in a channel.")
    lines.append(f"Declared by {by}.")
    took = _span(incident, Milestone.FIRST_ALERT, Milestone.DECLARED)
    lines.append("Time to detect: not recorded." if took is None else f"Time to detect: {_minutes(took)}.")
    return "\n".join(lines)


def _resolution(facts: Facts) -> str:
    lines = [_mitigated(run, facts.runs) for run in facts.runs if run.applied_at is not None and run.remedy != REVERT]
    if not lines:
        lines.append("No mitigation was applied through the bot.")
    ends = [one.event for one in facts.entries if one.event.kind is Kind.RESOLVED]
    if ends and ends[-1].text:
        lines.append(f"Resolved by {_person(ends[-1].actor)}: {' '.join(ends[-1].text.split())}")
    return "\n".join(lines)


def _mitigated(run: Run, runs: Sequence[Run]) -> str:
    who = ", ".join(dict.fromkeys(_person(one.user) for one in run.approvals)) or "nobody"
    shown = () if run.plan is None else run.plan.shown
    changed = "; ".join(f"{what} from {was or 'nothing'} to {now or 'nothing'}" for what, was, now in shown)
    outcome = run.outcome.value if run.outcome is not None else run.state.value
    line = f"- {run.remedy}: {outcome}. Asked for by {_person(run.requested_by)}, approved by {who}"
    line += f", changed {changed}." if changed else "."
    back = next((one for one in runs if one.id == run.reverted_by), None)
    if back is not None:
        line += f" Reverted{'' if back.ended_at is None else f' at {back.ended_at:%H:%M} UTC'}."
    elif run.kept:
        line += f" Kept: {run.kept}"
    elif run.in_place:
        line += " Still in place."
    return line


def _questions(facts: Facts, policy: Policy) -> list[str]:
    """What this incident asks of whoever learns from it."""
    incident, entries = facts.incident, facts.entries
    count = {kind: sum(one.event.kind is kind for one in entries) for kind in Kind}
    asked = []
    if late := count[Kind.UPDATE_MISSED]:
        asked.append(f"{late} {'update was' if late == 1 else 'updates were'} late. What kept people from writing?")
    acknowledged = incident.milestones.get(Milestone.ACKNOWLEDGED)
    due = respond_by(incident.severity, incident.declared_at, policy)
    if acknowledged is None:
        asked.append("Nobody took command. Who should have?")
    elif acknowledged > due:
        asked.append(f"Command was taken {_minutes(acknowledged - due)} after the response was due. Why?")
    if count[Kind.ESCALATED]:
        asked.append(f"It was escalated {_times(count[Kind.ESCALATED])}. Was the right person called first?")
    asked += [
        f"{run.remedy} was applied and ended with “{run.outcome}”. Should it be tried again next time?"
        for run in facts.runs
        if run.applied_at is not None and run.outcome not in (None, Outcome.FIXED, Outcome.DONE)
    ]
    report = _report(facts)
    unknown = [str(one.get("probe")) for one in (report or {}).get("findings", ()) if one.get("verdict") == "unknown"]
    if unknown:
        asked.append(f"The triage did not know about {', '.join(unknown)}. What would let it?")
    if Milestone.FIRST_ALERT not in incident.milestones:
        asked.append("No alert fired before somebody noticed. Which one should have?")
    if count[Kind.REOPENED]:
        asked.append("It was resolved too early, and reopened. What would have shown that?")
    return asked


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"


def _minutes(span: timedelta) -> str:
    minutes = max(0, round(span.total_seconds() / 60))
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
