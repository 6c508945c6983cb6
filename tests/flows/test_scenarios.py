"""Every scenario over the wire, through both front doors: a slash command, and the terminal's JSON."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from bot.domain.policy import Policy
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import Message
from tests.databases import copy_of
from tests.flows.rooms import room_in

SCENARIOS = load_scenarios()
# Where Slack itself cannot be reached there is no front door in Slack.
IN_SLACK = {name: one for name, one in SCENARIOS.items() if one.control.fail is None}
EXIT = {"healthy": 0, "recovered": 0, "inconclusive": 3}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_terminal_tells_the_scenarios_cause_as_json(name: str) -> None:
    sandbox, expect = Sandbox(SCENARIOS[name]), SCENARIOS[name].expect
    await sandbox.start()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "triage", "--output", "json"),
            env=sandbox.environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    finally:
        await sandbox.close()
    assert err == b""
    report = json.loads(out)
    assert (report["cause"], report["severity"]) == (expect.cause, expect.severity), report["findings"]
    if expect.mitigations is not None:
        assert tuple(report["mitigations"]) == expect.mitigations
    assert not set(report["mitigations"]) & set(expect.never)
    assert set(expect.also) <= set(report["also"])
    assert process.returncode == EXIT.get(expect.cause, 1)
    assert sandbox.world.service_key not in out.decode()


@pytest.mark.parametrize("name", IN_SLACK)
async def test_a_slash_command_ends_in_one_card_with_the_scenarios_cause(
    name: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect = SCENARIOS[name].expect
    # a process that draws for seconds; tests/sandbox/test_page.py looks at the chart beneath a card
    monkeypatch.setattr("bot.serve.ChartProcess", lambda: None)
    async with room_in(copy_of("SQLite", tmp_path, request), Policy(), scenario=name) as room:
        slack = room.slack
        await slack.command("triage")

        def final_card() -> Message | None:
            cards = [message for message in slack.messages if message.thread_ts is None]
            return next((card for card in cards if f"`{expect.cause}`" in card.all_text), None)

        card = await slack.wait_for(final_card, timeout_s=60)
        await room.bot.tasks.drain(60)
        await room.send()
    assert [message for message in slack.messages if message.thread_ts is None] == [card]
    assert expect.severity in card.text
    for remedy in expect.mitigations or ():
        assert f"`{remedy}`" in card.all_text
    for remedy in expect.never:
        assert f"`{remedy}`" not in card.all_text
    everything = "\n".join(message.all_text for message in slack.messages)
    assert room.sandbox.world.service_key not in everything
