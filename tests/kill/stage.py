"""Where the story is played: Slack, the pager and the database, the processes, and what must be true after each act."""

import asyncio
import multiprocessing
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import delete

from bot.domain.timeline import fault
from bot.sandbox.launcher import Sandbox
from bot.sandbox.slack.model import Message
from bot.sandbox.slack.workspace import Workspace
from bot.store.columns import metadata
from bot.store.sql import SqlStore
from bot.store.tables import switches
from tests.databases import store_at
from tests.kill.story import ACTS, ADA, POLICY, ROBIN, At, Told, play

_CHANNELS = ("C0INCIDENTS", "C0GENERAL")
_ACT_S = 60
_REPLICAS = 3
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.kill.warmed"])


class Killed(Exception):
    """The process was killed, as it was to be."""


class Stopped(Exception):
    """The process stands still, or will in a moment."""


class Player:
    """A process that plays: ``entry``, which is given what :func:`tests.kill.story.play` is."""

    def __init__(
        self, environ: dict[str, str], *, alone: bool = True, without: str = "", entry: Callable[..., None] = play
    ) -> None:
        self._orders, theirs = _context.Pipe()
        # a daemon ends with the test's process, whatever became of the test
        self._process = _context.Process(target=entry, args=(environ, alone, without, theirs), daemon=True)
        self._process.start()
        theirs.close()

    async def act(self, index: int, number: int, die_at: int | At | None = None, *, heard: bool = True) -> Told:
        """Raises Killed, after which there is no process. ``heard`` False: it only looks at the clocks, and sends."""
        try:
            self._orders.send((index, number, die_at, heard))
        except ConnectionError as gone:
            await self._joined(-9)
            raise Killed from gone
        return await self.told()

    async def told(self) -> Told:
        """What it says next; raises Killed, and Stopped where it is about to be stopped."""
        try:
            if not await asyncio.to_thread(self._orders.poll, _ACT_S):
                raise TimeoutError("an act did not end")
            told: Told | None = self._orders.recv()
        except (EOFError, ConnectionError) as gone:
            await self._joined(-9)
            raise Killed from gone
        if told is None:
            raise Stopped
        return told

    def signal(self, signum: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, signum)

    async def end(self) -> None:
        """Lets it end by itself; one that was killed has ended."""
        if not self._orders.closed:
            self._orders.send(None)
            await self._joined(0)

    async def kill(self) -> None:
        """Ends it whatever it does, and stopped or not."""
        if not self._orders.closed:
            self.signal(signal.SIGKILL)
            await self._joined(-9)

    async def _joined(self, code: int) -> None:
        self._orders.close()
        await asyncio.to_thread(self._process.join, _ACT_S)
        ended = self._process.exitcode
        self._process.close()
        assert ended == code, f"the process ended with {ended}"


