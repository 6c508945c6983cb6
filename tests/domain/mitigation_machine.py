"""Plays mitigations in any order, by anybody, with clicks on old cards, expiries and a kill switch.

What must always hold is judged by a :class:`Story` of each run that the machine writes itself, from what people clicked
when, and by rules of its own, so that a mistake in the bot's is not made twice.
"""

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from bot.domain import approvals, mitigation
from bot.domain.causes import Severity
from bot.domain.incident import BOT, Refusal
from bot.domain.policy import ApprovalRule, Mitigations
from bot.domain.runs import IN_FLIGHT, REVERT, WORKED_ON, Approval, Circumstances, Outcome, Run, RunChange, State
from tests.domain.mitigation_kept import Kept
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
)
from tests.runs import a_plan, a_run

_BY_ITSELF = ("rollback", "fallback")
"""What the bot takes back by itself."""


class AnyOrder(Kept):
    """Plays several runs of one target as people, the handlers and the driver do."""

    @initialize(limits=LIMITS, asked=st.lists(ASKED, min_size=1, max_size=4))
    def begin_with(self, limits: Mitigations, asked: list[tuple[str, str, Severity, str]]) -> None:
        self.start(limits)
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
