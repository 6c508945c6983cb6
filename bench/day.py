"""Do memory and open files stay flat over a day's work, done in minutes: 100,000 commands and 5,000 triages?

One bot over SQLite and the sandbox's Slack; triages of six targets at a time, whose cards go to as many channels,
since Slack takes one message a second in each.
"""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import yaml

from bench.figures import Figure, bot, end, memory_mb
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


async def measure(share: float = 1.0) -> list[Figure]:
    commands, triages = int(COMMANDS * share), int(TRIAGES * share)
    async with _working() as (sandbox, pid):
        what = f"{commands:,} commands"
        figures = _flat(what, await _sampled(pid, commands, _AT_ONCE, lambda one: _command(sandbox, one), _RATE))
        what = f"{triages:,} triages"
        figures += _flat(what, await _sampled(pid, triages, _TARGETS, lambda one: _triage(sandbox, one), _RATE))
    return figures


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
    pid: int, count: int, at_once: int, does: Callable[[int], Coroutine[None, None, None]], per_second: float
) -> list[tuple[float, int]]:
    """(MB, open files) as ``does`` is done ``count`` times, so many at once and in a second at most."""
    samples, numbers, began = [], iter(range(count)), time.monotonic()

    async def worker() -> None:
        for number in numbers:
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
            await does(number)
            if number % max(1, count // _SAMPLES) == 0:
                samples.append((memory_mb(pid), len(list(Path(f"/proc/{pid}/fd").iterdir()))))  # noqa: ASYNC240

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return samples


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

    def growth(values: list[float]) -> float:
        return max(0.0, statistics.median(values[-5:]) - statistics.median(values[half : half + 5]))

    memory, files = [one for one, _ in samples], [float(one) for _, one in samples]
    return [
        Figure(what=f"{what}: memory at the end", value=memory[-1], unit="MB"),
        Figure(what=f"{what}: memory, growth in the second half", value=growth(memory), unit="MB", limit=GROWTH_MB),
        Figure(what=f"{what}: open files, growth", value=growth(files), unit="", limit=GROWTH_FILES),
    ]
