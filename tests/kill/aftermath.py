"""The story of a bundle and of a postmortem, and the process that plays it, killed at one of its points.

Points and effects are those of ``story``; the bundle's file taking its name is an effect, too.
"""

import asyncio
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sqlalchemy import event

from bot.configuration import load
from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.incident import Refusal
from bot.errors import AlreadyDone
from bot.running import Bot
from bot.serve import wired
from bot.worlds import prober
from tests.kill.story import ADA, ROBIN, Points, Told, store_of


@dataclass(frozen=True)
class Act:
    """What happens, and how many of each there are when it is over, once each."""

    does: str
    bundles: int = 0
    uploads: int = 0
    published: int = 0
    notes: tuple[str, ...] = ()


ACTS = (
    Act("declare", bundles=1, uploads=1, notes=("evidence",)),
    Act("resolve", bundles=2, uploads=2, notes=("evidence", "evidence")),
    Act("write", bundles=2, uploads=2, notes=("evidence", "evidence", "postmortem")),
    Act("publish", bundles=2, uploads=2, published=1, notes=("evidence", "evidence", "postmortem", "postmortem")),
)


def play(environ: dict[str, str], alone: bool, without: str, orders: Connection) -> None:
    """Entry of the process, which is given what :func:`tests.kill.story.play` is."""
    points = Points(warn=lambda: orders.send(None))
    points.watch()
    replace = Path.replace

    def noted(path: Path, target: Any) -> Path:
        points.note()
        return replace(path, target)

    Path.replace = noted  # type: ignore[method-assign,assignment]
    asyncio.run(_obey(environ, alone, points, orders))


async def _obey(environ: dict[str, str], alone: bool, points: Points, orders: Connection) -> None:
    settings = load(environ)
    store = store_of(settings)
    if alone:
        await store.end_leases()
    event.listen(store.engine.sync_engine, "commit", points.note)
    async with prober(settings) as asks:
        bot = wired(settings, asks, store, pace_s=0)
        await bot.tasks.drain(20)
        while (order := await asyncio.to_thread(orders.recv)) is not None:
            index, number, die_at, _heard = order
            points.begin(die_at)
            await _done(bot, ACTS[index], number)
            orders.send(Told(points.count, points.begun.total(), max(points.begun.values(), default=0)))
            points.begin(None)
    await store.close()


async def _done(bot: Bot, act: Act, number: int) -> None:
    """What people do, the same each time, as Slack tells it again; until all that follows is done."""
    request = f"view:{act.does}"
    try:
        match act.does:
            case "declare":
                told = Declaration(
                    target="default", title="Completions fail", severity=Severity.P1, channel="C0INCIDENTS"
                )
                await bot.incidents.declare(told, ROBIN, request)
            case "resolve":
                await bot.incidents.act(number, lambda one, now: acts.resolve(one, (), "over", ROBIN, now), request)
            case "write":
                await bot.postmortems.write(
                    number, 0, {"summary": "It failed."}, confirmed=True, user=ADA, request=request
                )
            case _:
                await bot.postmortems.publish(number, ADA, request)
    except (AlreadyDone, Refusal):
        pass  # it was done before the process died
    while await bot.evidence.collect_one():
        pass
    await bot.postmortems.tick()
    while await bot.store.waiting():
        if not await bot.deliveries.send_some():
            await asyncio.sleep(0.02)
