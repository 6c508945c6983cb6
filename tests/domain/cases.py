"""A small language for findings, so that a case of the decision table fits on a line or two."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.signals import (
    Answer,
    Canary,
    CanaryAnswer,
    Control,
    Egress,
    Failure,
    Finding,
    Health,
    Logs,
    MistralApi,
    Model,
    Pods,
    ProbeName,
    ProviderStatus,
    Rollout,
    SecretState,
    Signal,
    Traffic,
    Verdict,
)

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SMALL = "mistral-small-latest"
LARGE = "mistral-large-latest"
LISTED = (Model(id="mistral-small-2603", aliases=(SMALL,)), Model(id=LARGE))


def finding(probe: ProbeName, signal: Signal | None) -> Finding:
    verdict = Verdict.UNKNOWN if signal is None else Verdict.OK
    return Finding(probe=probe, verdict=verdict, summary="as the case says", signal=signal)


def _outcome(outcome: int | str) -> dict[str, Any]:
    return {"status": outcome} if isinstance(outcome, int) else {"failure": Failure(outcome)}


def models(
    outcome: int | str = 200, *, source: str = "secret", listed: tuple[Model, ...] = LISTED, **more: Any
) -> Finding:
    held = MistralApi(
        **_outcome(outcome),
        models=listed if outcome == 200 else (),
        key_source=source,
        key_length=32,
        key_prefix="abcd",
        **more,
    )
    return finding(ProbeName.MISTRAL_API, held)


def canary(outcome: int | str = 200, model: str = SMALL, **more: Any) -> CanaryAnswer:
    return CanaryAnswer(model=model, **_outcome(outcome), **more)


def canaries(*answers: CanaryAnswer) -> Finding:
    return finding(ProbeName.CANARY, Canary(answers=answers or (canary(),)))


def control(outcome: int | str = 200) -> Finding:
    return finding(ProbeName.CONTROL, Control(**_outcome(outcome)))


def health(outcome: int | str = 200) -> Finding:
    answer = Answer(**_outcome(outcome))
    return finding(ProbeName.HEALTH, Health(**_outcome(outcome), ok=answer.is_status(200)))


def traffic(ratio: float | None = 0.0, *, onset: float | None = None, surge: bool = False, **more: Any) -> Finding:
    """``onset`` in minutes before NOW; further codes as ``by_code={"401": 8}``."""
    held: dict[str, Any] = {
        "requests_per_s": 20.0,
        "requests_hour_ago_per_s": 5.0 if surge else 19.0,
        "error_ratio_30m": ratio,
        "onset": None if onset is None else ago(onset),
    }
    return finding(ProbeName.PROMETHEUS, Traffic(error_ratio=ratio, **{**held, **more}))


def pods(desired: int = 3, ready: int = 3, *, below: bool | None = None, **more: Any) -> Finding:
    return finding(
        ProbeName.PODS,
        Pods(desired=desired, ready=ready, below_desired=ready < desired if below is None else below, **more),
    )


def rollout(minutes_ago: float | None = 3000) -> Finding:
    held = Rollout() if minutes_ago is None else Rollout(revision=5, created=ago(minutes_ago))
    return finding(ProbeName.ROLLOUT, held)


def logs(error_lines: int = 0, **kinds: int) -> Finding:
    """Kinds as keywords; ``_401=30`` for codes."""
    by_kind = {kind.lstrip("_"): count for kind, count in kinds.items()}
    total = error_lines or sum(by_kind.values())
    return finding(ProbeName.LOGS, Logs(lines=1000, error_lines=total, by_kind=by_kind, pods=3))


def secret(*, referenced: bool = True, exists: bool = True, has_key: bool = True) -> Finding:
    return finding(
        ProbeName.SECRET,
        SecretState(name="mistral-secrets", key="api-key", referenced=referenced, exists=exists, has_key=has_key),
    )


def egress(closes_443: bool | None = False, closes_53: bool | None = False) -> Finding:
    return finding(ProbeName.EGRESS, Egress(closes_443=closes_443, closes_53=closes_53, policies=("deny",)))


def provider(*incidents: str) -> Finding:
    return finding(
        ProbeName.PROVIDER_STATUS, ProviderStatus(indicator="major" if incidents else "none", incidents=incidents)
    )


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def world(*changed: Finding) -> tuple[Finding, ...]:
    """All is well and everything is known, but for ``changed``."""
    well = (
        models(),
        canaries(),
        control(),
        health(),
        traffic(),
        pods(),
        rollout(),
        logs(),
        secret(),
        egress(),
        provider(),
    )
    instead = {one.probe: one for one in changed}
    return tuple(instead.get(one.probe, one) for one in well)


def unknown(*probes: ProbeName) -> tuple[Finding, ...]:
    return tuple(finding(probe, None) for probe in probes)
