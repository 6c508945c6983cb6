"""What a mitigation leaves in place: taken back, kept, and what its clock does, so that people are reminded."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.domain import mitigation
from bot.domain.incident import BOT, HOME, Outgoing, Refusal
from bot.domain.runs import IN_FLIGHT, REVERT, Approval, Outcome, Run, RunChange, State
from tests.domain.incidents import ADA, EVE, HOUR, MINUTE
from tests.domain.mitigation_states import GLASS, LATER, LIMITS, MOMENT, S, in_state
from tests.fakes import NOW


def test_a_revert_takes_back_what_was_applied_and_only_the_bots_own_carries_the_approvals() -> None:
    before = in_state(S.ENDED, outcome=Outcome.WORSE, approvals=(Approval(user=ADA, at=NOW, reason=GLASS),))
    own = mitigation.revert_of(before, "run2", BOT, "worse", LATER, automatic=True)
    asked_for = mitigation.revert_of(before, "run2", EVE, "over", LATER)
    assert (own.approvals, own.automatic) == (before.approvals, True)
    assert (asked_for.approvals, asked_for.automatic) == ((), False)
    for run in (own, asked_for):
        assert run.state is S.PLANNING
        assert (run.remedy, run.arguments) == (REVERT, {"of": "run1", "remedy": "fallback"})
        assert (run.incident, run.target, run.severity) == (before.incident, before.target, before.severity)
        assert (run.requested_at, run.plan, run.temporary, run.applied_at) == (LATER, None, False, None)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        *((in_state(state), "There is nothing to revert") for state in State if state is not S.ENDED),
        (in_state(S.ENDED, applied_at=None), "There is nothing to revert"),
        (in_state(S.ENDED, reverted_by="run9"), "It has been reverted already"),
        (in_state(S.ENDED, remedy=REVERT), "A revert is not reverted"),
    ],
    ids=[*(str(state) for state in State if state is not S.ENDED), "not applied", "reverted", "a revert"],
)
def test_what_changed_nothing_or_is_not_over_or_was_taken_back_is_not_reverted(run: Run, said: str) -> None:
    for automatic in (True, False):
        with pytest.raises(Refusal, match=said):
            mitigation.revert_of(run, "run2", EVE, "over", LATER, automatic=automatic)


def test_what_is_kept_says_why_and_is_reminded_of_less_often() -> None:
    change = mitigation.keep(in_state(S.ENDED), EVE, " until the fix\x00 ", LATER, LIMITS)
    assert (change.run.kept, change.run.remind_at) == ("until the fix", LATER + 7 * LIMITS.remind_after)
    assert [(event.actor, event.text) for event in change.events] == [(EVE, "fallback stays in place: until the fix")]
    assert change.run.in_place


@pytest.mark.parametrize(
    ("run", "said"),
    [
        *((in_state(state), "It is not over yet") for state in sorted(IN_FLIGHT)),
        (in_state(S.PROPOSED), "It is not in place"),
        (in_state(S.REJECTED), "It is not in place"),
        (in_state(S.ENDED, temporary=False), "It is not in place"),
        (in_state(S.ENDED, reverted_by="run2"), "It is not in place"),
    ],
    ids=[*sorted(IN_FLIGHT), "proposed", "rejected", "for good", "reverted"],
)
def test_only_what_is_over_and_in_place_is_kept(run: Run, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        mitigation.keep(run, EVE, "why not", LATER, LIMITS)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("temporary", [True, False])
@pytest.mark.parametrize("applied_at", [NOW, None])
@pytest.mark.parametrize("reverted_by", ["run2", None])
def test_what_is_temporary_was_applied_and_is_over_is_in_place_until_it_is_reverted(
    state: State, temporary: bool, applied_at: datetime | None, reverted_by: str | None
) -> None:
    run = in_state(state, temporary=temporary, applied_at=applied_at, reverted_by=reverted_by)
    assert run.in_place is (state is S.ENDED and temporary and applied_at is not None and reverted_by is None)


_MOMENTS = st.none() | st.integers(-2, 2).map(lambda minutes: NOW + minutes * MINUTE)


@given(
    state=st.sampled_from(State),
    temporary=st.booleans(),
    applied_at=_MOMENTS,
    approve_by=_MOMENTS,
    start_by=_MOMENTS,
    remind_at=_MOMENTS,
    kept=st.sampled_from(["", "why"]),
    reverted_by=st.sampled_from([None, "run2"]),
)
def test_a_tick_does_something_exactly_when_it_is_due_and_then_it_is_done(state: State, **fields: Any) -> None:
    run = in_state(state, **fields)
    # what was not applied is not reminded of
    assume(run.remind_at is None or state is not S.PROPOSED)
    at = mitigation.due_at(run)
    change = mitigation.tick(run, NOW, LIMITS)
    assert (change is not None) is (at is not None and at <= NOW)
    if change is not None:
        after = mitigation.due_at(change.run)
        assert after is None or after > NOW
        assert change.run.state is run.state or (run.state is S.PROPOSED and change.run.state is S.EXPIRED)


def test_an_offer_expires_at_its_moment_and_says_so() -> None:
    run = in_state(S.PROPOSED)
    assert run.approve_by is not None
    assert mitigation.tick(run, run.approve_by - MOMENT, LIMITS) is None
    change = mitigation.tick(run, run.approve_by, LIMITS)
    assert change is not None
    assert (change.run.state, change.run.said) == (S.EXPIRED, "It was not approved in time; nothing was changed.")


@pytest.mark.parametrize(("kept", "days"), [("", 1), ("until the fix", 7)])
def test_people_are_reminded_of_what_is_still_in_place_again_and_again(kept: str, days: int) -> None:
    run = in_state(S.ENDED, kept=kept)
    assert run.remind_at is not None
    at = run.remind_at + MINUTE
    change = mitigation.tick(run, at, LIMITS)
    assert change is not None
    assert change.run == replace(run, remind_at=at + days * 24 * HOUR)
    context = {"run": "run1", "remedy": "fallback", "since": NOW.isoformat()}
    assert change.messages == (Outgoing(kind="post", to=HOME, template="still_in_place", context=context),)


def test_nobody_is_reminded_of_what_was_taken_back() -> None:
    run = in_state(S.ENDED, reverted_by="run2")
    change = mitigation.tick(run, NOW + 48 * HOUR, LIMITS)
    assert change == RunChange(run=replace(run, remind_at=None))
