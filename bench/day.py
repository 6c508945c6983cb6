"""Do memory and open files stay flat over a day's work, done in minutes: 100,000 commands and 5,000 triages?

One bot over SQLite and the sandbox's Slack; triages of six targets at a time, whose cards go to as many channels,
since Slack takes one message a second in each.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bench.figures import Figure, more_at_most
from bench.processes import bot, end, memory_mb
from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios

COMMANDS, TRIAGES = 100_000, 5_000
_TARGETS, _AT_ONCE, _SAMPLES = 6, 20, 40
_CHANNELS_EACH = 30
# What is acknowledged is answered later: faster than it can answer, the bot would hold what waits.
_RATE = 100.0
# Promised of the second half.
GROWTH_MB, GROWTH_FILES = 10.0, 10.0


async def measure() -> list[Figure]:
    async with _working() as (sandbox, pid):
        commands = await _sampled(pid, COMMANDS, _AT_ONCE, lambda number: _command(sandbox, number))
        triages = await _sampled(pid, TRIAGES, _TARGETS, lambda number: _triage(sandbox, number))
        ran = await _diagnosed(sandbox)
    assert ran >= TRIAGES, f"only {ran} triages were run"
    return [*_flat(f"{COMMANDS:,} commands", commands), *_flat(f"{TRIAGES:,} triages", triages)]


@asynccontextmanager
async def _working() -> AsyncIterator[tuple[Sandbox, int]]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        # a chart, which is a second of another process, for one of them
        more = [{"name": f"t{number}", "PROMETHEUS_URL": ""} for number in range(1, _TARGETS)]
        config.write_text(yaml.safe_dump({"targets": more}))
        environ = {"MISTRAL_BOT_CONFIG": str(config)}
        sandbox = Sandbox(load_scenarios()["rate limited under the usual traffic"], environ=environ)
        sandbox.slack.workspace.scopes = set(SCOPES)
        for number in range(_TARGETS * _CHANNELS_EACH):
            sandbox.slack.workspace.add_channel(f"day-{number}")
        await sandbox.start()
        process = await bot("run", environ=sandbox.environment())
        try:
            await sandbox.slack.wait_connected()
            await sandbox.ready()
            yield sandbox, process.pid
        finally:
            await end(process)
            await sandbox.close()


async def _sampled(
    pid: int, count: int, at_once: int, does: Callable[[int], Coroutine[None, None, None]]
) -> list[tuple[float, int]]:
    """(MB, open files) at rest, each time that a part of the ``count`` is done, ``at_once`` beside each other."""
    samples = []
    for first in range(0, count, part := max(at_once, count // _SAMPLES)):
        began, numbers = time.monotonic(), range(first, min(count, first + part))

        async def worker(place: int, numbers: range = numbers, began: float = began) -> None:
            for number in numbers[place::at_once]:
                await asyncio.sleep(max(0.0, began + (number - numbers[0]) / _RATE - time.monotonic()))
                await does(number)

        await asyncio.gather(*(worker(place) for place in range(at_once)))
        samples.append(await _at_rest(pid))
    return samples


async def _at_rest(pid: int) -> tuple[float, int]:
    """Once what is under way has been answered, drawn and closed: no file is opened or closed for two seconds."""
    async with asyncio.timeout(60):
        while True:
            files = _files(pid)
            await asyncio.sleep(2)
            if _files(pid) == files:
                return memory_mb(pid), files


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def _diagnosed(sandbox: Sandbox) -> int:
    """How many triages the bot itself says that it has run."""
    url = f"http://127.0.0.1:{sandbox.environment()['PORT']}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        families = list(text_string_to_metric_families(await answer.text()))
    samples = [one for family in families for one in family.samples]
    return int(sum(one.value for one in samples if one.name == "mistral_bot_diagnoses_total"))


async def _command(sandbox: Sandbox, number: int) -> None:
    await sandbox.slack.workspace.command(("list", "help", "actions", "nonsense")[number % 4])
    _forget(sandbox)


async def _triage(sandbox: Sandbox, number: int) -> None:
    slack, target = sandbox.slack.workspace, number % _TARGETS
    names = [f"day-{target * _CHANNELS_EACH + place}" for place in range(_CHANNELS_EACH)]
    channel = next(one.id for one in slack.channels.values() if one.name == names[number // _TARGETS % _CHANNELS_EACH])
    for _ in range(20):
        began = slack.new_ts()
        await slack.command(f"triage {'default' if not target else f't{target}'}", channel=channel)
        # one whose chart is still being drawn has the channel: whoever asks is told so, and asks again
        with contextlib.suppress(TimeoutError):
            await slack.wait_for(partial(_shown, sandbox, channel, began), 10)
            break
    else:
        raise TimeoutError(f"no card of triage {number} came")
    _forget(sandbox)


def _shown(sandbox: Sandbox, channel: str, since: str) -> bool:
    return any(
        one.channel == channel and one.ts > since and "Declare" in str(one.blocks)
        for one in reversed(sandbox.slack.workspace.messages)
    )


def _forget(sandbox: Sandbox) -> None:
    """The sandbox remembers all that was ever said; it is the bot that is measured."""
    slack = sandbox.slack.workspace
    if len(slack.messages) > 2000:
        del slack.messages[:1000]
    if len(slack.calls) > 2000:
        del slack.calls[:1000]


def _flat(what: str, samples: list[tuple[float, int]]) -> list[Figure]:
    half = len(samples) // 2

    def rows(name: str, values: list[float], unit: str, most: float) -> Figure:
        first, last, goal = values[half : half + 5], values[-5:], more_at_most(most)
        return Figure(what=f"{what}: {name}", values=last, unit=unit, beside="at half time", reference=first, goal=goal)

    memory, files = [one for one, _ in samples], [float(one) for _, one in samples]
    return [rows("memory at the end", memory, "MB", GROWTH_MB), rows("open files", files, "files", GROWTH_FILES)]
