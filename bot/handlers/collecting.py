"""Collects one bundle: every source that there is, all of it under one deadline; none of them can break it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from bot.clients.bundles import PREFIX, SUFFIX, BundleFile, Facts, safe_name
from bot.domain.collecting import Collection, Manifest
from bot.errors import BotError, UpstreamError
from bot.handlers.probing import Prober, known_keys
from bot.ports import Charts, Collecting, Progress, Record, Source, Written
from bot.settings import EvidenceSettings

logger = logging.getLogger(__name__)

_TOLD_EVERY_S = 1.0
_ID_CHARS = 8


@dataclass(frozen=True, kw_only=True)
class Collector:
    """``secrets``: the settings' own, which are masked wherever they stand; ``index`` makes the bundle's first page."""

    prober: Prober
    sources: Sequence[Source]
    charts: Charts
    folder: Path
    limits: EvidenceSettings
    index: Callable[[Manifest, Record | None], bytes]
    secrets: Sequence[str] = field(default=(), repr=False)

    async def collect(self, wanted: Collection, record: Record | None, tell: Progress) -> Written:
        """The bundle, whole. Raises BotError where nothing can be written; whatever ends it leaves no half of one."""
        # Prometheus is asked by whole seconds
        now = self.prober.clock.now().replace(microsecond=0)
        run = self.prober.run_of(wanted.target, "evidence")
        secrets = (*self.secrets, *await known_keys(run))
        since = wanted.since or self.limits.since
        asked = Collecting(
            target=run.target,
            labels=run.labels,
            limits=self.limits,
            since=since,
            now=now,
            clock=run.clock,
            cluster=run.cluster,
            metrics=run.metrics,
            charts=self.charts,
            record=record,
        )
        bundle = BundleFile(self.folder, file_name(wanted), self.limits, run.clock, secrets=secrets)
        try:
            await bundle.begin()
            await self._all(asked, bundle, tell)
            facts = _facts(wanted, record, now, since)
            return await bundle.finish(facts, lambda manifest: self.index(manifest, record))
        finally:
            await asyncio.shield(asyncio.ensure_future(bundle.abandon()))

    async def _all(self, asked: Collecting, bundle: BundleFile, tell: Progress) -> None:
        """The sources in their order; the deadline cuts off what is under way, and keeps what came."""
        doing: list[str] = []
        telling = asyncio.create_task(_tell(doing, bundle, tell))
        try:
            async with asyncio.timeout(self.limits.deadline_s):
                for _, group in groupby(self.sources, lambda source: source.order):
                    async with asyncio.TaskGroup() as tasks:
                        for source in group:
                            tasks.create_task(_one(source, asked, bundle, doing))
        except BaseExceptionGroup as group_of_errors:
            raise _first(group_of_errors) from group_of_errors
        except TimeoutError:
            late = ", ".join(doing) or "the rest"
            bundle.miss(late, f"not all of it came within the deadline of {self.limits.deadline_s:g} s")
        finally:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling


async def _one(source: Source, asked: Collecting, bundle: BundleFile, doing: list[str]) -> None:
    doing.append(source.name)
    try:
        await source.collect(asked, bundle)
    except UpstreamError as error:
        bundle.miss(source.name, str(error))
    except BotError:
        raise
    except Exception as error:
        # of tasks that were under way at once
        if isinstance(error, ExceptionGroup) and isinstance(broken := _first(error), BotError):
            raise broken from error
        logger.exception("the source %s failed", source.name)
        bundle.miss(source.name, f"the source itself failed ({type(error).__name__}); the bot's log has more")
    doing.remove(source.name)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Why the bundle cannot be written, where that is among them."""
    return next((error for error in group.exceptions if isinstance(error, BotError)), group.exceptions[0])


async def _tell(doing: Sequence[str], bundle: BundleFile, tell: Progress) -> None:
    while True:
        await tell(", ".join(doing), bundle.files, bundle.size)
        await asyncio.sleep(_TOLD_EVERY_S)


def file_name(wanted: Collection) -> str:
    """Such as ``evidence-INC-7-20261125T101500Z-1f0c2b3a.tar.gz``: the same however often it is begun."""
    about = safe_name(wanted.target).replace("/", "_") if wanted.incident is None else f"INC-{wanted.incident}"
    return f"{PREFIX}{about}-{wanted.requested_at:%Y%m%dT%H%M%SZ}-{wanted.id[:_ID_CHARS]}{SUFFIX}"


def _facts(wanted: Collection, record: Record | None, begun: datetime, since: timedelta) -> Facts:
    incident = None if record is None else record.incident
    return Facts(
        incident=None if incident is None else incident.name,
        title="" if incident is None else incident.title,
        target=wanted.target,
        why=wanted.why,
        begun=begun,
        since=since,
        entries=0 if incident is None else incident.entries,
        last_hash="" if incident is None else incident.last_hash,
    )
