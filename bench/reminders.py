"""What does a tick cost, and claiming what is to be sent, from a hundred to a hundred thousand open incidents?"""

import asyncio
import contextlib
import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import func, insert, make_url, select, text, update

from bench.figures import Figure, Goal, Subject, at_most, more_at_most, ratio_at_most, scaled, taking_turns
from bench.processes import module
from bench.stored import POST, incident, written
from bench.ticker import CLAIMED
from bot.store.migrate import upgrade
from bot.store.rows import delivery_row
from bot.store.tables import deliveries, incidents
from tests.databases import looking, migrated_template, new_database, postgres_server, store_at
from tests.fakes import NOW

# Of so many open incidents so many are due.
OPEN, DUE = tuple(sorted({scaled(count, least=100) for count in (100, 1_000, 10_000, 100_000)})), 100
ROUNDS = scaled(5)
AT_ONCE = {"SQLite": scaled(1_000, least=100), "PostgreSQL": scaled(10_000, least=100)}
REPLICAS = {"SQLite": (1,), "PostgreSQL": (1, 3)}
# Promised: of a tick with most open incidents over one with fewest; of the database's part of a tick with as many due
# as AT_ONCE says, in seconds; and of the memory of a replica then, in MB.
GROWTH, TICK_S, FLAT_MB = 1.5, 1.0, 30.0
New = Callable[[str], str]
"""The URL of a new database of that kind."""
_FIRST_DUE, _NEVER = NOW + timedelta(minutes=12), NOW + timedelta(days=365)


async def measure() -> list[Figure]:
    figures = []
    with _databases() as new:
        for kind, replicas in REPLICAS.items():
            for count in replicas:
                figures += await _growth(kind, new, count)
            figures += await _all_at_once(kind, await asyncio.to_thread(new, kind), max(replicas))
            figures += await _claims(kind, new)
    return figures


@contextlib.contextmanager
def _databases() -> Iterator[New]:
    """Makes new ones, by their kind."""
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        with postgres_server(folder / "postgres") as server:
            migrated_template(server.uri)
            names = itertools.count()

            def new(kind: str) -> str:
                if kind == "PostgreSQL":
                    return new_database(server.uri, template="migrated")
                url = f"sqlite+aiosqlite:///{folder}/{next(names)}.db"
                upgrade(url)
                return url

            yield new


class _Replicas:
    """Processes with a connection each, which are told a moment at once."""

    def __init__(self, processes: list[asyncio.subprocess.Process]) -> None:
        self._processes = processes

    async def told(self, line: str) -> list[dict[str, float]]:
        return list(await asyncio.gather(*(self._told(one, line) for one in self._processes)))

    async def _told(self, process: asyncio.subprocess.Process, line: str) -> dict[str, float]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{line}\n".encode())
        said = json.loads(await process.stdout.readline())
        assert isinstance(said, dict)
        return said


@contextlib.asynccontextmanager
async def _replicas(url: str, count: int) -> AsyncIterator[_Replicas]:
    async with contextlib.AsyncExitStack() as stack:
        made = [await stack.enter_async_context(module("ticker", url)) for _ in range(count)]
        assert all(said == "ready" for _, said in made)
        yield _Replicas([process for process, _ in made])


async def _growth(kind: str, new: New, count: int) -> list[Figure]:
    """The same reminders are due, among ever more incidents that are open and not due."""
    async with contextlib.AsyncExitStack() as stack:
        subjects = dict[str, Subject]()
        for many in OPEN:
            url = await asyncio.to_thread(new, kind)
            await _add(url, many, due=DUE)
            replicas = await stack.enter_async_context(_replicas(url, count))
            subjects[f"{many:,}"] = partial(_tick, url, replicas)
        took = await taking_turns(ROUNDS, subjects)
    what = f"a tick with {DUE} reminders due, {kind}, {count} replica{'s' if count > 1 else ''}"
    headline = kind == "PostgreSQL" and count == max(REPLICAS[kind])
    return _grown(f"{what}, {{}} open", "{} open", took, goal=ratio_at_most(GROWTH), headline=headline)


def _grown(
    what: str, beside: str, took: Mapping[str, list[float]], *, goal: Goal | None = None, headline: bool = False
) -> list[Figure]:
    """A row for each size but the smallest, beside that; the goal is of the largest."""
    few, *more = took
    return [
        Figure(
            what=what.format(many),
            values=took[many],
            unit="s",
            beside=beside.format(few),
            reference=took[few],
            goal=goal if many == more[-1] else None,
            headline=headline and many == more[-1],
        )
        for many in more
    ]


