"""Alerts in both databases: written once, worked in once, whoever else does the same at the same moment."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bot.domain import acts
from bot.domain.alerting import News, Worked, work_in
from bot.domain.alerts import Alert, Alerts, Payload
from bot.domain.incident import Change, Incident, Refusal
from bot.domain.timeline import fault
from bot.store.sql import SqlStore
from bot.store.tables import alert_keys, alerts
from tests.databases import KINDS, copy_of, store_at
from tests.domain.alerts import PROPOSED, an_alert
from tests.domain.incidents import ADA, MINUTE, POLICY, declaring
from tests.fakes import NOW

RULES = Alerts()


def decide(news: News) -> Worked:
    return work_in(replace(news, fresh=f"p{random.random()}"[:30]), RULES, POLICY, "C0INCIDENTS", NOW)  # noqa: S311


async def told(store: SqlStore, *held: Alert, minutes: int = 0) -> bool:
    payload = Payload(alerts=held)
    return await store.receive_alerts([payload], NOW + minutes * MINUTE)


async def worked(store: SqlStore) -> None:
    while await store.work_alerts(NOW, decide, limit=7):
        pass


async def whole(store: SqlStore) -> None:
    """Every timeline's chain is."""
    for one in await store.listed(open_only=False, limit=500):
        assert fault(await store.timeline(one.id), count=one.entries, last_hash=one.last_hash) is None


async def test_what_is_told_is_stored_once_and_worked_in_once(store: SqlStore) -> None:
    held = (an_alert("A"), an_alert("B", NOW - MINUTE), an_alert("C", key="other", summary="it fails"))
    assert await told(store, *held)
    assert not await told(store, *held), "nothing new"
    await worked(store)
    opened = await store.listed(open_only=True, limit=10)
    assert sorted(one.title for one in opened) == ["B", "C: it fails"]
    figures = await store.alert_figures(next(one.id for one in opened if one.title == "B"))
    assert figures is not None
    assert (figures.firing, figures.names, figures.began_at) == (2, ("A", "B"), NOW - MINUTE)
    assert not await told(store, *held, minutes=60), "but for when it was seen"
    assert await store.work_alerts(NOW, decide, limit=7) == 0
    await whole(store)


async def test_more_than_a_thousand_alerts_of_one_payload_are_none_too_many(store: SqlStore) -> None:
    await told(store, *(an_alert(str(number)) for number in range(1200)))
    await worked(store)
    (only,) = await store.listed(open_only=True, limit=10)
    figures = await store.alert_figures(only.id)
    assert figures is not None
    assert figures.firing == 1200
    await told(store, *(an_alert(str(number), ended=NOW) for number in range(1200)))
    await worked(store)
    assert (await store.alert_figures(only.id)) == replace(figures, firing=0, resolved=1200, names=())


async def test_whoever_fails_in_the_middle_of_working_in_leaves_all_as_it_was(store: SqlStore) -> None:
    await told(store, an_alert("A"), an_alert("B", key="other"))
    seen = list[str]()

    def fails(news: News) -> Worked:
        seen.append(news.key.key)
        if len(seen) == 2:
            raise LookupError
        return decide(news)

    with pytest.raises(LookupError):
        await store.work_alerts(NOW, fails, limit=7)
    assert await store.listed(open_only=False, limit=10) == []
    await worked(store)
    assert len(await store.listed(open_only=True, limit=10)) == 2


async def test_a_key_that_is_declared_by_a_person_is_theirs_unless_an_incident_is_open(store: SqlStore) -> None:
    alert = an_alert(judged=PROPOSED)
    await told(store, alert)
    await worked(store)
    proposal = await store.proposed(alert.key)
    assert proposal is not None
    assert (proposal.firing, proposal.declared) == (1, None)
    change = replace(declaring(), alert_key=alert.key)
    made = await store.create(change, now=NOW, request="view:1")
    assert proposal.key.proposal is not None
    after = await store.proposal(proposal.key.proposal)
    assert after is not None
    assert after.declared == made.id
    with pytest.raises(Refusal, match="INC-1 is open for these alerts already"):
        await store.create(change, now=NOW, request="view:2")
    await store.save(made, acts.resolve(made, (), "", ADA, NOW), now=NOW)
    assert (await store.create(change, now=NOW, request="view:3")).id != made.id
    forgotten = await store.create(replace(change, alert_key="0" * 64), now=NOW, request="view:4")
    assert forgotten.open, "a key of which nothing is known any more keeps nobody from declaring"


