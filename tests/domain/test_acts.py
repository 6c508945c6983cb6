"""Each act: what it changes, what it appends, whom it tells, and the sentence with which it is refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain import acts
from bot.domain.acts import Update
from bot.domain.causes import Severity
from bot.domain.clocks import earliest, tick
from bot.domain.incident import MOVES, Change, Incident, Milestone, Refusal, Role, Status
from bot.domain.policy import Escalation, Policy
from tests.domain.incidents import ADA, EVE, HOUR, MINUTE, POLICY, ROBIN, declared, declaring, kinds, said
from tests.fakes import NOW

HOSTILE = "\x00a\ud800b \u202eevil 🔥\x00"
STEPS = Policy(escalations=(Escalation(mention="S0A"), Escalation(after=10 * MINUTE, page=True)), nudges_most=0)


def in_status(status: Status) -> Incident:
    return replace(declared(commander=ROBIN), id=7, status=status)


def escalated(policy: Policy = POLICY) -> Incident:
    """Nobody has responded to it, and all that the policy lists was done."""
    held = declared(policy=policy)
    while held.escalate_at is not None:
        change = tick(held, held.escalate_at, policy)
        assert change is not None
        held = change.incident
    return held


def resolved(held: Incident) -> Incident:
    return acts.resolve(held, (), "", ADA, NOW + HOUR).incident


def test_a_declared_incident_has_its_promises_its_card_and_one_entry() -> None:
    change = declaring(title="  Completions \n fail ", impact=" all ", components=("api",), cause="rate_limited")
    held = change.incident
    assert (held.title, held.impact, held.status) == ("Completions fail", "all", "investigating")
    assert held.milestones == {Milestone.DECLARED: NOW}
    assert (held.respond_by, held.escalate_at) == (NOW + 15 * MINUTE, NOW + 15 * MINUTE)
    assert (held.next_update_at, held.remind_at) == (NOW + 15 * MINUTE, NOW + 10 * MINUTE)
    assert (kinds(change), said(change)) == (["declared"], ["card"])


@pytest.mark.parametrize(
    ("severity", "respond", "update"),
    [(Severity.P1, 15, 15), (Severity.P2, 60, 30), (Severity.P3, 240, 240), (Severity.P4, 29 * 60, None)],
)
def test_the_runbooks_promises_are_the_defaults(severity: Severity, respond: int, update: int | None) -> None:
    held = declared(severity)
    assert held.respond_by == NOW + respond * MINUTE
    assert held.next_update_at == (None if update is None else NOW + update * MINUTE)


def test_an_alert_that_came_first_and_a_channel_of_its_own_are_part_of_declaring() -> None:
    change = declaring(policy=Policy(own_channel=True), first_alert=NOW - HOUR)
    assert change.incident.milestones[Milestone.FIRST_ALERT] == NOW - HOUR
    assert said(change) == ["card", "channel"]


@pytest.mark.parametrize("title", ["", " \n", "\x00", "\ud800 "])
def test_an_incident_needs_a_title(title: str) -> None:
    with pytest.raises(Refusal, match=r"^An incident needs a title\.$"):
        declaring(title=title)


def test_whoever_declares_and_takes_command_has_responded_and_whoever_is_named_has_not() -> None:
    own = declaring(commander=ROBIN)
    assert own.incident.milestones[Milestone.ACKNOWLEDGED] == NOW
    assert (own.incident.respond_by, own.incident.escalate_at) == (None, None)
    assert (kinds(own), said(own)) == (["declared", "role"], ["card"])
    named = declaring(commander=ADA)
    assert Milestone.ACKNOWLEDGED not in named.incident.milestones
    assert named.incident.escalate_at == NOW + 15 * MINUTE
    assert [(one.template, one.to) for one in named.messages[1:]] == [("incident_role", ADA)]


def test_what_is_too_long_for_the_card_is_whole_in_its_thread() -> None:
    change = declaring(title="t" * 500, impact="i" * 5000)
    assert (len(change.incident.title), len(change.incident.impact)) == (150, 3000)
    assert [(one.template, one.aloud) for one in change.messages[1:]] == [("incident_update", False)]


ACTS: dict[str, Callable[[Incident], Change]] = {
    "declare": lambda _: declaring(title=HOSTILE, impact=HOSTILE, action=HOSTILE),
    "update": lambda held: acts.update(held, Update(impact=HOSTILE, action=HOSTILE), ADA, NOW, POLICY),
    "note": lambda held: acts.note(held, HOSTILE, ADA, NOW),
    "resolve": lambda held: acts.resolve(held, (HOSTILE,), HOSTILE, ADA, NOW),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_what_no_database_keeps_is_left_out_and_all_else_stays(act: Callable[[Incident], Change]) -> None:
    change = act(in_status(Status.INVESTIGATING))
    told = repr(change)
    assert "ab \\u202eevil 🔥" in told
    assert "\\x00" not in told
    assert "\\ud800" not in told


@pytest.mark.parametrize("was", Status)
@pytest.mark.parametrize("to", Status)
def test_the_table_of_moves_is_kept_by_every_act(was: Status, to: Status) -> None:
    held = in_status(was)
    if was is Status.RESOLVED:
        with pytest.raises(Refusal, match=r"^INC-7 is resolved; `/mistral reopen 7` opens it again\.$"):
            acts.update(held, Update(status=to), ADA, NOW, POLICY)
        assert acts.reopen(held, ADA, NOW, POLICY).incident.status in MOVES[was]
    elif to is Status.RESOLVED:
        with pytest.raises(Refusal, match="Resolve INC-7 with `/mistral resolve`"):
            acts.update(held, Update(status=to), ADA, NOW, POLICY)
        assert acts.resolve(held, (), "", ADA, NOW).incident.status is to
    else:
        change = acts.update(held, Update(status=to), ADA, NOW, POLICY)
        assert change.incident.status is to
        assert kinds(change) == (["update"] if to is was else ["status", "update"])
        assert to is was or to in MOVES[was]


def test_a_status_brings_its_milestone_and_leaves_one_that_was_noted() -> None:
    noted = acts.set_milestone(declared(), Milestone.IDENTIFIED, NOW - HOUR, ADA, NOW).incident
    assert acts.update(noted, Update(status=Status.IDENTIFIED), ADA, NOW, POLICY).incident.milestones == {
        Milestone.DECLARED: NOW,
        Milestone.IDENTIFIED: NOW - HOUR,
    }
    after = acts.update(declared(), Update(status=Status.MONITORING), ADA, NOW + HOUR, POLICY).incident
    assert after.milestones[Milestone.MITIGATED] == NOW + HOUR


def test_an_update_of_any_kind_starts_the_clock_anew() -> None:
    held = replace(declared(impact="all", action="looking"), nudges=3, snoozes=2)
    change = acts.update(held, Update(), ADA, NOW + HOUR, POLICY)
    after = change.incident
    assert (after.impact, after.action, after.updated_at) == ("all", "looking", NOW + HOUR)
    assert (after.next_update_at, after.remind_at) == (NOW + 75 * MINUTE, NOW + 70 * MINUTE)
    assert (after.nudge_at, after.nudges, after.snoozes) == (after.next_update_at, 0, 0)
    assert said(change) == ["card", "incident_update"]
    assert acts.update(held, Update(impact=""), ADA, NOW, POLICY).incident.impact == ""


def test_a_raised_severity_starts_the_shorter_clocks_at_once() -> None:
    held = declared(Severity.P4)
    change = acts.set_severity(held, Severity.P1, ADA, NOW + HOUR, POLICY)
    after = change.incident
    assert (after.next_update_at, after.respond_by) == (NOW + 75 * MINUTE, NOW + 75 * MINUTE)
    assert (after.escalate_at, after.remind_at) == (NOW + 75 * MINUTE, NOW + 70 * MINUTE)
    assert change.events[0].data == {"from": "P4", "to": "P1"}
    assert (kinds(change), said(change)) == (["severity"], ["card", "incident_severity"])


def test_at_p4_no_update_clock_runs_and_of_one_that_somebody_commands_none() -> None:
    waits = acts.set_severity(declared(), Severity.P4, ADA, NOW, POLICY).incident
    assert (waits.next_update_at, waits.remind_at, waits.nudge_at) == (None, None, None)
    assert earliest(waits) == waits.escalate_at == NOW + 29 * HOUR
    commanded = acts.set_severity(declared(commander=ROBIN), Severity.P4, ADA, NOW, POLICY).incident
    assert earliest(commanded) is None
    back = acts.set_severity(commanded, Severity.P1, ADA, NOW, POLICY).incident
    assert (back.respond_by, back.escalate_at, back.nudge_at) == (None, None, NOW + 15 * MINUTE)


@pytest.mark.parametrize("severity", [Severity.P2, Severity.P4])
def test_after_another_severity_the_list_begins_anew_and_the_pager_still_hears_of_the_end(severity: Severity) -> None:
    held = acts.set_severity(escalated(STEPS), severity, ADA, NOW + HOUR, STEPS).incident
    assert said(acts.take_command(held, ADA, NOW + HOUR))[-1] == "acknowledge"
    assert said(acts.resolve(held, (), "", ADA, NOW + HOUR))[-1] == "resolve"
    heard = []
    while held.escalate_at is not None:
        change = tick(held, held.escalate_at, STEPS)
        assert change is not None
        heard += [one.context["mention"] for one in change.messages if one.template == "escalation"]
        held = change.incident
    assert heard == ["S0A", None]


def test_the_same_severity_is_refused() -> None:
    with pytest.raises(Refusal, match=r"^INC-0 is P1 already\.$"):
        acts.set_severity(declared(), Severity.P1, ADA, NOW, POLICY)


def test_a_role_is_given_or_taken_and_not_twice() -> None:
    change = acts.give_role(declared(), Role.SCRIBE, EVE, ADA, NOW)
    assert change.incident.roles == {Role.SCRIBE: EVE}
    assert [(one.kind, one.template, one.to, one.aloud) for one in change.messages] == [
        ("card", "", "home", True),
        ("post", "incident_role", "home", False),
    ]
    assert change.events[0].data == {"user": EVE}
    assert change.incident.escalate_at is not None, "a scribe is no commander"
    with pytest.raises(Refusal, match=r"^<@U0EVE> has that role already\.$"):
        acts.give_role(change.incident, Role.SCRIBE, EVE, EVE, NOW)


def test_a_commander_who_is_named_is_told_in_person_and_takes_command_themselves() -> None:
    named = acts.give_role(declared(), Role.COMMANDER, ADA, ROBIN, NOW)
    assert [one.to for one in named.messages] == ["home", "home", ADA]
    assert Milestone.ACKNOWLEDGED not in named.incident.milestones
    with pytest.raises(Refusal, match="has that role already"):
        acts.give_role(named.incident, Role.COMMANDER, ADA, EVE, NOW)
    taken = acts.take_command(named.incident, ADA, NOW + MINUTE)
    assert taken.incident.milestones[Milestone.ACKNOWLEDGED] == NOW + MINUTE
    assert [one.to for one in taken.messages] == ["home", "home"]


def test_a_button_takes_command_from_nobody_who_has_responded() -> None:
    held = replace(acts.take_command(declared(), ADA, NOW).incident, id=7)
    with pytest.raises(Refusal, match=r"^<@U0ADA> has command already; `/mistral role 7 commander` takes it over\.$"):
        acts.take_command(held, EVE, NOW)
    with pytest.raises(Refusal, match="has that role already"):
        acts.take_command(held, ADA, NOW)
    over = acts.give_role(held, Role.COMMANDER, EVE, EVE, NOW + MINUTE).incident
    assert over.commander == EVE
    assert over.milestones[Milestone.ACKNOWLEDGED] == NOW, "somebody responded then"
    named = declared(commander=EVE)
    assert acts.take_command(named, ADA, NOW).incident.commander == ADA, "who was named has not responded"
    with pytest.raises(Refusal, match="is resolved"):
        acts.take_command(resolved(named), ADA, NOW)


def test_who_takes_a_role_of_what_is_over_has_not_responded_to_it() -> None:
    change = acts.give_role(resolved(escalated()), Role.COMMANDER, ADA, ADA, NOW + 2 * HOUR)
    assert Milestone.ACKNOWLEDGED not in change.incident.milestones
    assert "acknowledge" not in said(change)


def test_a_note_needs_a_text_and_has_its_own_time() -> None:
    change = acts.note(declared(), " seen ", ADA, NOW, at=NOW - HOUR)
    assert [(one.text, one.at) for one in change.events] == [("seen", NOW - HOUR)]
    assert change.messages == ()
    with pytest.raises(Refusal, match="A note needs a text"):
        acts.note(declared(), "\x00 \n", ADA, NOW)


def test_a_milestone_is_noted_and_its_correction_is_an_entry_of_its_own() -> None:
    first = acts.set_milestone(declared(), Milestone.MITIGATED, NOW - HOUR, ADA, NOW)
    second = acts.set_milestone(first.incident, Milestone.MITIGATED, NOW - 2 * HOUR, ADA, NOW)
    assert kinds(first) + kinds(second) == ["milestone", "correction"]
    assert second.events[0].data == {"was": (NOW - HOUR).isoformat()}
    assert second.incident.milestones[Milestone.MITIGATED] == NOW - 2 * HOUR
    assert said(second) == ["card"]


def test_a_milestone_lies_in_the_past_and_not_years_ago() -> None:
    with pytest.raises(Refusal, match=r"^A milestone lies in the past\.$"):
        acts.set_milestone(declared(), Milestone.MITIGATED, NOW + MINUTE, ADA, NOW)
    with pytest.raises(Refusal, match="at most a year before"):
        acts.set_milestone(declared(), Milestone.MITIGATED, NOW - timedelta(days=367), ADA, NOW)
    before = acts.set_milestone(declared(first_alert=NOW), Milestone.MITIGATED, NOW - HOUR, ADA, NOW)
    assert before.incident.milestones[Milestone.MITIGATED] == NOW - HOUR


def test_noting_that_somebody_acknowledged_stops_what_waits_for_it() -> None:
    change = acts.set_milestone(escalated(), Milestone.ACKNOWLEDGED, NOW + MINUTE, ADA, NOW + HOUR)
    assert (change.incident.respond_by, change.incident.escalate_at) == (None, None)
    assert said(change) == ["card", "acknowledge"]
    again = acts.set_milestone(change.incident, Milestone.ACKNOWLEDGED, NOW, ADA, NOW + HOUR)
    assert said(again) == ["card"]
    assert (again.incident.respond_by, again.incident.escalate_at) == (None, None)


def test_a_correction_of_what_is_over_starts_no_clock_and_rings_nobody() -> None:
    change = acts.set_milestone(resolved(escalated()), Milestone.ACKNOWLEDGED, NOW, ADA, NOW + 2 * HOUR)
    assert earliest(change.incident) is None
    assert said(change) == ["card"]


def test_a_noted_restoration_leaves_the_incident_open_and_stands_when_it_is_resolved() -> None:
    noted = acts.set_milestone(declared(), Milestone.RESTORED, NOW, ADA, NOW).incident
    assert noted.open
    assert earliest(noted) is not None
    assert resolved(noted).milestones[Milestone.RESTORED] == NOW


def test_resolving_stops_every_clock_and_tells_the_pager_where_it_rang() -> None:
    change = acts.resolve(escalated(), (), " it works ", ADA, NOW + HOUR)
    held = change.incident
    assert (held.status, held.resolved_at, earliest(held)) == ("resolved", NOW + HOUR, None)
    clocks = (held.next_update_at, held.remind_at, held.nudge_at, held.escalate_at)
    assert clocks == (None, None, None, None)
    assert held.milestones[Milestone.RESTORED] == NOW + HOUR
    assert (kinds(change), said(change)) == (["status", "resolved"], ["card", "incident_resolved", "resolve"])
    assert change.events[1].text == "it works"
    assert said(acts.resolve(declared(), (), "", ADA, NOW)) == ["card", "incident_resolved"]


def test_against_objections_it_is_resolved_for_a_reason_that_is_recorded() -> None:
    with pytest.raises(Refusal, match=r"^Say why it is over all the same\.$"):
        acts.resolve(declared(), ("errors remain",), " \x00", ADA, NOW)
    change = acts.resolve(declared(), ("errors remain",), "they are old", ADA, NOW)
    assert (change.events[1].text, change.events[1].data) == ("they are old", {"objections": ["errors remain"]})


def test_what_is_reopened_was_not_restored_and_its_clocks_run_again() -> None:
    change = acts.reopen(resolved(declared(commander=ROBIN)), ADA, NOW + 2 * HOUR, POLICY)
    held = change.incident
    assert (held.status, held.resolved_at) == ("investigating", None)
    assert Milestone.RESTORED not in held.milestones
    assert held.next_update_at == NOW + 2 * HOUR + 15 * MINUTE
    assert held.escalate_at is None, "somebody has responded"
    assert (kinds(change), said(change)) == (["reopened"], ["card", "incident_reopened"])
    with pytest.raises(Refusal, match=r"^INC-0 is open already\.$"):
        acts.reopen(held, ADA, NOW, POLICY)


def test_what_is_reopened_and_nobody_ever_took_is_escalated_again() -> None:
    held = acts.reopen(resolved(escalated()), ADA, NOW + 2 * HOUR, POLICY).incident
    assert held.respond_by == held.escalate_at == NOW + 2 * HOUR + 15 * MINUTE
    change = tick(held, NOW + 2 * HOUR + 15 * MINUTE, POLICY)
    assert change is not None
    assert said(change)[-2:] == ["escalation", "trigger"]


CLOSED: dict[str, Callable[[Incident], Change]] = {
    "update": lambda held: acts.update(held, Update(), ADA, NOW, POLICY),
    "severity": lambda held: acts.set_severity(held, Severity.P3, ADA, NOW, POLICY),
    "command": lambda held: acts.take_command(held, ADA, NOW),
    "resolve": lambda held: acts.resolve(held, (), "", ADA, NOW),
}


@pytest.mark.parametrize("act", CLOSED.values(), ids=CLOSED.keys())
def test_what_is_over_is_reopened_first(act: Callable[[Incident], Change]) -> None:
    with pytest.raises(Refusal, match=r"^INC-7 is resolved; `/mistral reopen 7` opens it again\.$"):
        act(in_status(Status.RESOLVED))


def test_in_a_channel_of_its_own_it_has_another_card() -> None:
    change = acts.moved_to(declared(), "C0OWN", NOW)
    assert change.incident.home == "C0OWN"
    assert [(one.kind, one.to) for one in change.messages] == [("card", "C0OWN"), ("card", "home")]
