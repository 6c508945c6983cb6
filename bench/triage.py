"""From command to card, from start to the first acknowledgement, the one-line check, and the idle bot's memory."""

import asyncio
import time
from dataclasses import replace

from bench.figures import Figure, bot, end, memory_mb, scaled
from bot.configuration import load
from bot.probes import load as load_probes
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import AnswerSpec, MistralSpec, Scenario, load_scenarios
from bot.sandbox.slack import Message
from bot.settings import DEFAULT_TARGET
from bot.worlds import prober

MISTRAL_S, SERVICE_S = 0.3, 0.2
# Promised for all of it beyond the slowest upstream, and for `health` beyond the upstream's answer.
TRIAGE_MORE_S, HEALTH_MORE_S, START_S, IDLE_MB = 0.15, 0.6, 2.0, 120.0
ROUNDS = scaled(10, least=3)
IDLE_S = 5.0
# Slack takes about one message a second and channel: a channel that has been quiet so long does not wait.
QUIET_S = 1.2


def scenario() -> Scenario:
    """Everything configured, with upstreams that take their time."""
    limited = load_scenarios()["rate limited under the usual traffic"]
    assert limited.mistral is not None
    late = AnswerSpec(delay_s=MISTRAL_S)
    canary = {model: replace(spec, delay_s=MISTRAL_S) for model, spec in limited.mistral.canary.items()}
    return replace(limited, mistral=MistralSpec(models=late, canary=canary), service=AnswerSpec(delay_s=SERVICE_S))


async def measure() -> list[Figure]:
    sandbox = Sandbox(scenario())
    await sandbox.start()
    try:
        return [*await _health(sandbox), *await _running(sandbox)]
    finally:
        await sandbox.close()


async def _health(sandbox: Sandbox) -> list[Figure]:
    took = []
    for _ in range(5):
        began = time.monotonic()
        process = await bot("health", environ=sandbox.environment())
        await process.communicate()
        took.append(time.monotonic() - began)
        assert process.returncode == 0
    return [
        Figure(what="`health`, cold, beyond the answer", value=min(took) - MISTRAL_S, unit="s", limit=HEALTH_MORE_S)
    ]


async def _running(sandbox: Sandbox) -> list[Figure]:
    began = time.monotonic()
    process = await bot("run", environ=sandbox.environment())
    try:
        await sandbox.slack.wait_connected()
        await sandbox.slack.workspace.command("help")
        started_s = time.monotonic() - began
        await asyncio.sleep(IDLE_S)
        idle_mb = memory_mb(process.pid)
        took = [await _command_to_card(sandbox, number) for number in range(1, ROUNDS + 1)]
        after_mb = memory_mb(process.pid)
    finally:
        await end(process)
    most = MISTRAL_S + TRIAGE_MORE_S
    return [
        Figure(what="start to first acknowledgement", value=started_s, unit="s", limit=START_S),
        Figure(what=f"command to card, {ROUNDS - 1} of {ROUNDS}", value=sorted(took)[-2], unit="s", limit=most),
        Figure(what="the same checks one after the other", value=await _sequence_s(sandbox), unit="s"),
        Figure(what="idle", value=idle_mb, unit="MB", limit=IDLE_MB),
        Figure(what=f"after {ROUNDS} triages with charts", value=after_mb, unit="MB"),
    ]


async def _command_to_card(sandbox: Sandbox, number: int) -> float:
    slack = sandbox.slack.workspace

    def final_cards() -> list[Message]:
        return [one for one in slack.messages if one.thread_ts is None and "`rate_limited`" in one.all_text]

    def charts() -> list[Message]:
        return [one for one in slack.messages if one.files]

    began = time.monotonic()
    await slack.command("triage")
    await slack.wait_for(lambda: len(final_cards()) == number)
    took = time.monotonic() - began
    # drawn after the card: not to be in the way of the next one, and neither is the pace that Slack sets a channel
    await slack.wait_for(lambda: len(charts()) == number, timeout_s=30)
    await asyncio.sleep(QUIET_S)
    return took


async def _sequence_s(sandbox: Sandbox) -> float:
    async with prober(load(sandbox.environment())) as asks:
        probes = load_probes()
        await asks.run(probes, DEFAULT_TARGET, lambda _: None)
        began = time.monotonic()
        for probe in probes:
            await asks.run([probe], DEFAULT_TARGET, lambda _: None)
        return time.monotonic() - began
