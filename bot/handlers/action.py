"""Action items: what people do to them, and the reminders that are due."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from bot.domain import promises
from bot.domain.action import Action, ActionPriority, ActionState
from bot.domain.incident import Incident, Refusal
from bot.domain.policy import Policy
from bot.errors import AlreadyDone, Conflict
from bot.ports import Clock, Store

_BATCH, _SHOWN = 100, 100
_ATTEMPTS = 4


@dataclass(frozen=True, kw_only=True)
class ActionHandler:
    """``wake`` is called when there is something to send. All raise Refusal and StoreError, both sentences."""

    store: Store
    clock: Clock
    policy: Policy
    wake: Callable[[], None] = lambda: None

    async def add(
        self,
        incident: Incident,
        text: str,
        priority: ActionPriority,
        owner: str | None,
        due: date | None,
        *,
        user: str,
        request: str,
    ) -> Action | None:
        """The new one; None: the same ``request`` has made it before."""
        now = self.clock.now()
        made = promises.promised(incident, text, priority, owner, due, user, now, self.policy)
        try:
            return await self.store.add_action(made, now=now, request=request)
        except AlreadyDone:
            return None

    async def edit(
        self,
        identity: int,
        *,
        text: str,
        priority: ActionPriority,
        owner: str | None,
        due: date | None,
        state: ActionState,
        user: str,
        request: str,
    ) -> Action:
        before, now = await self.one(identity), self.clock.now()
        after = promises.changed(
            before,
            text=text,
            priority=priority,
            owner=owner,
            due=due,
            state=state,
            actor=user,
            now=now,
            policy=self.policy,
        )
        try:
            return await self.store.save_action(before, after, actor=user, now=now, request=request)
        except AlreadyDone:
            return await self.one(identity)

    async def done(self, identity: int, user: str, request: str) -> Action:
        for last in (False,) * (_ATTEMPTS - 1) + (True,):
            before, now = await self.one(identity), self.clock.now()
            try:
                after = promises.closed(before, user, now)
                return await self.store.save_action(before, after, actor=user, now=now, request=request)
            except AlreadyDone:
                return before
            except Conflict:
                if last:
                    raise
        raise Conflict("The action item was changed by somebody else in the same moment; try again.")

    async def one(self, identity: int) -> Action:
        held = await self.store.action(identity)
        if held is None:
            raise Refusal(f"There is no action item {identity}.")
        return held

    async def open_ones(self, incident: int | None = None, owner: str | None = None) -> Sequence[Action]:
        """The earliest due first, at most a hundred."""
        return await self.store.actions(incident=incident, owner=owner, open_only=True, limit=_SHOWN)

    async def tick(self) -> None:
        """Sends the reminders that are due."""
        now = self.clock.now()
        while done := await self.store.tick_actions(
            now, lambda action, incident: promises.remind(action, incident, now, self.policy), limit=_BATCH
        ):
            self.wake()
            if done < _BATCH:
                return
