"""The engine for DATABASE_URL: SQLite so that nothing is lost between writers, PostgreSQL with bounded waits."""

import asyncio
import contextlib
import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio.engine import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util.concurrency import in_greenlet

# Seconds that a writer of SQLite waits for another, and PostgreSQL for a connection or a lock.
_WAIT_S = 5
# PostgreSQL ends a transaction in which nothing was asked for so long: a machine that has lost its power would hold its
# locks for hours, and a lease would end in vain. Shorter than any lease.
_IDLE_S = 10
# A connection whose network has gone without a word is given up before a lease ends; the kernel's own patience is a
# quarter of an hour. libpq's parameters, in seconds, but for the last in milliseconds: of what never arrived.
_LOST = {"keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}


def make_engine(url: str, *, connections: int = 5) -> AsyncEngine:
    """Nothing is connected yet; ``url`` is DATABASE_URL."""
    if not url.startswith("sqlite"):
        waits = {"lock_timeout": _WAIT_S, "statement_timeout": 30, "idle_in_transaction_session_timeout": _IDLE_S}
        options = " ".join(f"-c {name}={seconds}s" for name, seconds in waits.items())
        connect = {"connect_timeout": _WAIT_S, "options": options, **_LOST}
        return create_async_engine(url, pool_size=connections, pool_pre_ping=True, connect_args=connect)
    engine = create_async_engine(url, pool_size=connections)
    prepare_sqlite(engine.sync_engine)
    event.listen(engine.sync_engine, "invalidate", _let_go_of_sqlite)
    return engine


def prepare_sqlite(engine: Engine) -> None:
    """Lets each connection of ``engine`` write ahead, check foreign keys, and begin its transactions as told here."""
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    # the driver would begin transactions at a time of its own choosing
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", f"busy_timeout={_WAIT_S * 1000}", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Writers queue up from the start: read and then write in a deferred transaction loses updates (facts.md)."""
    reads = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _let_go_of_sqlite(connection: Any, _: ConnectionPoolEntry, __: BaseException | None) -> None:
    """Rolls back what a task did that was cancelled: its connection is closed next, but SQLite keeps the file locked.

    It does so for as long as a cursor lives that was not read to its end, and the task's traceback has it.
    """
    if in_greenlet():  # else nobody was cancelled: the collector of garbage has found the connection
        with contextlib.suppress(sqlite3.Error, ValueError):  # it is closed already, or its file is gone
            connection.run_async(lambda driver: asyncio.shield(driver.rollback()))
