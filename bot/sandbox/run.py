"""``mistral-bot sandbox``: the world, the bot in it and the page, until Ctrl-C."""

import asyncio
import signal
from collections.abc import Mapping

import yaml

from bot.errors import SettingsError
from bot.sandbox.clock import MovedClock
from bot.sandbox.launcher import Sandbox
from bot.sandbox.page import Page
from bot.sandbox.play import Play
from bot.sandbox.story import Story, load_stories

FIRST_STORY = "rate limited"
USUAL_PORT = 8765
# A rollout that people can follow pod by pod.
_ROLLOUT_S = 6.0
# What the people of the workspace may do, and everything at a pace that can be watched.
_CONFIG = {
    "components": ["Chat", "Search"],
    "stakeholders": {"P1": ["C0GENERAL"], "P2": ["C0GENERAL"]},
    "approvers": [{"users": ["U0APPROVER", "U0COMMANDER"], "requester": False}],
    "mitigations": {"verify_every": 1},
    # as long as the canary has: the world, the bot and a browser share a machine that may be a busy one
    "timeouts": {"default": 8},
}


def chosen(name: str | None, stories: Mapping[str, Story]) -> Story:
    """The story called ``name``; raises SettingsError that lists them."""
    if name is not None and name not in stories:
        raise SettingsError([f"there is no scenario called {name!r}; known are: {', '.join(stories)}"])
    return stories[name or FIRST_STORY]


def playing(story: Story, stories: Mapping[str, Story]) -> Play:
    """A sandbox to play in, not started yet; its bot's YAML file is written."""
    sandbox = Sandbox(story.scenario, clock=MovedClock())
    sandbox.world.rollout_s = _ROLLOUT_S
    sandbox.slack.pace = True
    file = sandbox.folder / "bot.yaml"
    page = {"name": "Sandbox", "url": sandbox.bot_url}
    file.write_text(yaml.safe_dump({**_CONFIG, "status_page": page}), encoding="utf-8")
    sandbox.configure({"MISTRAL_BOT_CONFIG": str(file)})
    return Play(sandbox, stories)


async def run(name: str | None, port: int | None, host: str) -> None:
    """Prints the page's URL as one line on stdout. Raises SettingsError."""
    stories = load_stories()
    story = chosen(name, stories)
    play = playing(story, stories)
    sandbox = play.sandbox
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    try:
        await sandbox.start()
        await sandbox.tell(story)
        await sandbox.start_bot()
        print(await _page(play, port or USUAL_PORT, host), flush=True)
        await sandbox.ready()
        going_on = asyncio.create_task(play.run())
        await stop.wait()
        going_on.cancel()
    finally:
        await sandbox.close()


async def _page(play: Play, port: int, host: str) -> str:
    """Serves the page, on a free port where this one is taken; its URL."""
    application = Page(play).application()
    try:
        return await play.sandbox.serve(application, port, host)
    except OSError:
        return await play.sandbox.serve(Page(play).application(), 0, host)