@dataclass
class Stage:
    """``environ``: what the bot is given; ``store``: the same database, looked at from outside."""

    sandbox: Sandbox
    environ: dict[str, str]
    store: SqlStore
    pages: list[dict[str, Any]]

    @classmethod
    async def made(cls, sandbox: Sandbox, url: str, folder: Path) -> "Stage":
        pages: list[dict[str, Any]] = []

        async def page(request: web.Request) -> web.Response:
            pages.append(await request.json())
            return web.Response(status=202)

        hook = web.Application()
        hook.router.add_post("/page", page)
        config = folder / "bot.yaml"
        await asyncio.to_thread(config.write_text, POLICY)
        more = {"MISTRAL_BOT_CONFIG": str(config), "PAGER_WEBHOOK_URL": f"{await sandbox.serve(hook)}/page"}
        environ = {**sandbox.environment(), **more, "DATABASE_URL": url, "KUBECONFIG": "", "PROMETHEUS_URL": ""}
        return cls(sandbox, environ, store_at(url), pages)

    async def clear(self) -> None:
        """Everything as before the story."""
        await emptied(self.store, self.sandbox.slack.workspace)
        self.pages.clear()

    def player(self, *, alone: bool = True, without: str = "") -> Player:
        return Player(self.environ, alone=alone, without=without)

    async def played(
        self, die_at: Callable[[int], int | At | None], *, without: str = "", acts: int = len(ACTS)
    ) -> list[Told | None]:
        """Plays the story's first ``acts``, and looks after each whether all is as it must be; what was told of each.

        ``die_at`` gives the point of the act with that index at which the process is killed, or None. Another follows
        it, is told the same again, and plays on. Where the act had no such point the process is not killed, and what
        it tells is given; None: it was.
        """
        await self.clear()
        player, told, number = self.player(without=without), list[Told | None](), 0
        for index in range(acts):
            point = die_at(index)
            try:
                told.append(await player.act(index, number, point))
            except Killed:
                told.append(None)
                player = self.player(without=without)
                await player.act(index, number)
            number = number or await self.number()
            wrong = await self.wrong(index, kills=told.count(None))
            assert not wrong, f"{wrong} after act {index}, killed at point {point}"
        await player.end()
        return told

    async def played_by_three(self, seeded: random.Random, *, all_told: bool, fatal: tuple[int, int] | None) -> bool:
        """The same by three replicas at once; Slack tells each act to any one of them, or to several.

        Whoever is not told of it looks at the clocks at the same time, and all of them send what is due. The first
        replica is killed at the act and point ``fatal``, if it has that many points: whether it was. Another takes its
        place, and one of the three is told again.
        """
        await self.clear()
        players, number, kills = [self.player(alone=False) for _ in range(_REPLICAS)], 0, 0
        for index in range(len(ACTS)):
            told = seeded.sample(range(_REPLICAS), _REPLICAS if all_told else seeded.randint(1, _REPLICAS))
            die_at = fatal[1] if fatal is not None and fatal[0] == index else None
            ended = await asyncio.gather(
                *(
                    player.act(index, number, None if replica else die_at, heard=replica in told)
                    for replica, player in enumerate(players)
                ),
                return_exceptions=True,
            )
            if isinstance(ended[0], Killed):
                kills += 1
                # nobody sends just now: the others need not wait for the leases of the dead
                await self.store.end_leases()
                players[0] = self.player(alone=False)
                await seeded.choice(players).act(index, number)
            assert [one for one in ended if isinstance(one, Exception) and not isinstance(one, Killed)] == []
            number = number or await self.number()
            wrong = await self.wrong(index, kills=kills)
            assert not wrong, f"{wrong} after act {index} told to {told}, the first replica to die at {fatal}"
        for player in players:
            await player.end()
        return bool(kills)

    async def number(self) -> int:
        """The incident's; PostgreSQL counts on after a transaction that a kill undid."""
        return (await self.store.listed(open_only=False, limit=1))[0].id

    async def wrong(self, index: int, *, kills: int) -> dict[str, Any]:
        """What is not as it must be after the act with that index: ``{what: (as it is, as it must be)}``.

        Pages cannot be looked up: there may be one more for each of the ``kills``.
        """
        found = await self.store.listed(open_only=False, limit=10)
        incident, acts = found[-1], ACTS[: index + 1]
        entries = await self.store.timeline(incident.id)
        slack = self.sandbox.slack.workspace
        own = [one.id for one in slack.channels.values() if one.name.startswith("inc-")]
        home, announced, stakeholders, direct = (own or ["none"])[0], *_CHANNELS, slack.direct(ADA).id
        said = {channel: self._said(channel) for channel in (home, announced, stakeholders, direct)}
        first, later = said[stakeholders][:1], said[stakeholders][1:]
        public = await self.store.public(incident.id)
        cards = {channel: [one for one in held if _is_card(one)] for channel, held in said.items()}
        pages, rung = Counter(_all(act.pages for act in acts)), Counter(page["action"] for page in self.pages)
        seen_and_meant: Mapping[str, tuple[Any, Any]] = {
            "incidents": (len(found), 1),
            "chain": (fault(entries, count=incident.entries, last_hash=incident.last_hash), None),
            "timeline": (tuple(entry.event.kind.value for entry in entries), _all(act.notes for act in acts)),
            "waiting": (dict(await self.store.waiting()), {}),
            "channels": (own, [incident.own_channel]),
            "invited": (ROBIN in slack.channels[home].members if own else False, True),
            "posts": (_kinds(said[home]), _all(act.says for act in acts)),
            "elsewhere": (_kinds(said[announced]), ()),
            "notices": (_kinds(said[stakeholders]), _all(act.notices for act in acts)),
            "their thread": ([one.thread_ts for one in later], [one.ts for one in first] * len(later)),
            "public": (tuple(one.text for one in public.updates) if public else (), _all(act.public for act in acts)),
            "direct": (_kinds(said[direct]), _all(act.direct for act in acts)),
            "cards": ({channel: len(held) for channel, held in cards.items() if held}, {home: 1, announced: 1}),
            "pins": (
                {channel: slack.channels[channel].pins for channel in (home, announced) if channel in slack.channels},
                {channel: [one.ts for one in cards[channel]] for channel in (home, announced)},
            ),
            "cards' truth": ({_tells(one) for held in cards.values() for one in held}, {acts[-1].card}),
            "pages": (dict(pages - rung), {}),
            "pages more": ((rung - pages).total() <= kills, True),
            "ids of pages": ({page["id"] for page in self.pages} <= {incident.id}, True),
        }
        return {what: pair for what, pair in seen_and_meant.items() if pair[0] != pair[1]}

    def _said(self, channel: str) -> list[Message]:
        slack = self.sandbox.slack.workspace
        return [one for one in slack.messages if one.channel == channel and one.only_for is None]


async def emptied(store: SqlStore, slack: Workspace) -> None:
    """The database, and what the bot has made in Slack."""
    async with store.engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            if table is not switches:  # its one row is there from the start
                await connection.execute(delete(table))
    for message in list(slack.messages):
        slack.remove(message)
    for channel in list(slack.channels):
        if channel not in _CHANNELS:
            del slack.channels[channel]
    slack.channels["C0INCIDENTS"].pins.clear()
    slack.calls.clear()


_KINDS = {kind for act in ACTS for kind in (*act.says, *act.direct, *act.notices)}


def _all(parts: Iterator[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(one for part in parts for one in part)


def _is_card(message: Message) -> bool:
    return "*Incident commander*" in message.all_text


def _kinds(messages: list[Message]) -> tuple[str, ...]:
    """Which kind of message each is, cards left out."""
    texts = [one.all_text for one in messages if not _is_card(one)]
    return tuple(next((kind for kind in _KINDS if kind in text), text) for text in texts)


def _tells(card: Message) -> tuple[str, ...]:
    return tuple(word for word in ("INVESTIGATING", "IDENTIFIED", "RESOLVED", "P1", "P2") if word in card.all_text)
