"""Answers that everybody asks for at once: rendered once for each change of what the public is told, and kept as bytes.

Whether there was a change is asked for at most every half second, by one request for all; while the database does not
answer, what was rendered last is served.
"""

import asyncio
import gzip
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bot.errors import StoreError
from bot.ports import Publications

logger = logging.getLogger(__name__)

# An update is to show within a second, on every replica.
FRESH_S = 0.5
# How long a request waits for a database that is slow before it is given what there is.
_PATIENCE_S = 0.25
# Below that gzip saves nothing that anybody notices.
_WORTH_BYTES = 1000
# What is kept of pages, those that were asked for last: the first page and hundreds of incidents' own. Whoever asks for
# all of a long history has it rendered.
_KEPT_BYTES = 4_000_000

Version = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """``packed``: the body by gzip, where that is worth it. ``etag`` without quotes."""

    version: Version
    status: int
    body: bytes = field(repr=False)
    packed: bytes | None = field(repr=False)
    etag: str

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.body) + len(self.packed or b"")


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What is to be answered, and with which status."""

    text: str
    status: int = 200


class StatusCache:
    """``store`` says whether something has changed; ``make`` of :meth:`get` renders what is asked for."""

    def __init__(self, store: Publications, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store, self._monotonic = store, monotonic
        self._version: Version | None = None
        self._asked = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self._held: OrderedDict[str, Answer] = OrderedDict()
        self._bytes = 0
        self._making: dict[str, asyncio.Task[Answer]] = {}

    @property
    def version(self) -> Version | None:
        """Of what the public is told, when it was asked for last; None: it is not known."""
        return self._version

    def held(self, key: str) -> Answer | None:
        """The answer, where it is known to be no older than half a second."""
        answer = self._held.get(key)
        fresh = self._monotonic() - self._asked < FRESH_S
        if not fresh or answer is None or answer.version != self._version:
            return None
        self._held.move_to_end(key)
        return answer

    async def get(self, key: str, make: Callable[[], Awaitable[Rendered]]) -> Answer:
        """The answer as it is now, else as it was. Raises StoreError where there is none, and what ``make`` raises."""
        await self._look()
        answer = self._held.get(key)
        if answer is not None and (self._version is None or answer.version == self._version):
            return answer
        try:
            return await self._made(key, make)
        except StoreError:
            if answer is None:
                raise
            return answer

    async def _look(self) -> None:
        """Learns whether something has changed, if that was not asked just now."""
        if self._monotonic() - self._asked < FRESH_S:
            return
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="what the public is told")
        await asyncio.wait([self._asking], timeout=_PATIENCE_S)

    async def _ask(self) -> None:
        began = self._monotonic()
        try:
            self._version = await self._store.public_version()
        except StoreError as error:
            logger.warning("the status page shows what it showed last: %s", error)
        finally:
            # counted from its beginning: what is written while it is asked for may not be seen
            self._asked, self._asking = began, None

    async def _made(self, key: str, make: Callable[[], Awaitable[Rendered]]) -> Answer:
        """One rendering for all who ask meanwhile."""
        if key not in self._making:
            task = asyncio.create_task(self._make(key, make), name=f"the page {key}")
            self._making[key] = task
            task.add_done_callback(lambda _: self._making.pop(key, None))
        return await asyncio.shield(self._making[key])

    async def _make(self, key: str, make: Callable[[], Awaitable[Rendered]]) -> Answer:
        # before it is read: what is read is then at least as new
        version = self._version or (-1, -1)
        rendered = await make()
        body = rendered.text.encode()
        packed = gzip.compress(body, 6, mtime=0) if len(body) > _WORTH_BYTES else None
        etag = hashlib.sha256(body).hexdigest()[:24]
        answer = Answer(version=version, status=rendered.status, body=body, packed=packed, etag=etag)
        if rendered.status == 200:
            # what is not there is not kept: anybody can ask for anything
            self._keep(key, answer)
        return answer

    def _keep(self, key: str, answer: Answer) -> None:
        before = self._held.pop(key, None)
        self._held[key] = answer
        self._bytes += answer.size - (0 if before is None else before.size)
        while self._bytes > _KEPT_BYTES and len(self._held) > 1:
            self._bytes -= self._held.popitem(last=False)[1].size
