"""What the migrations make is what the code asks for, and a newer database serves the bot before it."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert, inspect, select, text
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from bot.domain import acts, mitigation
from bot.domain.timeline import FIRST_HASH, seal
from bot.errors import StoreError
from bot.store.columns import metadata
from bot.store.engine import make_engine
from bot.store.inspection import SqlDatabase
from bot.store.migrate import migrate, revision, upgrade
from bot.store.rows import delivery_row, entry_row, incident_row
from bot.store.tables import REVISION, deliveries, incidents, switches, timeline
from tests.databases import KINDS, copy_of, new_database, store_at
from tests.domain.incidents import declaring
from tests.fakes import NOW
from tests.store.runs import asking


def empty(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    if kind == "SQLite":
        return f"sqlite+aiosqlite:///{folder}/empty.db"
    return new_database(request.getfixturevalue("migrated_postgres"))


async def looked_at(url: str, look: Callable[[Connection], Any]) -> Any:
    engine = make_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(look)
    finally:
        await engine.dispose()


async def made_by(engine: AsyncEngine, held: str) -> None:
    """As if the bot whose newest migration is ``held`` had been here last."""
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :held"), {"held": held})


def differences(connection: Connection) -> Any:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return compare_metadata(context, metadata)


def shape(connection: Connection) -> dict[str, dict[str, tuple[str, bool, bool]]]:
    """Of each table each column's (type, whether it may be NULL, whether it has a default of the server's)."""
    seen = inspect(connection)
    return {
        table: {
            column["name"]: (str(column["type"]), bool(column["nullable"]), column["default"] is not None)
            for column in seen.get_columns(table)
        }
        for table in seen.get_table_names()
        if table != "alembic_version"
    }


@pytest.mark.parametrize("kind", KINDS)
async def test_the_migrations_make_the_tables_of_the_code(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = copy_of(kind, tmp_path, request)
    assert await looked_at(url, differences) == []
    lacking = empty(kind, tmp_path, request)
    upgrade(lacking, "0001")
    assert {one[1].name for one in await looked_at(lacking, differences) if one[0] == "add_table"} == {
        *("runs", "switches", "alerts", "alert_keys", "watches", "public_incidents", "public_updates", "drafts"),
        *("collections", "postmortems", "postmortem_versions", "actions"),
    }, "a difference is seen"


def filled_in(connection: Connection) -> None:
    """An incident, its first timeline entry and its card, as the first bot has written them."""
    change = declaring()
    row = incident_row(change.incident) | {"version": 1}
    del row["triage"]
    (entry,) = seal(change.events, incident=1, last_number=0, last_hash=FIRST_HASH, noted=NOW)
    told = row | {"entries": 1, "last_hash": entry.hash}
    connection.execute(insert(incidents).values(told))
    connection.execute(insert(timeline).values(entry_row(entry)))
    connection.execute(insert(deliveries).values(delivery_row(change.messages[0], 1, NOW)))


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_there_before_stays_and_is_gone_on_with(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = empty(kind, tmp_path, request)
    upgrade(url, "0001")
    store = store_at(url)
    try:
        async with store.engine.begin() as connection:
            await connection.run_sync(filled_in)
        await migrate(store.engine, url)
        assert await revision(store.engine) == REVISION
        made = await store.incident(1)
        assert made is not None
        assert made.title == declaring().incident.title
        held = await store.save(made, acts.note(made, "seen", "U1", NOW), now=NOW)
        assert len(await store.timeline(held.id)) == 2
        (card,) = await store.claim(NOW, limit=10, lease_s=60)
        assert (card.message.kind, card.incident) == ("card", 1)
        run = await store.add_run(mitigation.asked(asking(made.id)), now=NOW, request="view:2")
        assert await store.runs(made.id) == [run]
    finally:
        await store.close()


async def test_a_machine_that_starts_no_process_is_waited_for(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    url = empty("SQLite", tmp_path, request)
    store = store_at(url)
    monkeypatch.setattr("bot.store.migrate.asyncio.create_subprocess_exec", full)
    try:
        with pytest.raises(StoreError, match=r"^No process could be started .* \(Resource temporarily unavailable\)$"):
            await migrate(store.engine, url)
    finally:
        await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_switch_is_there_from_the_start(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    rows = await looked_at(copy_of(kind, tmp_path, request), lambda at: at.execute(select(switches)).all())
    assert [tuple(row) for row in rows] == [(1, None, None, "")]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bot_that_is_taken_back_starts_on_the_database_of_the_newer_one(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = copy_of(kind, tmp_path, request)
    store = store_at(url)
    try:
        await made_by(store.engine, "9999")
        await migrate(store.engine, url)
        assert await revision(store.engine) == "9999", "and leaves it as it is"
    finally:
        await store.close()


def unique(connection: Connection) -> set[tuple[str, ...]]:
    seen = inspect(connection)
    return {
        (table, *sorted(one["column_names"]))
        for table in seen.get_table_names()
        for one in seen.get_unique_constraints(table)
    }


# A proposal's card has no incident; the bot before 0003 takes none of those (tests/store/test_upgrade.py).
_RELAXED = frozenset({("0003", "deliveries", "incident")})


def revisions() -> list[str]:
    return [f"{number:04d}" for number in range(1, int(REVISION) + 1)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("newer", revisions()[1:])
async def test_a_migration_only_adds_so_that_the_version_before_goes_on_beside_it(
    newer: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Expand, then contract: what the former version writes has to fit; what it reads has to be there."""
    url, older = empty(kind, tmp_path, request), f"{int(newer) - 1:04d}"
    upgrade(url, older)
    before, kept = await looked_at(url, shape), await looked_at(url, unique)
    upgrade(url, newer)
    after, now = await looked_at(url, shape), await looked_at(url, unique)
    for table, columns in before.items():
        for name, (held_as, nullable, _) in columns.items():
            assert name in after[table], f"{table}.{name} is gone"
            assert after[table][name][0] == held_as, f"{table}.{name} holds something else"
            relaxed = (newer, table, name) in _RELAXED
            assert after[table][name][1] == (nullable or relaxed), f"{table}.{name} differs in whether it may be NULL"
        for name, (_, nullable, has_default) in after[table].items():
            assert name in columns or nullable or has_default, f"{table}.{name} is new and has to be written"
    assert {one for one in now if one[0] in before} <= kept, "a table that was there takes less"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_command_line_reads_what_a_newer_bot_has_made(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = copy_of(kind, tmp_path, request)
    database = SqlDatabase(url)
    try:
        for held, fits in (("9999", True), (REVISION, True), ("0001", False)):
            await made_by(database.engine, held)
            if fits:
                await database.used()
            else:
                with pytest.raises(StoreError, match="start the bot of this version"):
                    await database.used()
    finally:
        await database.close()