async def test_a_triage_is_claimed_by_one_and_shared_by_all_that_ask(store: SqlStore) -> None:
    await told(store, an_alert("A"), an_alert("B", key="other"), an_alert("C", key="third", judged=PROPOSED))
    await worked(store)
    keys = await store.claim_alert_triages(NOW, limit=10, lease_s=60)
    assert [key.triages for key in keys] == [1, 1, 1]
    assert await store.claim_alert_triages(NOW, limit=10, lease_s=60) == []
    noted = list[int]()

    def found(incident: Incident) -> Change:
        noted.append(incident.id)
        return acts.note(incident, "found", "bot", NOW)

    await store.end_alert_triages(keys, found, NOW, triage=None, again_at=NOW + MINUTE)
    assert noted == []
    assert await store.claim_alert_triages(NOW, limit=10, lease_s=60) == []
    keys = await store.claim_alert_triages(NOW + MINUTE, limit=10, lease_s=60)
    assert [key.triages for key in keys] == [2, 2, 2]
    await store.end_alert_triages(keys, found, NOW, triage="t" * 32)
    assert noted == [1, 2]
    assert await store.claim_alert_triages(NOW + MINUTE, limit=10, lease_s=60) == []
    held = await store.alert_key(keys[0].key)
    assert held is not None
    assert held.triage == "t" * 32
    await whole(store)


async def test_what_a_dead_process_held_is_free_after_its_lease(store: SqlStore) -> None:
    await told(store, an_alert())
    await worked(store)
    assert len(await store.claim_alert_triages(NOW, limit=10, lease_s=-1)) == 1
    assert len(await store.claim_alert_triages(NOW, limit=10, lease_s=60)) == 1
    await store.end_leases()
    assert len(await store.claim_alert_triages(NOW, limit=10, lease_s=60)) == 1


async def test_alerts_of_long_ago_are_forgotten_and_keys_of_which_none_is_left(store: SqlStore) -> None:
    await told(store, an_alert("A", ended=NOW), an_alert("B", key="other", ended=NOW))
    await worked(store)
    await told(store, an_alert("B", NOW + timedelta(days=80), key="other"), minutes=80 * 24 * 60)
    await worked(store)
    await store.end_alert_triages(
        await store.claim_alert_triages(NOW, limit=9, lease_s=9), lambda one: Change(incident=one), NOW, triage=None
    )
    await store.forget(NOW + timedelta(days=91))
    async with store.engine.connect() as connection:
        assert (await connection.execute(select(alerts.c.name))).scalars().all() == ["B"]
        assert (await connection.execute(select(func.count()).select_from(alert_keys))).scalar_one() == 1


async def test_a_key_whose_incident_is_still_open_is_not_forgotten_or_it_would_open_another(store: SqlStore) -> None:
    await told(store, an_alert("A", ended=None))
    await worked(store)
    keys = await store.claim_alert_triages(NOW, limit=9, lease_s=9)
    await store.end_alert_triages(keys, lambda one: Change(incident=one), NOW, triage=None)
    await store.forget(NOW + timedelta(days=91))
    await told(store, an_alert("A", NOW + timedelta(days=92)), minutes=92 * 24 * 60)
    await worked(store)
    assert len(await store.listed(open_only=True, limit=9)) == 1


@pytest.fixture(params=KINDS)
async def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[SqlStore]]:
    url = copy_of(request.param, tmp_path, request)
    held = [store_at(url) for _ in range(3 if request.param == "PostgreSQL" else 1)]
    yield held
    for store in held:
        await store.close()


async def test_the_same_payload_to_all_replicas_at_once_is_one_incident_a_key(replicas: list[SqlStore]) -> None:
    storm = [an_alert(f"{key}{number}", key=str(key)) for key in range(12) for number in range(3)]
    seeded = random.Random(20261124)  # noqa: S311 - to be the same in every run

    async def replica(store: SqlStore) -> None:
        for _ in range(6):
            await told(store, *seeded.sample(storm, len(storm)))
            await worked(store)

    await asyncio.gather(*(replica(store) for store in replicas for _ in range(3)))
    for store in replicas:
        await worked(store)
    opened = await replicas[0].listed(open_only=False, limit=500)
    assert len(opened) == 12
    for one in opened:
        figures = await replicas[0].alert_figures(one.id)
        assert figures is not None
        assert figures.firing == 3
        kinds = [entry.event.kind.value for entry in await replicas[0].timeline(one.id)]
        assert kinds[:2] == ["declared", "alert"]
    await whole(replicas[0])


async def test_while_people_change_the_incident_its_alerts_come_and_go(replicas: list[SqlStore]) -> None:
    await told(replicas[0], an_alert("first"))
    await worked(replicas[0])

    async def people(store: SqlStore) -> int:
        kept = 0
        for number in range(15):
            before = await store.incident(1)
            assert before is not None
            try:
                await store.save(before, acts.note(before, f"note {number}", ADA, NOW), now=NOW)
                kept += 1
            except Exception as error:  # noqa: BLE001 - only one is right
                assert type(error).__name__ == "Conflict"  # noqa: PT017 - any other fails the test
        return kept

    async def arriving(store: SqlStore, name: str) -> None:
        for number in range(8):
            await told(store, an_alert(f"{name}{number}"))
            await worked(store)

    ended = await asyncio.gather(
        *(people(store) for store in replicas), *(arriving(store, str(at)) for at, store in enumerate(replicas))
    )
    await worked(replicas[0])
    texts = [entry.event.text for entry in await replicas[0].timeline(1)]
    assert len([one for one in texts if one.startswith("note ")]) == sum(one for one in ended if one is not None)
    figures = await replicas[0].alert_figures(1)
    assert figures is not None
    assert figures.firing == 1 + 8 * len(replicas)
    await whole(replicas[0])
