"""What mitigations have left in the cluster: what can be taken back, and what holds up the end of an incident; pure."""

from collections.abc import Iterable

from bot.domain.changes import AnnotationChange, KeyChange
from bot.domain.incident import Refusal
from bot.domain.runs import IN_FLIGHT, REVERT, Run, State

_BEGUN = frozenset({State.APPROVED, *IN_FLIGHT})


def unsettled(runs: Iterable[Run]) -> tuple[Run, ...]:
    """What is temporary, is in place or about to be, and has been neither reverted nor kept."""
    return tuple(run for run in runs if run.temporary and not run.kept and (run.in_place or run.state in _BEGUN))


def under_way(runs: Iterable[Run]) -> tuple[str, ...]:
    """What speaks against an end without holding it up: sentences about what leaves nothing temporary behind."""
    held = [run for run in runs if run.state in _BEGUN and not run.temporary]
    return tuple(dict.fromkeys(f"the {run.name} {_how(run)}" for run in held))


def _how(run: Run) -> str:
    if run.state is not State.APPROVED:
        return "is under way"
    # what an incident has left may always be taken back
    return (
        "is approved and begins" if run.remedy == REVERT else "is approved, and is dropped with the end of the incident"
    )


def must_be_settled(runs: Iterable[Run]) -> None:
    """Raises Refusal where something holds up resolving; no reason overrides it, but each can be kept for one."""
    if held := unsettled(runs):
        names = ", ".join(dict.fromkeys(run.remedy for run in held))
        raise Refusal(f"Revert or keep first what is still in place: {names}. `/mistral revert` shows the buttons.")


def revertible(run: Run) -> bool:
    """Whether taking it back changes anything: a restart leaves nothing behind, and an old key is kept nowhere."""
    if run.state is not State.ENDED or run.applied_at is None or run.reverted_by is not None or run.plan is None:
        return False
    changes = run.plan.changes
    if run.remedy == REVERT or any(isinstance(change, KeyChange) for change in changes):
        return False
    return any(not isinstance(change, AnnotationChange) for change in changes)
