"""How many requests for the public status page are answered a second, beside the bare server and nginx?"""

import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp

from bench.figures import Figure, Subject, at_most, lasting, ratio_at_least, scaled, taking_turns
from bench.load import load
from bench.processes import module, program
from bot.domain.publication import PublicStatus
from bot.sandbox.launcher import free_port
from bot.store.migrate import upgrade
from bot.store.sql import SqlStore
from tests.databases import store_at
from tests.fakes import NOW
from tests.public import published

HISTORY, CONNECTIONS, ROUNDS, ROUND_S, UPDATES = scaled(200), 40, scaled(7), lasting(1.0), scaled(10)
# Promised: of what the same server does for a fixed string; and how soon an update shows, in seconds.
RATE, SHOWS_S = 0.7, 1.0
_NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit;
events {{}}
http {{
  access_log off; keepalive_requests 100000000; default_type text/html; gzip_static always;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


async def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/bot.db"
        await asyncio.to_thread(upgrade, url)
        store = store_at(url)
        for number in range(HISTORY):
            at = NOW - timedelta(hours=7 * number)
            await published(store, title=f"Slow answers, {number}", status=PublicStatus.RESOLVED, at=at)
        async with module("status_server", url) as (_, told):
            port = int(told)
            async with _nginx(port) as nginx:
                rates = await taking_turns(
                    ROUNDS,
                    {
                        "page": _asked(port, "/status"),
                        "fixed": _asked(port, "/fixed"),
                        "nginx": _asked(nginx, "/status"),
                        "changing": _while_changing(port, store),
                    },
                )
            shown = [await _shown_after(store, port, number) for number in range(UPDATES)]
        await store.close()
    what, bare = f"GET /status, {HISTORY} incidents of history", "the bare server's fixed string"
    changed, late = f"{what}, changed five times a second", f"an update shows on it, the slowest of {UPDATES}"
    page, fixed, goal = rates["page"], rates["fixed"], ratio_at_least(RATE)
    return [
        Figure(what=what, values=page, unit="/s", beside=bare, reference=fixed, goal=goal, headline=True),
        Figure(what=what, values=page, unit="/s", beside="nginx with its file", reference=rates["nginx"]),
        Figure(what=changed, values=rates["changing"], unit="/s", beside=bare, reference=fixed),
        Figure(what=late, values=[max(shown)], unit="s", goal=at_most(SHOWS_S)),
    ]


def _asked(port: int, path: str) -> Subject:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n".encode()

    async def once() -> float:
        return (await load(port, [request], CONNECTIONS, ROUND_S)).rate

    return once


@contextlib.asynccontextmanager
async def _nginx(page_port: int) -> AsyncIterator[int]:
    """Serves the page as it is now, and packed beside it."""
    port = free_port()
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            for name, encoding in (("status", "identity"), ("status.gz", "gzip")):
                url, headers = f"http://127.0.0.1:{page_port}/status", {"Accept-Encoding": encoding}
                async with session.get(url, headers=headers) as answer:
                    await asyncio.to_thread((folder / name).write_bytes, await answer.read())
        config = folder / "nginx.conf"
        await asyncio.to_thread(config.write_text, _NGINX.format(folder=folder, port=port))
        await asyncio.to_thread(folder.chmod, 0o755)
        process = await asyncio.create_subprocess_exec(program("nginx"), "-c", str(config), "-e", "stderr")
        try:
            await _listens(port)
            yield port
        finally:
            process.terminate()
            await process.wait()


async def _listens(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


def _while_changing(port: int, store: SqlStore) -> Subject:
    """Another process than the one that shows it writes five updates a second."""
    numbers = itertools.count()

    async def changes() -> None:
        while True:
            await published(store, title=f"Answers are slow again, {next(numbers)}", at=NOW - timedelta(days=400))
            await asyncio.sleep(0.2)

    async def once() -> float:
        task = asyncio.create_task(changes())
        try:
            return await _asked(port, "/status")()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return once


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
