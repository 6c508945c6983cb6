"""What follows an incident, in both databases, and with three replicas at once on PostgreSQL: each once, none lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from bot.domain import acts
from bot.domain.action import Action, ActionPriority
from bot.domain.causes import Severity
from bot.domain.collecting import Collection, State, Why
from bot.domain.incident import FILES, HOME, Incident, Outgoing
from bot.domain.postmortem import Postmortem, PostmortemState, Version
from bot.domain.timeline import Kind, fault
from bot.errors import AlreadyDone, Conflict
from bot.ports import Lane
from bot.store.sql import SqlStore
from tests.databases import KINDS, copy_of, store_at
from tests.domain.incidents import POLICY, declaring
from tests.fakes import NOW

LATER = NOW + timedelta(hours=1)
POST = Outgoing(kind="post", to=HOME, template="sentence", context={"sentence": "x"})


@pytest.fixture(params=KINDS)
async def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[SqlStore]]:
    url = copy_of(request.param, tmp_path, request)
    held = [store_at(url) for _ in range(3 if request.param == "PostgreSQL" else 1)]
    yield held
    for store in held:
        await store.close()


async def ended(store: SqlStore, request: str = "view:0") -> Incident:
    incident = await store.create(declaring(), now=NOW, request=request)
    return await store.save(incident, acts.resolve(incident, (), "over", "U1", LATER), now=LATER)


def asked(incident: int | None = None) -> Collection:
    return Collection(
        id="",
        incident=incident,
        target="default",
        channel="C1",
        why=Why.ASKED,
        asked_by="U1",
        requested_at=NOW,
        since=timedelta(hours=2),
    )


async def test_each_bundle_is_taken_by_one_process(replicas: list[SqlStore]) -> None:
    for number in range(12):
        await replicas[0].ask_collection(asked(), now=NOW, request=f"command:{number}")
    with pytest.raises(AlreadyDone):
        await replicas[0].ask_collection(asked(), now=NOW, request="command:1")

    async def take(store: SqlStore) -> list[str]:
        taken = []
        while (job := await store.claim_collection(NOW, lease_s=60)) is not None:
            assert (job.state, job.fence, job.attempts, job.since) == (State.COLLECTING, 1, 1, timedelta(hours=2))
            taken.append(job.id)
        return taken

    taken = [one for some in await asyncio.gather(*map(take, replicas * 2)) for one in some]
    assert len(taken) == len(set(taken)) == 12


async def test_whoever_has_lost_a_bundle_changes_nothing_more(replicas: list[SqlStore]) -> None:
    store, other = replicas[0], replicas[-1]
    incident = await ended(store)
    await store.ask_collection(asked(incident.id), now=NOW, request="command:1")
    jobs = [await store.claim_collection(NOW, lease_s=60) for _ in range(2)]
    first = next(job for job in jobs if job is not None)
    await store.end_leases()
    again = {one.id: one for one in [await other.claim_collection(LATER, lease_s=60) for _ in range(2)] if one}
    second = again[first.id]
    assert (second.fence, second.attempts) == (2, 2)
    done = {"state": State.DONE, "ended_at": LATER, "name": "evidence-x.tar.gz", "sha256": "ab", "size": 5, "files": 3}
    assert not await store.move_collection(replace(first, **done), now=LATER)  # type: ignore[arg-type]
    assert await other.move_collection(replace(second, **done), now=LATER, messages=(POST,))  # type: ignore[arg-type]
    assert not await other.move_collection(replace(second, **done), now=LATER)  # type: ignore[arg-type]
    kept = await store.collection(first.id)
    assert kept is not None
    assert (kept.state, kept.name, kept.size) == (State.DONE, "evidence-x.tar.gz", 5)
    held, entries = await store.incident(incident.id), await store.timeline(incident.id)
    assert held is not None
    assert [one.event.text for one in entries if one.event.kind is Kind.EVIDENCE] == [
        "evidence collected: evidence-x.tar.gz"
    ]
    assert fault(entries, count=held.entries, last_hash=held.last_hash) is None


@pytest.mark.parametrize(
    ("severity", "wanted"), [(Severity.P1, 2), (Severity.P2, 2), (Severity.P3, 0), (Severity.P4, 0)]
)
async def test_the_worst_are_collected_at_both_ends(replicas: list[SqlStore], severity: Severity, wanted: int) -> None:
    store = replicas[0]
    told = replace(declaring().incident, severity=severity)
    change = acts.declare(
        acts.Declaration(target="default", title="x", severity=severity, channel="C1"), "U1", NOW, POLICY
    )
    assert change.incident.severity is told.severity
    incident = await store.create(change, now=NOW, request="view:1")
    await store.save(incident, acts.resolve(incident, (), "", "U1", LATER), now=LATER)
    held = await store.collections(incident.id)
    assert [one.why for one in held] == [Why.DECLARED, Why.RESOLVED][:wanted]


async def test_a_version_follows_the_one_before_it_and_no_other(replicas: list[SqlStore]) -> None:
    incident = await ended(replicas[0])

    async def write(store: SqlStore, number: int, by: str) -> Postmortem | Conflict:
        version = Version(incident=incident.id, number=number, at=LATER, by=by, written={"summary": by})
        try:
            return await store.write_postmortem(version, now=LATER, request=f"view:{by}")
        except Conflict as error:
            return error

    written = await asyncio.gather(*(write(store, 1, f"U{n}") for n, store in enumerate(replicas * 3)))
    assert sum(isinstance(one, Postmortem) for one in written) == 1
    held = await replicas[0].postmortem(incident.id)
    assert held is not None
    assert (held.state, held.newest and held.newest.number) == (PostmortemState.DRAFT, 1)
    assert isinstance(await write(replicas[0], 3, "UX"), Conflict)


async def test_a_version_is_published_once_however_many_click(replicas: list[SqlStore]) -> None:
    incident = await ended(replicas[0])

    async def publish(number: int) -> bool:
        try:
            await replicas[number % len(replicas)].publish_postmortem(
                incident.id, 0, by=f"U{number}", now=LATER, request=f"click:{number}", messages=(POST,)
            )
        except AlreadyDone:
            return False
        return True

    assert sum(await asyncio.gather(*map(publish, range(9)))) == 1
    held = await replicas[0].postmortem(incident.id)
    assert held is not None
    assert (held.state, held.published, held.remind_at) == (PostmortemState.PUBLISHED, 0, None)
    notes = [one for one in await replicas[0].timeline(incident.id) if one.event.kind is Kind.POSTMORTEM]
    assert len(notes) == 1


async def test_a_clock_that_runs_out_is_one_replicas(replicas: list[SqlStore]) -> None:
    incident = await ended(replicas[0])
    action = Action(
        incident=incident.id,
        text="raise the limit",
        priority=ActionPriority.P1,
        due=date(2026, 7, 9),
        created_by="U1",
        created_at=NOW,
        remind_at=NOW,
    )
    for number in range(20):
        await replicas[0].add_action(action, now=NOW, request=f"action:{number}")

    def later(held: Action, _: Incident) -> tuple[Action, tuple[Outgoing, ...]]:
        return replace(held, remind_at=None, reminders=1), (POST,)

    def written(_: Incident, held: Postmortem) -> tuple[Postmortem, tuple[Outgoing, ...]]:
        return replace(held, remind_at=None, reminders=1), (POST,)

    done = await asyncio.gather(*(store.tick_actions(LATER, later, limit=50) for store in replicas * 2))
    assert sum(done) == 20
    done = await asyncio.gather(*(store.tick_postmortems(LATER, written, limit=50) for store in replicas * 2))
    assert sum(done) == 1
    assert {one.reminders for one in await replicas[0].actions(open_only=True, limit=50)} == {1}


async def test_a_reopened_incident_is_not_reminded_of_its_postmortem(replicas: list[SqlStore]) -> None:
    store, incident = replicas[0], await ended(replicas[0])
    again = await store.save(incident, acts.reopen(incident, "U1", LATER, POLICY), now=LATER)
    held = await store.postmortem(incident.id)
    assert held is not None
    assert held.remind_at is None
    await store.save(again, acts.resolve(again, (), "", "U1", LATER), now=LATER)
    held = await store.postmortem(incident.id)
    assert held is not None
    assert held.remind_at == LATER


async def test_the_record_of_an_incident_is_all_of_it(replicas: list[SqlStore]) -> None:
    store, incident = replicas[0], await ended(replicas[0])
    for minutes, target in ((-90, "default"), (10, "default"), (10, "elsewhere"), (90, "default")):
        at = NOW + timedelta(minutes=minutes)
        await store.keep_triage({"headline": f"{minutes} {target}"}, target=target, at=at)
    record = await store.record(incident.id)
    assert record is not None
    assert [report["headline"] for _, _, report in record.triages] == ["10 default"]
    assert len(record.entries) == record.incident.entries
    assert await store.record(99) is None


async def test_a_flood_of_incidents_is_collected_a_few_times_and_whoever_asks_is_heard(
    replicas: list[SqlStore],
) -> None:
    store = replicas[0]
    told = acts.Declaration(target="default", title="x", severity=Severity.P1, channel="C1")
    made = [
        await store.create(acts.declare(told, "U1", NOW, POLICY), now=NOW, request=f"view:{number}")
        for number in range(20)
    ]
    wanted = [len(await store.collections(one.id)) for one in made]
    assert sum(wanted) == 3
    elsewhere = acts.declare(replace(told, target="eu"), "U1", NOW, POLICY)
    other = await store.create(elsewhere, now=NOW, request="view:eu")
    assert len(await store.collections(other.id)) == 1
    await store.ask_collection(asked(made[-1].id), now=NOW, request="command:1")
    assert len(await store.collections(made[-1].id)) == 1


async def test_a_bundle_that_lies_elsewhere_holds_up_no_postmortem(replicas: list[SqlStore]) -> None:
    store, *_ = replicas
    incident = await ended(store)
    for template in ("evidence", "postmortem"):
        file = Outgoing(kind="file", to=FILES, template=template, context={})
        incident = await store.save(incident, acts.tell(incident, file), now=NOW)
    claimed = await store.claim(LATER, limit=10, lease_s=60, lane=Lane(destination=FILES))
    assert [one.message.template for one in claimed] == ["evidence", "postmortem"]
