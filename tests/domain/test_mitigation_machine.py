"""Mitigations in any order, by anybody, with old cards, expiries and a kill switch; and that what is wrong is found."""

from collections import Counter
from dataclasses import replace
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from bot.domain import approvals
from bot.domain.policy import ApprovalRule
from bot.domain.runs import Approval, Circumstances, Run, RunChange, State
from tests.domain.mitigation_machine import AnyOrder

AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestAnyOrder = AnyOrder.TestCase

# The same play each time: what is to be found is there to be found.
_PLAYED_AGAIN = settings(
    max_examples=400,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def test_the_machine_reaches_all_that_it_is_to_judge() -> None:
    class Counting(AnyOrder):
        reached: ClassVar[Counter[str]] = Counter()

    run_state_machine_as_test(Counting, settings=settings(_PLAYED_AGAIN, max_examples=200))
    wanted = {*State} - {State.PLANNING} | {"conflict", "glass", "approval", "remedy", "revert", "bot's own"}
    assert {name for name in wanted if not Counting.reached[name]} == set()


class AnybodyMay(AnyOrder):
    def check(self, run: Run, user: str, *, glass: bool) -> ApprovalRule:
        return approvals.rule_for(run, self.limits) or ApprovalRule()


class OneIsEnough(AnyOrder):
    def enough(self, run: Run, rule: ApprovalRule, given: Approval) -> bool:
        return True


class AnyReasonBreaksTheGlass(AnyOrder):
    def glass_reason(self, reason: str) -> str:
        return reason


class FormsAreTrusted(AnyOrder):
    """The remedy by which it is judged is whatever was filled in."""

    def check(self, run: Run, user: str, *, glass: bool) -> ApprovalRule:
        return super().check(replace(run, remedy=run.arguments["remedy"]), user, glass=glass)


class OffersNeverEnd(AnyOrder):
    def approved(self, run: Run, given: Approval, *, enough: bool) -> RunChange:
        return super().approved(replace(run, approve_by=None), given, enough=enough)


class ApprovalsNeverAge(AnyOrder):
    def begun(self, run: Run, around: Circumstances) -> RunChange | None:
        return super().begun(replace(run, start_by=None), around)


class NoSwitch(AnyOrder):
    def begun(self, run: Run, around: Circumstances) -> RunChange | None:
        return super().begun(run, replace(around, frozen_by=None))


class NoneWaits(AnyOrder):
    def begun(self, run: Run, around: Circumstances) -> RunChange | None:
        return super().begun(run, replace(around, busy_with=None))


class NoLimit(AnyOrder):
    def begun(self, run: Run, around: Circumstances) -> RunChange | None:
        return super().begun(run, replace(around, applied=0))


class OldCardsCount(AnyOrder):
    def is_newest(self, before: Run) -> bool:
        return True


class RejectionsAreForgotten(AnyOrder):
    def rejected(self, run: Run, user: str) -> RunChange:
        change = super().rejected(run, user)
        return replace(change, run=replace(run, said=change.run.said), events=())


class ApprovalsAreTakenAlong(AnyOrder):
    """What is proposed again keeps the approvals of the old preview."""

    def superseded(self, run: Run, identity: str) -> RunChange:
        change = super().superseded(run, identity)
        return replace(change, more=tuple(replace(one, approvals=run.approvals) for one in change.more))


class Unsaid(AnyOrder):
    def begun(self, run: Run, around: Circumstances) -> RunChange | None:
        change = super().begun(run, around)
        return change and replace(change, events=())


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (AnybodyMay, "without the approvals"),
        (OneIsEnough, "without the approvals"),
        (AnyReasonBreaksTheGlass, "without the approvals"),
        (FormsAreTrusted, "without the approvals"),
        (OffersNeverEnd, "after the offer had ended"),
        (ApprovalsNeverAge, "later than two minutes"),
        (NoSwitch, "all is frozen"),
        (NoneWaits, "two change the same deployment"),
        (NoLimit, "too many begin"),
        (OldCardsCount, "what is over has changed|there is no such move"),
        (RejectionsAreForgotten, "it was rejected"),
        (ApprovalsAreTakenAlong, "without the approvals"),
        (Unsaid, "is no event"),
    ],
)
def test_the_machine_finds_a_step_that_is_broken(broken: type[AnyOrder], found: str) -> None:
    with pytest.raises(AssertionError, match=found):
        run_state_machine_as_test(broken, settings=_PLAYED_AGAIN)
