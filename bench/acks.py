"""Commands at fifty a second while ten thousand messages are being worked off: how long their acknowledgements take."""

import asyncio
import statistics
import tempfile

from sqlalchemy import func, insert, select

from bench.figures import Figure, bot, end, scaled
from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.incident import Outgoing
from bot.domain.policy import Policy
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.store.migrate import upgrade
from bot.store.rows import delivery_row, incident_row
from bot.store.tables import deliveries, incidents
from tests.databases import looking, store_at
from tests.fakes import NOW

WAITING, CHANNELS = scaled(10_000), scaled(500)
RATE, SECONDS = 50, scaled(8, least=3)
# Promised at the 99th percentile.
ACK_S = 1.0


async def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/bot.db"
        await asyncio.to_thread(upgrade, url)
        sandbox = Sandbox(load_scenarios()["all is well"], environ={"DATABASE_URL": url})
        channels = [sandbox.slack.workspace.add_channel(f"busy-{number}").id for number in range(CHANNELS)]
        await _fill(url, channels)
        await sandbox.start()
        process = await bot("run", environ=sandbox.environment())
        try:
            await sandbox.slack.wait_connected()
            await sandbox.ready()
            took = await _commands(sandbox)
            sent = WAITING - await _waiting(url)
        finally:
            await end(process)
            await sandbox.close()
    p99 = statistics.quantiles(took, n=100)[98]
    assert sent > 0, "nothing was being worked off"
    busy = f"{RATE} commands a second, {WAITING:,} messages waiting"
    return [
        Figure(what=f"{busy}: acknowledged, 99th percentile", value=p99, unit="s", limit=ACK_S),
        Figure(what=f"{busy}: messages sent meanwhile", value=sent / SECONDS, unit="/s"),
    ]


async def _commands(sandbox: Sandbox) -> list[float]:
    tasks = []
    for _ in range(RATE * SECONDS):
        tasks.append(asyncio.create_task(sandbox.slack.workspace.command("list")))
        await asyncio.sleep(1 / RATE)
    return list(await asyncio.gather(*tasks))


async def _fill(url: str, channels: list[str]) -> None:
    told = Declaration(target="default", title="Completions fail", severity=Severity.P4, channel=channels[0])
    row = incident_row(acts.declare(told, "U0REQUESTER", NOW, Policy()).incident) | {"due_at": None}
    post = Outgoing(
        kind="post", to="", template="sentence", context={"sentence": "something that somebody should know"}
    )
    store = store_at(url)
    async with store.engine.begin() as connection:
        await connection.execute(insert(incidents), [row] * CHANNELS)
        rows = [
            delivery_row(post, 1 + number % CHANNELS, NOW) | {"destination": channels[number % CHANNELS]}
            for number in range(WAITING)
        ]
        await connection.execute(insert(deliveries), rows)
    await store.close()


async def _waiting(url: str) -> int:
    store = store_at(url)
    async with looking(store) as connection:
        found = await connection.execute(select(func.count()).where(deliveries.c.state != "sent"))
        count = int(found.scalar_one())
    await store.close()
    return count
