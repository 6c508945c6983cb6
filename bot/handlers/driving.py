"""Carries mitigations out: claims each run that there is something to do for, and takes it from state to state.

A run belongs to one process at a time, by a lease that is renewed while it works. Whoever takes over from a process
that died finds out in the cluster what was done: no change is sent twice, and none is forgotten.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from bot.correlation import note
from bot.domain import mitigation
from bot.domain.policy import Mitigations
from bot.domain.redaction import mask_within
from bot.domain.runs import REVERT, WORKED_ON, Circumstances, Outcome, Run, RunChange, State
from bot.errors import BotError, Conflict, StoreError
from bot.handlers.applying import Applier
from bot.handlers.planning import Planner
from bot.handlers.probing import known_keys
from bot.handlers.verifying import Show, Verifier
from bot.ports import Clock, Store

logger = logging.getLogger(__name__)

_BATCH = 20
# Whatever a process held when it died waits so long.
_LEASE_S = 15.0
_RENEW_S = 4.0
# How long a run waits that may not begin yet.
_NOT_YET_S = 1.0

Step = Callable[[Run, Show], Awaitable[RunChange]]


@dataclass(frozen=True, kw_only=True)
class Driver:
    """``wake`` is called when there is something to send."""

    store: Store
    clock: Clock
    policy: Mitigations
    planner: Planner
    applier: Applier
    verifier: Verifier
    wake: Callable[[], None] = lambda: None
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _driven: "dict[str, asyncio.Task[None]]" = field(default_factory=dict)

    def drive(self) -> None:
        """Looks for runs to work on, now."""
        self._wanted.set()

    def end(self) -> None:
        """Lets :meth:`work` return; what is under way is given back, for another process to go on with."""
        self._ending.set()
        self._wanted.set()

    async def work(self) -> None:
        """Until :meth:`end`; looks when :meth:`drive` is called, which whoever starts it does every few seconds."""
        try:
            while not self._ending.is_set():
                await self._wanted.wait()
                self._wanted.clear()
                if self._ending.is_set():
                    break
                try:
                    await self.claim()
                except StoreError:
                    pass  # the store has told the log; the next call tries again
                except Exception:
                    logger.exception("mitigations were not looked at; the next tick tries again")
        finally:
            for task in self._driven.values():
                task.cancel()
            await asyncio.gather(*self._driven.values(), return_exceptions=True)

    async def claim(self) -> None:
        """Begins to work on every run that nobody works on."""
        now, mine = self.clock.now(), tuple(self._driven)
        for run in await self.store.claim_runs(now, limit=_BATCH, lease_s=_LEASE_S, mine=mine):
            task = asyncio.create_task(self._drive(run), name=f"{run.remedy} {run.id}")
            self._driven[run.id] = task
            task.add_done_callback(partial(self._ended, run))

    async def idle(self) -> None:
        """Waits until no run is being worked on."""
        while self._driven:
            await asyncio.gather(*self._driven.values(), return_exceptions=True)

    def _ended(self, run: Run, task: "asyncio.Task[None]") -> None:
        if self._driven.get(run.id) is task:
            del self._driven[run.id]
        if not task.cancelled() and task.exception() is not None:
            logger.error("%s was left; it is taken up again", task.get_name(), exc_info=task.exception())

    async def _drive(self, run: Run) -> None:
        """From state to state until people have to act or it is over, while it is ours."""
        note(incident=run.incident, run=run.id)
        work = asyncio.ensure_future(self._steps(run))
        try:
            while not (await asyncio.wait([work], timeout=_RENEW_S))[0]:
                if not await self._renewed(run):
                    logger.warning("%s %s is another process's now", run.remedy, run.id)
                    return
            work.result()
        except Conflict:
            logger.warning("%s %s was changed by another process", run.remedy, run.id)
        finally:
            under_way = work.cancel()
            # also where it has ended: it may have failed in the moment in which the run was lost
            await asyncio.gather(work, return_exceptions=True)
            if under_way:
                await self._given_back(run, 0.0)

    async def _renewed(self, run: Run) -> bool:
        try:
            return await self.store.renew_run(run, self.clock.now(), lease_s=_LEASE_S)
        except StoreError:
            return True  # what cannot be written cannot be taken by another either

    async def _still_ours(self, run: Run) -> None:
        """Raises Conflict where another process has it: this one may have stood still for longer than its lease."""
        if not await self.store.renew_run(run, self.clock.now(), lease_s=_LEASE_S):
            raise Conflict("The run was taken by another process.")

    async def _given_back(self, run: Run, pause_s: float) -> None:
        try:
            await self.store.release_run(run, self.clock.now(), pause_s=pause_s)
        except StoreError as error:
            logger.warning("%s %s waits for its lease to end: %s", run.remedy, run.id, error)

    async def _steps(self, run: Run) -> None:
        steps: Mapping[State, Step] = {
            State.PLANNING: self.planner.plan,
            State.APPLYING: self._applied,
            State.WATCHING: self.verifier.watch,
            State.VERIFYING: self.verifier.verify,
        }
        while run.state in WORKED_ON:
            if run.state is State.APPROVED:
                begun = await self._begin(run)
                if begun is None or begun.state is State.APPROVED:
                    await self._given_back(run, _NOT_YET_S)
                    return
                run = begun
                continue
            run = await self._stored(await self._made(steps[run.state], run))

    async def _applied(self, run: Run, _: Show) -> RunChange:
        """Where it has to be proposed again and nobody could approve that any more, it ends instead."""
        change = await self.applier.apply(run, self._still_ours)
        if not change.more or run.remedy == REVERT:
            return change
        incident = await self.store.incident(run.incident)
        over = incident is not None and not incident.open
        return mitigation.not_again(run, change, self.clock.now()) if over else change

    async def _made(self, step: Step, run: Run) -> RunChange:
        """What a step makes of the run; a step that fails otherwise than it may ends it, so that people are told."""
        if self._target_gone(run):
            return await self._failed(run, await self._gone(run))
        try:
            made = await step(run, self._shown)
        except StoreError:
            raise
        except BotError as error:
            made = await self._failed(run, str(error))
        except Exception as error:
            logger.exception("%s %s failed in state %s", run.remedy, run.id, run.state)
            made = await self._failed(run, f"The bot itself failed ({type(error).__name__}); its log has more.")
        return await self._without_keys(made)

    async def _without_keys(self, made: RunChange) -> RunChange:
        """How a run ended quotes upstreams, which may quote Mistral's key: it looks like nothing in particular."""
        if made.run.open or self._target_gone(made.run):
            return made
        asks = self.planner.prober.run_of(made.run.target, "mitigation")
        masked: RunChange = mask_within(made, await known_keys(asks))
        return masked

    def _target_gone(self, run: Run) -> bool:
        """Whether the settings have lost or renamed the target since somebody asked."""
        return run.target not in self.planner.prober.worlds

    async def _gone(self, run: Run) -> str:
        """Says so, and where people find what the bot cannot put in order."""
        plan = run.plan
        if plan is None and run.remedy == REVERT:
            undone = await self.store.run(run.arguments["of"])
            plan = None if undone is None else undone.plan
        left = "" if run.plan is None or run.lock is None else self.applier.rotation.left_behind(run, run.plan)
        return f"{mitigation.target_gone(run, plan)} {left}".strip()

    async def _failed(self, run: Run, said: str) -> RunChange:
        newest, now = await self.store.run(run.id), self.clock.now()  # the step may have shown something on its card
        if newest is None or newest.fence != run.fence:
            raise Conflict("The run was taken by another process.")
        if newest.state is State.PLANNING:
            return mitigation.cancelled(newest, said, now)
        return mitigation.ended(newest, Outcome.INTERRUPTED, said, now)

    async def _begin(self, run: Run) -> Run | None:
        """The run as it begins or ends; None, or still approved: not yet."""
        now = self.clock.now()
        if self._target_gone(run):
            return await self._stored(mitigation.cancelled(run, await self._gone(run), now))
        for_key = self.applier.rotation.waits(run) and run.start_by is not None and now < run.start_by

        def decide(around: Circumstances) -> RunChange | None:
            if for_key and not around.resolved:
                # a key that was entered, and lost with its process, is asked for anew: nothing else is waited for
                return mitigation.progressed(run, "") if run.said else None
            return mitigation.begun(run, now, around, self.policy) or mitigation.waits(run, around)

        begun = await self.store.begin_run(run, decide, now=now)
        if begun is not None:
            self.wake()
        return begun

    async def _stored(self, change: RunChange) -> Run:
        # a step keeps the version and the fence of the run that it was given
        after = await self.store.move_run(change.run, change, now=self.clock.now())
        self.wake()
        if change.more:
            self.drive()
        return after

    async def _shown(self, run: Run, said: str) -> Run:
        """The run with a new sentence on its card."""
        if run.said == said:
            return run
        return await self._stored(mitigation.progressed(run, said))
