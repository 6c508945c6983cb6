"""APScheduler makes the ticks; each is one call, and nothing is remembered between them.

APScheduler waits by the wall clock: after that has been set back it would make no tick until it has caught up, so that
the monotonic clock is watched beside it.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

logger = logging.getLogger(__name__)

# A tick that is this many times its interval late has been forgotten by the scheduler.
_LATE = 3.0


@dataclass(frozen=True)
class Tick:
    """``call`` every ``every_s`` seconds, never twice at once."""

    name: str
    every_s: float
    call: Callable[[], Awaitable[None]]


class Scheduler:
    """Must be made and started within the event loop."""

    def __init__(
        self, ticks: Sequence[Tick], *, monotonic: Callable[[], float] = time.monotonic, watch_every_s: float = 1.0
    ) -> None:
        self._ticks = {tick.name: tick for tick in ticks}
        self._monotonic, self._watch_every_s = monotonic, watch_every_s
        self._last = dict.fromkeys(self._ticks, monotonic())
        self._scheduler: AsyncIOScheduler | None = None
        self._due = {name: monotonic() + tick.every_s for name, tick in self._ticks.items()}
        self._stopping = False
        self._running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """The first tick of each comes at once."""
        # an import of 15 ms, before which the bot acknowledges already
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        self._scheduler = AsyncIOScheduler(timezone=UTC)
        for tick in self._ticks.values():
            self._scheduler.add_job(
                self._tick,
                "interval",
                args=[tick],
                id=tick.name,
                seconds=tick.every_s,
                next_run_time=datetime.now(UTC),
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
            )
        self._scheduler.start()

    async def stop(self) -> None:
        """Ticks that are under way are cancelled, and have ended when this returns."""
        self._stopping = True
        if self._scheduler is not None and self._scheduler.running:
            self._scheduler.shutdown(wait=False)
            await asyncio.sleep(0)  # it does so in a callback
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def late(self) -> Mapping[str, float]:
        """By how many seconds the next of each tick is late just now; one that runs on holds up the next."""
        now = self._monotonic()
        return {name: max(0.0, now - self._due[name]) for name in self._ticks}

    async def watch(self) -> None:
        """For ever: brings back a tick that has stopped coming."""
        while True:
            await asyncio.sleep(self._watch_every_s)
            for name, tick in self._ticks.items():
                if self._monotonic() - self._last[name] > _LATE * tick.every_s:
                    logger.warning("the tick of %s had stopped, as it does when the clock is set back", name)
                    self._last[name] = self._monotonic()
                    if self._scheduler is not None:
                        self._scheduler.modify_job(name, next_run_time=datetime.now(UTC))

    async def _tick(self, tick: Tick) -> None:
        self._due[tick.name] = self._monotonic() + tick.every_s
        # one that takes long has not stopped, and another would not be let in beside it
        self._last[tick.name] = math.inf
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._running.add(task)
        try:
            await tick.call()
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        except Exception:
            logger.exception("the tick of %s failed", tick.name)
        finally:
            self._running.discard(task)
            self._last[tick.name] = self._monotonic()
