"""Reminders, the overdue update and the escalation, by a real process and a real clock, with promises of seconds."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from tests.databases import copy_of
from tests.flows.test_incidents import declared, said, sent

POLICY = """
policy:
  severities: {P1: {respond: 0.2, update: 0.3}}
  remind_before: 0.15
  escalation: [{mention: S0ONCALL, page: true}]
  own_channel: true
"""


@pytest.fixture
async def pages() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.json())
        return web.Response(status=202)

    hook = web.Application()
    hook.router.add_post("/page", take)
    runner = web.AppRunner(hook)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/page", got
    await runner.cleanup()


@pytest.fixture
async def sandbox(
    tmp_path: Path, request: pytest.FixtureRequest, pages: tuple[str, list[dict[str, Any]]]
) -> AsyncIterator[Sandbox]:
    config = tmp_path / "bot.yaml"
    config.write_text(POLICY)
    database = copy_of("SQLite", tmp_path, request)
    environ = {"MISTRAL_BOT_CONFIG": str(config), "PAGER_WEBHOOK_URL": pages[0], "DATABASE_URL": database}
    held = Sandbox(load_scenarios()["all is well"], environ=environ)
    held.slack.workspace.scopes = set(SCOPES)
    await held.start()
    await held.start_bot()
    await held.slack.wait_connected()
    await held.ready()
    yield held
    await held.close()


async def test_nobody_has_to_remember(sandbox: Sandbox, pages: tuple[str, list[dict[str, Any]]]) -> None:
    slack = sandbox.slack.workspace
    await declared(slack)
    own = (await slack.wait_for(lambda: [one for one in slack.channels.values() if one.name.startswith("inc-1-")]))[0]
    await slack.wait_for(lambda: [one for one in slack.messages if one.channel == own.id])
    await slack.wait_for(lambda: said(slack, "Nobody has taken command"), timeout_s=40)
    assert "<!subteam^S0ONCALL>" in said(slack, "Nobody has taken command")[0].all_text
    await slack.wait_for(lambda: pages[1], timeout_s=20)
    await slack.command("role commander", user="U0COMMANDER", channel=own.id)
    await slack.wait_for(lambda: [one for one in pages[1] if one["action"] == "acknowledge"])
    assert [one["action"] for one in pages[1]] == ["trigger", "acknowledge"]
    await slack.command("update", user="U0COMMANDER", channel=own.id)
    view = await slack.wait_for(lambda: slack.views.get("U0COMMANDER"))
    await sent(slack, view, {"action": {"value": "looking"}})
    direct = slack.direct("U0COMMANDER").id
    reminder = (await slack.wait_for(lambda: [m for m in said(slack, "an update is due") if m.channel == direct], 40))[
        0
    ]
    await slack.click(reminder, "snooze_10", user="U0COMMANDER")
    await slack.wait_for(lambda: said(slack, "the update is put off by 10 minutes"))
    assert len([m for m in said(slack, "an update is due") if m.channel == direct]) == 1