async def _tick(url: str, replicas: _Replicas) -> float:
    """Seconds until all that is due has been ticked, once all replicas look at it; each time the same is due."""
    # what the store counts goes on
    clocks = {name: value for name, value in incident().items() if name not in ("version", "entries", "last_hash")}
    again = update(incidents).where(incidents.c.id <= DUE).values(clocks | {"due_at": _FIRST_DUE})
    await written(url, again)
    before = await _sent(url)
    told = await replicas.told(_FIRST_DUE.isoformat())
    assert sum(one["ticked"] for one in told) == DUE, told
    assert await _sent(url) == before + DUE, "not each was reminded of once"
    return max(one["took_s"] for one in told)


async def _all_at_once(kind: str, url: str, count: int) -> list[Figure]:
    """The lateness of the last of many that fall due in the same minute, and what they cost."""
    due = AT_ONCE[kind]
    await _add(url, due, due=due)
    before_s = await _database_s(url) if kind == "PostgreSQL" else 0.0
    async with _replicas(url, count) as replicas:
        told = await replicas.told(_FIRST_DUE.isoformat())
    took_s = max(one["took_s"] for one in told)
    spent_s = await _database_s(url) - before_s if kind == "PostgreSQL" else took_s
    assert sum(one["ticked"] for one in told) == due, told
    assert await _sent(url) == due, "not each was reminded of once"
    what = f"{due:,} reminders due at once, {kind}, {count} replica{'s' if count > 1 else ''}"
    most = max(told, key=lambda one: one["peak_mb"] - one["mb"])
    flat = more_at_most(FLAT_MB)
    return [
        Figure(what=f"{what}: the last one is late by", values=[took_s], unit="s"),
        Figure(what=f"{what}: of it in the database", values=[spent_s], unit="s", goal=at_most(TICK_S)),
        Figure(
            what=f"{what}: memory of one at its highest",
            values=[most["peak_mb"]],
            unit="MB",
            beside="before",
            reference=[most["mb"]],
            goal=flat,
        ),
    ]


async def _claims(kind: str, new: New) -> list[Figure]:
    """What waits in as many channels, and later than now but for CLAIMED of it: as where Slack wants a pause."""
    async with contextlib.AsyncExitStack() as stack:
        subjects = dict[str, Subject]()
        for many in OPEN:
            url = await asyncio.to_thread(new, kind)
            await _add(url, many, due=0)
            await _wait(url, many)
            replicas = await stack.enter_async_context(_replicas(url, 1))
            subjects[f"{many:,}"] = partial(_claim, url, replicas)
        took = await taking_turns(ROUNDS, subjects)
    return _grown(f"claiming {CLAIMED} messages of {{}} that wait, {kind}", "of {}", took)


async def _wait(url: str, count: int) -> None:
    """A message for each incident, to be sent in an hour."""
    rows = [
        delivery_row(POST, number, NOW) | {"destination": f"C{number}", "due_at": NOW + timedelta(hours=1)}
        for number in range(1, count + 1)
    ]
    await written(url, insert(deliveries), rows)


async def _claim(url: str, replicas: _Replicas) -> float:
    """Seconds; the same are to be sent each time."""
    same = deliveries.c.seq <= CLAIMED
    again = update(deliveries).where(same).values(state="waiting", due_at=NOW, lease_until=None, attempts=0)
    await written(url, again)
    (told,) = await replicas.told(f"claim {NOW.isoformat()}")
    assert told["claimed"] == CLAIMED, told
    return told["took_s"]


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


async def _add(url: str, count: int, *, due: int) -> None:
    """So many open incidents more, of which the first ``due`` are."""
    row = incident()
    moments = itertools.chain(itertools.repeat(_FIRST_DUE, due), itertools.repeat(_NEVER, count - due))
    await written(url, insert(incidents), [row | {"due_at": at} for at in moments])


async def _sent(url: str) -> int:
    """How many messages there are."""
    store = store_at(url)
    async with looking(store) as connection:
        count = int((await connection.execute(select(func.count()).select_from(deliveries))).scalar_one())
    await store.close()
    return count
