"""An incident's story, and the process that plays it as it is told, killed at one of its points.

A point is where a task goes on: each time that the event loop gives it its turn, that is after each of its awaits that
had to wait, in our own code and in the libraries' that it calls. All that the bot does to the outside is begun by a
task: between two points runs one turn of one task, and it begins at most one call of Slack's, one page or one commit
(``Points`` counts them, and a test holds it to that). What the loop runs besides, such as noticing that an answer has
come, changes nothing that a kill could leave behind.
"""

import asyncio
import json
import os
import signal
from asyncio import events
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from slack_bolt.request.async_request import AsyncBoltRequest
from sqlalchemy import event
from sqlalchemy.engine.default import DefaultDialect

from bot import serve
from bot.clients.http import HttpClient
from bot.configuration import load
from bot.errors import BotError
from bot.render import Renderer
from bot.running import Bot
from bot.serve import wired
from bot.settings import Settings
from bot.slack.messenger import SlackMessenger
from bot.store import runs, sql
from bot.store.engine import make_engine
from bot.store.sql import SqlStore
from bot.worlds import prober
from tests.fakes import NOW, FakeClock

ROBIN, ADA = "U0REQUESTER", "U0APPROVER"
POLICY = "policy: {own_channel: true}\nstakeholders: {P1: [C0GENERAL]}\n"
# What makes sure that nothing is done twice; a test takes it away to see that this is then found.
LOOK_UP, REQUESTS = "look-up", "requests"
_COMPILED: dict[Any, Any] = {}


@dataclass(frozen=True)
class Act:
    """What happens ``minutes`` after the beginning, and all that must have come of it, once, when it is over.

    ``payload`` is what Slack delivers; empty: a tick. ``notes`` are the timeline's new entries; ``says`` the new
    messages in the incident's own channel, by a part of their text; ``direct`` those to the commander alone; ``pages``
    the pager's; ``notices`` the stakeholders' messages and ``public`` the updates on the status page, by their texts;
    ``card`` what the cards then say.
    """

    minutes: int
    payload: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    direct: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    public: tuple[str, ...] = ()
    card: tuple[str, ...] = ()


def _submission(form: str, user: str, values: dict[str, str]) -> dict[str, Any]:
    state = {block: {"value": _filled_in(block, value)} for block, value in values.items()}
    view = {"id": f"V0{form.upper()}", "type": "modal", "callback_id": form, "state": {"values": state}}
    return {"type": "view_submission", "team": {"id": "T0SANDBOX"}, "user": {"id": user}, "view": view}


def _filled_in(block: str, value: str) -> dict[str, Any]:
    if block in ("severity", "status", "next"):
        return {"type": "static_select", "selected_option": {"value": value}}
    if block == "publish":
        return {"type": "checkboxes", "selected_options": [{"value": value}]}
    return {"type": "plain_text_input", "value": value}


def _click(action: str, user: str) -> dict[str, Any]:
    pressed = {"type": "button", "action_id": action, "block_id": "b", "action_ts": "1720000000.000100"}
    where = {"team": {"id": "T0SANDBOX"}, "user": {"id": user}, "channel": {"id": "C0INCIDENTS"}}
    return {"type": "block_actions", **where, "trigger_id": "1.1", "actions": [pressed]}


def _command(text: str, user: str) -> dict[str, Any]:
    where = {"team_id": "T0SANDBOX", "user_id": user, "channel_id": "C0INCIDENTS"}
    return {"command": "/mistral", "text": text, **where, "trigger_id": "2.2"}


