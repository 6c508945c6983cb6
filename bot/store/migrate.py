"""Brings the database to the newest migration, under a lock; alembic runs in a process of its own, which then ends.

``python -m bot.store.migrate`` takes DATABASE_URL from the environment.
"""

import asyncio
import os
import sys
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from bot.errors import StoreError
from bot.store.tables import REVISION

_FOLDER = Path(__file__).with_name("migrations")
_TIMEOUT_S = 60.0


async def revision(engine: AsyncEngine) -> str | None:
    """The migration that the database is at; None: it is empty. Raises what SQLAlchemy raises."""
    async with engine.connect() as connection:
        await connection.execution_options(reads_only=True)
        try:
            found = await connection.execute(text("SELECT version_num FROM alembic_version"))
        except DBAPIError as error:
            if error.connection_invalidated or type(error.orig).__name__ not in ("OperationalError", "UndefinedTable"):
                raise
            return None
        held: str | None = found.scalar()
        return held


async def migrate(engine: AsyncEngine, url: str) -> None:
    """Does what is needed, which is mostly nothing; raises StoreError."""
    try:
        held = await revision(engine)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StoreError(f"The database cannot be used: {type(cause).__name__}: {cause}".splitlines()[0]) from error
    # migrations only add: where a newer bot was here and is taken back, this one works with what that has left
    if held is not None and held >= REVISION:
        return
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot.store.migrate"),
            env={**os.environ, "DATABASE_URL": url},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise StoreError(f"No process could be started to migrate the database ({error.strerror})") from error
    try:
        _, told = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
    except TimeoutError as error:
        process.kill()
        raise StoreError(f"The database was not migrated within {_TIMEOUT_S:g} s") from error
    if process.returncode != 0:
        last = told.decode(errors="replace").strip().splitlines()[-1:] or ["no reason was given"]
        raise StoreError(f"The database was not migrated: {last[0]}")


def upgrade(url: str, to: str = "head") -> None:
    """Runs alembic here and now."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["url"] = url
    command.upgrade(config, to)


if __name__ == "__main__":
    upgrade(os.environ["DATABASE_URL"])
