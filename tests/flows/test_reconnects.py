"""The bot's Socket Mode connection is replaced, or lost, while people type: every command is answered, and once."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from bot.configuration import load
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.serve import wired
from bot.slack import server
from bot.worlds import prober
from tests.databases import copy_of, store_at

COMMANDS, NOTICE_S = 30, 0.5


async def test_no_command_is_lost_or_answered_twice_while_slack_refreshes_its_connections() -> None:
    sandbox = Sandbox(load_scenarios()["all is well"])
    slack = sandbox.slack.workspace
    await sandbox.start()
    await sandbox.start_bot()
    try:
        await sandbox.slack.wait_connected(60)
        await sandbox.ready()
        async with asyncio.TaskGroup() as refreshing:
            refreshing.create_task(sandbox.slack.refresh(NOTICE_S))
            for _ in range(COMMANDS):
                await sandbox.slack.wait_connected(60)
                await slack.command("help")
                await asyncio.sleep(NOTICE_S / 10)
        await slack.wait_for(lambda: len(slack.messages) >= COMMANDS, 60)
        await sandbox.stop_bot()
        assert len(slack.messages) == COMMANDS
        assert {one.only_for for one in slack.messages} == {"U0REQUESTER"}
    finally:
        await sandbox.close()


async def test_a_socket_that_does_not_come_back_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    deaf_s = server._DEAF_S
    for name, seconds in {"_HEARTBEAT_S": 0.1, "_DEAF_S": 0.5, "_OPEN_WITHIN_S": 1.0, "_RETRY_S": 0.1}.items():
        monkeypatch.setattr(f"bot.slack.server.{name}", seconds)
    sandbox = Sandbox(load_scenarios()["all is well"])
    await sandbox.start()
    settings, store = load(sandbox.environment()), store_at(copy_of("SQLite", tmp_path, request))
    sockets = sandbox.slack._sockets
    hold, refused = sockets.hold, asyncio.Event()

    async def refuses_once(request: web.Request, changed: Callable[[], None]) -> web.WebSocketResponse:
        monkeypatch.setattr(sockets, "hold", hold)
        refused.set()
        raise web.HTTPServiceUnavailable

    try:
        async with prober(settings) as asks:
            slack = wired(settings, asks, store).slack
            in_touch = asyncio.create_task(slack.stay_in_touch())
            try:
                await sandbox.slack.wait_connected(60)
                monkeypatch.setattr(sockets, "hold", refuses_once)
                sockets.cut()
                async with asyncio.timeout(60):
                    await refused.wait()
                    await sandbox.slack.wait_connected(60)
                # else a machine that stands still has the socket replaced under the command
                monkeypatch.setattr(server, "_DEAF_S", deaf_s)
                workspace = sandbox.slack.workspace
                await workspace.command("help")
                await workspace.wait_for(lambda: workspace.messages, 60)
                assert [one.only_for for one in workspace.messages] == ["U0REQUESTER"]
            finally:
                in_touch.cancel()
                await asyncio.gather(in_touch, return_exceptions=True)
                await slack.close()
    finally:
        await store.close()
        await sandbox.close()
