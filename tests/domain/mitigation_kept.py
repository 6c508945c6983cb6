"""Keeps the runs of a stateful test as the store does, and looks at each move whether it may be made."""

from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

from bot.domain.incident import Refusal
from bot.domain.policy import Mitigations
from bot.domain.runs import IN_FLIGHT, MOVES, Circumstances, Run, RunChange, State
from bot.domain.timeline import Event
from bot.errors import Conflict
from tests.domain.incidents import HOUR
from tests.domain.mitigation_stories import Story, entitled
from tests.fakes import NOW


class Kept(RuleBasedStateMachine):
    """An act is stored whole, or not at all."""

    reached: ClassVar[Counter[str]] = Counter()

    def start(self, limits: Mitigations) -> None:
        self.limits, self.now = limits, NOW
        self.frozen_by: str | None = None
        self.runs: dict[str, Run] = {}
        self.drawn: dict[str, list[Run]] = {}
        self.stories: dict[str, Story] = {}
        self.events: list[Event] = []

    def is_newest(self, before: Run) -> bool:
        return self.runs[before.id].version == before.version

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
