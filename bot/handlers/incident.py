"""What people do to incidents: read, decide (the domain), write once; what must reach others is sent from the store."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from weakref import WeakValueDictionary

from bot.correlation import note
from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.clocks import tick
from bot.domain.incident import Change, Incident, Refusal
from bot.domain.policy import Policy
from bot.errors import AlreadyDone, Conflict
from bot.ports import Clock, Store

logger = logging.getLogger(__name__)

# Somebody else's change in the same moment is read and decided upon anew; more often than this it is no accident.
_ATTEMPTS = 12
_STEP_ASIDE_S = 0.02
# How many clocks are looked at in one transaction.
_BATCH = 1000

Act = Callable[[Incident, datetime], Change]


@dataclass(frozen=True, kw_only=True)
class IncidentHandler:
    """``wake`` is called when there is something to send. Acts raise Refusal and StoreError, both sentences."""

    store: Store
    clock: Clock
    policy: Policy
    wake: Callable[[], None] = lambda: None
    _turns: "WeakValueDictionary[int, asyncio.Lock]" = field(default_factory=WeakValueDictionary)

    async def declare(self, told: Declaration, actor: str, request: str) -> Incident:
        """The new incident, or the one that the same ``request`` has made before."""
        now = self.clock.now()
        try:
            made = await self.store.create(acts.declare(told, actor, now, self.policy), now=now, request=request)
        except AlreadyDone:
            before = await self.store.made_by(request)
            if before is None:
                raise
            return before
        self.wake()
        return made

    async def act(self, number: int, act: Act, request: str | None = None) -> Incident:
        """The incident after ``act``; as it is where the same ``request`` was carried out before."""
        # what comes in here at once waits its turn: what is left to meet are other replicas
        async with self._turn(number):
            return await self._acted(number, act, request)

    def _turn(self, number: int) -> asyncio.Lock:
        return self._turns.setdefault(number, asyncio.Lock())

    async def _acted(self, number: int, act: Act, request: str | None) -> Incident:
        for attempt in range(_ATTEMPTS):
            before = await self.one(number)
            now = self.clock.now()
            try:
                after = await self.store.save(before, act(before, now), now=now, request=request)
            except AlreadyDone:
                return before
            except Refusal:
                # what was done before is not refused because of what came after it
                if request is None or await self.store.made_by(request) is None:
                    raise
                return before
            except Conflict:
                # another replica was first; in step with it this one would be second for ever
                await asyncio.sleep(random.uniform(0, _STEP_ASIDE_S * attempt))  # noqa: S311 - nothing to be guessed
                continue
            self.wake()
            return after
        raise Conflict(f"INC-{number} is being changed by others at the same time; try again.")

    async def one(self, number: int) -> Incident:
        """The incident; raises Refusal where there is none."""
        found = await self.store.incident(number)
        if found is None:
            raise Refusal(f"There is no incident INC-{number}.")
        note(incident=number)
        return found

    async def meant(self, number: int | None, channel: str) -> Incident:
        """The incident with that number, else the only open one of the channel, else the only open one at all."""
        if number is not None:
            return await self.one(number)
        for found in (await self.store.in_channel(channel), await self.store.listed(open_only=True, limit=10)):
            if len(found) == 1:
                return found[0]
            if found:
                names = ", ".join(f"INC-{one.id} ({one.title})" for one in found[:5])
                raise Refusal(
                    f"Which one? Open are: {names}. Name its number, such as `/mistral update {found[0].name}`."
                )
        raise Refusal("No incident is open. `/mistral declare` opens one.")

    async def tick(self) -> int:
        """Looks at all clocks that have run out, a batch at a time; how many there were."""
        now, ticked = self.clock.now(), 0
        while True:
            found = await self.store.tick(now, lambda incident: tick(incident, now, self.policy), limit=_BATCH)
            ticked += found
            if found:
                self.wake()
            if found < _BATCH:
                return ticked
