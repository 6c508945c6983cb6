"""What was learnt: figures over many incidents, and which earlier ones were like a new one."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.incident import Incident
from bot.domain.insight import Insight, insight
from bot.domain.policy import Policy
from bot.domain.runs import Run
from bot.domain.similar import Similar, patterns_of, similar
from bot.domain.timeline import Kind
from bot.ports import Clock, Store

# So many of the newest are looked at for a likeness.
_COMPARED = 50
# In one statement: a database takes no more values than some thousands.
_AT_ONCE = 5_000


@dataclass(frozen=True, kw_only=True)
class InsightHandler:
    store: Store
    clock: Clock
    policy: Policy

    async def over(self, span: timedelta) -> Insight:
        """Of the incidents that were declared within it; raises StoreError."""
        now = self.clock.now()
        held = await self.store.declared_since(now - span)
        events: list[tuple[int, str, datetime]] = []
        runs: list[Run] = []
        for begin in range(0, len(held), _AT_ONCE):
            numbers = [one.id for one in held[begin : begin + _AT_ONCE]]
            events += await self.store.events_of(numbers, [Kind.UPDATE.value, Kind.UPDATE_MISSED.value])
            runs += await self.store.runs_of(numbers)
        # ten thousand incidents take a quarter of a second, in which others want a turn
        return await asyncio.to_thread(insight, held, events, runs, now, self.policy)


async def similar_to(store: Store, incident: Incident) -> list[Similar]:
    """The ended ones that are most alike, with what fixed them."""
    ended = await store.ended_like(incident, limit=_COMPARED)
    if not ended:
        return []
    reports = await store.triages_of([one.triage for one in (incident, *ended) if one.triage is not None])

    def patterns(one: Incident) -> frozenset[str]:
        return patterns_of(None if one.triage is None else reports.get(one.triage))

    found = similar(incident, patterns(incident), [(one, patterns(one)) for one in ended], ())
    if not found:
        return []
    runs = await store.runs_of([one.incident.id for one in found])
    return similar(incident, patterns(incident), [(one.incident, patterns(one.incident)) for one in found], runs)
