"""``python -m bot.sandbox.bot_process AHEAD_S ARGUMENTS``: the unmodified bot, with a clock that the sandbox moves.

Each line on the standard input of ``run`` is a number of seconds by which the clock goes forward; what is due then is
done, and with the end of the input the bot ends.
"""

import asyncio
import logging
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import slack_sdk.socket_mode.aiohttp
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.sandbox.clock import MovedClock

_STDIN = 0

Wake = Callable[[], None]


def _woken() -> list[Wake]:
    """What wakes each scheduler that will be started: they sleep by the real time, whatever the clock says."""
    wakes: list[Wake] = []
    begin = AsyncIOScheduler.start

    def start(scheduler: Any, *arguments: Any, **more: Any) -> None:
        begin(scheduler, *arguments, **more)
        loop = asyncio.get_running_loop()

        def wake() -> None:
            if scheduler.running and not loop.is_closed():
                loop.call_soon_threadsafe(scheduler.wakeup)

        wakes.append(wake)

    AsyncIOScheduler.start = start
    return wakes


def steady() -> None:
    """Lets Slack's client see by a clock that nobody moves whether its connection lives: it would open another."""
    vars(slack_sdk.socket_mode.aiohttp)["time"] = SimpleNamespace(time=time.monotonic)


def _follow(clock: MovedClock, wakes: list[Wake]) -> None:
    """Until the sandbox is gone, without which the bot is not needed either.

    Bare reads: the buffered reader's lock would be in the way at the exit.
    """
    held = b""
    while chunk := os.read(_STDIN, 4096):
        *lines, held = (held + chunk).split(b"\n")
        for line in lines:
            clock.move(float(line))
        for wake in wakes:
            wake()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    clock, wakes = MovedClock(), _woken()
    if ahead_s := float(sys.argv[1]):
        clock.move(ahead_s)
    if sys.argv[2:] == ["run"]:  # a command is over before the clock moves
        steady()
        threading.Thread(target=_follow, args=(clock, wakes), name="clock", daemon=True).start()
    # each jump of the clock makes ticks due that have just begun; in a sandbox that is as it should be
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    sys.argv = ["mistral-bot", *sys.argv[2:]]
    runpy.run_module("bot", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
