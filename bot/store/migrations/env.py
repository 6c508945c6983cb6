"""Alembic's entry: one transaction, in which nobody else migrates."""

from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from bot.store import aftermath, tables
from bot.store.columns import metadata
from bot.store.engine import prepare_sqlite

__all__ = ["aftermath", "tables"]

# any number that nothing else in the database uses for the same
_LOCK = 0x6D697374


def run() -> None:
    url = context.config.attributes["url"].replace("sqlite+aiosqlite", "sqlite")
    engine = create_engine(url, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine)  # its transactions begin with the lock
    with engine.begin() as connection:
        if engine.dialect.name != "sqlite":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()


run()
