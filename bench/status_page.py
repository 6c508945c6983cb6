"""The public status page when everybody looks at once, beside a fixed string; and how soon an update shows on it."""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import aiohttp

from bench.figures import Figure, end, scaled
from bot.domain.publication import PublicStatus
from bot.store.migrate import upgrade
from bot.store.sql import SqlStore
from tests.databases import store_at
from tests.fakes import NOW
from tests.public import published

HISTORY, CONNECTIONS, ROUNDS, ROUND_S, UPDATES = scaled(200), 40, scaled(7, least=2), 1.0, scaled(10, least=2)
# Promised: at least 60 % of what the same server does for a fixed string, so at most so much of its time a request.
TIMES, SHOWS_S = 1 / 0.6, 1.0
_HEAD_END, _LENGTH = b"\r\n\r\n", b"content-length:"


async def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/bot.db"
        await asyncio.to_thread(upgrade, url)
        store = store_at(url)
        for number in range(HISTORY):
            at = NOW - timedelta(hours=7 * number)
            await published(store, title=f"Slow answers, {number}", status=PublicStatus.RESOLVED, at=at)
        async with _server(url) as port:
            page, fixed = await _rates(port)
            shown = [await _shown_after(store, port, number) for number in range(UPDATES)]
        await store.close()
    what = f"GET /status, {HISTORY} incidents of history"
    return [
        Figure(what=f"{what}: from the cache", value=page, unit="/s"),
        Figure(what=f"{what}: a fixed string of that size instead", value=fixed, unit="/s"),
        Figure(what=f"{what}: a request's time beside the string's", value=fixed / page, unit="times", limit=TIMES),
        Figure(what=f"{what}: an update shows, the slowest of {UPDATES}", value=max(shown), unit="s", limit=SHOWS_S),
    ]


@asynccontextmanager
async def _server(url: str) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.status_server", url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        await end(process)


async def _rates(port: int) -> tuple[float, float]:
    """(the page's, the string's) requests a second: the medians of rounds that take turns."""
    rates: dict[str, list[float]] = {"/status": [], "/fixed": []}
    for _ in range(ROUNDS):
        for path, held in rates.items():
            held.append(await _rate(port, path))
    return statistics.median(rates["/status"]), statistics.median(rates["/fixed"])


class _Reader(asyncio.Protocol):
    """Asks again as soon as it is answered, and counts: a client that costs next to nothing."""

    def __init__(self, path: str) -> None:
        self.answers = 0
        self._request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n".encode()
        self._size, self._held = 0, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._held += data
        if not self._size and _HEAD_END in self._held:
            head, _, _ = self._held.partition(_HEAD_END)
            assert head.startswith(b"HTTP/1.1 200"), head
            length = head.lower().partition(_LENGTH)[2].partition(b"\r\n")[0]
            # all answers on a connection are the same
            self._size = len(head) + len(_HEAD_END) + int(length)
        if self._size and len(self._held) >= self._size:
            assert len(self._held) == self._size, "the answers are not all the same"
            self.answers += 1
            self._held = b""
            self._transport.write(self._request)


async def _rate(port: int, path: str) -> float:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(partial(_Reader, path), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    before, began = sum(reader.answers for _, reader in made), time.perf_counter()
    await asyncio.sleep(ROUND_S)
    answered, took = sum(reader.answers for _, reader in made) - before, time.perf_counter() - began
    for transport, _ in made:
        transport.abort()
    return answered / took


async def _shown_after(store: SqlStore, port: int, number: int) -> float:
    """Seconds from the write, by another process than the one that shows it, to the first answer that has it."""
    title = f"Answers are late, {number}"
    # at another moment between two looks each time
    await asyncio.sleep(0.07 * number)
    await published(store, title=title)
    began = time.perf_counter()
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://127.0.0.1:{port}/status") as answer:
                if title in await answer.text():
                    return time.perf_counter() - began
            await asyncio.sleep(0.01)
