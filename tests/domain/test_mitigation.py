"""Each step of a mitigation: from where it may be taken, where it leads, what it tells, and when it comes too late."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from bot.domain import mitigation
from bot.domain.incident import BOT, HOME, TEXT_CHARS, Outgoing, Refusal
from bot.domain.runs import IN_FLIGHT, MOVES, REVERT, WORKED_ON, Approval, Circumstances, Outcome, Run, RunChange, State
from bot.domain.timeline import Kind
from tests.domain.incidents import ADA, EVE, HOUR, MINUTE
from tests.domain.mitigation_states import GLASS, LATER, LIMITS, MOMENT, S, in_state
from tests.fakes import NOW
from tests.runs import a_plan, a_run

VALUES = [{"name": "FALLBACK", "old": "(not set)", "new": "on"}]
Step = Callable[[Run], RunChange | None]


def approve(run: Run, *, enough: bool = True, at: datetime = LATER, reason: str = "") -> RunChange:
    given_by = Approval(user=EVE, at=at, reason=reason)
    return mitigation.approved(run, given_by, enough=enough, policy=LIMITS)


def begin(run: Run, now: datetime = LATER, **around: Any) -> RunChange | None:
    return mitigation.begun(run, now, Circumstances(**around), LIMITS)


# What each step makes of a run, by the state that it is in; from any other it must be refused.
STEPS: Mapping[str, tuple[Step, Mapping[State, State]]] = {
    "proposed": (lambda run: mitigation.proposed(run, a_plan(), LATER, LIMITS), {S.PLANNING: S.PROPOSED}),
    "proposed by the bot": (
        lambda run: mitigation.proposed(replace(run, automatic=True), a_plan(), LATER, LIMITS),
        {S.PLANNING: S.APPROVED},
    ),
    "approved": (approve, {S.PROPOSED: S.APPROVED}),
    "one of two approves": (lambda run: approve(run, enough=False), {S.PROPOSED: S.PROPOSED}),
    "rejected": (lambda run: mitigation.rejected(run, EVE, "no", LATER), {S.PROPOSED: S.REJECTED}),
    "begun": (begin, {S.APPROVED: S.APPLYING}),
    "begun late": (lambda run: begin(run, NOW + HOUR), {S.APPROVED: S.EXPIRED}),
    "begun though frozen": (lambda run: begin(run, frozen_by=ADA), {S.APPROVED: S.CANCELLED}),
    "accepted": (lambda run: mitigation.accepted(run, LATER, LIMITS), {S.APPLYING: S.WATCHING}),
    "progressed": (lambda run: mitigation.progressed(run, "2 of 3"), {state: state for state in WORKED_ON}),
    "rolled out": (lambda run: mitigation.rolled_out(run, LATER), {S.WATCHING: S.VERIFYING}),
    "ended": (lambda run: mitigation.ended(run, Outcome.WORSE, "Oh.", LATER), dict.fromkeys(IN_FLIGHT, S.ENDED)),
    "expired": (lambda run: mitigation.expired(run, LATER), {S.PROPOSED: S.EXPIRED, S.APPROVED: S.EXPIRED}),
    "cancelled": (
        lambda run: mitigation.cancelled(run, "No.", LATER),
        {S.PLANNING: S.CANCELLED, S.APPROVED: S.CANCELLED},
    ),
    "superseded": (
        lambda run: mitigation.superseded(run, "It moved.", "run2", LATER),
        {S.APPROVED: S.SUPERSEDED, S.APPLYING: S.SUPERSEDED},
    ),
}
_PEOPLES = ("approved", "one of two approves", "rejected")


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(("step", "moves"), STEPS.values(), ids=STEPS.keys())
def test_a_step_leads_where_the_table_says_or_is_refused(
    step: Step, moves: Mapping[State, State], state: State
) -> None:
    before = in_state(state)
    if state not in moves:
        with pytest.raises(Refusal, match=r"^[A-Z].+\.$"):
            step(before)
        return
    change = step(before)
    assert change is not None
    assert change.run.state is moves[state]
    assert mitigation.card(change.run) in change.messages
    assert (change.run.ended_at == LATER or step is STEPS["begun late"][0]) or MOVES[change.run.state]


def test_the_steps_make_each_move_of_the_table_and_no_other() -> None:
    made = {(before, after) for _, moves in STEPS.values() for before, after in moves.items() if before is not after}
    assert made == {(before, after) for before, moves in MOVES.items() for after in moves}
    assert set(MOVES) == set(State)


@pytest.mark.parametrize(("step", "moves"), STEPS.values(), ids=STEPS.keys())
def test_a_change_of_state_is_an_event_with_the_old_and_the_new_values(
    step: Step, moves: Mapping[State, State]
) -> None:
    for before, after in moves.items():
        change = step(in_state(before))
        assert change is not None
        events = [event for event in change.events if event.data["run"] == "run1"]
        if step is STEPS["progressed"][0]:
            assert not events
            continue
        (event,) = events
        assert (event.kind, event.data["state"], event.data["remedy"]) == (Kind.MITIGATION, after, "fallback")
        assert event.at in (LATER, NOW + HOUR)
        assert event.actor == (EVE if step in [STEPS[name][0] for name in _PEOPLES] else BOT)
        # before the preview nothing is known of them
        assert event.data.get("values") == (None if change.run.plan is None else VALUES)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (S.PLANNING, "Too early: its preview is not there yet."),
        (S.APPROVED, "Too late: it is approved already."),
        (S.ENDED, "Too late: it is ended, fixed already."),
        (S.REJECTED, "Too late: it is rejected already."),
    ],
)
def test_who_comes_too_late_or_too_early_is_told_how_it_stands(state: State, said: str) -> None:
    with pytest.raises(Refusal) as no:
        approve(in_state(state))
    assert str(no.value) == said


def test_what_is_asked_for_is_told_with_its_reason_and_its_card_is_new_when_there_is_an_offer() -> None:
    change = mitigation.asked(a_run())
    assert [(event.actor, event.text) for event in change.events] == [
        ("U0REQUESTER", "fallback asked for: completions fail")
    ]
    assert change.messages == ()
    offered = mitigation.proposed(a_run(), a_plan(), NOW, LIMITS)
    assert offered.messages == (Outgoing(kind="run", to=HOME, template="run1"),)


def test_an_offer_is_pinned_and_ends_in_time_and_the_bots_own_must_begin_in_time() -> None:
    plan = a_plan(pin="p1")
    offered = mitigation.proposed(a_run(), plan, NOW, LIMITS).run
    assert (offered.plan, offered.approve_by, offered.start_by) == (plan, NOW + 10 * MINUTE, None)
    own = mitigation.proposed(a_run(automatic=True), plan, NOW, LIMITS).run
    assert (own.plan, own.approve_by, own.start_by) == (plan, None, NOW + 2 * MINUTE)


def test_an_approval_counts_until_the_offer_ends_and_starts_the_clock_to_begin() -> None:
    run = in_state(S.PROPOSED)
    assert run.approve_by is not None
    last = run.approve_by - MOMENT
    after = approve(run, at=last).run
    assert after.approvals == (Approval(user=EVE, at=last),)
    assert after.start_by == last + 2 * MINUTE
    with pytest.raises(Refusal, match=r"^The offer has expired; ask for it again, with a new preview\.$"):
        approve(run, at=run.approve_by)


def test_an_approval_that_is_not_enough_is_kept_and_changes_no_clock() -> None:
    run = in_state(S.PROPOSED)
    after = approve(run, enough=False).run
    assert after == replace(run, approvals=(Approval(user=EVE, at=LATER),))


def test_breaking_the_glass_is_recorded_and_announced() -> None:
    change = approve(in_state(S.PROPOSED), reason=GLASS)
    assert change.events[0].text == f"fallback approved, breaking the glass: {GLASS}"
    assert change.run.approvals[-1].reason == GLASS
    (post,) = [message for message in change.messages if message.kind == "post"]
    assert (post.to, post.template) == (HOME, "glass_broken")
    assert post.context == {"remedy": "fallback", "actor": EVE, "reason": GLASS}
    assert all(message.kind == "run" for message in approve(in_state(S.PROPOSED)).messages)
    back = approve(in_state(S.PROPOSED, remedy=REVERT, arguments={"of": "run0", "remedy": "fallback"}), reason=GLASS)
    assert back.events[0].text == f"revert of fallback approved, breaking the glass: {GLASS}"
    assert back.messages[-1].context == {"remedy": REVERT, "undoes": "fallback", "actor": EVE, "reason": GLASS}


@pytest.mark.parametrize("reason", ["", " \n", "\x00"])
def test_a_rejection_and_a_keep_take_a_reason(reason: str) -> None:
    with pytest.raises(Refusal, match=r"^Say why it is rejected\.$"):
        mitigation.rejected(in_state(S.PROPOSED), EVE, reason, LATER)
    with pytest.raises(Refusal, match=r"^Say why it stays\.$"):
        mitigation.keep(in_state(S.ENDED), EVE, reason, LATER, LIMITS)


def test_a_reason_is_told_and_kept_as_far_as_it_can_be_stored() -> None:
    change = mitigation.rejected(in_state(S.PROPOSED), EVE, f" no\x00\ud800{'!' * TEXT_CHARS}", LATER)
    assert change.run.said == f"no{'!' * (TEXT_CHARS - 2)}"
    assert change.events[0].text == f"fallback rejected: {change.run.said}"


def test_it_may_begin_until_the_approval_is_too_old() -> None:
    run = in_state(S.APPROVED)
    assert run.start_by is not None
    begun, late = begin(run, run.start_by - MOMENT), begin(run, run.start_by, frozen_by=ADA, busy_with="restart")
    assert begun is not None
    assert late is not None
    assert begun.run.state is S.APPLYING
    assert (late.run.state, late.run.said) == (S.EXPIRED, "It was not begun in time; nothing was changed.")


@pytest.mark.parametrize(("by", "named"), [(ADA, f"<@{ADA}>"), (BOT, BOT)])
def test_nothing_begins_while_it_is_frozen_not_even_the_bots_own_revert(by: str, named: str) -> None:
    for run in (in_state(S.APPROVED), in_state(S.APPROVED, remedy=REVERT, automatic=True)):
        change = begin(run, frozen_by=by, busy_with="restart")
        assert change is not None
        assert (change.run.state, change.run.said) == (S.CANCELLED, f"Mitigations are frozen by {named}.")


def test_it_waits_for_what_is_in_flight_on_the_same_deployment() -> None:
    assert begin(in_state(S.APPROVED), busy_with="restart", applied=99) is None


def test_nothing_but_a_revert_begins_once_the_incident_is_over() -> None:
    change = begin(in_state(S.APPROVED), resolved=True, busy_with="restart")
    assert change is not None
    said = "INC-1 is resolved, so it is not begun; `/mistral reopen 1` opens it again."
    assert (change.run.state, change.run.said) == (S.CANCELLED, said)
    back = begin(in_state(S.APPROVED, remedy=REVERT), resolved=True)
    assert back is not None
    assert back.run.state is S.APPLYING


def test_what_it_waits_for_is_said_once_and_named_where_it_comes_to_nothing() -> None:
    run, around = in_state(S.APPROVED), Circumstances(busy_with="revert of fallback")
    assert mitigation.waits(run, Circumstances()) is None
    change = mitigation.waits(run, around)
    assert change is not None
    said = "It waits for the revert of fallback that is under way on the same deployment."
    assert (change.run, change.messages, change.events) == (replace(run, said=said), (mitigation.card(run),), ())
    assert mitigation.waits(change.run, around) is None
    assert run.start_by is not None
    for busy_with, named in (("restart", "restart"), (None, "mitigation before it")):
        late = begin(change.run, run.start_by, busy_with=busy_with)
        assert late is not None
        assert late.run.said == f"It was not begun in time, since it waited for the {named}; nothing was changed."
    begun = begin(change.run)
    assert begun is not None
    assert begun.run.said == ""


def test_whoever_approved_it_hears_that_it_does_not_begin() -> None:
    ends = [
        begin(in_state(S.APPROVED), NOW + HOUR),
        begin(in_state(S.APPROVED), frozen_by=ADA),
        begin(in_state(S.APPROVED), applied=99),
    ]
    for change in ends:
        assert change is not None
        (post,) = [message for message in change.messages if message.kind == "post"]
        assert (post.to, post.template) == (HOME, "mitigation_ended")
        assert post.context == {
            "remedy": "fallback",
            "outcome": "not begun",
            "said": change.run.said,
            "approvers": [ADA],
        }
    quiet = [mitigation.expired(in_state(S.PROPOSED), LATER), mitigation.cancelled(in_state(S.PLANNING), "No.", LATER)]
    assert all(message.kind != "post" for change in quiet for message in change.messages)


@pytest.mark.parametrize(
    ("remedy", "applied", "state"),
    [
        ("fallback", 2, S.APPLYING),
        ("fallback", 3, S.CANCELLED),
        ("fallback", 4, S.CANCELLED),
        (REVERT, 3, S.APPLYING),
    ],
)
def test_so_many_an_hour_begin_and_each_revert(remedy: str, applied: int, state: State) -> None:
    change = begin(in_state(S.APPROVED, remedy=remedy), applied=applied)
    assert change is not None
    assert change.run.state is state
    if state is S.CANCELLED:
        assert change.run.said == f"There were {applied} mitigations in the last hour, which is the limit."


@pytest.mark.parametrize("temporary", [True, False])
def test_what_is_temporary_is_reminded_of_from_when_it_was_applied(temporary: bool) -> None:
    after = mitigation.accepted(in_state(S.APPLYING, temporary=temporary), LATER, LIMITS).run
    assert after.applied_at == LATER
    assert after.remind_at == (LATER + LIMITS.remind_after if temporary else None)


def test_the_end_is_told_in_the_card_and_aloud() -> None:
    change = mitigation.ended(in_state(S.VERIFYING), Outcome.NO_EFFECT, "Still 50 % errors.", LATER)
    assert (change.run.outcome, change.run.said) == (Outcome.NO_EFFECT, "Still 50 % errors.")
    assert change.events[0].text == "fallback: no effect. Still 50 % errors."
    context = {"remedy": "fallback", "outcome": Outcome.NO_EFFECT, "said": "Still 50 % errors."}
    assert Outgoing(kind="post", to=HOME, template="mitigation_ended", context=context) in change.messages


@pytest.mark.parametrize("state", [S.APPROVED, S.APPLYING])
def test_what_has_moved_is_proposed_again_with_no_memory_of_the_old_preview(state: State) -> None:
    before = in_state(state, automatic=True, never="The triage says so.", arguments={"value": "5"}, said="2 of 3")
    change = mitigation.superseded(before, "It moved.", "run2", LATER)
    assert change.run.said == "It moved. It is proposed again."
    (again,) = change.more
    # nothing but what was asked for
    assert again == a_run(id="run2", never="The triage says so.", arguments={"value": "5"}, requested_at=LATER)
    assert [event.data["run"] for event in change.events] == ["run1", "run2"]
    assert {message.template for message in change.messages if message.kind == "run"} == {"run1"}
    with pytest.raises(Refusal):
        begin(again)


@pytest.mark.parametrize("state", State)
def test_a_deployment_is_held_from_before_the_change_is_sent_until_the_end(state: State) -> None:
    held = in_state(state).lock
    assert (held is not None) is (state in (S.APPLYING, S.WATCHING, S.VERIFYING))
    assert in_state(state, plan=None).lock is None
    assert held not in [in_state(S.WATCHING, plan=a_plan(**{of: "other"})).lock for of in ("cluster", "deployment")]
    # two targets may name the same deployment
    assert held == in_state(state, target="eu").lock
