"""What was measured, what it is laid beside, and what is promised of it; medians and spread are pyperf's."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyperf

# More or less of everything that is counted: 0.02 to see that all of it still runs, 10 for a larger machine.
SCALE = float(os.environ.get("BENCH_SCALE", "1"))

Subject = Callable[[], Awaitable[float]]
"""Does the thing once; what was measured of it."""


def scaled(count: int, *, least: int = 1) -> int:
    """``count`` by SCALE."""
    return max(least, round(count * SCALE))


def lasting(seconds: float) -> float:
    """How long something is measured: a fifth of it where less than the usual is."""
    return seconds if SCALE >= 1 else seconds / 5


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What is promised: of the value, of its ``ratio`` to what it is laid beside, or of how much ``more`` it is."""

    of: Literal["value", "ratio", "more"]
    limit: float
    at_least: bool = False

    def kept(self, held: float) -> bool:
        return held >= self.limit if self.at_least else held <= self.limit

    def told(self, unit: str) -> str:
        words = "at least" if self.at_least else "at most"
        shown = {"value": unit, "ratio": "times", "more": f"{unit} more"}
        return f"{words} {self.limit:g} {shown[self.of]}".strip()


def at_most(limit: float) -> Goal:
    return Goal(of="value", limit=limit)


def at_least(limit: float) -> Goal:
    return Goal(of="value", limit=limit, at_least=True)


def more_at_most(limit: float) -> Goal:
    return Goal(of="more", limit=limit)


def ratio_at_most(limit: float) -> Goal:
    return Goal(of="ratio", limit=limit)


def ratio_at_least(limit: float) -> Goal:
    return Goal(of="ratio", limit=limit, at_least=True)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured thing: ``values`` of a round each, in ``unit``; ``reference``: of what it is laid ``beside``.

    ``headline``: one of the few that README tells.
    """

    what: str
    values: Sequence[float]
    unit: str
    beside: str = ""
    reference: Sequence[float] = ()
    goal: Goal | None = None
    headline: bool = False

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def ratio(self) -> float | None:
        return self.value / median(self.reference) if self.reference else None

    @property
    def judged(self) -> float:
        """What the goal is of."""
        of = "value" if self.goal is None else self.goal.of
        if of == "value":
            return self.value
        assert self.ratio is not None, f"{self.what} is laid beside nothing"
        return self.ratio if of == "ratio" else self.value - median(self.reference)

    @property
    def kept(self) -> bool:
        return self.goal is None or self.goal.kept(self.judged)


def median(values: Sequence[float]) -> float:
    # one may be a count, which may be none
    return float(_benchmark(values).median()) if len(values) > 1 else values[0]


def spread(values: Sequence[float]) -> float:
    """The median of the distances from the median."""
    return float(_benchmark(values).median_abs_dev()) if len(values) > 1 else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    return float(_benchmark(values).percentile(percent))


def _benchmark(values: Sequence[float]) -> pyperf.Benchmark:
    return pyperf.Benchmark([pyperf.Run(list(values), metadata={"name": "one"}, collect_metadata=False)])


async def taking_turns(rounds: int, subjects: Mapping[str, Subject], *, warm: int = 1) -> dict[str, list[float]]:
    """The values of each of ``subjects``, which take turns, each round in the other order than the one before.

    What slows the machine down for a while so slows all of them; the first ``warm`` rounds are not counted, and are not
    there where less than the usual is measured.
    """
    warm = warm if SCALE >= 1 else 0
    held: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(warm + rounds):
        for name in list(subjects) if number % 2 else reversed(list(subjects)):
            value = await subjects[name]()
            if number >= warm:
                held[name].append(value)
    return held
