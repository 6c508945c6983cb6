"""The Store's side of how the provider fares."""

from sqlalchemy import select

from bot.domain.provider import Watching
from bot.store.base import Base
from bot.store.tables import watches


class StoredWatches(Base):
    """See :class:`bot.ports.watches.Watches`."""

    async def watching(self, incident: int) -> Watching | None:
        async with self._reading() as connection:
            found = await connection.execute(select(watches).where(watches.c.incident == incident))
            row = found.mappings().first()
        if row is None:
            return None
        return Watching(
            provider=tuple(row["provider"]),
            unread=row["unread"],
            successes=row["successes"],
            announced=row["announced"],
        )
