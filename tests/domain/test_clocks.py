"""Reminder, overdue and escalation: each fires once however late it is looked at, and none in quiet hours."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import acts
from bot.domain.cadence import after_quiet
from bot.domain.causes import Severity
from bot.domain.clocks import earliest, snooze, tick
from bot.domain.incident import Change, Incident, Refusal, Role
from bot.domain.policy import Escalation, Policy
from tests.domain.incidents import (
    ADA,
    EVE,
    HOUR,
    MINUTE,
    NIGHTS,
    POLICY,
    ROBIN,
    declared,
    kinds,
    moments,
    policies,
    said,
    severities,
    unhurried,
)
from tests.fakes import NOW

STEPS = (Escalation(mention="S0FIRST"), Escalation(after=15 * MINUTE, mention="S0SECOND", page=True))
QUIET = Policy(quiet=NIGHTS, escalations=STEPS)
EVENING = datetime.fromisoformat("2026-07-01T18:30:00+00:00")
MORNING = datetime.fromisoformat("2026-07-02T07:00:00+00:00")


def commanded(severity: Severity = Severity.P1, policy: Policy = POLICY, now: datetime = NOW) -> Incident:
    return declared(severity, policy, now, commander=ROBIN)


def ticked(incident: Incident, now: datetime, policy: Policy = POLICY) -> Change:
    change = tick(incident, now, policy)
    assert change is not None
    return change


def played(incident: Incident, policy: Policy, until: timedelta, every: timedelta = MINUTE) -> dict[str, list[int]]:
    """What is said, by minutes since it was declared, if the clocks are looked at so often."""
    heard: dict[str, list[int]] = {}
    now = incident.declared_at
    while now < incident.declared_at + until:
        now += every
        change = tick(incident, now, policy)
        if change is not None:
            incident = change.incident
            for one in said(change):
                heard.setdefault(one, []).append(round((now - incident.declared_at) / MINUTE))
    return heard


def test_an_update_is_asked_for_before_it_is_due_and_then_every_half_cadence_at_most_six_times() -> None:
    heard = played(commanded(Severity.P2), POLICY, 12 * HOUR)
    assert heard == {"reminder": [25], "overdue": [30, 45, 60, 75, 90, 105]}


def test_the_last_overdue_reminder_says_that_it_is_the_last() -> None:
    incident, lasts, now = commanded(), [], NOW
    while (at := earliest(incident)) is not None:
        now = at
        change = ticked(incident, now)
        lasts += [one.context["last"] for one in change.messages if one.template == "overdue"]
        incident = change.incident
    assert lasts == [False] * 5 + [True]


def test_a_time_that_a_person_chose_is_reminded_of_at_that_time() -> None:
    chosen = acts.update(commanded(Severity.P2), acts.Update(next_in=HOUR), ROBIN, NOW, POLICY).incident
    assert played(chosen, POLICY, 3 * HOUR)["reminder"] == [55]
    assert played(chosen, POLICY, 3 * HOUR)["overdue"][:2] == [60, 75]


def test_where_no_updates_are_promised_a_chosen_time_is_asked_for_once() -> None:
    chosen = acts.update(commanded(Severity.P4), acts.Update(next_in=HOUR), ROBIN, NOW, POLICY).incident
    assert played(chosen, POLICY, 48 * HOUR) == {"reminder": [55], "overdue": [60]}
    (message,) = ticked(chosen, NOW + HOUR).messages
    assert message.context["last"]


def test_with_no_overdue_reminders_the_miss_is_noted_and_nothing_posted() -> None:
    policy = Policy(nudges_most=0)
    change = ticked(commanded(), NOW + 15 * MINUTE, policy)
    assert (kinds(change), said(change)) == (["update missed"], [])
    assert earliest(change.incident) is None


def test_a_miss_is_one_event_with_the_time_at_which_the_update_was_due() -> None:
    first = ticked(commanded(), NOW + 20 * MINUTE)
    assert [(event.kind, event.at) for event in first.events] == [("update missed", NOW + 15 * MINUTE)]
    assert kinds(ticked(first.incident, NOW + 30 * MINUTE)) == []


def test_after_an_hour_without_looking_each_overdue_reminder_comes_once_and_not_the_pile() -> None:
    change = ticked(declared(), NOW + HOUR)
    assert said(change) == ["overdue", "escalation", "trigger"]
    assert tick(change.incident, NOW + HOUR, POLICY) is None
    assert earliest(change.incident) == NOW + HOUR + 7.5 * MINUTE


def test_the_commander_is_reminded_and_while_there_is_none_the_channel() -> None:
    (to_robin,) = ticked(commanded(), NOW + 10 * MINUTE).messages
    (to_all,) = ticked(declared(), NOW + 10 * MINUTE).messages
    assert (to_robin.to, to_all.to) == (ROBIN, "home")
    assert to_robin.context["snoozes_left"] == 3


def test_nobody_responding_is_escalated_by_the_policys_list() -> None:
    policy = Policy(escalations=STEPS, nudges_most=0)
    first = ticked(declared(policy=policy), NOW + 15 * MINUTE, policy)
    assert (said(first), kinds(first)) == (["escalation"], ["update missed", "escalated"])
    assert first.messages[0].context["mention"] == "S0FIRST"
    second = ticked(first.incident, NOW + 30 * MINUTE, policy)
    assert said(second) == ["escalation", "trigger"]
    assert [(one.to, one.priority) for one in second.messages[1:]] == [("pager", "1 page")]
    assert earliest(second.incident) is None


def test_steps_keep_their_distance_however_late_the_first_is() -> None:
    policy = Policy(escalations=STEPS, nudges_most=0)
    first = ticked(declared(policy=policy), NOW + 3 * HOUR, policy)
    assert said(first) == ["escalation"]
    assert earliest(first.incident) == NOW + 3 * HOUR + 15 * MINUTE


def test_who_was_named_has_not_responded_until_they_take_command() -> None:
    named = acts.give_role(declared(), Role.COMMANDER, ADA, ROBIN, NOW).incident
    rung = ticked(named, NOW + 15 * MINUTE)
    assert "trigger" in said(rung)
    taken = acts.take_command(rung.incident, ADA, NOW + 16 * MINUTE)
    assert "acknowledge" in said(taken)
    assert taken.incident.escalate_at is None


def test_without_steps_nobody_is_told() -> None:
    policy = Policy(escalations=(), nudges_most=0)
    assert declared(policy=policy).escalate_at is None
    # a list that was emptied while the clock ran
    change = ticked(declared(), NOW + 15 * MINUTE, policy)
    assert said(change) == []
    assert earliest(change.incident) is None


@pytest.mark.parametrize("look", [EVENING + 4 * HOUR, EVENING + 6 * HOUR, MORNING - MINUTE])
def test_what_falls_due_in_quiet_hours_waits_for_their_end(look: datetime) -> None:
    held = declared(Severity.P3, QUIET, EVENING)
    waiting = ticked(held, max(look, EVENING + 4 * HOUR), QUIET)
    assert (said(waiting), kinds(waiting)) == ([], [])
    assert earliest(waiting.incident) == MORNING
    loud = ticked(waiting.incident, MORNING, QUIET)
    assert said(loud) == ["reminder", "escalation"]
    assert loud.incident.next_update_at == MORNING + 5 * MINUTE
    assert said(ticked(loud.incident, MORNING + 5 * MINUTE, QUIET)) == ["overdue"]


def test_overdue_reminders_stop_for_the_night_and_go_on() -> None:
    incident, heard = commanded(Severity.P3, QUIET, EVENING - 4 * HOUR), []
    while (at := earliest(incident)) is not None:
        change = ticked(incident, at, QUIET)
        heard += [(one, at.strftime("%H:%M")) for one in said(change)]
        incident = change.incident
    assert heard[:4] == [("reminder", "18:25"), ("overdue", "18:30"), ("overdue", "20:30"), ("overdue", "07:00")]


def test_a_bot_that_comes_back_in_quiet_hours_leaves_people_alone() -> None:
    held = commanded(Severity.P3, QUIET, EVENING - 4 * HOUR)
    change = ticked(held, EVENING + 5 * HOUR, QUIET)
    assert said(change) == []
    assert earliest(change.incident) == MORNING


def test_an_update_is_put_off_and_asked_for_before_the_new_time() -> None:
    change = snooze(commanded(), 20 * MINUTE, ADA, NOW + 10 * MINUTE, POLICY)
    after = change.incident
    assert (after.next_update_at, after.remind_at) == (NOW + 35 * MINUTE, NOW + 30 * MINUTE)
    assert (kinds(change), said(change)) == (["snoozed"], ["card"])
    assert change.events[0].text == "update put off by 20 min"
    late = snooze(commanded(), 10 * MINUTE, ADA, NOW + 2 * HOUR, POLICY).incident
    assert late.next_update_at == NOW + 2 * HOUR + 10 * MINUTE


def test_an_update_is_put_off_only_so_often_until_one_is_sent() -> None:
    held = commanded()
    for _ in range(3):
        held = snooze(held, 30 * MINUTE, ADA, NOW, POLICY).incident
    with pytest.raises(Refusal, match="put off 3 times already; send it, please"):
        snooze(held, 10 * MINUTE, ADA, NOW, POLICY)
    sent = acts.update(held, acts.Update(), ADA, NOW, POLICY).incident
    assert snooze(sent, 10 * MINUTE, ADA, NOW, POLICY).incident.snoozes == 1


def test_what_is_not_due_cannot_be_put_off() -> None:
    with pytest.raises(Refusal, match="No update of INC-0 is due"):
        snooze(commanded(Severity.P4), 10 * MINUTE, ADA, NOW, POLICY)
    over = acts.resolve(commanded(), (), "", ADA, NOW).incident
    with pytest.raises(Refusal, match="No update of INC-0 is due"):
        snooze(over, 10 * MINUTE, ADA, NOW, POLICY)


def test_a_tick_changes_only_what_the_store_writes_of_a_tick() -> None:
    held = declared()
    after = ticked(held, NOW + HOUR).incident
    kept = {"remind_at", "nudge_at", "nudges", "escalate_at", "escalations"}
    assert replace(held, **{name: getattr(after, name) for name in kept}) == after


@unhurried
@given(severity=severities, policy=policies(), now=moments, late=st.integers(0, 5000))
def test_before_its_time_nothing_fires_and_at_its_time_it_fires_once(
    severity: Severity, policy: Policy, now: datetime, late: int
) -> None:
    held = declared(severity, policy, now)
    at = earliest(held)
    if at is None:
        assert tick(held, now + 1000 * HOUR, policy) is None
        return
    assert at >= now
    assert tick(held, at - timedelta(microseconds=1), policy) is None
    look = at + late * MINUTE
    first = ticked(held, look, policy)
    assert max([said(first).count(one) for one in said(first)], default=0) <= 1
    following = earliest(first.incident)
    assert following is None or following >= look
    again = tick(first.incident, look, policy)
    # two steps may stand at the same minute of the policy's list
    assert again is None or set(said(again)) <= {"escalation", "trigger"}


@unhurried
@given(severity=severities, policy=policies(), now=moments, rhythm=st.integers(1, 700))
def test_however_often_it_is_looked_at_the_clocks_run_out_and_say_no_more_than_the_policy_lets(
    severity: Severity, policy: Policy, now: datetime, rhythm: int
) -> None:
    incident, heard = declared(severity, policy, now, commander=EVE), []
    for _ in range(500):
        at = earliest(incident)
        if at is None:
            break
        # the first look of a rhythm at or after the clock's time
        look = now + -(-(at - now) // (rhythm * MINUTE)) * rhythm * MINUTE
        change = ticked(incident, look, policy)
        assert not change.messages or after_quiet(severity, look, policy) == look
        heard += said(change)
        incident = change.incident
    assert earliest(incident) is None
    assert heard.count("reminder") <= 1
    assert heard.count("overdue") <= policy.nudges_most
    assert heard.count("escalation") == len(policy.escalations)
    assert heard.count("trigger") == sum(step.page for step in policy.escalations)
