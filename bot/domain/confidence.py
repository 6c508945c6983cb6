"""How sure a diagnosis is: how many independent signals agree, and whether an unknown one could change it."""

from enum import StrEnum

from bot.domain.causes import Cause, Family
from bot.domain.evidence import BAD_RATIO, Evidence


class Confidence(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


_STEPS = tuple(Confidence)


def confidence_in(cause: Cause, evidence: Evidence, *, could_be_earlier: bool) -> Confidence:
    """High where two independent signals agree, medium for one; low where an unknown one could mean an earlier row.

    An open incident on the provider's status page that matches raises a provider's cause by one step.
    """
    if cause.family is Family.INCONCLUSIVE or could_be_earlier:
        level = Confidence.LOW
    else:
        level = Confidence.HIGH if _agreeing(cause, evidence) >= 2 else Confidence.MEDIUM
    told = evidence.provider is not None and bool(evidence.provider.incidents)
    if cause.family is Family.PROVIDER and told:
        level = _STEPS[min(_STEPS.index(level) + 1, len(_STEPS) - 1)]
    return level


def _agreeing(cause: Cause, evidence: Evidence) -> int:
    """The number of independent signals that speak for the cause; Mistral's API counts once, however it was asked."""
    ratio = evidence.error_ratio
    calm = ratio is not None and ratio < BAD_RATIO
    if cause.family is Family.HEALTHY:
        return sum(map(bool, (evidence.models_ok, evidence.health_ok, calm)))
    if cause.family is Family.VANTAGE:
        return sum(map(bool, (evidence.control_off_network, evidence.health_ok, calm)))
    metric_kinds, log_kinds = evidence.metric_kinds or frozenset(), evidence.log_kinds or frozenset()
    api = bool(evidence.a_canary_failed) or evidence.models_ok is False or cause.name == "provider_slow"
    pods = evidence.pods
    seen = [
        bool(cause.echo) and api,
        bool(metric_kinds & cause.echo),
        bool(log_kinds & cause.echo),
        cause.name == "egress_blocked" and bool(evidence.egress_closes(443, 53)),
        cause.name == "stale_key" and bool(evidence.key_is_the_pods_own),
    ]
    if cause.family is Family.SERVICE:
        failing = ratio is not None and ratio >= BAD_RATIO
        seen += [
            evidence.health_ok is False,
            failing and not metric_kinds & cause.echo,
            pods is not None and (pods.below_desired or bool(pods.waiting) or bool(pods.terminated)),
            bool(evidence.secret_missing),
            bool(evidence.rollout_before_onset),
        ]
    return sum(seen)
