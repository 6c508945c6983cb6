"""How many requests a second are acknowledged, and how soon, beside a bare Bolt app that does nothing else?"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from sqlalchemy import func, insert, select

from bench.figures import Figure, at_most, lasting, percentile, ratio_at_least, ratio_at_most, scaled
from bench.load import Answered, load
from bench.logs import POD_BYTES, PODS
from bench.servers import bare_app, cluster, commands, event, http_sandbox, the_bot
from bench.stored import POST, incident, written
from bot.domain.causes import Severity
from bot.sandbox.launcher import Sandbox
from bot.store.migrate import upgrade
from bot.store.rows import delivery_row
from bot.store.tables import deliveries, incidents
from tests.databases import looking, store_at
from tests.fakes import NOW

CONNECTIONS = (20, 200)
ROUNDS, ROUND_S = scaled(5), lasting(2.0)
# Promised beside the bare app: of its rate, of its 99th percentile when idle, and of that while all else is under way.
RATE, P99, P99_BUSY = 0.7, 1.5, 3.0
WAITING, CHANNELS = scaled(10_000, least=1_000), scaled(500, least=50)
# in one second nothing may be sent, where another part of a smoke run has the processors
COMMANDS_A_S, SECONDS = 50, scaled(8, least=5)
# Promised of commands at that rate, at the 99th percentile, in seconds.
ACK_S = 1.0
# What is under way is not waited for any longer.
_WITHIN_S = 120.0


async def measure() -> list[Figure]:
    return [*await _idle(), *await _under_way()]


async def _idle() -> list[Figure]:
    figures = []
    async with http_sandbox() as sandbox, bare_app() as (_, bare), the_bot(sandbox) as (_, ours):
        for connections in CONNECTIONS:
            requests = [event()]
            mine, beside = await _beside(ours, bare, requests, connections)
            figures += _rows(f"messages in channels, {connections} connections, idle", mine, beside, promised=True)
        answered = list(commands(sandbox, scaled(20_000, least=1_000)))
        mine, beside = await _beside(ours, bare, answered, CONNECTIONS[0], pause_s=lasting(2.0))
        figures += _rows(f"commands that are answered, too, {CONNECTIONS[0]} connections", mine, beside, promised=False)
    return figures


async def _beside(
    ours: int, bare: int, requests: Sequence[bytes], connections: int, *, pause_s: float = 0.2
) -> tuple[list[Answered], list[Answered]]:
    """Rounds that take turns, of the bot and of the bare app."""
    held: dict[int, list[Answered]] = {ours: [], bare: []}
    await load(ours, requests, connections, ROUND_S / 4)
    for number in range(ROUNDS):
        for port in (ours, bare) if number % 2 else (bare, ours):
            await asyncio.sleep(pause_s)  # what the last round has begun is over
            held[port].append(await load(port, requests, connections, ROUND_S))
    return held[ours], held[bare]


def _rows(what: str, mine: list[Answered], beside: list[Answered], *, promised: bool) -> list[Figure]:
    bare = "the bare app"
    return [
        Figure(
            what=f"{what}: acknowledged",
            values=[one.rate for one in mine],
            unit="/s",
            beside=bare,
            reference=[one.rate for one in beside],
            goal=ratio_at_least(RATE) if promised else None,
            headline=promised,
        ),
        *(
            Figure(
                what=f"{what}: {name}",
                values=[getattr(one, field) * 1000 for one in mine],
                unit="ms",
                beside=bare,
                reference=[getattr(one, field) * 1000 for one in beside],
                goal=ratio_at_most(P99) if promised and field == "p99" else None,
            )
            for name, field in (("median", "p50"), ("99th percentile", "p99"), ("99.9th percentile", "p999"))
        ),
    ]


async def _under_way() -> list[Figure]:
    """While messages are delivered, triages run and evidence is collected, all of it all the time."""
    async with (
        http_sandbox() as sandbox,
        bare_app() as (_, bare),
        cluster(sandbox.folder, PODS, POD_BYTES) as kubeconfig,
    ):
        sandbox.configure({"KUBECONFIG": str(kubeconfig)})
        url = sandbox.environment()["DATABASE_URL"]
        channels = [sandbox.slack.workspace.add_channel(f"busy-{number}").id for number in range(CHANNELS)]
        await asyncio.to_thread(upgrade, url)
        await _fill(url, channels)
        async with the_bot(sandbox) as (_, ours), _everything(sandbox):
            before = await _waiting(url)
            took = await _commands(sandbox)
            sent = before - await _waiting(url)
            mine, beside = await _beside(ours, bare, [event()], CONNECTIONS[0])
    assert sent > 0, "nothing was being worked off"
    return [*_busy_rows(mine, beside), *_command_rows(took, sent)]


def _busy_rows(mine: list[Answered], beside: list[Answered]) -> list[Figure]:
    what = f"messages in channels, {CONNECTIONS[0]} connections, deliveries, triages and evidence under way"
    rate, *times = _rows(what, mine, beside, promised=False)
    return [rate, *(replace(one, goal=ratio_at_most(P99_BUSY)) if "99th" in one.what else one for one in times)]


def _command_rows(took: Sequence[float], sent: int) -> list[Figure]:
    busy = f"{COMMANDS_A_S} commands a second, {WAITING:,} messages waiting, triages and evidence under way"
    p99 = [percentile(took, 99)]
    return [
        Figure(what=f"{busy}: acknowledged, 99th percentile", values=p99, unit="s", goal=at_most(ACK_S)),
        Figure(what=f"{busy}: messages sent meanwhile", values=[sent / SECONDS], unit="/s"),
    ]


@contextlib.asynccontextmanager
async def _everything(sandbox: Sandbox) -> AsyncIterator[None]:
    """Triages and evidence, one after the other, as long as it lasts."""
    slack = sandbox.slack.workspace

    async def again(command: str, done: Callable[[], int]) -> None:
        while True:
            before = done()
            await slack.command(command)
            async with asyncio.timeout(_WITHIN_S):
                while True:
                    await asyncio.sleep(0.1)
                    if done() > before:
                        break

    def bundles() -> int:
        return len(list((sandbox.folder / "evidence").glob("evidence-*")))

    def cards() -> int:
        return sum("Declare" in str(one.blocks) for one in slack.messages)

    tasks = [asyncio.create_task(again("triage", cards)), asyncio.create_task(again("evidence", bundles))]
    try:
        yield
        for task in tasks:
            assert not task.done(), f"it was not under way all the time: {task}"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _commands(sandbox: Sandbox) -> list[float]:
    tasks = []
    for _ in range(COMMANDS_A_S * SECONDS):
        tasks.append(asyncio.create_task(sandbox.slack.workspace.command("list")))
        await asyncio.sleep(1 / COMMANDS_A_S)
    return list(await asyncio.gather(*tasks))


async def _fill(url: str, channels: list[str]) -> None:
    await written(url, insert(incidents), [incident(Severity.P4) | {"due_at": None}] * CHANNELS)
    rows = [
        delivery_row(POST, 1 + number % CHANNELS, NOW) | {"destination": channels[number % CHANNELS]}
        for number in range(WAITING)
    ]
    await written(url, insert(deliveries), rows)


async def _waiting(url: str) -> int:
    store = store_at(url)
    async with looking(store) as connection:
        found = await connection.execute(select(func.count()).where(deliveries.c.state != "sent"))
        count = int(found.scalar_one())
    await store.close()
    return count
