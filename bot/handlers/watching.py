"""Watches the provider while an incident is open: its status page, and its API while only that is waited for.

One replica looks, once for all incidents of a target; what is new is written with the incident's timeline.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain import provider
from bot.domain.incident import Change, Incident
from bot.domain.policy import Watch
from bot.domain.provider import is_the_providers
from bot.domain.signals import Finding, ProbeName, ProviderStatus
from bot.domain.watching import Watching
from bot.errors import Conflict
from bot.handlers.probing import Prober
from bot.ports import Clock, Probe, Store
from bot.ports.watches import Watched

logger = logging.getLogger(__name__)

_BATCH = 200
# Longer than a triage may take.
_LEASE_S = 60.0
_ATTEMPTS = 8
# A target may be back after a restart with other settings.
_UNKNOWN_EVERY = timedelta(hours=1)
# How a probe says that nobody has asked for it.
_OFF = "not configured"


@dataclass(frozen=True, kw_only=True)
class WatchHandler:
    """``page`` reads the provider's page, ``api`` tell whether its API is well; ``wake``: there is more to send."""

    store: Store
    clock: Clock
    prober: Prober
    page: Probe
    api: Sequence[Probe]
    watch: Watch
    wake: Callable[[], None] = lambda: None

    async def tick(self) -> int:
        """Looks at what is due; how many incidents that was. Raises StoreError."""
        due = await self.store.claim_watches(self.clock.now(), limit=_BATCH, lease_s=_LEASE_S)
        held = [(one, await self.store.incident(one.incident)) for one in due]
        targets: dict[str, list[tuple[Watched, Incident]]] = defaultdict(list)
        for one, incident in held:
            if incident is None or not incident.open:
                await self.store.watched(one.incident, page_at=None, probe_at=None)
            else:
                targets[incident.target].append((one, incident))
        await asyncio.gather(*(self._look(target, some) for target, some in targets.items()))
        return len(due)

    async def _look(self, target: str, held: Sequence[tuple[Watched, Incident]]) -> None:
        now = self.clock.now()
        if target not in self.prober.worlds:
            logger.warning("the target %s is not configured any more: its provider is not watched", target)
            for one, _ in held:
                await self.store.watched(one.incident, page_at=now + _UNKNOWN_EVERY, probe_at=None)
            return
        page = any(_due(one.page_at, now) for one, _ in held)
        api = any(_due(one.probe_at, now) and is_the_providers(incident.cause) for one, incident in held)
        probes = [*([self.page] if page else []), *(self.api if api else [])]
        found = await self.prober.run(probes, target, lambda _: None) if probes else ()
        # what nobody has configured says nothing
        told = {one.probe: one for one in found if not one.summary.startswith(_OFF)}
        for one, incident in held:
            await self._note(one, incident, told, now)

    async def _note(self, one: Watched, incident: Incident, told: Mapping[ProbeName, Finding], now: datetime) -> None:
        page_at, page = one.page_at, told.get(self.page.name)
        if _due(page_at, now):
            page_at = now + self.watch.page_every
            if page is not None:
                await self._write(incident.id, lambda held, before: _of_page(held, before, page, now))
        waits = is_the_providers(incident.cause)
        api = [told[probe.name] for probe in self.api if probe.name in told]
        if waits and api and _due(one.probe_at, now):
            runs = await self.store.runs(incident.id)
            await self._write(
                incident.id, lambda held, before: provider.api_probed(held, before, api, now, self.watch, runs)
            )
        # the cause may become the provider's meanwhile, which the next look at the page finds
        probe_at = now + self.watch.probe_every if waits else page_at
        await self.store.watched(incident.id, page_at=page_at, probe_at=probe_at)

    async def _write(self, number: int, decide: Callable[[Incident, Watching], Change | None]) -> None:
        for _ in range(_ATTEMPTS):
            incident = await self.store.incident(number)
            if incident is None or not incident.open:
                return
            change = decide(incident, await self.store.watching(number) or Watching())
            if change is None:
                return
            try:
                await self.store.save(incident, change, now=self.clock.now())
            except Conflict:
                continue
            if change.messages:
                self.wake()
            return
        logger.warning("what the provider does was not noted on INC-%s: others change it all the time", number)


def _due(at: datetime | None, now: datetime) -> bool:
    return at is not None and at <= now


def _of_page(incident: Incident, before: Watching, page: Finding, now: datetime) -> Change | None:
    if not isinstance(page.signal, ProviderStatus):
        return provider.page_unread(incident, before, page.summary)
    return provider.page_read(incident, before, page.signal.incidents, now)
