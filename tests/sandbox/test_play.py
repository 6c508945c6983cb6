"""What people do at the sandbox's page while one story gives way to another, and what a drill sees of it."""

import asyncio
import contextlib
import time

import aiohttp
import pytest
from slack_sdk.socket_mode import aiohttp as aiohttp_client
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.bot_process import steady
from bot.sandbox.clock import MovedClock
from bot.sandbox.drill import Drill
from bot.sandbox.launcher import Sandbox
from bot.sandbox.page import Page
from bot.sandbox.run import playing
from bot.sandbox.slack import BOT_TOKEN
from bot.sandbox.story import load_stories

STORIES = load_stories()
# their bots have other settings, so that it starts anew between them
BEFORE, AFTER = STORIES["provider's name does not resolve"], STORIES["rate limited"]


@pytest.mark.parametrize(("path", "posted"), [("/story", {"name": AFTER.name}), ("/drill", {"do": "this"})])
async def test_what_is_said_while_a_story_begins_is_heard_by_the_bot_that_sees_it(
    path: str, posted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    play = playing(BEFORE, STORIES)
    sandbox, stop_bot, messages = play.sandbox, play.sandbox.stop_bot, play.sandbox.slack.workspace.messages
    begun, heard = asyncio.Event(), asyncio.Event()

    async def stopped_late() -> int | None:
        """As by a machine that is busy: what is said meanwhile may reach the bot of the story before."""
        begun.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(heard.wait(), 1)
        return await stop_bot()

    await sandbox.start()
    try:
        await play.tell(BEFORE.name)
        await sandbox.start_bot()
        await sandbox.slack.wait_connected()
        sandbox.world.tell(AFTER)
        async with aiohttp.ClientSession(await sandbox.serve(Page(play).application())) as person, asyncio.timeout(40):
            monkeypatch.setattr(sandbox, "stop_bot", stopped_late)
            chosen = asyncio.create_task(person.post(path, data=posted))
            await begun.wait()
            said = await person.post("/say", data={"text": "/mistral triage"})
            heard.set()
            assert said.status == (await chosen).status == 200
            await sandbox.slack.workspace.wait_for(lambda: any("`rate_limited`" in one.all_text for one in messages))
    finally:
        monkeypatch.undo()
        await sandbox.close()


async def test_a_drill_sees_a_diagnosis_in_the_second_in_which_it_began() -> None:
    clock = MovedClock()
    sandbox = Sandbox(AFTER.scenario, clock=clock)
    await sandbox.start()
    try:
        client = AsyncWebClient(token=BOT_TOKEN, base_url=sandbox.urls["slack"] + "/api/")
        clock.move(1.2 - time.time() % 1)
        sandbox.world.tell(AFTER)
        drill = Drill(AFTER, before=(0, 0))
        await client.chat_postMessage(channel="C0INCIDENTS", text="It is `rate_limited`.")
        drill.look(sandbox)
        assert drill.diagnosed is not None
    finally:
        await sandbox.close()


async def test_whoever_waits_for_a_bot_that_is_not_there_holds_nobody_up() -> None:
    sandbox = Sandbox(AFTER.scenario)
    await sandbox.start()
    try:
        waits = asyncio.create_task(sandbox.settled())
        try:
            await asyncio.sleep(0)
            async with asyncio.timeout(30):
                await sandbox.tell(BEFORE)
            assert not waits.done()
        finally:
            waits.cancel()
            await asyncio.gather(waits, return_exceptions=True)
    finally:
        await sandbox.close()


async def test_a_clock_that_is_moved_does_not_make_the_bot_connect_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(aiohttp_client), "time", time)  # as it was, afterwards
    steady()
    clock, client = MovedClock(), aiohttp_client.SocketModeClient(app_token="xapp-none")
    try:
        client.last_ping_pong_time = vars(aiohttp_client)["time"].time()
        clock.move(86_400)
        assert not await client.is_ping_pong_failing()
    finally:
        clock.close()
        await client.close()
