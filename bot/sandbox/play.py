"""What people at the page can make happen: a story, a change by hand, time; and what follows of itself meanwhile."""

import asyncio
import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from bot.sandbox.drill import Drill, Score, heard, scored, updates
from bot.sandbox.launcher import Sandbox
from bot.sandbox.story import Story
from bot.sandbox.world import Changes

_LOOK_S = 0.5
# How the clock is moved: in steps that leave the bot time to do at each what is due then.
_STEP_S, _STEP_EVERY_S = 30.0, 0.12
_STATUS_TIMEOUT = aiohttp.ClientTimeout(total=1)


@dataclass(frozen=True)
class PublicStatus:
    """What the bot's status page says, in a sentence; empty: it does not answer."""

    said: str = ""
    url: str = ""


class Play:
    """One at a time happens; ``stories`` by name."""

    def __init__(self, sandbox: Sandbox, stories: Mapping[str, Story]) -> None:
        self.sandbox, self.stories = sandbox, stories
        self.slack_cut = False
        """Somebody made Slack go away by hand."""
        self.status = PublicStatus()
        self.drill: Drill | None = None
        self.score: Score | None = None
        """Of the last drill."""
        self._one = asyncio.Lock()

    async def tell(self, name: str) -> None:
        """Begins the story called so; raises LookupError where there is none."""
        if name not in self.stories:
            raise LookupError(f"there is no scenario called {name!r}")
        async with self._one:
            self.slack_cut, self.drill, self.score = False, None, None
            await self.sandbox.tell(self.stories[name])
        self.sandbox.slack.workspace.changed()

    async def begin_drill(self, *, surprise: bool) -> None:
        """The story that is chosen, or any that people can do something about; its name is not told while it lasts."""
        telling = self.sandbox.world.telling
        if surprise or telling is None:
            story = secrets.choice([one for one in self.stories.values() if one.cures and not one.slack_away_minutes])
        else:
            story = telling.story
        before = await updates(self.sandbox)
        async with self._one:
            # a drill is on before its story begins: the page never names it
            self.slack_cut, self.drill, self.score = False, Drill(story, before), None
            await self.sandbox.tell(story)
        self.sandbox.slack.workspace.changed()
        await heard(self.sandbox, story)

    async def end_drill(self) -> None:
        """Raises LookupError where none is on."""
        if self.drill is None:
            raise LookupError("no drill is on")
        self.look()
        self.score, self.drill = await scored(self.drill, self.sandbox), None
        self.sandbox.slack.workspace.changed()

    def change(self, changes: Changes, *, slack_cut: bool) -> None:
        """What is changed by hand from now on, all of it."""
        self.slack_cut = slack_cut
        self.sandbox.world.change(changes)
        self.look()
        self.sandbox.slack.workspace.changed()

    def release(self) -> None:
        """Somebody rolls out a release that does not start."""
        if self.sandbox.world.cluster is not None:
            self.sandbox.world.cluster.release()
        self.sandbox.slack.workspace.changed()

    async def move(self, minutes: float) -> None:
        """The clock forward, in steps, as in a film that runs fast."""
        async with self._one:
            left = 60.0 * minutes
            while left > 0:
                step = min(_STEP_S, left)
                self.sandbox.move_clock(step)
                self.look()
                left -= step
                await asyncio.sleep(_STEP_EVERY_S)
        self.sandbox.slack.workspace.changed()

    def look(self) -> None:
        """What follows of itself: how far the story is cured, and whether Slack is there."""
        world, slack = self.sandbox.world, self.sandbox.slack
        world.look()
        if self.drill is not None:
            self.drill.look(self.sandbox)
        away = self.slack_cut or (world.telling is not None and world.telling.slack_away(world.now))
        if slack.down != away:
            slack.down = away
            slack.workspace.changed()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with aiohttp.ClientSession(timeout=_STATUS_TIMEOUT) as session:
            while True:
                self.look()
                self.status = await self._status(session)
                await asyncio.sleep(_LOOK_S)

    async def _status(self, session: aiohttp.ClientSession) -> PublicStatus:
        url, said = self.sandbox.bot_url, ""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError, KeyError):
            async with session.get(f"{url}/api/v2/status.json") as answer:
                said = str((await answer.json())["status"]["description"])
        return PublicStatus(said, f"{url}/status")
