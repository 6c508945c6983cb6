"""Slack replaces the bot's Socket Mode connection while people type: every command is answered, and once."""

import asyncio

from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios

COMMANDS, NOTICE_S = 30, 0.5


async def test_no_command_is_lost_or_answered_twice_while_slack_refreshes_its_connections() -> None:
    sandbox = Sandbox(load_scenarios()["all is well"])
    slack = sandbox.slack.workspace
    await sandbox.start()
    await sandbox.start_bot()
    try:
        await sandbox.slack.wait_connected()
        await sandbox.ready()
        sandbox.slack.ack_s = 0.5
        refreshing = asyncio.create_task(sandbox.slack.refresh(NOTICE_S))
        for _ in range(COMMANDS):
            await sandbox.slack.wait_connected()
            await slack.command("help")
            await asyncio.sleep(NOTICE_S / 10)
        await refreshing
        await slack.wait_for(lambda: len(slack.messages) >= COMMANDS)
        await sandbox.stop_bot()
        assert len(slack.messages) == COMMANDS
        assert {one.only_for for one in slack.messages} == {"U0REQUESTER"}
    finally:
        await sandbox.close()
