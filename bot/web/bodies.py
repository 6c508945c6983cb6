"""What is sent to a route: read within a time, up to a size, and all of it together within a budget of memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

# Whoever means it sends at once; anybody else may hold a connection and a body open.
READ_WITHIN_S = 10.0
# Of all bodies of a route that are held at the same time, in largest ones.
_HELD_MOST = 16


class BodyRefused(Exception):
    """``why`` is large, crowd, slow or malformed, as :data:`bot.measures.REFUSALS` counts them."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass
class Bodies:
    """Those of one route. ``held_most``: how many bytes of them there may be at once; None: sixteen of the largest."""

    largest: int
    held_most: int | None = None
    _held: int = 0

    @asynccontextmanager
    async def of(self, request: web.Request) -> AsyncIterator[bytes]:
        """The request's body, which counts as held until the context ends; raises BodyRefused."""
        size = self.largest if request.content_length is None else request.content_length
        if size > self.largest:
            raise BodyRefused("large")
        most = _HELD_MOST * self.largest if self.held_most is None else self.held_most
        if self._held + size > most:
            raise BodyRefused("crowd")
        self._held += size
        try:
            yield await self._read(request)
        finally:
            self._held -= size

    async def _read(self, request: web.Request) -> bytes:
        held, content = bytearray(), request.content
        try:
            # as a rule all of it came with the head, and nobody is waited for
            while content.is_eof() and not content.at_eof():
                self._add(held, content.read_nowait())
            if not content.at_eof():
                async with asyncio.timeout(READ_WITHIN_S):
                    async for part in content.iter_any():
                        self._add(held, part)
        except TimeoutError:
            raise BodyRefused("slow") from None
        except web.RequestPayloadError:
            raise BodyRefused("malformed") from None
        return bytes(held)

    def _add(self, held: bytearray, part: bytes) -> None:
        held += part
        # a length does not say it of what is compressed or comes in parts
        if len(held) > self.largest:
            raise BodyRefused("large")
