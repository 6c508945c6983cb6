"""What each side of the store is given of the database."""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Select, func, literal
from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine

from bot.store.columns import Moment


class Base(ABC):
    """``_writing`` and ``_reading`` are a transaction each; what the database raises in them becomes StoreError."""

    engine: AsyncEngine

    @abstractmethod
    def _writing(self) -> AbstractAsyncContextManager[AsyncConnection]: ...

    @abstractmethod
    def _reading(self) -> AbstractAsyncContextManager[AsyncConnection]: ...

    async def _any(self, query: Select[Any]) -> bool:
        """Whether ``query`` finds something: whoever looks every few seconds, mostly in vain, writes only then.

        A file has one writer at a time, and a transaction lasts for some turns of the event loop.
        """
        async with self._reading() as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    def _lease_clock(self, now: datetime, *, plus_s: float = 0.0) -> ColumnElement[datetime]:
        """What leases are measured by: one clock for all replicas, or else the fastest would take what others hold."""
        if self.engine.dialect.name == "postgresql":
            return func.clock_timestamp(type_=DateTime(timezone=True)) + timedelta(seconds=plus_s)
        return literal(now + timedelta(seconds=plus_s), Moment)
