"""Does a flood of a thousand alerts a second get lost, eat memory, or keep commands waiting?

The payloads hold 1 to 50 alerts. The sender is a process of its own, so that neither it nor the sandbox, which are
measured by how late they are, is what is slow.
"""

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
from sqlalchemy import func, select

from bench.figures import Figure, at_most, more_at_most, percentile, scaled
from bench.processes import memory_mb
from bench.servers import all_is_well, the_bot
from bot.sandbox.launcher import Sandbox
from bot.store.migrate import upgrade
from bot.store.tables import alerts, incidents
from tests.databases import looking, store_at

RATE, SECONDS, COMMANDS = 1000, scaled(30, least=6), 10
KEYS = scaled(1000)
# Promised: the acknowledgement at the 99th percentile, and what memory grows by once the first half is over.
ACK_S, GROWTH_MB = 1.0, 10.0
_TOKEN = "bench"  # noqa: S105 - the sandbox's


async def measure() -> list[Figure]:
    return [*await _measured("one key", 1), *await _measured(f"{KEYS:,} keys", KEYS)]


async def _measured(name: str, keys: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/bot.db"
        await asyncio.to_thread(upgrade, url)
        async with all_is_well({"DATABASE_URL": url, "ALERTMANAGER_TOKEN": _TOKEN}) as sandbox, the_bot(sandbox) as bot:
            pid, port = bot
            sender = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.alerts", str(port), str(keys)), stdout=asyncio.subprocess.PIPE
            )
            took, memory = await _watched(sandbox, pid)
            sent = json.loads((await sender.communicate())[0])
            stored, opened = await _kept(url, keys)
    assert stored == sent["written"] == RATE * SECONDS, f"{sent}, of which {stored} are stored"
    assert opened == keys, f"{opened} incidents of {keys} keys"
    half = len(memory) // 2
    what = f"{RATE:,} alerts a second for {SECONDS} s, {name}"
    p99 = [percentile(took, 99)]
    return [
        Figure(what=f"{what}, all of them stored: answered, 99th percentile", values=[sent["p99"]], unit="s"),
        Figure(what=f"{what}: the sender's own delay, at most", values=[sent["late"]], unit="s"),
        Figure(what=f"{what}: a command acknowledged, 99th percentile", values=p99, unit="s", goal=at_most(ACK_S)),
        Figure(
            what=f"{what}: memory at its highest, second half",
            values=[max(memory[half:])],
            unit="MB",
            beside="at half time",
            reference=[statistics.median(memory[half - 3 : half])],
            goal=more_at_most(GROWTH_MB),
        ),
    ]


async def _watched(sandbox: Sandbox, pid: int) -> tuple[list[float], list[float]]:
    """How long each command's acknowledgement took, and the bot's memory each second."""
    tasks, memory = [], []
    for number in range(COMMANDS * SECONDS):
        tasks.append(asyncio.create_task(sandbox.slack.workspace.command("list")))
        if number % COMMANDS == 0:
            memory.append(memory_mb(pid))
        await asyncio.sleep(1 / COMMANDS)
    return list(await asyncio.gather(*tasks)), memory


async def _kept(url: str, keys: int) -> tuple[int, int]:
    """(alerts, incidents), once all keys are worked in."""
    store = store_at(url)
    count = [select(func.count()).select_from(table) for table in (alerts, incidents)]
    stored = opened = 0
    end_at = time.monotonic() + 60
    async with looking(store) as connection:
        while opened < keys and time.monotonic() < end_at:
            stored, opened = [int((await connection.execute(one)).scalar_one()) for one in count]
            await connection.rollback()
            await asyncio.sleep(0.5)
    await store.close()
    return stored, opened


def _payloads(keys: int) -> Iterator[list[dict[str, Any]]]:
    seeded, left, number = random.Random(20261124), RATE * SECONDS, 0  # noqa: S311 - to be the same in every run
    began = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    while left:
        size = min(left, seeded.randint(1, 50))
        yield [_alert(number + more, keys, began) for more in range(size)]
        number += size
        left -= size


def _alert(number: int, keys: int, began: str) -> dict[str, Any]:
    labels = {"alertname": f"Errors{number % keys}", "severity": "critical", "pod": f"pod-{number}"}
    return {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "more than 5 % of requests fail"},
        "startsAt": began,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=up",
        "fingerprint": f"{number:016x}",
    }


async def _send(port: str, keys: int) -> None:
    """Sends at the rate, again what is answered with 503, and prints what became of it."""
    took, late, written = list[float](), [0.0], [0]
    bodies = [(len(one), json.dumps({"version": "4", "status": "firing", "alerts": one})) for one in _payloads(keys)]
    headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def post(size: int, body: str) -> None:
            asked = time.monotonic()
            while True:
                async with session.post(f"http://127.0.0.1:{port}/alerts", data=body) as answer:
                    if answer.status == 200:
                        break
                    assert answer.status == 503, answer.status
                await asyncio.sleep(1)
            took.append(time.monotonic() - asked)
            written[0] += size

        begin, count, tasks = time.monotonic(), 0, []
        for size, body in bodies:
            due = begin + count / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            late.append(time.monotonic() - due)
            tasks.append(asyncio.create_task(post(size, body)))
            count += size
        await asyncio.gather(*tasks)
    print(json.dumps({"written": written[0], "p99": percentile(took, 99), "late": max(late)}))


if __name__ == "__main__":
    asyncio.run(_send(sys.argv[1], int(sys.argv[2])))
