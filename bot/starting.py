"""What is done beside the start: the database is brought up to date, and what the first triage would wait for."""

import asyncio
import contextlib
import gc
import logging

from bot.errors import StoreError
from bot.handlers.probing import Prober
from bot.probes.control import PROBE as CONTROL
from bot.render import Renderer
from bot.settings import Settings
from bot.store.migrate import migrate
from bot.store.sql import SqlStore

logger = logging.getLogger(__name__)

_RETRY_S = 5.0
# M_ARENA_MAX of glibc's malloc.h
_ARENA_MAX = -8


async def migrated(settings: Settings, store: SqlStore) -> None:
    """Brings the database up to date; a database that is not there yet is waited for."""
    while True:
        try:
            await migrate(store.engine, settings.database_url)
            store.is_prepared()
            if store.engine.dialect.name == "sqlite":
                await store.end_leases()  # a file has one bot
        except StoreError as error:
            logger.warning("%s; trying again", error)
            await asyncio.sleep(_RETRY_S)
        else:
            return


async def warm_up(settings: Settings, asks: Prober, renderer: Renderer) -> None:
    """Does what the first triage would wait for, beside the start: imports, templates, the login to the cluster."""
    await asyncio.to_thread(_load_libraries, settings)
    # all others take a millisecond when they are needed first, and 3 MB together
    await asyncio.to_thread(renderer.compile, "triage")
    for target in settings.targets:
        # the lightest probe: with it comes the service's key, and so the cluster's login
        await asks.run([CONTROL], target.name, lambda _: None)
    # what is there now stays: looking through all of it for garbage holds everything up for a tenth of a second
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _load_libraries(settings: Settings) -> None:
    if any(target.prometheus.url for target in settings.targets):
        from bot.clients.prometheus import load_library

        load_library()


def one_arena() -> None:
    """Lets all threads share one arena of glibc's malloc, which they have one each of otherwise: 3 MB less when idle.

    They hold Python's lock while they allocate, and wait for nothing else. Elsewhere than on glibc nothing is done.
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
