"""Whose provider is to be looked at, on both databases: each open incident by one process, until it ends."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import event

from bot.domain import acts
from bot.domain.incident import Incident
from bot.domain.policy import Policy
from bot.domain.watching import Watching
from bot.store.sql import SqlStore
from tests.domain.incidents import declaring
from tests.fakes import NOW

SECOND = timedelta(seconds=1)


async def claimed(store: SqlStore, seconds: float = 0) -> list[int]:
    found = await store.claim_watches(NOW + seconds * SECOND, limit=100, lease_s=60)
    return sorted(one.incident for one in found)


async def test_an_incident_is_watched_from_its_beginning_until_it_was_found_to_be_over(
    store: SqlStore, incident: Incident
) -> None:
    assert await store.watching(incident.id) is None
    assert await claimed(store) == [incident.id]
    await store.watched(incident.id, page_at=NOW + 60 * SECOND, probe_at=NOW + 30 * SECOND)
    assert await claimed(store, 29) == []
    (due,) = await store.claim_watches(NOW + 30 * SECOND, limit=9, lease_s=60)
    assert (due.page_at, due.probe_at) == (NOW + 60 * SECOND, NOW + 30 * SECOND)
    change = acts.resolve(incident, (), "", "U0ROBIN", NOW)
    await store.save(incident, change, now=NOW)
    await store.watched(incident.id, page_at=None, probe_at=None)
    assert await claimed(store, 9999) == []


async def test_one_that_is_reopened_is_watched_anew(store: SqlStore, incident: Incident) -> None:
    await claimed(store)
    seen = replace(acts.note(incident, "seen", "U0ROBIN", NOW), watching=Watching(successes=3, announced=True))
    held = await store.save(incident, seen, now=NOW)
    assert await store.watching(held.id) == Watching(successes=3, announced=True)
    held = await store.save(held, acts.resolve(held, (), "", "U0ROBIN", NOW), now=NOW)
    await store.watched(held.id, page_at=None, probe_at=None)
    assert await claimed(store, 10) == []
    await store.save(held, acts.reopen(held, "U0ROBIN", NOW, Policy()), now=NOW)
    assert await claimed(store, 20) == [held.id]
    assert await store.watching(held.id) == Watching()


async def test_three_replicas_look_once(store: SqlStore) -> None:
    made = [await store.create(declaring(), now=NOW, request=f"view:{number}") for number in range(12)]
    for seconds in (0, 60):
        found = await asyncio.gather(*(claimed(store, seconds) for _ in range(3)))
        assert sorted(one for some in found for one in some) == [one.id for one in made]
        for one in made:
            await store.watched(one.id, page_at=NOW + 60 * SECOND, probe_at=None)


async def test_what_a_process_held_that_died_is_looked_at_when_its_lease_ends(
    store: SqlStore, incident: Incident
) -> None:
    first = await store.claim_watches(NOW, limit=9, lease_s=0)
    again = await store.claim_watches(NOW + SECOND, limit=9, lease_s=60)
    assert [one.incident for one in (*first, *again)] == [incident.id] * 2
    assert await claimed(store, 2) == []


async def test_one_question_finds_that_nothing_is_due(store: SqlStore, incident: Incident) -> None:
    await claimed(store)
    await store.watched(incident.id, page_at=NOW + 60 * SECOND, probe_at=None)
    asked: list[str] = []

    def note(*told: object) -> None:
        asked.append(str(told[2]))

    event.listen(store.engine.sync_engine, "before_cursor_execute", note)
    assert await claimed(store, 5) == []
    questions = [one for one in asked if not one.startswith(("BEGIN", "COMMIT", "ROLLBACK"))]
    assert len(questions) == 1, questions


async def test_whoever_starts_alone_waits_for_no_lease_of_a_process_that_died(
    store: SqlStore, incident: Incident
) -> None:
    assert await claimed(store) == [incident.id]
    assert await claimed(store, 1) == []
    await store.end_leases()
    assert await claimed(store, 1) == [incident.id]
