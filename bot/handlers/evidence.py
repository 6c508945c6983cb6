"""Bundles as jobs: asked for by people or by what happens to an incident, collected by one process at a time.

A job belongs to a process by a lease that telling its progress renews. Whoever takes over from a process that died
begins anew: what that one had written lies under a temporary name, and is swept away.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from bot.clients.bundles import sweep
from bot.correlation import about
from bot.domain.collecting import Collection, State, Why
from bot.domain.incident import FILES, Outgoing, Priority, Refusal
from bot.errors import BotError, StoreError
from bot.ports import Clock, Progress, Record, Store, Written
from bot.settings import EvidenceSettings

logger = logging.getLogger(__name__)

# Whatever a process held when it died waits so long; it is renewed each time that progress is told.
_LEASE_S = 30.0
_TOLD_EVERY_S = 4.0
_ATTEMPTS = 3
# What stays of the sentences about what is missing; the manifest has them all.
_MISSING_KEPT = 50


class Collects(Protocol):
    """What :class:`bot.handlers.collecting.Collector` does."""

    async def collect(self, wanted: Collection, record: Record | None, tell: Progress) -> Written: ...


class _Lost(Exception):
    """Another process has the job."""


@dataclass(frozen=True, kw_only=True)
class EvidenceHandler:
    """``wake`` is called when there is something to send."""

    store: Store
    clock: Clock
    collector: Collects
    settings: EvidenceSettings
    wake: Callable[[], None] = lambda: None
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(
        self, incident: int | None, *, target: str, channel: str, user: str, since: timedelta, request: str
    ) -> Collection:
        """Has one collected; raises AlreadyDone where ``request`` has been carried out, Refusal, StoreError."""
        if incident is not None:
            held = await self.store.collections(incident)
            if any(one.state in (State.WAITING, State.COLLECTING) for one in held):
                raise Refusal(f"Evidence of INC-{incident} is being collected already; its card shows how far it is.")
        asked = Collection(
            id="",
            incident=incident,
            target=target,
            channel=channel,
            why=Why.ASKED,
            asked_by=user,
            requested_at=self.clock.now(),
            since=since,
        )
        made = await self.store.ask_collection(asked, now=self.clock.now(), request=request)
        self.look()
        return made

    def look(self) -> None:
        """Looks for something to collect, now."""
        self._wanted.set()

    def end(self) -> None:
        """Lets :meth:`work` return; what is being collected is left, for another process to begin anew."""
        self._ending.set()
        self._wanted.set()

    async def work(self) -> None:
        """Until :meth:`end`; looks when :meth:`look` is called, which whoever starts it does every few seconds."""
        ending = asyncio.create_task(self._ending.wait())
        try:
            while not self._ending.is_set():
                await self._wanted.wait()
                self._wanted.clear()
                working = asyncio.create_task(self._all())
                await asyncio.wait([working, ending], return_when=asyncio.FIRST_COMPLETED)
                if not working.done():
                    working.cancel()
                await asyncio.gather(working, return_exceptions=True)
        finally:
            ending.cancel()

    async def _all(self) -> None:
        try:
            while await self.collect_one():
                pass
        except StoreError:
            pass  # the store has told the log; the next look tries again
        except Exception:
            logger.exception("evidence was not collected; the next look tries again")

    async def collect_one(self) -> bool:
        """Collects what waits longest; whether there was something."""
        job = await self.store.claim_collection(self.clock.now(), lease_s=_LEASE_S)
        if job is None:
            return False
        if job.attempts > _ATTEMPTS:
            said = f"It was begun {_ATTEMPTS} times, and each time the bot ended before it was there."
            await self._ended(replace(job, state=State.FAILED, said=f"{said} Ask again with `/mistral evidence`."))
            return True
        try:
            with about(incident=job.incident, collection=job.id):
                await self._collected(job)
        except _Lost:
            logger.warning("the evidence %s is another process's now", job.id)
        except StoreError:
            raise
        except BotError as error:
            await self._ended(replace(job, state=State.FAILED, said=str(error)))
        except Exception as error:
            logger.exception("the evidence %s was not collected", job.id)
            said = f"The bot itself failed ({type(error).__name__}); its log has more."
            await self._ended(replace(job, state=State.FAILED, said=said))
        return True

    async def _collected(self, job: Collection) -> None:
        record = None if job.incident is None else await self.store.record(job.incident)
        lost = asyncio.Event()
        next_told = [0.0]

        async def tell(doing: str, files: int, size: int) -> None:
            now = self.clock.monotonic()
            if now < next_told[0]:
                return
            next_told[0] = now + _TOLD_EVERY_S
            with contextlib.suppress(StoreError):  # what cannot be written cannot be taken by another either
                shown = replace(job, doing=doing, files=files, size=size)
                if not await self.store.move_collection(shown, now=self.clock.now(), lease_s=_LEASE_S):
                    lost.set()
                self.wake()

        collecting = asyncio.create_task(self.collector.collect(job, record, tell))
        losing = asyncio.create_task(lost.wait())
        try:
            await asyncio.wait([collecting, losing], return_when=asyncio.FIRST_COMPLETED)
            if not collecting.done():
                raise _Lost
            written = collecting.result()
        finally:
            losing.cancel()
            collecting.cancel()
            await asyncio.gather(collecting, losing, return_exceptions=True)
        await self._ended(
            replace(
                job,
                state=State.DONE,
                doing="",
                files=len(written.manifest.files),
                size=written.size,
                name=written.name,
                sha256=written.sha256,
                missing=written.manifest.missing[:_MISSING_KEPT],
            )
        )

    async def _ended(self, job: Collection) -> None:
        job = replace(job, ended_at=self.clock.now())
        fits = job.state is State.DONE and job.size <= self.settings.upload_bytes
        upload = Outgoing(
            kind="file",
            to=FILES,
            template="evidence",
            context={"collection": job.id},
            aloud=False,
            priority=Priority.REST,
        )
        messages = (upload,) if fits else ()
        if not await self.store.move_collection(job, now=self.clock.now(), messages=messages):
            logger.warning("the evidence %s was collected by another process, too", job.id)
        self.wake()


async def swept(settings: EvidenceSettings, folder: Path, clock: Clock) -> None:
    """Deletes bundles that were kept long enough, and what dead processes have left."""
    gone = await asyncio.to_thread(sweep, folder, keep=settings.keep, now=clock.now())
    if gone:
        logger.info("deleted after %d days: %s", settings.keep.days, ", ".join(gone))
