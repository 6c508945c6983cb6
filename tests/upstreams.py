"""Upstreams that answer whatever a test says, on loopback, and a probe that asks one with the real HTTP client."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bot.clients.http import HttpClient
from bot.domain.signals import Finding
from bot.ports import Probe
from bot.settings import Limits, Network
from tests.fakes import probe_run

BAD_BODIES: Mapping[str, bytes] = {
    "HTML": b"<!doctype html><html><title>Just a moment...</title></html>",
    "not UTF-8": b'{"data": [], "choices": [], "status": {"indicator": "\xff\xfe"}}',
    "NaN": b'{"data": [{"id": "a", "created": NaN}], "choices": [{}], "services": {"mistral": NaN}}',
    "Infinity": b'{"data": [{"id": "a", "created": -Infinity}], "choices": [{}]}',
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "empty": b"",
    "50 MB": b" " * 50_000_000,
}


Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def connected(handle: Handle, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server that does ``handle`` with each connection, and closes it; at the end none is left open."""
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def handled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            await handle(reader, writer)
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.add(asyncio.create_task(handled(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await _turns()  # who has connected a moment ago comes to ``accept``
        server.close()
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()  # what nobody reads any more would keep it open
        await _turns()
        for one in ended:
            if isinstance(one, Exception):
                raise one


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def answering(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> AsyncIterator[str]:
    """The URL of a server that answers each request with this, one a connection."""
    told = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"HTTP/1.1 {status} Told\r\n{told}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode())
        writer.write(body)
        await writer.drain()

    async with connected(answer) as port:
        yield f"http://127.0.0.1:{port}"


async def found_over_the_wire(probe: Probe, *, environ: Mapping[str, str], **overrides: Any) -> Finding:
    """What ``probe`` finds with the real HTTP client and the usual limits."""
    http = HttpClient(Network(), Limits().response_bytes)
    try:
        return await probe.check(probe_run(environ=environ, http=http, **overrides))
    finally:
        await http.close()
