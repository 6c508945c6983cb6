"""The port: how many connections there may be, and how long one may take to ask for something."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import cast

from aiohttp import web

from bot.errors import SettingsError
from bot.measures import REFUSALS
from bot.settings import Settings

_BACKLOG = 256
# What is under way when the bot ends has so long.
_CLOSING_S = 2.0


@contextlib.asynccontextmanager
async def listening(
    settings: Settings, routes: web.Application, told: Callable[[int], None] = lambda _: None
) -> AsyncIterator[None]:
    """``routes`` at HOST and PORT, which ``told`` hears; raises SettingsError where that is not free.

    Who holds connections open without asking for anything takes neither the bot's file descriptors nor its time.
    """
    limits = settings.http
    runner = web.AppRunner(routes, access_log=None, keepalive_timeout=limits.slow_s, shutdown_timeout=_CLOSING_S)
    await runner.setup()
    serving = cast(web.Server, runner.server)  # which setup has made

    def admitted() -> asyncio.Protocol:
        if len(held := serving.connections) >= limits.connections:
            # not the newcomer, which may be the cluster asking whether the bot lives: the oldest, which is mostly idle
            held[0].force_close()
            REFUSALS.labels("none", "crowd").inc()
        return serving()

    try:
        try:
            server = await asyncio.get_running_loop().create_server(
                admitted, settings.host, settings.port, backlog=_BACKLOG, reuse_address=True
            )
        except OSError as error:
            held = f"HOST and PORT hold {settings.host}:{settings.port}"
            raise SettingsError([f"{held}; they should hold an address that is free: {error.strerror}"]) from error
        told(server.sockets[0].getsockname()[1])
        try:
            yield
        finally:
            server.close()
    finally:
        await runner.cleanup()
