"""What an operator sees of a bot that works: its metrics by HTTP, and a log whose lines say what they belong to."""

import asyncio
import json
import logging
import time
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from bot import running
from bot.correlation import ids
from bot.domain.policy import Policy
from bot.measures import REGISTRY
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack.faults import refused
from tests.databases import copy_of
from tests.flows.desk import desk_at

Samples = dict[tuple[str, ...], float]


async def scraped(sandbox: Sandbox) -> Samples:
    url = f"http://127.0.0.1:{sandbox.environment()['PORT']}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        text = await answer.text()
    return {
        (sample.name.removeprefix("mistral_bot_"), *sample.labels.values()): sample.value
        for family in parse(text)
        for sample in family.samples
    }


async def test_a_triage_is_counted_and_timed_and_the_log_is_json(
    tmp_path: Path, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    environ = {"LOG_FORMAT": "json", "DATABASE_URL": copy_of("SQLite", tmp_path, request)}
    sandbox = Sandbox(load_scenarios()["rate limited under the usual traffic"], environ=environ)
    sandbox.slack.faults.add("chat.postMessage", refused("internal_error"))
    slack = sandbox.slack.workspace
    await sandbox.start()
    began = time.monotonic()
    try:
        await sandbox.start_bot()
        await sandbox.slack.wait_connected(60)
        await sandbox.ready(60)
        for text in ("triage", "triage", "nonsense"):
            await slack.command(text)
        await slack.wait_for(lambda: any("Declare" in str(one.blocks) for one in slack.messages), 60)
        await slack.wait_for(lambda: sum(one.only_for is not None for one in slack.messages) == 2, 60)
        told = await scraped(sandbox)
        running_s = time.monotonic() - began
        assert await sandbox.stop_bot() == 0
    finally:
        await sandbox.close()
    assert told["commands_total", "triage"] == 2
    assert told["commands_total", "unknown"] == 1
    assert told["ack_seconds_count", "command", "200"] == 3
    assert told["diagnoses_total", "rate_limited"] == 1
    assert told["probe_seconds_count", "canary", "bad"] == 1
    assert told["slack_calls_total", "auth_test", "ok"] >= 1
    assert told["slack_calls_total", "chat_postMessage", "internal_error"] == 1
    assert told["scheduler_lag_seconds", "clocks"] < running_s
    assert told["clock_overdue_seconds",] == 0
    assert told["process_resident_memory_bytes",] > 10_000_000
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert any("listening on" in line["event"] and line["level"] == "info" for line in lines)
    (failed,) = [line for line in lines if "was not shown" in line["event"]]
    assert len(failed["request"]) == 12
    assert {line["level"] for line in lines} == {"info", "warning"}, "nothing failed, at the end neither"


async def test_what_blocks_the_event_loop_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_LAG_EVERY_S", 0.05)
    before = REGISTRY.get_sample_value("mistral_bot_event_loop_lag_seconds_sum") or 0.0
    began = time.monotonic()
    watching = asyncio.create_task(running._watch_loop())
    try:
        await asyncio.sleep(0)
        time.sleep(0.4)  # noqa: ASYNC251 - this is what must not happen
        lag_s = 0.0
        async with asyncio.timeout(30):
            while lag_s == 0.0:
                await asyncio.sleep(0.01)
                lag_s = (REGISTRY.get_sample_value("mistral_bot_event_loop_lag_seconds_sum") or 0.0) - before
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert 0.3 < lag_s <= time.monotonic() - began


async def test_a_delivery_that_fails_is_told_with_its_incident(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []
    monkeypatch.setattr(logging.Handler, "emit", lambda _, record: seen.append({"said": record.getMessage(), **ids()}))
    listening, logger = logging.Handler(), logging.getLogger("bot.handlers.delivery")
    logger.addHandler(listening)
    try:
        async with desk_at(copy_of("SQLite", tmp_path, request), Policy()) as desk:
            await desk.declared()
            desk.sandbox.slack.faults.add("chat.update", refused("internal_error"))
            await desk.slack.command("severity P2")
            await desk.bot.tasks.drain(30)
            await desk.send()
    finally:
        logger.removeHandler(listening)
    (failed,) = [held for held in seen if "is tried again" in held["said"]]
    assert failed["incident"] == "1"
    assert failed["delivery"] in failed["said"]
