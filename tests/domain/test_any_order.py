"""Whatever people do to an incident, in whatever order, with clocks looked at whenever: what must always hold."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.domain import acts
from bot.domain.acts import Update
from bot.domain.cadence import after_quiet
from bot.domain.causes import Severity
from bot.domain.clocks import earliest, snooze, tick
from bot.domain.incident import Change, Incident, Milestone, Refusal, Role, Status
from bot.domain.policy import SNOOZES, Policy
from bot.domain.timeline import FIRST_HASH, Entry, Kind, fault, seal
from bot.store.rows import incident_row
from tests.domain.incidents import ADA, EVE, MINUTE, ROBIN, declaring, moments, policies, severities

_PEOPLE = st.sampled_from([ROBIN, ADA, EVE])
# What starts the update clock anew, and so lets the reminders be said once more.
_ANEW = {Kind.DECLARED, Kind.UPDATE, Kind.SEVERITY, Kind.REOPENED, Kind.SNOOZED}


class AnyOrder(RuleBasedStateMachine):
    """Plays one incident as the store does: what an act makes is kept whole, a refusal changes nothing."""

    @initialize(policy=policies(), severity=severities, now=moments, commander=st.none() | _PEOPLE)
    def declare(self, policy: Policy, severity: Severity, now: datetime, commander: str | None) -> None:
        self.policy, self.now = policy, now
        self.entries: list[Entry] = []
        self.heard: dict[str, int] = {}
        self.ringing = False
        self.incident = declaring(severity, policy, now, commander=commander).incident
        self.keep(declaring(severity, policy, now, commander=commander))

    def keep(self, change: Change) -> None:
        sealed = seal(
            change.events,
            incident=1,
            last_number=len(self.entries),
            last_hash=self.entries[-1].hash if self.entries else FIRST_HASH,
            noted=self.now,
        )
        self.entries += sealed
        if any(event.kind in _ANEW for event in change.events):
            self.heard.clear()
        for message in change.messages:
            if message.kind == "page":
                self.hear_pager(message.template)
            elif message.template in ("reminder", "overdue"):
                self.heard[message.template] = self.heard.get(message.template, 0) + 1
        last = self.entries[-1].hash
        self.incident = replace(change.incident, entries=len(self.entries), last_hash=last)

    def hear_pager(self, action: str) -> None:
        self.ringing = action == "trigger"

    def attempt(self, act: Callable[[], Change]) -> None:
        """Keeps what comes of ``act``; what is refused changes nothing."""
        with contextlib.suppress(Refusal):
            self.keep(act())

    @rule(minutes=st.integers(0, 3000))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule()
    def wait_for_the_next_clock(self) -> None:
        at = earliest(self.incident)
        if at is not None:
            self.now = max(self.now, at)

    @rule(back=st.integers(1, 60))
    def clock_is_set_back(self, back: int) -> None:
        self.now -= back * MINUTE

    @rule()
    def look(self) -> None:
        before, quiet_until = self.incident, after_quiet(self.incident.severity, self.now, self.policy)
        change = tick(before, self.now, self.policy)
        if change is None:
            at = earliest(before)
            assert at is None or at > self.now
            return
        assert not change.messages or quiet_until == self.now
        assert before.open
        written = {"remind_at", "nudge_at", "nudges", "escalate_at", "escalations"}
        assert replace(before, **{name: getattr(change.incident, name) for name in written}) == change.incident
        self.keep(change)

    @rule(user=_PEOPLE, status=st.none() | st.sampled_from(Status), minutes=st.none() | st.sampled_from([15, 240]))
    def update(self, user: str, status: Status | None, minutes: int | None) -> None:
        told = Update(status=status, next_in=None if minutes is None else minutes * MINUTE)
        self.attempt(lambda: acts.update(self.incident, told, user, self.now, self.policy))

    @rule(user=_PEOPLE, severity=severities)
    def change_severity(self, user: str, severity: Severity) -> None:
        self.attempt(lambda: acts.set_severity(self.incident, severity, user, self.now, self.policy))

    @rule(user=_PEOPLE, actor=_PEOPLE, role=st.sampled_from(Role))
    def give_role(self, user: str, actor: str, role: Role) -> None:
        self.attempt(lambda: acts.give_role(self.incident, role, user, actor, self.now))

    @rule(user=_PEOPLE)
    def take_command(self, user: str) -> None:
        held, answered = self.incident.commander, Milestone.ACKNOWLEDGED in self.incident.milestones
        self.attempt(lambda: acts.take_command(self.incident, user, self.now))
        assert not answered or held is None or self.incident.commander == held

    @rule(user=_PEOPLE, by=st.sampled_from(SNOOZES))
    def put_off(self, user: str, by: timedelta) -> None:
        self.attempt(lambda: snooze(self.incident, by, user, self.now, self.policy))

    @rule(milestone=st.sampled_from(Milestone), minutes=st.integers(-10, 5000))
    def note_milestone(self, milestone: Milestone, minutes: int) -> None:
        at = self.now - minutes * MINUTE
        self.attempt(lambda: acts.set_milestone(self.incident, milestone, at, ADA, self.now))

    @rule(user=_PEOPLE, objections=st.sampled_from([(), ("errors remain",)]), reason=st.sampled_from(["", "old"]))
    def resolve(self, user: str, objections: tuple[str, ...], reason: str) -> None:
        self.attempt(lambda: acts.resolve(self.incident, objections, reason, user, self.now))

    @precondition(lambda self: not self.incident.open)
    @rule(user=_PEOPLE)
    def reopen(self, user: str) -> None:
        self.attempt(lambda: acts.reopen(self.incident, user, self.now, self.policy))

    @invariant()
    def each_promise_is_reminded_of_once_and_its_miss_as_often_as_the_policy_lets(self) -> None:
        assert self.heard.get("reminder", 0) <= 1
        assert self.heard.get("overdue", 0) == self.incident.nudges <= self.policy.nudges_most
        assert self.incident.snoozes <= self.policy.snoozes_most

    @invariant()
    def no_clock_runs_on_what_is_over_and_the_column_has_the_earliest(self) -> None:
        held = self.incident
        clocks = [at for at in (held.remind_at, held.nudge_at, held.escalate_at) if at is not None]
        assert earliest(held) == min(clocks, default=None) == incident_row(held)["due_at"]
        assert held.open or not clocks
        assert held.open is (held.resolved_at is None)

    @invariant()
    def who_has_responded_is_not_waited_for_and_the_pager_does_not_ring_on(self) -> None:
        held = self.incident
        if Milestone.ACKNOWLEDGED in held.milestones:
            assert (held.respond_by, held.escalate_at) == (None, None)
            assert not self.ringing
        elif held.open:
            assert held.respond_by is not None
        assert held.open or not self.ringing

    @invariant()
    def the_chain_is_whole_and_so_are_the_milestones(self) -> None:
        held: Incident = self.incident
        assert fault(self.entries, count=held.entries, last_hash=held.last_hash) is None
        assert Milestone.DECLARED in held.milestones
        assert held.open or Milestone.RESTORED in held.milestones
        assert (held.status is Status.MONITORING) <= (Milestone.MITIGATED in held.milestones)
        assert (held.status is Status.IDENTIFIED) <= (Milestone.IDENTIFIED in held.milestones)


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase
