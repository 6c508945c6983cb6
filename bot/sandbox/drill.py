"""A drill: a story that nobody is told the name of, and how well its people dealt with it, by the world's clock."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.sandbox.launcher import Sandbox
from bot.sandbox.slack.model import BOT_USER
from bot.sandbox.story import Story

_SUPPORT, _WHERE = "U0GUEST", "C0GENERAL"
# What support hears of it, by how bad it is; the rest is to be found out.
_HEARD = {
    "P1": "Support here: nearly every customer tells us that the AI features do not work. Is something wrong?",
    "P2": "Support here: a number of customers tell us that answers fail. Is something wrong?",
    "P3": "Support here: a few customers complain about the AI features. Is something wrong?",
}


@dataclass(frozen=True, kw_only=True)
class Score:
    """Seconds from the drill's beginning; None: it was not done. ``updates``: (in time, all that were due)."""

    story: str
    cause: str
    incident: str | None
    declared_s: float | None
    diagnosed_s: float | None
    mitigated_s: float | None
    resolved_s: float | None
    updates: tuple[int, int]
    wrong: tuple[str, ...]
    postmortem: str


@dataclass
class Drill:
    """One that is on; ``before``: how many updates were due, and kept, before it."""

    story: Story
    before: tuple[int, int]
    diagnosed: float | None = None
    tried: dict[str, float] = field(default_factory=dict)

    def look(self, sandbox: Sandbox) -> None:
        """Notes what can be seen only while it lasts."""
        world, cause = sandbox.world, self.story.scenario.expect.cause
        if world.telling is None:
            return
        began, messages = world.telling.chosen, sandbox.slack.workspace.messages
        said = (one for one in messages if one.user == BOT_USER and float(one.ts) >= began)
        if self.diagnosed is None and any(f"`{cause}`" in one.all_text for one in said):
            self.diagnosed = world.now
        for remedy in world.remedies_tried():
            self.tried.setdefault(remedy, world.now)


async def heard(sandbox: Sandbox, story: Story) -> None:
    """Support hears of it, and asks."""
    said = _HEARD.get(story.scenario.expect.severity, _HEARD["P3"])
    await sandbox.slack.workspace.say(said, user=_SUPPORT, channel=_WHERE)


async def scored(drill: Drill, sandbox: Sandbox) -> Score:
    """How it went, as the bot's own records and the world tell. Raises LookupError where no story is told any more."""
    telling = sandbox.world.telling
    if telling is None:
        raise LookupError("no drill is on")

    def since(at: float | None) -> float | None:
        return None if at is None else max(0.0, at - telling.chosen)

    held = json.loads(await sandbox.asked("incidents", "--output", "json"))
    mine = [one for one in held if _moment(one, "declared_at") >= telling.chosen]
    incident: Mapping[str, Any] | None = min(mine, key=lambda one: _moment(one, "declared_at"), default=None)
    kept, due = await updates(sandbox)
    mitigated = next((mark.at for mark in telling.marks if mark.uncured <= 0.5), None)
    resolved = _moment(incident, "resolved_at") if incident and incident["resolved_at"] else None
    return Score(
        story=drill.story.name,
        cause=drill.story.scenario.expect.cause,
        incident=str(incident["name"]) if incident else None,
        declared_s=since(_moment(incident, "declared_at") if incident else None),
        diagnosed_s=since(drill.diagnosed),
        mitigated_s=since(mitigated),
        resolved_s=since(resolved),
        updates=(kept - drill.before[0], due - drill.before[1]),
        wrong=tuple(remedy for remedy in drill.tried if remedy not in drill.story.cures),
        postmortem=await sandbox.asked("postmortem", str(incident["id"])) if incident else "",
    )


async def updates(sandbox: Sandbox) -> tuple[int, int]:
    """(in time, all that were due) of the last day."""
    held = json.loads(await sandbox.asked("metrics", "--since", "1d", "--output", "json"))["since"]["updates_in_time"]
    return int(held["kept"]), int(held["all"])


def _moment(incident: Mapping[str, Any], name: str) -> float:
    return datetime.fromisoformat(str(incident[name])).timestamp()
