"""What the tests' own servers leave behind: nothing, whenever somebody connects."""

import asyncio
import gc
import socket

import pytest
from aiohttp import web


@pytest.mark.parametrize("turns", range(5))
async def test_a_connection_that_comes_as_a_server_ends_is_closed(turns: int) -> None:
    runner = web.AppRunner(web.Application(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with socket.create_connection(runner.addresses[0]) as client:
        for _ in range(turns):
            await asyncio.sleep(0)
        await runner.cleanup()
        client.setblocking(False)
        async with asyncio.timeout(30):
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
    gc.collect()
