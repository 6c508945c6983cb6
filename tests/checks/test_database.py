"""The doctor on the database: reached, as new as the bot, and with a clock that agrees."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.checks.database import DatabaseCheck
from bot.ports import CheckResult, DatabaseState
from bot.store.inspection import SqlDatabase
from bot.store.tables import REVISION
from tests.databases import KINDS, copy_of, new_database
from tests.doctors import examined, lines


async def looked_at(url: str) -> Sequence[CheckResult]:
    database = SqlDatabase(url)
    try:
        return await examined(DatabaseCheck(database), {"DATABASE_URL": url})
    finally:
        await database.close()


def entries(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_database_that_is_in_use_is_well(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    told = lines(await looked_at(copy_of(kind, tmp_path, request)))
    clock = [(True, "clock: agrees with this machine's")] if kind == "PostgreSQL" else []
    assert told == [(True, f"migration: at {REVISION}, the newest"), *clock]


@pytest.mark.parametrize(
    ("held", "mend"), [("0000", "Start the bot of this version"), ("9999", "A newer bot")], ids=["older", "newer"]
)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_database_at_another_migration_is_told(
    kind: str, held: str, mend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = copy_of(kind, tmp_path, request)
    database = SqlDatabase(url)
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :held"), {"held": held})
    await database.close()
    migration = (await looked_at(url))[0]
    assert (migration.ok, migration.detail) == (False, f"at {held}; this bot needs {REVISION}")
    assert migration.mend.startswith(mend)


async def test_a_database_that_was_not_used_yet_is_well_and_stays_so(migrated_postgres: str, tmp_path: Path) -> None:
    for url in (f"sqlite+aiosqlite:///{tmp_path}/none.db", new_database(migrated_postgres)):
        first = (await looked_at(url))[0]
        assert (first.ok, first.detail) == (True, "not used yet; the bot prepares it when it starts")
    assert entries(tmp_path) == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+psycopg://ada:planted@127.0.0.1:9/bot", "Connection refused"),
        ("postgresql+psycopg://ada:planted@127.0.0.1:nine/bot", "makes no sense"),
        ("sqlite+aiosqlite:////no/such/folder/bot.db", "no folder"),
    ],
    ids=["closed", "port", "folder"],
)
async def test_a_database_that_is_not_reached_names_the_setting(url: str, told: str) -> None:
    (result,) = await looked_at(url)
    assert not result.ok
    assert told in result.detail
    assert "DATABASE_URL" in result.mend
    assert "planted" not in repr(result)


@pytest.mark.parametrize(
    ("apart_s", "told"),
    [(0, ""), (4, ""), (-4, ""), (60, "60 s ahead of"), (-60, "60 s behind")],
    ids=["same", "a little ahead", "a little behind", "ahead", "behind"],
)
async def test_clocks_may_be_5_s_apart(apart_s: int, told: str) -> None:
    class Elsewhere(SqlDatabase):
        async def state(self) -> DatabaseState:
            now = datetime.now(UTC) + timedelta(seconds=apart_s)
            return DatabaseState(migration=REVISION, newest=REVISION, now=now)

    _, clock = await examined(DatabaseCheck(Elsewhere("sqlite+aiosqlite:///")), {})
    assert clock.ok == (not told)
    assert told in clock.detail
    assert ("NTP" in clock.mend) == bool(told)