_INVESTIGATED, _IDENTIFIED, _RESOLVED = ("INVESTIGATING", "P1"), ("IDENTIFIED", "P1"), ("RESOLVED", "P1")
_DECLARE = _submission("declare", ROBIN, {"title": "Completions fail", "severity": "P2"})
_TOLD = {"stakeholders": "Answers are slow.", "publish": "yes", "public_text": "Slow, for all."}
_UPDATE = _submission(
    "update", ADA, {"status": "identified", "action": "queueing", "public_title": "Slow answers", **_TOLD}
)
_ENDED = {"stakeholders": "All is well again.", "publish": "yes", "public_text": "It is over."}
_TAKE = _click("command", ADA)
_RESOLVE = _submission("resolve", ROBIN, {"reason": "the limit was raised", **_ENDED})
_ASKED, _LATE, _RINGS = ("an update is due",), ("was due",), ("Nobody has taken command",)
ACTS = (
    Act(0, _DECLARE, notes=("declared", "note"), card=("INVESTIGATING", "P2")),
    Act(1, _command("severity NUMBER P1", ADA), notes=("severity",), says=("is P1 now",), card=_INVESTIGATED),
    Act(
        2,
        _UPDATE,
        notes=("status", "update", "told", "published"),
        says=("is IDENTIFIED",),
        notices=("Answers are slow.",),
        public=("Slow, for all.",),
        card=_IDENTIFIED,
    ),
    Act(12, says=_ASKED, card=_IDENTIFIED),
    Act(13, _click("snooze_10", ADA), notes=("snoozed",), card=_IDENTIFIED),
    Act(16, notes=("escalated",), says=_RINGS, pages=("trigger",), card=_IDENTIFIED),
    Act(22, says=_ASKED, card=_IDENTIFIED),
    Act(27, notes=("update missed",), says=_LATE, card=_IDENTIFIED),
    Act(28, _TAKE, notes=("role",), says=("is commander of",), pages=("acknowledge",), card=_IDENTIFIED),
    Act(
        29,
        _RESOLVE,
        notes=("status", "resolved", "told", "published"),
        says=("is resolved",),
        pages=("resolve",),
        notices=("All is well again.",),
        public=("It is over.",),
        card=_RESOLVED,
    ),
    Act(30, _click("reopen", ADA), notes=("reopened",), says=("is open again",), card=_INVESTIGATED),
    Act(40, direct=_ASKED, card=_INVESTIGATED),
)


@dataclass(frozen=True)
class At:
    """So many points after that effect of an act was begun, the first being 1; none: just before it is.

    Effect 0 is the act's own beginning.
    """

    effect: int
    points: int
    how: signal.Signals = signal.SIGKILL


@dataclass
class Points:
    """Counts the points of an act, and kills the process at the ``die_at``-th, or stops it."""

    warn: Callable[[], None] = lambda: None
    """Called before it is stopped, which nobody would know of."""
    die_at: int | At | None = None
    count: int = -1
    besides: "asyncio.Task[Any] | None" = None
    """Whose turns are no points: it does nothing but look."""
    begun: Counter[int] = field(default_factory=Counter)
    """How many effects were begun after each point."""

    def begin(self, die_at: int | At | None) -> None:
        self._how = die_at.how if isinstance(die_at, At) else signal.SIGKILL
        self.die_at = die_at.points if isinstance(die_at, At) and not die_at.effect else die_at
        self.count = 0
        self.begun.clear()

    def note(self, *_: Any) -> None:
        """Something is about to be done to the outside."""
        self.begun[self.count] += 1
        if isinstance(self.die_at, At) and self.begun.total() == self.die_at.effect:
            self.die_at = self.count + self.die_at.points
            self._reached()

    def _reached(self) -> None:
        if self.count == self.die_at:
            if self._how is signal.SIGSTOP:
                self.warn()
            os.kill(os.getpid(), self._how)

    def watch(self) -> None:
        run, once, fetch = events.Handle._run, SlackMessenger._once, HttpClient.fetch

        def counted(handle: events.Handle) -> None:
            # a task's turns are its own bound methods
            task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
            if self.count >= 0 and isinstance(task, asyncio.Task) and task is not self.besides:
                self.count += 1
                self._reached()
            run(handle)

        async def slack(*arguments: Any) -> Any:
            self.note()
            return await once(*arguments)

        async def asked(*arguments: Any, **more: Any) -> Any:
            self.note()
            return await fetch(*arguments, **more)

        events.Handle._run = counted  # type: ignore[method-assign,assignment]
        SlackMessenger._once = slack  # type: ignore[method-assign,assignment]
        HttpClient.fetch = asked  # type: ignore[method-assign]


