"""What is stored of how the provider fares while an incident is open."""

from typing import Protocol

from bot.domain.provider import Watching


class Watches(Protocol):
    async def watching(self, incident: int) -> Watching | None:
        """As it was found last; None: it has not been looked at yet."""
