"""Alerts on their way: written down as they come in, worked into incidents, and triaged.

What comes in at the same moment is written together. What is written waits in the database for whichever replica works
it in; nothing of it is held here, so that memory stays as it is however often an alert is repeated.
"""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bot.domain.alerting import News, Worked, triaged, untriaged, work_in
from bot.domain.alerts import AlertKey, Alerts, Payload
from bot.domain.policy import Policy
from bot.errors import BotError, StoreError
from bot.handlers.triage import TriageHandler
from bot.ports import Clock, Store

logger = logging.getLogger(__name__)

# Alerts that may wait to be written: seconds of it, after which it is better to be told again.
_WAITING = 20_000
# Alerts that are written in one transaction.
_TOGETHER = 2_000
_KEYS = 20
# Two looks at what is to be worked in are so far apart, so that a storm is a few entries of a timeline.
_PACE_S = 1.0
_GIVEN_WAY_S = 0.2
_TRIAGES, _LEASE_S = 1000, 60.0
_TRIAGES_MOST, _AGAIN = 3, timedelta(seconds=20)


class Busy(BotError):
    """More waits to be written than is kept: the sender is to come again."""


@dataclass(eq=False)
class _Waiting:
    payload: Payload
    written: "asyncio.Future[None]"


@dataclass(frozen=True, kw_only=True)
class AlertHandler:
    """``channel``: where incidents are announced; None: alerts are written down and nothing else.

    ``wake`` is called when there is something to send.
    """

    store: Store
    clock: Clock
    rules: Alerts
    policy: Policy
    triage: TriageHandler
    channel: str | None
    wake: Callable[[], None] = lambda: None
    waiting_most: int = _WAITING
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, payload: Payload) -> None:
        """Returns when ``payload`` is written; raises Busy, and StoreError."""
        if sum(len(one.payload.alerts) for one in self._waiting) >= self.waiting_most:
            raise Busy("More alerts come in than can be written down just now; send them again in a moment.")
        one = _Waiting(payload, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        # one that has ended stands there until the loop comes round to it, and writes no more
        if all(task.done() for task in self._tasks):
            task = asyncio.create_task(self._write(), name="writing alerts")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await one.written

    async def _write(self) -> None:
        while self._waiting:
            together, count = list[_Waiting](), 0
            while self._waiting and (not together or count + len(self._waiting[0].payload.alerts) <= _TOGETHER):
                together.append(self._waiting.popleft())
                count += len(together[-1].payload.alerts)
            await self._write_these(together)

    async def _write_these(self, together: Sequence[_Waiting]) -> None:
        error: Exception = StoreError("The bot is being stopped; send it again.")
        try:
            new = await self.store.receive_alerts([one.payload for one in together], self.clock.now())
        except StoreError as failed:
            error = failed
        except Exception as failed:
            logger.exception("alerts could not be written")
            error = StoreError(f"The alerts could not be written ({type(failed).__name__}); send them again.")
        else:
            for one in together:
                if not one.written.done():
                    one.written.set_result(None)
            if new:
                self._wanted.set()
        finally:
            for one in together:
                # who has gone away is not told
                if not one.written.done():
                    one.written.set_exception(error)
                    one.written.exception()

    def look(self) -> None:
        """There may be something to work in."""
        self._wanted.set()

    def end(self) -> None:
        """Lets :meth:`work` return when what is being worked in has been."""
        self._ending.set()
        self._wanted.set()

    async def work(self) -> None:
        """Works in and triages until :meth:`end`, when it is told to :meth:`look`."""
        while not self._ending.is_set():
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.tick()
            except StoreError:
                pass  # the store has told the log; the next look tries again
            except Exception:
                logger.exception("working alerts in failed; it goes on with the next look")
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_PACE_S):
                await self._ending.wait()
        except TimeoutError:
            pass

    async def tick(self) -> None:
        """Works in all that waits, and begins the triages that are asked for. Raises StoreError."""
        if self.channel is None:
            return
        while not self._ending.is_set():
            worked = await self.store.work_alerts(self.clock.now(), self._decide, limit=_KEYS)
            if worked:
                self.wake()
            if worked < _KEYS:
                break
            await self._give_way()
        await self.triage_some()

    async def _give_way(self) -> None:
        """What comes in is written first: its sender waits, and a file has one writer at a time."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_GIVEN_WAY_S)

    def _decide(self, news: News) -> Worked:
        with_id = News(**{**vars(news), "fresh": uuid.uuid4().hex})
        return work_in(with_id, self.rules, self.policy, self.channel or "", self.clock.now())

    async def triage_some(self) -> None:
        """One triage for each target, whose result all keys that ask for it share. Raises StoreError."""
        keys = await self.store.claim_alert_triages(self.clock.now(), limit=_TRIAGES, lease_s=_LEASE_S)
        targets: dict[str, list[AlertKey]] = {}
        for key in keys:
            targets.setdefault(key.target, []).append(key)
        await asyncio.gather(*(self._triage(target, held) for target, held in targets.items()))

    async def _triage(self, target: str, keys: Sequence[AlertKey]) -> None:
        if target not in self.triage.prober.worlds:
            await self._untriaged(keys, f"There is no target called {target} any more.")
            return
        try:
            report = await self.triage.start(target).report
        except Exception as error:
            logger.exception("the triage of %s failed", target)
            await self._untriaged(
                keys,
                str(error)
                if isinstance(error, BotError)
                else f"It ended with {type(error).__name__}; the bot's log says more.",
            )
            return
        held: Mapping[str, Any] = report.as_kept()
        identity = await self.store.keep_triage(held, target=target, at=self.clock.now())
        now = self.clock.now()
        for begin in range(0, len(keys), _KEYS):
            some = keys[begin : begin + _KEYS]
            await self.store.end_alert_triages(
                some, lambda incident: triaged(incident, held, identity, now), now, triage=identity
            )
            await self._give_way()
        self.wake()

    async def _untriaged(self, keys: Sequence[AlertKey], why: str) -> None:
        """Once more for those that were not tried often enough; the others are told."""
        now = self.clock.now()
        again = [key for key in keys if key.triages < _TRIAGES_MOST]
        given_up = [key for key in keys if key.triages >= _TRIAGES_MOST]
        for some, at in ((again, now + _AGAIN), (given_up, None)):
            if some:
                await self.store.end_alert_triages(
                    some, lambda incident: untriaged(incident, why, now), now, triage=None, again_at=at
                )
        self.wake()
