"""Calls that hang in threads keep neither others nor the program."""

import asyncio
import threading

import pytest

from bot.clients.threads import Unawaited


async def test_a_hundred_calls_that_hang_keep_no_other_from_its_turn() -> None:
    go_on = threading.Event()
    loop, threads = asyncio.get_running_loop(), Unawaited()
    hanging = [loop.run_in_executor(threads, go_on.wait) for _ in range(100)]
    async with asyncio.timeout(30):
        assert await loop.run_in_executor(threads, str, 7) == "7"
    assert not any(one.done() for one in hanging)
    go_on.set()
    assert all(await asyncio.gather(*hanging))


async def test_what_a_call_raises_is_raised_to_whoever_waits() -> None:
    with pytest.raises(ValueError, match="seven"):
        await asyncio.get_running_loop().run_in_executor(Unawaited(), int, "seven")


async def test_a_call_that_was_given_up_may_end_later() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def hang() -> None:
        go_on.wait()
        ended.set()

    given_up = asyncio.get_running_loop().run_in_executor(Unawaited(), hang)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await given_up
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 30)