@dataclass(frozen=True)
class Told:
    """What a player says of an act: how many points it had, how many effects, and how many at most after one point."""

    points: int
    effects: int
    at_once: int


class Orders(Protocol):
    """Where it is told what to play, and tells what came of it."""

    def recv(self) -> tuple[int, int, int | At | None, bool] | None: ...

    def send(self, told: Told) -> None: ...


def play(environ: dict[str, str], alone: bool, without: str, orders: Connection) -> None:
    """Entry of the process: plays the acts that ``orders`` names, until None.

    An order is the act's index, the incident's number, the point at which to die or None, and whether to do what the
    act says or only what a tick at its time does. ``alone``: what is held is held by the dead, whose leases are not
    waited for.
    """
    if without == LOOK_UP:
        SlackMessenger.find = _nothing  # type: ignore[method-assign]
    elif without == REQUESTS:
        for module in (sql, runs):
            vars(module).update(note_request=_nothing)
    points = Points()
    points.watch()
    asyncio.run(obey(environ, alone, points, orders))


@cache
def _renderer(folder: Path | None) -> Renderer:
    made = Renderer(folder)
    made.compile()
    return made


async def _warm_already(*_: Any) -> None:
    pass


async def _nothing(*_: Any, **__: Any) -> None:
    pass


def share() -> None:
    """What each process would make for itself at its beginning, it takes over from the one that it is forked from."""
    vars(serve).update(Renderer=_renderer, warm_up=_warm_already)
    # a compiled statement is kept by its dialect, of which each engine has its own
    DefaultDialect.__eq__ = lambda one, other: type(one) is type(other)  # type: ignore[method-assign]
    DefaultDialect.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign]


def store_of(settings: Settings) -> SqlStore:
    """The store, with the statements that were compiled before."""
    return SqlStore(make_engine(settings.database_url).execution_options(compiled_cache=_COMPILED))


async def obey(environ: dict[str, str], alone: bool, points: Points, orders: Orders) -> None:
    settings, clock = load(environ), FakeClock()
    store = store_of(settings)
    if alone:
        await store.end_leases()
    event.listen(store.engine.sync_engine, "commit", points.note)
    async with prober(settings) as asks:
        bot = wired(settings, replace(asks, clock=clock), store, pace_s=0)
        await bot.tasks.drain(20)
        while (order := orders.recv()) is not None:
            index, number, die_at, heard = order
            points.begin(die_at)
            await _done(bot, clock, ACTS[index] if heard else Act(ACTS[index].minutes), number)
            orders.send(Told(points.count, points.begun.total(), max(points.begun.values(), default=0)))
        points.begin(None)
    await store.close()


async def _done(bot: Bot, clock: FakeClock, act: Act, number: int) -> None:
    """By Bolt's own dispatch, as the socket does it; until nothing of it is under way, and all that is due is sent."""
    clock.at = NOW + timedelta(minutes=act.minutes)
    if act.payload:
        body = _about(act.payload, number)
        response = await bot.slack.app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=body))
        await bot.tasks.drain(20)
        if preview := _preview(response.body, body):
            await bot.slack.app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=preview))
            await bot.tasks.drain(20)
    else:
        await bot.incidents.tick()
    with suppress(BotError):
        while await bot.deliveries.send_some():
            pass


def _preview(answer: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The submission of the preview with which ``body``, a form's, was answered; None: there is none."""
    view = (json.loads(answer) if answer else {}).get("view")
    return None if view is None else {**body, "view": {**view, "id": "V0PREVIEW", "state": {"values": {}}}}


def _about(payload: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The same payload each time, ids and all, as Slack's retries are: only the incident's number is put in."""
    body: dict[str, Any] = json.loads(json.dumps(payload).replace("NUMBER", str(number)))
    for action in body.get("actions", ()):
        action["value"] = str(number)
    if "view" in body:
        metadata = {"channel": "C0INCIDENTS", "target": "default", "number": number, "objections": ["not looked at"]}
        body["view"]["private_metadata"] = json.dumps(metadata)
    return body
