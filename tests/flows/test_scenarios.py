"""Every scenario over the wire, through both front doors: a slash command, and the terminal's JSON."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import Scenario, load_scenarios
from bot.sandbox.slack import Message
from tests.databases import copy_of

SCENARIOS = load_scenarios()
# Where Slack itself cannot be reached there is no front door in Slack.
IN_SLACK = {name: one for name, one in SCENARIOS.items() if one.control.fail is None}
EXIT = {"healthy": 0, "recovered": 0, "inconclusive": 3}


@pytest.fixture
async def sandbox(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    held = Sandbox(request.param, environ={"DATABASE_URL": copy_of("SQLite", tmp_path, request)})
    await held.start()
    yield held
    await held.close()


def each(scenarios: dict[str, Scenario]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("sandbox", scenarios.values(), ids=scenarios.keys(), indirect=True)


@each(SCENARIOS)
async def test_the_terminal_tells_the_scenarios_cause_as_json(sandbox: Sandbox) -> None:
    expect = sandbox.world.scenario.expect
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "triage", "--output", "json"),
        env=sandbox.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert err == b""
    report = json.loads(out)
    assert (report["cause"], report["severity"]) == (expect.cause, expect.severity), report["findings"]
    if expect.mitigations is not None:
        assert tuple(report["mitigations"]) == expect.mitigations
    assert not set(report["mitigations"]) & set(expect.never)
    assert set(expect.also) <= set(report["also"])
    assert process.returncode == EXIT.get(expect.cause, 1)
    assert sandbox.world.service_key not in out.decode()


@each(IN_SLACK)
async def test_a_slash_command_ends_in_one_card_with_the_scenarios_cause(sandbox: Sandbox) -> None:
    expect = sandbox.world.scenario.expect
    slack = sandbox.slack.workspace
    await sandbox.start_bot()
    await sandbox.slack.wait_connected()
    await slack.command("triage")

    def final_card() -> Message | None:
        cards = [message for message in slack.messages if message.thread_ts is None]
        return next((card for card in cards if f"`{expect.cause}`" in card.all_text), None)

    card = await slack.wait_for(final_card, timeout_s=20)
    await sandbox.stop_bot()
    assert [message for message in slack.messages if message.thread_ts is None] == [card]
    assert expect.severity in card.text
    for remedy in expect.mitigations or ():
        assert f"`{remedy}`" in card.all_text
    for remedy in expect.never:
        assert f"`{remedy}`" not in card.all_text
    everything = "\n".join(message.all_text for message in slack.messages)
    assert sandbox.world.service_key not in everything
