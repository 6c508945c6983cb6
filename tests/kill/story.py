"""One incident from declaring to resolving as a process of its own plays it, killed at a step of its event loop.

A step is one callback that the loop runs: between any two of them the process may die. What is played again after a
restart carries the same ids, as Slack's own retries and a second submit of the same form do.
"""

import asyncio
import json
import os
import signal
from asyncio import events
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from slack_bolt.request.async_request import AsyncBoltRequest

from bot.configuration import load
from bot.errors import BotError
from bot.serve import Bot, wired
from bot.slack import messenger
from bot.worlds import prober
from tests.databases import store_at
from tests.fakes import NOW, FakeClock

ROBIN, ADA = "U0REQUESTER", "U0APPROVER"
# Longer than a delivery waits for its first tries.
_PAUSE = timedelta(minutes=3)


def play(environ: dict[str, str], die_at: int | None, alone: bool, told: Any) -> None:
    """Entry of the process. ``told`` is a queue for the number of steps; ``die_at``: which one is the last.

    ``alone`` False: others play the same beside it. Else what is held is held by the dead, whose leases are not waited
    for.
    """
    messenger._PACE_S = 0.0  # Slack's pace is not what is looked at, and takes a second a message
    count = _count_steps(die_at)
    asyncio.run(_story(environ, count, alone))
    told.put(count[0])


def _count_steps(die_at: int | None) -> list[int]:
    """Counts the loop's callbacks from ``begin`` on; kills the process at the one."""
    count = [-1]
    run = events.Handle._run

    def counted(handle: events.Handle) -> None:
        if count[0] >= 0:
            count[0] += 1
            if count[0] == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
        run(handle)

    events.Handle._run = counted  # type: ignore[method-assign,assignment]
    return count


async def _story(environ: dict[str, str], count: list[int], alone: bool) -> None:
    settings, clock = load(environ), FakeClock()
    store = store_at(settings.database_url)
    if alone:
        await store.end_leases()
    async with prober(settings) as asks:
        bot = wired(settings, replace(asks, clock=clock), store)
        await bot.tasks.drain(20)  # the warm-up
        count[0] = 0
        await _send(bot, _submission("declare", ROBIN, {"title": "Completions fail", "severity": "P1"}))
        await _deliver(bot)
        # PostgreSQL counts on after a transaction that a kill undid
        (incident,) = await store.listed(open_only=False, limit=2)
        number = incident.id
        await _send(bot, _submission("update", ADA, {"status": "identified", "action": "queueing"}, number))
        await _deliver(bot)
        for minutes in (10, 15, 16):
            await _at(bot, clock, NOW + timedelta(minutes=minutes))
        await _send(bot, _click("command", ADA, number))
        await _deliver(bot)
        await _send(bot, _submission("resolve", ROBIN, {"reason": "the limit was raised"}, number))
        await _deliver(bot)
        for _ in range(2):
            clock.at += _PAUSE
            await _deliver(bot)
    await store.close()


async def _at(bot: Bot, clock: FakeClock, at: datetime) -> None:
    clock.at = max(clock.at, at)
    await bot.incidents.tick()
    await _deliver(bot)


async def _send(bot: Bot, payload: dict[str, Any]) -> None:
    """By Bolt's own dispatch, as the socket does it; waits until nothing of it is under way."""
    await bot.slack.app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=payload))
    await bot.tasks.drain(20)


async def _deliver(bot: Bot) -> None:
    with suppress(BotError):
        while await bot.deliveries.send_some():
            pass


def _submission(form: str, user: str, values: dict[str, str], number: int = 0) -> dict[str, Any]:
    selected = ("severity", "status", "next")
    state = {
        block: {
            "value": {"type": "static_select", "selected_option": {"value": value}}
            if block in selected
            else {"type": "plain_text_input", "value": value}
        }
        for block, value in values.items()
    }
    metadata = {"channel": "C0INCIDENTS", "target": "default", "number": number, "objections": ["not looked at"]}
    view = {
        "id": f"V0{form.upper()}",
        "type": "modal",
        "callback_id": form,
        "private_metadata": json.dumps(metadata),
        "state": {"values": state},
    }
    return {"type": "view_submission", "team": {"id": "T0SANDBOX"}, "user": {"id": user}, "view": view}


def _click(action: str, user: str, number: int) -> dict[str, Any]:
    return {
        "type": "block_actions",
        "team": {"id": "T0SANDBOX"},
        "user": {"id": user},
        "channel": {"id": "C0INCIDENTS"},
        "trigger_id": "1.1",
        "actions": [
            {
                "type": "button",
                "action_id": action,
                "block_id": "b",
                "value": str(number),
                "action_ts": "1720000000.000100",
            }
        ],
    }
