"""``diagnose(findings, now)``: the first row of the decision table that matches, with all that follows from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.advice import advise
from bot.domain.causes import ALWAYS_P4, CAUSES, Cause, Family, Severity
from bot.domain.confidence import Confidence, confidence_in
from bot.domain.evidence import SEEN_RATIO, Evidence, Truth, all_of, any_of
from bot.domain.signals import Finding
from bot.domain.table import ROWS, Row

# Severity by E, worst first; decision-table.md, "Severity".
_SEVERITY_BY_RATIO = ((0.5, Severity.P1), (0.05, Severity.P2))
# A model that goes within this time is warned of.
_DEPRECATION_NOTICE = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What is wrong, how bad it is and what to do about it. ``path`` holds every condition that was asked.

    In ``path`` a condition stands as it is where it holds, after ``not:`` where it does not, after ``unknown:`` where
    nobody knows; ``way`` is the part of it that holds, for people. ``never`` must not be proposed for this cause.
    """

    row: int
    cause: str
    family: Family
    severity: Severity
    confidence: Confidence
    headline: str
    also: tuple[str, ...]
    path: tuple[str, ...]
    way: tuple[str, ...]
    mitigations: tuple[str, ...]
    never: tuple[str, ...]
    advice: tuple[str, ...]
    warnings: tuple[str, ...]


def diagnose(findings: Iterable[Finding], now: datetime) -> Diagnosis:
    """The diagnosis that the table gives for ``findings`` at ``now`` (aware, UTC)."""
    evidence = Evidence.of(findings, now)
    asked = _root_questions(evidence)
    could_have_matched = False
    matched = ROWS[-1]
    for row in ROWS:
        truth = _ask(row, evidence, asked)
        if truth:
            matched = row
            break
        could_have_matched = could_have_matched or truth is None
    cause = CAUSES[matched.cause]
    return Diagnosis(
        row=matched.number,
        cause=cause.name,
        family=cause.family,
        severity=_severity(cause, evidence),
        confidence=confidence_in(cause, evidence, could_be_earlier=could_have_matched),
        headline=cause.headline,
        also=_also(matched, evidence),
        path=tuple(_as_asked(text, truth) for text, truth in asked.items()),
        way=_way(matched, evidence, asked),
        mitigations=_mitigations(matched, evidence),
        never=matched.never,
        advice=advise(cause, evidence),
        warnings=_warnings(evidence),
    )


def _root_questions(evidence: Evidence) -> dict[str, Truth]:
    """The two questions at the root of the runbook's tree; the second is asked where the first is not a yes."""
    api_fails = any_of((evidence.models_are(lambda a: not a.is_status(200)), evidence.a_canary_failed))
    asked = {"Mistral API returns errors": api_fails}
    if not api_fails:
        ratio = evidence.error_ratio
        sees = None if ratio is None else ratio > SEEN_RATIO
        asked["Our service returns errors"] = any_of((evidence.service_bad, sees))
    return asked


def _ask(row: Row, evidence: Evidence, asked: dict[str, Truth]) -> Truth:
    """Whether the row matches; asks no further once a condition is known not to hold."""
    truths = []
    for condition in row.when:
        truth = condition.ask(evidence)
        asked.setdefault(condition.text, truth)
        truths.append(truth)
        if truth is False:
            break
    return all_of(truths)


def _as_asked(text: str, truth: Truth) -> str:
    return text if truth else f"unknown: {text}" if truth is None else f"not: {text}"


def _way(matched: Row, evidence: Evidence, asked: dict[str, Truth]) -> tuple[str, ...]:
    roots = [text for text in _root_questions(evidence) if asked[text] is not None]
    return tuple(_as_asked(text, asked[text]) for text in (*roots, *(condition.text for condition in matched.when)))


def _also(matched: Row, evidence: Evidence) -> tuple[str, ...]:
    """The causes of later rows that match too; "healthy" and the like say nothing beside a cause."""
    later = [
        row.cause
        for row in ROWS
        if row.number > matched.number
        and row.when
        and CAUSES[row.cause].family is not Family.HEALTHY
        and all(condition.ask(evidence) for condition in row.when)
    ]
    return tuple(cause for cause in dict.fromkeys(later) if cause != matched.cause)


def _mitigations(matched: Row, evidence: Evidence) -> tuple[str, ...]:
    named = [name for name in matched.remedies if not name.endswith("?") or evidence.rollout_before_onset]
    return tuple(name.rstrip("?") for name in named)


def _severity(cause: Cause, evidence: Evidence) -> Severity:
    if cause.family in ALWAYS_P4:
        return Severity.P4
    ratio = evidence.error_ratio
    if ratio is not None:
        for least, severity in _SEVERITY_BY_RATIO:
            if ratio >= least:
                return severity
        return Severity.P3 if ratio > SEEN_RATIO else Severity.P4
    pods = evidence.pods
    none_ready = pods is not None and pods.desired > 0 and pods.ready == 0
    return Severity.P1 if none_ready else cause.severity


def _warnings(evidence: Evidence) -> tuple[str, ...]:
    """Models in use, or listed, that are about to go; one that has gone is told only where it is used."""
    if evidence.models is None:
        return ()
    used = {answer.model for answer in evidence.canaries or ()}
    warnings: dict[str, None] = {}
    for model in evidence.models.models:
        if model.deprecation is None or model.deprecation - evidence.now > _DEPRECATION_NOTICE:
            continue
        in_use = bool(used.intersection((model.id, *model.aliases)))
        if model.deprecation < evidence.now and not in_use:
            continue
        verb = "was" if model.deprecation < evidence.now else "will be"
        instead = f"; move to {model.replacement}" if model.replacement else ""
        warnings[f"{model.id} {verb} deprecated on {model.deprecation:%Y-%m-%d}{instead}"] = None
    return tuple(warnings)
