"""Open incidents whose reminders fall due in the same minute, and three replicas that look at them at once."""

import asyncio
import itertools
import json
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, make_url, select, text

from bench.figures import Figure, scaled
from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.policy import Policy
from bot.store.migrate import upgrade
from bot.store.rows import incident_row
from bot.store.tables import deliveries, incidents
from tests.databases import looking, migrated_template, new_database, postgres, store_at
from tests.fakes import NOW

REPLICAS = 3
POSTGRES, SQLITE = scaled(10_000), scaled(1_000)
# Promised for the database's part of a tick, and for the memory of a replica, however many incidents there are.
TICK_S, FLAT_MB = 1.0, 30.0
POLICY = Policy()


async def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        sqlite = f"sqlite+aiosqlite:///{folder}/bot.db"
        await asyncio.to_thread(upgrade, sqlite)
        figures = await _ticks("SQLite", sqlite, SQLITE, 1)
        with postgres(Path(folder, "postgres")) as uri:
            await asyncio.to_thread(migrated_template, uri)
            figures += await _ticks("PostgreSQL", new_database(uri, template="migrated"), POSTGRES, REPLICAS)
    return figures


async def _ticks(kind: str, url: str, count: int, replicas: int) -> list[Figure]:
    await _fill(url, count)
    before_s = await _database_s(url) if kind == "PostgreSQL" else 0.0
    told = await _told([await _replica(url) for _ in range(replicas)])
    took_s = max(one["took_s"] for one in told)
    spent_s = await _database_s(url) - before_s if kind == "PostgreSQL" else took_s
    assert sum(one["ticked"] for one in told) == count, told
    await _assert_each_once(url, count)
    what = f"{count:,} reminders due at once, {replicas} replica{'s' if replicas > 1 else ''}, {kind}"
    return [
        Figure(what=what, value=took_s, unit="s"),
        Figure(what=f"{what}: of it in the database", value=spent_s, unit="s", limit=TICK_S),
        Figure(what=f"{what}: more memory of one", value=max(one["more_mb"] for one in told), unit="MB", limit=FLAT_MB),
    ]


async def _replica(url: str) -> asyncio.subprocess.Process:
    """A process that is connected, and waits to be told."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.ticker", url, (NOW + timedelta(minutes=12)).isoformat()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def _told(replicas: list[asyncio.subprocess.Process]) -> list[dict[str, Any]]:
    """What each says, after all were let go at once."""
    ended = await asyncio.gather(*(replica.communicate(b"\n") for replica in replicas))
    return [json.loads(out) for out, _ in ended]


async def _database_s(url: str) -> float:
    """What PostgreSQL says that it spent on statements; it learns that when its sessions end, which is waited for."""
    name = make_url(url).database
    store = store_at(new_database(url.replace("postgresql+psycopg", "postgresql").replace(f"/{name}?", "/postgres?")))
    sessions = text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name").bindparams(name=name)
    spent = text("SELECT active_time FROM pg_stat_database WHERE datname = :name").bindparams(name=name)
    try:
        async with asyncio.timeout(10), store.engine.connect() as connection:
            # within one transaction it would see the sessions of its begin
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            for pause_s in itertools.repeat(0.01):
                if not (await connection.execute(sessions)).scalar_one():
                    break
                await asyncio.sleep(pause_s)
            return float((await connection.execute(spent)).scalar_one()) / 1000
    finally:
        await store.close()


async def _fill(url: str, count: int) -> None:
    told = Declaration(target="default", title="Completions fail", severity=Severity.P1, channel="C1")
    row = incident_row(acts.declare(told, "U1", NOW, POLICY).incident)
    store = store_at(url)
    async with store.engine.begin() as connection:
        await connection.execute(insert(incidents), [row] * count)
    await store.close()


async def _assert_each_once(url: str, count: int) -> None:
    store = store_at(url)
    async with looking(store) as connection:
        query = select(func.count(), func.count(func.distinct(deliveries.c.incident))).select_from(deliveries)
        assert tuple((await connection.execute(query)).one()) == (count, count)
    await store.close()
