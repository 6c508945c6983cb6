"""How long until the first acknowledgement, and how much memory does it take, beside the bare Bolt app?"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial

from sqlalchemy import insert

from bench.figures import Figure, more_at_most, ratio_at_most, scaled, taking_turns
from bench.processes import IDLE_S, memory_mb, program, typed
from bench.servers import acknowledged, bare_app, http_sandbox, the_bot, world
from bench.stored import incident, written
from bot.domain.causes import Severity
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import AnswerSpec, MistralSpec, load_scenarios
from bot.store.migrate import upgrade
from bot.store.tables import incidents

ROUNDS, MEMORY_ROUNDS = scaled(7), scaled(3)
TRIAGES, INCIDENTS = scaled(100), scaled(10_000, least=100)
# Promised beside the bare app: the start, and the memory idle and after the triages.
START, IDLE, WORKED = 2.5, 2.0, 2.5
# Of Mistral's API, and promised of `health` beyond it, in seconds.
MISTRAL_S, HEALTH_MORE_S = 0.3, 0.6
_BARE = "the bare app"


async def measure() -> list[Figure]:
    return [*await _starts(), *await _memory(), *await _health()]


async def _starts() -> list[Figure]:
    async with http_sandbox() as sandbox:
        await asyncio.to_thread(upgrade, sandbox.environment()["DATABASE_URL"])
        took = await taking_turns(
            ROUNDS,
            {
                "bare": partial(_started, bare_app),
                "bot": partial(_started, partial(the_bot, sandbox)),
                "new": partial(_started_anew, sandbox),
            },
        )
    rows = [("start to the first acknowledgement", "bot"), ("the first start of all, which makes the database", "new")]
    return [
        Figure(
            what=what,
            values=took[name],
            unit="s",
            beside=_BARE,
            reference=took["bare"],
            goal=ratio_at_most(START) if name == "bot" else None,
            headline=name == "bot",
        )
        for what, name in rows
    ]


async def _started(server: Callable[..., AbstractAsyncContextManager[tuple[int, int]]]) -> float:
    began = time.perf_counter()
    async with server(ready=False) as (_, port):
        await acknowledged(port)
        return time.perf_counter() - began


async def _started_anew(sandbox: Sandbox) -> float:
    with tempfile.TemporaryDirectory() as folder:
        database = sandbox.environment()["DATABASE_URL"]
        sandbox.configure({"DATABASE_URL": f"sqlite+aiosqlite:///{folder}/new.db"})
        began = time.perf_counter()
        async with the_bot(sandbox):
            took = time.perf_counter() - began
        sandbox.configure({"DATABASE_URL": database})
        return took


async def _memory() -> list[Figure]:
    """Of a bot with everything configured, beside the app that does nothing."""
    held = await taking_turns(MEMORY_ROUNDS, {"bare": _bare_mb, "idle": _idle_mb}, warm=0)
    worked, many = await _worked_mb(), await _with_incidents_mb()
    rows = [
        ("memory, idle", held["idle"], IDLE),
        (f"memory after {TRIAGES} triages", [worked], WORKED),
        (f"memory with {INCIDENTS:,} incidents in the database", [many], None),
    ]
    return [
        Figure(
            what=what,
            values=values,
            unit="MB",
            beside=_BARE,
            reference=held["bare"],
            goal=None if goal is None else ratio_at_most(goal),
            headline=goal == IDLE,
        )
        for what, values, goal in rows
    ]


async def _bare_mb() -> float:
    async with bare_app() as (pid, _):
        await asyncio.sleep(IDLE_S)
        return memory_mb(pid)


async def _idle_mb() -> float:
    async with _limited() as sandbox, the_bot(sandbox) as (pid, port):
        await acknowledged(port)
        await asyncio.sleep(IDLE_S)
        return memory_mb(pid)


async def _worked_mb() -> float:
    """In ten channels, since Slack takes one message a second in each."""
    async with _limited() as sandbox, the_bot(sandbox) as (pid, _):
        slack = sandbox.slack.workspace
        channels = [slack.add_channel(f"busy-{number}").id for number in range(10)]
        for number in range(1, TRIAGES + 1):
            await slack.command("triage", channel=channels[number % len(channels)])
            await slack.wait_for(partial(_drawn, sandbox, number), timeout_s=30)
        await asyncio.sleep(IDLE_S)
        return memory_mb(pid)


def _drawn(sandbox: Sandbox, count: int) -> bool:
    """Whether so many charts have come, each of them after its card."""
    return sum(bool(one.files) for one in sandbox.slack.workspace.messages) >= count


async def _with_incidents_mb() -> float:
    async with _limited() as sandbox:
        url = sandbox.environment()["DATABASE_URL"]
        await asyncio.to_thread(upgrade, url)
        row = incident(Severity.P4) | {"due_at": None}
        await written(url, insert(incidents), [row] * INCIDENTS)
        async with the_bot(sandbox) as (pid, _):
            await sandbox.slack.workspace.command("list")
            await asyncio.sleep(IDLE_S)
            return memory_mb(pid)


def _limited() -> AbstractAsyncContextManager[Sandbox]:
    """Everything configured, and something to draw."""
    return world(load_scenarios()["rate limited under the usual traffic"], http_mode=True)


async def _health() -> list[Figure]:
    """The runbook's one-liner, and the same of the bot."""
    limited = load_scenarios()["rate limited under the usual traffic"]
    async with world(replace(limited, mistral=MistralSpec(models=AnswerSpec(delay_s=MISTRAL_S)))) as sandbox:
        environ = sandbox.environment()
        key = f"Authorization: Bearer {environ['MISTRAL_API_KEY']}"
        url = f"{environ['MISTRAL_API_URL']}/v1/models"
        by_hand = f"{program('curl')} -sf -H '{key}' {url} | {program('jq')} '.data[0].id'"
        subjects = {
            "bot": typed(f"{sys.executable} -m bot health", says="healthy: ", environ=environ),
            "curl": typed(by_hand, says="mistral", environ=environ),
        }
        took = await taking_turns(ROUNDS, subjects)
    slowest = [MISTRAL_S] * len(took["bot"])
    what, goal = "`health` in the terminal", more_at_most(HEALTH_MORE_S)
    return [
        Figure(what=what, values=took["bot"], unit="s", beside="curl and jq", reference=took["curl"]),
        Figure(what=what, values=took["bot"], unit="s", beside="Mistral's answer", reference=slowest, goal=goal),
    ]
