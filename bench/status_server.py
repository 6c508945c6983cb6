"""The public status page of a database, and beside it a fixed string of the same size, in one process of its own.

usage: python -m bench.status_server DATABASE_URL. It prints its port as one line.
"""

import asyncio
import sys

import aiohttp
from aiohttp import web

from bot.settings import HttpLimits, StatusPageSettings
from bot.web.routes import Readiness, application
from bot.web.status import StatusRoutes
from tests.databases import store_at


async def main() -> None:
    """Until stdin ends."""
    store = store_at(sys.argv[1])
    status = StatusRoutes(store, StatusPageSettings(), ("Chat",), None)
    # how fast it can be, not how much of that it lets in
    routes = application(Readiness(), None, None, status, HttpLimits(pages_per_second=1_000_000))
    fixed = b""

    async def same(_: web.Request) -> web.Response:
        return web.Response(body=fixed, content_type="text/html")

    routes.router.add_get("/fixed", same)
    runner = web.AppRunner(routes, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(f"http://127.0.0.1:{port}/status", headers={"Accept-Encoding": "gzip"}) as answer,
    ):
        fixed = await answer.read()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())
