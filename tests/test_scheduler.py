"""Ticks come, one at a time, whatever they raise and whatever becomes of the machine's clock."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, tzinfo

import apscheduler.schedulers.base
import pytest

from bot import scheduler
from bot.scheduler import Scheduler, Tick

EVERY_S = 0.02


class Counted:
    """A tick that counts itself, for whoever waits for its next one."""

    def __init__(self, work: Callable[[], object] = lambda: None) -> None:
        self.times, self._work, self._came = 0, work, asyncio.Event()

    async def __call__(self) -> None:
        self.times += 1
        self._came.set()
        result = self._work()
        if asyncio.iscoroutine(result):
            await result

    async def next(self, within_s: float = 30) -> None:
        self._came.clear()
        async with asyncio.timeout(within_s):
            await self._came.wait()


@contextlib.asynccontextmanager
async def ticking(*ticks: Tick, watched: bool = True) -> AsyncIterator[None]:
    held = Scheduler(ticks, watch_every_s=EVERY_S)
    held.start()
    watching = asyncio.create_task(held.watch()) if watched else None
    try:
        yield
    finally:
        await held.stop()
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Sets the clock that APScheduler and the bot read, by so much."""
    by = timedelta()

    class Set(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(time.time(), tz) + by

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Set)
    monkeypatch.setattr(scheduler, "datetime", Set)

    def step(more: timedelta) -> None:
        nonlocal by
        by += more

    return step


async def test_the_first_tick_comes_at_once_and_others_follow() -> None:
    slow, quick = Counted(), Counted()
    async with ticking(Tick("slow", 3600, slow), Tick("quick", EVERY_S, quick)):
        for _ in range(5):
            await quick.next()
    assert slow.times == 1


async def test_a_tick_that_raises_is_logged_and_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("out of order")

    failing = Counted(fail)
    async with ticking(Tick("failing", EVERY_S, failing)):
        for _ in range(3):
            await failing.next()
    failed = [one for one in caplog.records if one.getMessage() == "the tick of failing failed"]
    assert len(failed) >= 2
    assert failed[0].exc_info is not None
    assert "out of order" in str(failed[0].exc_info[1])


async def test_a_tick_that_takes_long_is_neither_begun_twice_nor_taken_for_stopped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    free, running, most = asyncio.Event(), 0, 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await free.wait()
        running -= 1

    long, beside = Counted(work), Counted()
    caplog.set_level(logging.WARNING, logger="bot.scheduler")
    async with ticking(Tick("long", EVERY_S, long), Tick("beside", EVERY_S, beside)):
        await long.next()
        caplog.clear()  # of a machine that stood still before it had begun
        for _ in range(20):
            await beside.next()
        assert (long.times, running) == (1, 1)
        # the tick beside it, and this one once it has ended, are late wherever the machine stands still
        assert not [one for one in caplog.messages if "the tick of long" in one]
        free.set()
        await long.next()
    assert most == 1
    assert not [one for one in caplog.messages if "failed" in one]


async def test_after_the_clock_is_set_back_an_hour_ticks_go_on(
    wall: Callable[[timedelta], None], caplog: pytest.LogCaptureFixture
) -> None:
    tick = Counted()
    async with ticking(Tick("clocks", EVERY_S, tick)):
        await tick.next()
        wall(timedelta(hours=-1))
        for _ in range(5):
            await tick.next()
    told = [one for one in caplog.records if "had stopped, as it does when the clock is set back" in one.getMessage()]
    assert told


async def test_without_the_watch_they_would_not(wall: Callable[[timedelta], None]) -> None:
    tick = Counted()
    async with ticking(Tick("clocks", EVERY_S, tick), watched=False):
        await tick.next()
        wall(timedelta(hours=-1))
        before = tick.times
        await asyncio.sleep(20 * EVERY_S)
        assert tick.times <= before + 2, "those that were under way may still have come"


async def test_after_the_clock_is_set_forward_an_hour_one_tick_comes_and_not_the_pile(
    wall: Callable[[timedelta], None],
) -> None:
    tick = Counted()
    async with ticking(Tick("clocks", 0.5, tick)):
        await tick.next()
        wall(timedelta(hours=1))
        await tick.next()
        assert tick.times == 2


async def test_a_tick_that_does_not_come_or_does_not_end_is_late() -> None:
    now, ends = 100.0, asyncio.Event()
    hanging = Counted(ends.wait)
    held = Scheduler((Tick("clocks", 5, hanging), Tick("other", 2, Counted())), monotonic=lambda: now)
    assert held.late() == {"clocks": 0.0, "other": 0.0}
    now = 104.0
    assert held.late() == {"clocks": 0.0, "other": 2.0}
    held.start()
    await hanging.next()
    assert held.late()["clocks"] == 0.0, "it has begun"
    now = 112.0
    assert held.late()["clocks"] == 3.0, "and holds up the next"
    ends.set()
    await held.stop()


async def test_a_scheduler_that_was_never_started_can_be_stopped() -> None:
    await Scheduler((Tick("clocks", 1, Counted()),)).stop()


async def test_a_tick_under_way_has_ended_when_the_scheduler_has_stopped() -> None:
    ended = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(EVERY_S)  # as a database takes a moment to undo what was begun
            ended.set()

    tick = Counted(slow)
    async with ticking(Tick("clocks", 1, tick)):
        await tick.next()
    assert ended.is_set()
