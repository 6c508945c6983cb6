"""The database as whoever runs the bot looks at it: is it there, how new is it, its clock, and what waits in it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from functools import cached_property
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio.engine import AsyncEngine

from bot.errors import StoreError
from bot.ports import DatabaseState, Pending
from bot.store.engine import make_engine
from bot.store.migrate import revision
from bot.store.rows import delivery_of
from bot.store.states import state_of
from bot.store.tables import REVISION, deliveries


class SqlDatabase:
    """See :class:`bot.ports.Database`."""

    def __init__(self, url: str) -> None:
        """``url`` is DATABASE_URL; nothing is connected yet."""
        self._url = url
        self._file = Path(url.partition(":///")[2].partition("?")[0]) if url.startswith("sqlite") else None

    @cached_property
    def engine(self) -> AsyncEngine:
        """Raises StoreError where nobody can make sense of the URL."""
        try:
            if self._url.partition("?")[0].count("@") > 1:
                # the driver would look for a host that is called like the rest of the password, and say so
                raise ValueError
            return make_engine(self._url)
        except (ArgumentError, ValueError):
            # their sentences, chained ones too, hold parts of the URL, in which there may be a password
            raise StoreError("DATABASE_URL makes no sense; a password in it has to be percent-encoded.") from None

    async def close(self) -> None:
        if "engine" in self.__dict__:
            await self.engine.dispose()

    async def used(self) -> None:
        """Raises StoreError, with a sentence, where there is nothing to read: not there, never used, or too old."""
        held = (await self.state()).migration
        if held is None:
            where = f"at {self._file} " if self._file else ""
            raise StoreError(f"There is no database {where}that the bot has used; run the bot, or check DATABASE_URL.")
        # migrations only add: what a newer bot has made is read as it is
        if held < REVISION:
            raise StoreError(
                f"The database is at migration {held} and this bot needs {REVISION}; start the bot of this version."
            )

    async def state(self) -> DatabaseState:
        if self._file is not None and not self._file.is_file():
            if not self._file.absolute().parent.is_dir():
                raise StoreError(f"There is no folder {self._file.absolute().parent} for the database.")
            return DatabaseState(migration=None, newest=REVISION, now=None)
        async with self._told():
            held = await revision(self.engine)
            if self._file is not None:
                return DatabaseState(migration=held, newest=REVISION, now=None)
            async with self.engine.connect() as connection:
                now = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
            return DatabaseState(migration=held, newest=REVISION, now=now.astimezone(UTC))

    async def pending(self, limit: int) -> Sequence[Pending]:
        query = select(deliveries).where(deliveries.c.state != "sent").order_by(deliveries.c.seq).limit(limit)
        async with self._told(), self.engine.connect() as connection:
            await connection.execution_options(reads_only=True)
            rows = (await connection.execute(query)).mappings().all()
        return [Pending(state=state_of(row["state"]), due_at=row["due_at"], delivery=delivery_of(row)) for row in rows]

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            # the drivers' first lines say what is wrong and hold no password
            first = str(cause).strip().splitlines()[:1] or [type(cause).__name__]
            raise StoreError(f"The database cannot be used: {first[0].strip()[:300]}") from error
