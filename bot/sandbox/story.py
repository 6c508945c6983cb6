"""Stories: a scenario that begins, grows, and ends by the right remedy or by itself; stories.yaml tells the format.

A :class:`Telling` is one that is happening: it knows which share of the requests failed when, so that rates over any
window come out as they would, however often something helped and was taken back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from bot.errors import SettingsError
from bot.sandbox.reading import built, document
from bot.sandbox.scenario import Scenario, scenario_of

_STORIES = Path(__file__).with_name("stories.yaml")
# How bad it is at first, then from half of the growth on, then at the end of it.
_GROWTH = (0.4, 0.7, 1.0)
SERVICE, EVERYTHING = "service", "everything"


@dataclass(frozen=True, kw_only=True)
class Story:
    """``told``: what people notice. ``cures``: by remedy, whether the ``service`` gets well by it or ``everything``."""

    name: str
    group: str
    told: str
    scenario: Scenario
    first: str = "Type /mistral triage."
    """What to try first."""
    began_minutes_ago: float = 6.0
    grows_minutes: float = 8.0
    ends_minutes: float | None = None
    """After how long it is over by itself; None: never."""
    cures: Mapping[str, str] = field(default_factory=dict)
    slack_away_minutes: tuple[float, float] | None = None
    """From when until when, after the story was chosen, Slack is away."""


@dataclass(frozen=True)
class Mark:
    """From ``at`` on the share ``uncured`` of the pods is in trouble; ``ratio``: the errors' share, set by hand."""

    at: float
    uncured: float
    ratio: float | None = None


@dataclass(frozen=True)
class Spell:
    """A time with errors, in seconds ago; they come at ``share`` of the story's rates, or at ``ratio`` of requests."""

    began_s: float
    ended_s: float
    share: float
    ratio: float | None = None


@dataclass
class Telling:
    """``story`` as it happens; ``chosen``: when it was chosen. Every time is in Unix seconds of the world's clock."""

    story: Story
    chosen: float
    marks: list[Mark] = field(default_factory=list)
    api_well: bool = False
    """A remedy is in place that makes Mistral's answers well too."""

    @property
    def began(self) -> float:
        return self.chosen - 60 * self.story.began_minutes_ago

    @property
    def ends(self) -> float:
        ends = self.story.ends_minutes
        return float("inf") if ends is None else self.began + 60 * ends

    @property
    def uncured(self) -> float:
        return self.marks[-1].uncured if self.marks else 1.0

    @property
    def cured(self) -> bool:
        """For most of the pods."""
        return self.uncured <= 0.5

    def over(self, now: float) -> bool:
        return now >= self.ends

    def mark(self, now: float, uncured: float, ratio: float | None) -> None:
        """Notes how it is from ``now`` on, where that is news."""
        last = self.marks[-1] if self.marks else Mark(self.began, 1.0)
        if (last.uncured, last.ratio) != (uncured, ratio):
            self.marks.append(Mark(now, uncured, ratio))

    def spells(self, now: float) -> Iterator[Spell]:
        half = 30 * self.story.grows_minutes
        grown = [self.began, self.began + half, self.began + 2 * half]
        turns = {*grown, self.ends, *(mark.at for mark in self.marks)}
        for begin, end in pairwise([*sorted(at for at in turns if at < now), now]):
            mark = next((one for one in reversed(self.marks) if one.at <= begin), Mark(self.began, 1.0))
            growth = _GROWTH[max(0, sum(at <= begin for at in grown) - 1)]
            share = 0.0 if self.over(begin) or begin < self.began else growth * mark.uncured
            if share or mark.ratio is not None:
                yield Spell(now - begin, now - end, share, mark.ratio)

    def slack_away(self, now: float) -> bool:
        away = self.story.slack_away_minutes
        return away is not None and away[0] <= (now - self.chosen) / 60 < away[1]


def load_stories(path: Path = _STORIES) -> dict[str, Story]:
    """The stories of a YAML file by name; raises SettingsError that names a fault."""
    held = document(path)
    if not isinstance(held, Mapping) or set(held) != {"usual", "stories"}:
        raise SettingsError([f"the story file {path} should hold what is usual, and a list of stories"])
    stories: dict[str, Story] = {}
    for entry in held["stories"]:
        story = _story(held["usual"], entry)
        if story.name in stories:
            raise SettingsError([f"the story file {path} has {story.name!r} twice"])
        stories[story.name] = story
    return stories


def _story(usual: Mapping[str, Any], entry: Mapping[str, Any]) -> Story:
    told = {key: value for key, value in entry.items() if key not in ("world", "expect")}
    differs = entry.get("world") or {}
    # a part that is null is not configured
    world = {part: differs[part] and {**usual.get(part, {}), **differs[part]} for part in differs}
    named = {"name": entry.get("name"), "expect": entry.get("expect", {})}
    scenario = scenario_of({**usual, **world, **named})
    cures = dict(entry.get("cures") or {})
    if wrong := set(cures.values()) - {SERVICE, EVERYTHING}:
        raise SettingsError([f"story {scenario.name}: a remedy cures {SERVICE} or {EVERYTHING}, not {sorted(wrong)}"])
    story: Story = built(Story, {**told, "cures": cures, "scenario": scenario}, f"story {scenario.name}")
    return story
