"""The story of three mitigations, and the process that plays it, killed or stopped at one of its points.

A remedy is asked for, approved and works; people take it back; another one does not start, and the bot takes it back.
Points are those of ``story``. Between two of them a process begins at most one change of the cluster, too.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

from sqlalchemy import event

from bot.clients.kubernetes import KubernetesCluster
from bot.configuration import load
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.objects import within
from bot.domain.runs import REVERT, WORKED_ON, Outcome, State
from bot.errors import StoreError
from bot.handlers import applying, planning
from bot.handlers.mitigation import Asked
from bot.running import Bot
from bot.serve import wired
from bot.worlds import prober
from tests.kill.story import ADA, ROBIN, Points, Told, store_of
from tests.mitigated import QUICK

CHANNEL = "C0INCIDENTS"
_SOON = timedelta(milliseconds=1)
POLICY = replace(QUICK, per_hour=100, look_every=5 * _SOON, verify_every=_SOON)
# What makes sure that a change is made once and told as it was; a test takes it away to see that this is then found.
LOOK, LOOK_AND_PINS = "look at the annotation", "look at the annotation, and pins"
_TICK_S = 0.03


@dataclass(frozen=True)
class Act:
    """What people do, ``ask``, ``approve`` or ``revert``, and all that has come of it when nothing is under way.

    ``notes`` are the timeline's new entries by how they begin, ``ended`` the new messages that tell an end, ``runs``
    all runs in their order, ``patches`` how often the deployment has been changed, ``env`` what the bot has set.
    """

    does: str
    of: int = -1
    """Which run, by its place; of ``ask``, none."""
    remedy: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ended: tuple[tuple[str, Outcome], ...] = ()
    runs: tuple[tuple[str, State, Outcome | None], ...] = ()
    patches: int = 0
    env: Mapping[str, str] = field(default_factory=dict)


_AS_BEFORE = {"MISTRAL_FALLBACK": "false", "MAX_CONCURRENT_REQUESTS": "50"}
_FALLBACK_ON = _AS_BEFORE | {"MISTRAL_FALLBACK": "true"}
_FIXED, _BACK = ("fallback", State.ENDED, Outcome.FIXED), (REVERT, State.ENDED, Outcome.DONE)
_FAILED = ("limit_concurrency", State.ENDED, Outcome.FAILED)


def _told(remedy: str, *did: str) -> tuple[str, ...]:
    return tuple(f"{remedy}{one}" for one in did)


_ASKED, _SENT = (" asked for", " proposed"), (" begins", " applied")
ACTS = (
    Act("declare", env=_AS_BEFORE),
    Act(
        "ask",
        remedy="fallback",
        notes=_told("fallback", *_ASKED),
        runs=(("fallback", State.PROPOSED, None),),
        env=_AS_BEFORE,
    ),
    Act(
        "approve",
        of=0,
        notes=_told("fallback", " approved", *_SENT, " rolled out", ": fixed"),
        ended=(("fallback", Outcome.FIXED),),
        runs=(_FIXED,),
        patches=1,
        env=_FALLBACK_ON,
    ),
    Act(
        "revert",
        of=0,
        notes=_told(f"{REVERT} of fallback", *_ASKED),
        runs=(_FIXED, (REVERT, State.PROPOSED, None)),
        patches=1,
        env=_FALLBACK_ON,
    ),
    Act(
        "approve",
        of=1,
        notes=_told(f"{REVERT} of fallback", " approved", *_SENT, ": done"),
        ended=((REVERT, Outcome.DONE),),
        runs=(_FIXED, _BACK),
        patches=2,
        env=_AS_BEFORE,
    ),
    Act(
        "ask",
        remedy="limit_concurrency",
        arguments={"value": "1"},
        notes=_told("limit_concurrency", *_ASKED),
        runs=(_FIXED, _BACK, ("limit_concurrency", State.PROPOSED, None)),
        patches=2,
        env=_AS_BEFORE,
    ),
    Act(
        "approve",
        of=2,
        notes=_told("limit_concurrency", " approved", *_SENT, ": failed")
        + _told(f"{REVERT} of limit_concurrency", *_ASKED, *_SENT, ": done"),
        ended=(("limit_concurrency", Outcome.FAILED), (REVERT, Outcome.DONE)),
        runs=(_FIXED, _BACK, _FAILED, _BACK),
        patches=4,
        env=_AS_BEFORE,
    ),
)


def play(environ: dict[str, str], alone: bool, without: str, orders: Connection) -> None:
    """Entry of the process, which is given what :func:`tests.kill.story.play` is; it plays until it is killed."""
    if without in (LOOK, LOOK_AND_PINS):
        vars(applying).update(within=_without_annotations)
    if without == LOOK_AND_PINS:
        vars(applying).update(template_patch=_of_any_version, _wanted=_anyway(applying._wanted))
    points = Points(warn=lambda: orders.send(None))
    points.watch()
    patch = KubernetesCluster.patch

    async def noted(*arguments: Any, dry_run: bool = False) -> Any:
        if not dry_run:
            points.note()
        return await patch(*arguments, dry_run=dry_run)

    KubernetesCluster.patch = noted  # type: ignore[method-assign,assignment]
    asyncio.run(_obey(environ, alone, points, orders))


def _without_annotations(held: Any, *path: str) -> Any:
    return {} if path == ("metadata", "annotations") else within(held, *path)


def _of_any_version(*arguments: Any) -> dict[str, Any]:
    patch = planning.template_patch(*arguments)
    del patch["metadata"]["resourceVersion"]
    return patch


def _anyway(wanted: Any) -> Any:
    def unpinned(plan: Any, held: Any, *, pinned: bool = True) -> Any:
        return wanted(plan, held, pinned=False)

    return unpinned


async def _obey(environ: dict[str, str], alone: bool, points: Points, orders: Connection) -> None:
    settings = load(environ)
    settings = replace(settings, policy=replace(settings.policy, mitigations=POLICY))
    store = store_of(settings)
    if alone:
        await store.end_leases()
    event.listen(store.engine.sync_engine, "commit", points.note)
    async with prober(settings) as asks:
        bot = wired(settings, asks, store, pace_s=0)
        await bot.tasks.drain(20)
        # until the process is killed
        _parts = [asyncio.create_task(bot.driver.work()), asyncio.create_task(bot.deliveries.work())]
        while True:
            index, number, point, heard = await asyncio.to_thread(orders.recv)
            points.begin(point)
            if heard:
                await _done(bot, ACTS[index], number)
            points.besides = asyncio.current_task()
            await _settled(bot)
            points.besides = None
            orders.send(Told(points.count, points.begun.total(), max(points.begun.values(), default=0)))
            points.begin(None)


async def _done(bot: Bot, act: Act, number: int) -> None:
    """What people do, the same each time, as Slack tells it again."""
    handler, request = bot.mitigations, f"view:{act.does}:{act.remedy}:{act.of}"
    if act.does == "declare":
        told = Declaration(target="default", title="Completions fail", severity=Severity.P3, channel=CHANNEL)
        await bot.incidents.declare(told, ROBIN, request)
    elif act.does == "ask":
        asked = Asked(
            incident=number,
            target="default",
            remedy=act.remedy,
            arguments=act.arguments,
            severity=Severity.P3,
            user=ROBIN,
            reason="completions fail",
        )
        await handler.ask(asked, request)
    else:
        run = (await bot.store.runs(number))[act.of]
        if act.does == "approve":
            await handler.approve(run.id, ADA, frozenset(), request)
        else:
            await handler.revert(run.id, ROBIN, "the provider is back", request)


async def _settled(bot: Bot) -> None:
    """Until nobody has anything to do but people; the clock's ticks come faster than in the bot."""
    while True:
        bot.driver.drive()
        bot.deliveries.wake()
        # a process that stood still has lost what it had open, as the bot's own ticks would be told
        with contextlib.suppress(StoreError):
            runs = [
                run for incident in await bot.store.listed(open_only=True, limit=10) for run in await _of(bot, incident)
            ]
            if not await bot.store.waiting() and not any(run.state in WORKED_ON for run in runs):
                return
        await asyncio.sleep(_TICK_S)


async def _of(bot: Bot, incident: Any) -> Any:
    return await bot.store.runs(incident.id)
