"""A mitigation as it is in each state, and the limits and moments that its tests are about."""

from datetime import timedelta
from typing import Any

from bot.domain.policy import Mitigations
from bot.domain.runs import IN_FLIGHT, MOVES, Approval, Outcome, Run, State
from tests.domain.incidents import ADA, HOUR, MINUTE
from tests.fakes import NOW
from tests.runs import a_plan, a_run

LIMITS = Mitigations(approve_within=10 * MINUTE, start_within=2 * MINUTE, per_hour=3, remind_after=24 * HOUR)
LATER = NOW + MINUTE
MOMENT = timedelta(microseconds=1)
GLASS = "the whole shop is down"
S = State


def in_state(state: State, **fields: Any) -> Run:
    """As a run is that has come so far."""
    reached: dict[str, Any] = {"state": state, "version": 7, "fence": 3}
    if state is not S.PLANNING:
        reached |= {"plan": a_plan(), "approve_by": NOW + LIMITS.approve_within}
    if state in (S.APPROVED, *IN_FLIGHT, S.ENDED, S.SUPERSEDED):
        reached |= {"approvals": (Approval(user=ADA, at=NOW),), "start_by": NOW + LIMITS.start_within}
    if state in (S.WATCHING, S.VERIFYING, S.ENDED):
        reached |= {"applied_at": NOW, "remind_at": NOW + LIMITS.remind_after}
    if state is S.ENDED:
        reached["outcome"] = Outcome.FIXED
    if not MOVES[state]:
        reached["ended_at"] = NOW
    return a_run(**reached | fields)
