"""Open incidents whose reminders fall due in the same minute, and three replicas that look at them at once."""

import asyncio
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, insert, make_url, select, text

from bench.figures import Figure
from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.policy import Policy
from bot.handlers.incident import IncidentHandler
from bot.store.migrate import upgrade
from bot.store.rows import incident_row
from bot.store.tables import deliveries, incidents
from tests.databases import migrated_template, new_database, postgres, store_at
from tests.fakes import NOW, FakeClock

REPLICAS = 3
POSTGRES, SQLITE = 10_000, 1_000
# Promised for the database's part of a tick.
TICK_S = 1.0
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
    stores = [store_at(url) for _ in range(replicas)]
    clock = FakeClock(at=NOW + timedelta(minutes=12))
    handlers = [IncidentHandler(store=store, clock=clock, policy=POLICY) for store in stores]
    began = time.monotonic()
    ticked = await asyncio.gather(*(handler.tick() for handler in handlers))
    took = time.monotonic() - began
    for store in stores:
        await store.close()
    spent_s = await _database_s(url) - before_s if kind == "PostgreSQL" else took
    assert sum(ticked) == count, ticked
    await _assert_each_once(url, count)
    what = f"{count:,} reminders due at once, {replicas} replica{'s' if replicas > 1 else ''}, {kind}"
    return [
        Figure(what=what, value=took, unit="s"),
        Figure(what=f"{what}: of it in the database", value=spent_s, unit="s", limit=TICK_S),
    ]


async def _database_s(url: str) -> float:
    """What PostgreSQL says that it spent on statements; it learns that when its sessions end."""
    name = make_url(url).database
    store = store_at(new_database(url.replace("postgresql+psycopg", "postgresql").replace(f"/{name}?", "/postgres?")))
    query = text("SELECT active_time FROM pg_stat_database WHERE datname = :name").bindparams(name=name)
    try:
        async with store.engine.connect() as connection:
            return float((await connection.execute(query)).scalar_one()) / 1000
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
    async with store.engine.connect() as connection:
        query = select(func.count(), func.count(func.distinct(deliveries.c.incident))).select_from(deliveries)
        assert tuple((await connection.execute(query)).one()) == (count, count)
    await store.close()
