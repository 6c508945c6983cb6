"""Plays mitigations in any order, by anybody, with clicks on old cards, expiries and a kill switch.

What must always hold is judged by a :class:`Story` of each run that the machine writes itself, from what people clicked
when, and by rules of its own, so that a mistake in the bot's is not made twice.
"""

from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.domain import approvals, mitigation
from bot.domain.causes import Severity
from bot.domain.incident import BOT, Refusal
from bot.domain.policy import ApprovalRule, Mitigations
from bot.domain.runs import IN_FLIGHT, MOVES, REVERT, WORKED_ON, Approval, Circumstances, Outcome, Run, RunChange, State
from bot.domain.timeline import Event
from bot.errors import Conflict
from tests.domain.incidents import HOUR
from tests.domain.mitigation_stories import (
    ASKED,
    COURSES,
    GLASS,
    GROUPS,
    LIMITS,
    PEOPLE,
    PICKS,
    STALE,
    WAITS,
    Story,
    anew,
    entitled,
)
from tests.fakes import NOW
from tests.runs import a_plan, a_run

_BY_ITSELF = ("rollback", "fallback")
"""What the bot takes back by itself."""


class AnyOrder(RuleBasedStateMachine):
    """Plays several runs of one target as the store and the handlers do: an act is stored whole, or not at all."""

    reached: ClassVar[Counter[str]] = Counter()

    @initialize(limits=LIMITS, asked=st.lists(ASKED, min_size=1, max_size=4))
    def begin_with(self, limits: Mitigations, asked: list[tuple[str, str, Severity, str]]) -> None:
        self.limits, self.now = limits, NOW
        self.frozen_by: str | None = None
        self.runs: dict[str, Run] = {}
        self.drawn: dict[str, list[Run]] = {}
        self.stories: dict[str, Story] = {}
        self.events: list[Event] = []
        for one in asked:
            self.ask(*one)
        self.work_on_all()

    # what a subclass breaks, to see that it is found

    def check(self, run: Run, user: str, *, glass: bool) -> ApprovalRule:
        return approvals.check(run, user, GROUPS[user], self.limits, glass=glass)

    def enough(self, run: Run, rule: ApprovalRule, given: Approval) -> bool:
        return approvals.enough(run, rule, given)

    def glass_reason(self, reason: str) -> str:
        return approvals.glass_reason(reason)

    def approved(self, run: Run, given: Approval, *, enough: bool) -> RunChange:
        return mitigation.approved(run, given, enough=enough, policy=self.limits)

    def begun(self, run: Run, around: Circumstances) -> RunChange | None:
        return mitigation.begun(run, self.now, around, self.limits)

    def superseded(self, run: Run, identity: str) -> RunChange:
        return mitigation.superseded(run, "It moved.", identity, self.now)

    def rejected(self, run: Run, user: str) -> RunChange:
        return mitigation.rejected(run, user, "not now", self.now)

    def is_newest(self, before: Run) -> bool:
        return self.runs[before.id].version == before.version

    # the store

    def add(self, run: Run, story: Story, events: tuple[Event, ...]) -> None:
        assert run.id not in self.runs
        assert run.state is State.PLANNING
        self.runs[run.id], self.drawn[run.id], self.stories[run.id] = run, [run], story
        self.events += events

    def move(self, before: Run, change: RunChange) -> None:
        if not self.is_newest(before):
            self.reached["conflict"] += 1
            raise Conflict("somebody else was first")
        held, after = self.runs[before.id], replace(change.run, version=before.version + 1)
        self.look_at_the_move(held, after, change)
        self.runs[after.id] = after
        self.drawn[after.id].append(after)
        self.events += change.events
        self.reached[after.state] += 1

    def look_at_the_move(self, before: Run, after: Run, change: RunChange) -> None:
        if not MOVES[before.state]:
            was, is_now = (
                replace(one, reverted_by=None, kept="", remind_at=None, version=0) for one in (before, after)
            )
            assert was == is_now, "what is over has changed"
        if after.state is not before.state:
            assert after.state in MOVES[before.state], "there is no such move"
            told = [event.data["state"] for event in change.events if event.data["run"] == after.id]
            assert told == [after.state], "a change of state is no event"
        if after.state is State.APPLYING and before.state is not State.APPLYING:
            self.look_at_the_begin(after)

    def look_at_the_begin(self, run: Run) -> None:
        story, hour_ago = self.stories[run.id], self.now - HOUR
        story.entitled = entitled(story, self.limits)
        assert story.entitled, "it begins without the approvals that it needs"
        assert not story.rejected, "it begins though it was rejected"
        assert self.frozen_by is None, "it begins though all is frozen"
        assert story.offered_at is not None
        ends = story.offered_at + timedelta(minutes=10)
        assert all(at < ends for _, at, _ in story.clicks), "it was approved after the offer had ended"
        approved_at = max((at for _, at, _ in story.clicks), default=story.offered_at)
        assert self.now < approved_at + timedelta(minutes=2), "it begins later than two minutes after the approval"
        lately = [
            one
            for one in self.stories.values()
            if one.begun_at is not None and one.begun_at > hour_ago and not one.revert and not one.harmless
        ]
        assert story.revert or len(lately) < self.limits.per_hour, "too many begin in an hour"
        story.begun_at = self.now
        self.reached["bot's own" if story.vouched_by else "revert" if story.revert else "remedy"] += 1

    def attempt(self, before: Run, act: Callable[[], RunChange | None]) -> bool:
        """Whether it was done; what is refused, or comes from an old card, changes nothing."""
        try:
            change = act()
            if change is None:
                return False
            self.move(before, change)
        except (Refusal, Conflict):
            return False
        return True

    def around(self, run: Run) -> Circumstances:
        """As the store counts."""
        others = [one for one in self.runs.values() if one.id != run.id]
        lock = replace(run, state=State.APPLYING).lock
        return Circumstances(
            frozen_by=self.frozen_by,
            busy_with=next((one.remedy for one in others if one.lock is not None and one.lock == lock), None),
            applied=sum(
                one.applied_at > self.now - HOUR if one.applied_at is not None else one.lock is not None
                for one in others
            ),
        )

    def some(self, pick: int, states: AbstractSet[State], *, stale: bool = False) -> Run:
        """A run in one of these states; now and then any other, or one as it was drawn when it still was in one."""
        fitting = [run for run in self.runs.values() if run.state in states and pick % 10]
        if stale:
            drawn = [one for copies in self.drawn.values() for one in copies[:-1] if one.state in states]
            fitting = drawn or fitting
        fitting = fitting or list(self.runs.values())
        return fitting[pick % len(fitting)]

    def has(self, states: AbstractSet[State]) -> bool:
        return any(run.state in states for run in self.runs.values())

    def fresh_id(self) -> str:
        return f"run{len(self.runs) + 1}"

    # what people do

    @precondition(lambda self: sum(run.open for run in self.runs.values()) < 5)
    @rule(asked=ASKED)
    def ask_for_another(self, asked: tuple[str, str, Severity, str]) -> None:
        self.ask(*asked)
        self.work_on_all()

    def ask(self, user: str, remedy: str, severity: Severity, deployment: str) -> None:
        run = a_run(id=self.fresh_id(), remedy=remedy, severity=severity, requested_by=user, requested_at=self.now)
        run = replace(run, temporary=remedy == "fallback", arguments={"remedy": "restart"})
        story = Story(remedy=remedy, severity=severity, asker=user, deployment=deployment)
        self.add(run, story, mitigation.asked(run).events)

    @precondition(lambda self: self.has({State.PROPOSED}))
    @rule(pick=PICKS, stale=STALE, user=PEOPLE, glass=GLASS, reject=st.sampled_from([False, False, False, True]))
    def answer(self, pick: int, stale: bool, user: str, glass: str | None, reject: bool) -> None:
        before = self.some(pick, {State.PROPOSED}, stale=stale)
        if reject:
            self.reject(before, user)
        else:
            self.click(before, user, glass)

    @precondition(lambda self: self.has({State.PROPOSED}))
    @rule(people=st.permutations(sorted(GROUPS)), then=st.none() | COURSES, times=st.integers(1, 3))
    def all_approve(self, people: list[str], then: str | None, times: int) -> None:
        for identity in [run.id for run in self.runs.values() if run.state is State.PROPOSED]:
            for user in people:
                self.click(self.runs[identity], user, None)
        if then is not None:
            self.work_on_all(then, times)

    def click(self, before: Run, user: str, glass: str | None) -> None:
        def act() -> RunChange:
            reason = "" if glass is None else self.glass_reason(glass)
            found = self.check(before, user, glass=bool(reason))
            given = Approval(user=user, at=self.now, reason=reason)
            return self.approved(before, given, enough=self.enough(before, found, given))

        if self.attempt(before, act):
            self.stories[before.id].clicks.append((user, self.now, glass or ""))
            self.reached["glass" if glass else "approval"] += 1

    def reject(self, before: Run, user: str) -> None:
        if self.attempt(before, lambda: self.rejected(before, user)):
            self.stories[before.id].rejected = True

    @rule(user=PEOPLE, frozen=st.sampled_from([False, False, True]))
    def turn_the_switch(self, user: str, frozen: bool) -> None:
        self.frozen_by = user if frozen else None

    @precondition(lambda self: self.has({State.ENDED}))
    @rule(pick=PICKS, stale=STALE, user=PEOPLE, keep=st.booleans())
    def settle(self, pick: int, stale: bool, user: str, keep: bool) -> None:
        before = self.some(pick, {State.ENDED}, stale=stale)
        if keep:
            self.attempt(before, lambda: mitigation.keep(before, user, "until the fix", self.now, self.limits))
        else:
            self.take_back(before, user)

    def take_back(self, before: Run, user: str, *, automatic: bool = False) -> None:
        original = self.stories[before.id]
        try:
            run = mitigation.revert_of(before, self.fresh_id(), user, "over", self.now, automatic=automatic)
        except Refusal:
            return
        story = replace(original, asker=user, revert=True, vouched_by=original if automatic else None)
        self.add(run, anew(story), mitigation.asked(run).events)

    # what time and the bot do

    @rule(seconds=WAITS, how=COURSES)
    def wait(self, seconds: int, how: str) -> None:
        self.work_on_all(how)
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.has({State.PROPOSED, State.APPROVED}))
    @rule(pick=PICKS)
    def wait_for_a_deadline(self, pick: int) -> None:
        run = self.some(pick, {State.PROPOSED, State.APPROVED})
        deadline = run.start_by if run.state is State.APPROVED else run.approve_by
        if deadline is not None:
            self.now = max(self.now, deadline - timedelta(seconds=pick % 2))

    @rule()
    def tick(self) -> None:
        for before in list(self.runs.values()):
            change = mitigation.tick(before, self.now, self.limits)
            due = mitigation.due_at(before)
            assert (change is not None) is (due is not None and due <= self.now)
            if change is not None:
                self.move(before, change)

    @precondition(lambda self: self.has(WORKED_ON))
    @rule(how=COURSES, times=st.integers(1, 5))
    def work_on_all(self, how: str = "well", times: int = 1) -> None:
        """Things go ``how`` once something was begun."""
        for _ in range(times):
            for identity in list(self.runs):
                run = self.runs[identity]
                early = run.state not in IN_FLIGHT or (run.state, how) == (State.APPLYING, "fails")
                if run.state in WORKED_ON:
                    self.work_on(run, "well" if early else how)

    @precondition(lambda self: self.has(WORKED_ON))
    @rule(pick=PICKS, stale=STALE, how=COURSES)
    def work(self, pick: int, stale: bool, how: str) -> None:
        self.work_on(self.some(pick, WORKED_ON, stale=stale), how)

    def work_on(self, before: Run, how: str) -> None:
        """What the bot does next with a run, and everything with one that is none of its business."""
        steps = {
            State.PLANNING: [self.plan],
            State.APPROVED: [self.begin],
            State.APPLYING: [self.send],
            State.WATCHING: [self.go_on],
            State.VERIFYING: [self.go_on],
        }
        for step in steps.get(before.state, [self.plan, self.begin, self.send, self.go_on]):
            step(before, how)

    def plan(self, before: Run, how: str) -> None:
        story = self.stories[before.id]
        if how == "fails":
            self.attempt(before, lambda: mitigation.cancelled(before, "It is gone.", self.now))
            return
        # what others have changed since is not taken back without anybody's approval
        asked = replace(before, automatic=False, approvals=()) if how == "moved" else before
        made = a_plan(deployment=story.deployment)
        if self.attempt(before, lambda: mitigation.proposed(asked, made, self.now, self.limits)):
            story.offered_at = self.now
            story.vouched_by = story.vouched_by if asked.automatic else None

    def begin(self, before: Run, how: str) -> None:
        if how == "moved":
            self.propose_again(before)
        else:
            self.attempt(before, lambda: self.begun(before, self.around(before)))

    def send(self, before: Run, how: str) -> None:
        if how == "moved":
            self.propose_again(before)
        elif how == "fails":
            self.end(before, Outcome.FAILED)
        elif self.attempt(before, lambda: mitigation.accepted(before, self.now, self.limits)):
            original = self.runs.get(before.arguments.get("of", ""))
            if before.remedy == REVERT and original is not None and original.reverted_by is None:
                self.move(original, RunChange(run=replace(original, reverted_by=before.id, remind_at=None)))

    def propose_again(self, before: Run) -> None:
        made: list[RunChange] = []

        def act() -> RunChange:
            made.append(self.superseded(before, self.fresh_id()))
            return made[0]

        if self.attempt(before, act):
            self.stories[before.id].harmless = True
            for again in made[0].more:
                # told with the other's end
                self.add(again, anew(replace(self.stories[before.id], vouched_by=None)), ())

    def go_on(self, before: Run, how: str) -> None:
        if how == "well" and before.state is not State.VERIFYING and before.remedy != REVERT:
            self.attempt(before, lambda: mitigation.rolled_out(before, self.now))
        else:
            self.end(before, {"well": Outcome.FIXED, "moved": Outcome.INTERRUPTED}.get(how, Outcome.WORSE))

    def end(self, before: Run, outcome: Outcome) -> None:
        if self.attempt(before, lambda: mitigation.ended(before, outcome, "So it is.", self.now)):
            self.stories[before.id].harmless = before.applied_at is None
            if outcome in (Outcome.WORSE, Outcome.FAILED) and before.remedy in _BY_ITSELF:
                self.take_back(self.runs[before.id], BOT, automatic=True)

    @precondition(lambda self: self.has(IN_FLIGHT))
    @rule(pick=PICKS, stale=STALE)
    def show_progress(self, pick: int, stale: bool) -> None:
        before = self.some(pick, IN_FLIGHT, stale=stale)
        self.attempt(before, lambda: mitigation.progressed(before, "2 of 3"))

    # what must always hold

    @invariant()
    def one_at_most_is_in_flight_on_each_deployment(self) -> None:
        held = [self.stories[run.id].deployment for run in self.runs.values() if run.state in IN_FLIGHT]
        assert len(held) == len(set(held)), "two change the same deployment"

    @invariant()
    def the_timeline_tells_how_each_run_stands(self) -> None:
        told = {event.data["run"]: event.data["state"] for event in self.events}
        assert told == {run.id: run.state for run in self.runs.values()}

    @invariant()
    def nothing_was_changed_by_a_run_that_never_began(self) -> None:
        for run in self.runs.values():
            assert run.applied_at is None or self.stories[run.id].begun_at is not None
            assert run.in_place <= (self.stories[run.id].remedy == "fallback" and run.state is State.ENDED)
