"""The store on both databases: whole or not at all, once, in order, and sealed."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.clocks import tick
from bot.domain.incident import HOME, PAGER, Incident, Outgoing, Role
from bot.domain.policy import Policy
from bot.domain.timeline import fault
from bot.errors import AlreadyDone, Conflict, StoreError
from bot.ports import MessageRef
from bot.store import engine, sql
from bot.store.sql import SqlStore
from tests.databases import copy_of, locked, open_store
from tests.fakes import NOW

POLICY = Policy()
MINUTE = timedelta(minutes=1)


async def declared(store: SqlStore, title: str = "Completions fail", request: str = "view:1") -> Incident:
    told = Declaration(target="default", title=title, severity=Severity.P1, impact="all users", channel="C1")
    return await store.create(acts.declare(told, "U1", NOW, POLICY), now=NOW, request=request)


async def test_an_incident_comes_back_as_it_was_stored(store: SqlStore) -> None:
    made = await declared(store, "Ünï 🔥 \u202e \" ' ; DROP TABLE incidents")
    assert await store.incident(made.id) == made
    assert (made.id, made.version, made.entries, made.next_update_at) == (1, 1, 1, NOW + 15 * MINUTE)
    assert await store.listed(open_only=True, limit=10) == [made]
    assert await store.in_channel("C1") == [made]
    assert await store.in_channel("C2") == []
    assert await store.incident(99) is None


async def test_a_request_makes_one_incident_however_often_it_comes(store: SqlStore) -> None:
    made = await declared(store)
    with pytest.raises(AlreadyDone):
        await declared(store)
    assert await store.made_by("view:1") == made
    assert len(await store.listed(open_only=False, limit=10)) == 1


async def test_of_two_changes_of_the_same_version_one_is_stored(store: SqlStore) -> None:
    made = await declared(store)
    first = acts.give_role(made, Role.COMMANDER, "U1", "U1", NOW)
    second = acts.give_role(made, Role.COMMANDER, "U2", "U2", NOW)
    ended = await asyncio.gather(
        store.save(made, first, now=NOW), store.save(made, second, now=NOW), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in ended) == ["Conflict", "Incident"]
    entries = await store.timeline(made.id)
    assert [entry.event.kind for entry in entries] == ["declared", "role"]
    with pytest.raises(Conflict):
        await store.save(made, first, now=NOW)


async def test_the_timeline_is_a_chain_and_a_change_of_it_is_found(store: SqlStore) -> None:
    held = await declared(store)
    for number in range(3):
        held = await store.save(held, acts.note(held, f"note {number}", "U1", NOW), now=NOW)
    entries = await store.timeline(held.id)
    assert fault(entries, count=held.entries, last_hash=held.last_hash) is None
    assert fault(entries[:-1], count=held.entries, last_hash=held.last_hash) == "4 entries were written and 3 are there"
    assert fault([*entries[:1], *entries[2:]], count=4, last_hash=held.last_hash) == "entry 2 is missing"


async def test_what_fails_in_the_middle_leaves_nothing(store: SqlStore) -> None:
    held = await declared(store)
    change = acts.note(held, "seen", "U1", NOW)
    unwritable = Outgoing(kind="post", to="C1", template=None)  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        await store.save(
            held, type(change)(incident=change.incident, events=change.events, messages=(unwritable,)), now=NOW
        )
    assert await store.incident(held.id) == held
    assert len(await store.timeline(held.id)) == 1


async def test_deliveries_are_claimed_once_and_in_order_per_destination(store: SqlStore) -> None:
    held = await declared(store)
    held = await store.save(held, acts.give_role(held, Role.SCRIBE, "U3", "U1", NOW), now=NOW)
    claims = await asyncio.gather(*(store.claim(NOW, limit=10, lease_s=60) for _ in range(5)))
    (card,) = [one for claim in claims for one in claim]
    assert card.message.kind == "card"
    assert not await store.claim(NOW, limit=10, lease_s=60), "the post waits for the card before it"
    await store.sent(card, MessageRef(channel="C1", ts="1.1"))
    (again,) = await store.claim(NOW, limit=10, lease_s=60)
    assert (again.message.kind, again.ts) == ("card", "1.1") or again.message.template == "incident_role"


async def test_a_card_that_is_asked_for_while_it_is_sent_is_sent_again(store: SqlStore) -> None:
    held = await declared(store)
    (card,) = await store.claim(NOW, limit=10, lease_s=60)
    held = await store.save(held, acts.give_role(held, Role.COMMANDER, "U1", "U1", NOW), now=NOW)
    await store.sent(card, MessageRef(channel="C1", ts="1.1"))
    (again,) = await store.claim(NOW, limit=1, lease_s=60)
    assert (again.seq, again.ts, again.wanted) == (card.seq, "1.1", 2)
    await store.sent(again, MessageRef(channel="C1", ts="1.1"))
    (post,) = await store.claim(NOW, limit=10, lease_s=60)
    assert post.message.template == "incident_role"


async def test_what_was_claimed_by_a_process_that_died_may_have_been_sent(store: SqlStore) -> None:
    await declared(store)
    (first,) = await store.claim(NOW, limit=10, lease_s=60)
    assert not first.unsure
    assert not await store.claim(NOW + 59 * MINUTE / 60, limit=10, lease_s=60)
    await store.end_leases()
    (second,) = await store.claim(NOW, limit=10, lease_s=60)
    assert (second.seq, second.unsure) == (first.seq, True)
    await store.sent(first, MessageRef(channel="C1", ts="late"))
    assert await store.card(1) is None, "whoever's lease has ended says nothing any more"


async def test_a_lane_has_something_to_send_while_it_is_due_or_whoever_sent_it_died(store: SqlStore) -> None:
    await declared(store)
    assert await store.due_among(NOW, {HOME, PAGER}) == {HOME}
    assert await store.due_among(NOW, {PAGER}) == set()
    (card,) = await store.claim(NOW, limit=10, lease_s=60)
    assert await store.due_among(NOW, {HOME}) == set(), "it is being sent"
    await store.later(card, NOW + MINUTE, "Slack wants a pause", unsure=False)
    assert await store.due_among(NOW, {HOME}) == set()
    assert await store.due_among(NOW + MINUTE, {HOME}) == {HOME}
    await store.claim(NOW + MINUTE, limit=10, lease_s=0)
    assert await store.due_among(NOW + MINUTE, {HOME}) == {HOME}, "its lease has ended"


async def test_a_lease_ends_by_itself(store: SqlStore) -> None:
    await declared(store)
    (first,) = await store.claim(NOW, limit=10, lease_s=0)
    (second,) = await store.claim(NOW, limit=10, lease_s=60)
    assert (second.seq, second.attempts) == (first.seq, 2)


@pytest.mark.parametrize("store", ["PostgreSQL"], indirect=True)
async def test_replicas_whose_clocks_disagree_do_not_take_what_another_sends(store: SqlStore) -> None:
    await declared(store)
    assert len(await store.claim(NOW, limit=10, lease_s=60)) == 1
    assert not await store.claim(NOW + 60 * MINUTE, limit=10, lease_s=60)


async def test_a_refusal_becomes_a_dead_letter_that_can_be_revived(store: SqlStore) -> None:
    await declared(store)
    (card,) = await store.claim(NOW, limit=10, lease_s=60)
    await store.dead(card, "Slack refuses: channel_not_found")
    assert await store.waiting() == {"dead": 1}
    (letter,) = await store.dead_letters(10)
    assert letter.error == "Slack refuses: channel_not_found"
    assert await store.revive() == 1
    assert len(await store.claim(NOW, limit=10, lease_s=60)) == 1


async def test_what_is_left_undone_is_told_with_its_age(store: SqlStore) -> None:
    empty = await store.backlog(NOW)
    assert (empty.deliveries, empty.oldest_s, empty.overdue_s) == ({}, {}, 0.0)
    made = await declared(store)
    due = min(at for at in (made.respond_by, made.remind_at, made.escalate_at) if at is not None)
    held = await store.backlog(NOW + timedelta(seconds=30))
    assert held.deliveries == await store.waiting()
    assert held.oldest_s == {"waiting": 30.0}
    assert held.overdue_s == 0.0
    (claimed, *_) = await store.claim(NOW, limit=10, lease_s=60)
    await store.dead(claimed, "refused")
    held = await store.backlog(due + timedelta(seconds=90))
    assert held.deliveries == await store.waiting()
    assert held.oldest_s["dead"] == (due + timedelta(seconds=90) - NOW).total_seconds()
    assert held.overdue_s >= 90.0


async def test_each_clock_fires_once_whoever_ticks(store: SqlStore) -> None:
    for number in range(20):
        await declared(store, request=f"view:{number}")
    at = NOW + 10 * MINUTE
    ticked = await asyncio.gather(*(store.tick(at, lambda one: tick(one, at, POLICY), limit=7) for _ in range(9)))
    assert sum(ticked) == 20
    assert await store.tick(at, lambda one: tick(one, at, POLICY), limit=100) == 0
    waiting = [one.message.template for one in await store.claim(at, limit=100, lease_s=1)]
    assert len(waiting) == 20, "the cards; the reminders wait behind them"


async def test_a_database_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    async with open_store("postgresql+psycopg://ada:hunter2@127.0.0.1:9/none") as gone:
        with pytest.raises(StoreError, match="cannot be used just now") as told:
            await gone.check()
    assert "hunter2" not in str(told.value)


async def test_whoever_waits_to_write_holds_up_nobody_who_reads(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_WAIT_S", 25)
    url = copy_of("SQLite", tmp_path, request)
    async with open_store(url) as store:
        async with locked(url):
            writing = [asyncio.create_task(declared(store, request=f"view:{number}")) for number in range(50)]
            async with asyncio.timeout(20):  # shorter than a writer waits for another process
                for _ in range(20):
                    await store.check()
            assert not any(one.done() for one in writing)
        assert len({one.id for one in await asyncio.gather(*writing)}) == 50


async def test_whoever_does_not_get_its_turn_to_write_is_told_and_holds_up_nobody(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_WAIT_S", 25)
    monkeypatch.setattr(sql, "_TURN_WITHIN_S", 0.1)
    url = copy_of("SQLite", tmp_path, request)
    async with open_store(url) as store:
        async with locked(url):
            first = asyncio.create_task(declared(store, request="view:1"))
            await asyncio.sleep(0)  # it has its turn, and waits for the file
            with pytest.raises(StoreError, match="nothing was changed"):
                await declared(store, request="view:2")
        await first
        await declared(store, request="view:3")


async def test_whoever_is_cancelled_as_it_writes_leaves_the_file_to_others(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As a form does that is answered with "The database is slow"."""
    loop, reached, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def wait() -> bool:
        loop.call_soon_threadsafe(reached.set)
        return go_on.wait(60)

    async def write(store: SqlStore) -> None:
        async with store.engine.begin() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            await raw.create_function("wait", 0, wait)
            await connection.execute(text("SELECT wait() FROM (VALUES (1), (2))"))

    async with open_store(copy_of("SQLite", tmp_path, request)) as store:
        writing = asyncio.create_task(write(store))
        await reached.wait()
        writing.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await writing
        await declared(store)
        del cancelled  # its traceback held what was being read, which kept the file locked


async def test_a_triage_is_kept_as_it_was(store: SqlStore) -> None:
    identity = await store.keep_triage({"cause": "rate_limited", "findings": []}, target="default", at=NOW)
    assert await store.triage(identity) == {"cause": "rate_limited", "findings": []}
    assert await store.triage("nothing") is None


async def test_a_triage_that_waits_to_be_written_is_known_already(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, writing = asyncio.Event(), store._writing

    @asynccontextmanager
    async def held_up() -> AsyncIterator[AsyncConnection]:
        await free.wait()
        async with writing() as connection:
            yield connection

    monkeypatch.setattr(store, "_writing", held_up)
    keeping = asyncio.create_task(
        store.keep_triage({"cause": "healthy"}, target="default", at=NOW, identity="clicked on")
    )
    await asyncio.sleep(0)
    assert await store.triage("clicked on") == {"cause": "healthy"}
    free.set()
    assert await keeping == "clicked on"
    assert await store.triage("clicked on") == {"cause": "healthy"}
    assert store._being_kept == {}


async def test_a_triage_outlasts_a_database_that_is_not_there_yet(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the first start of all, whose migration takes longer than anybody else waits."""
    monkeypatch.setattr(sql, "_PREPARED_WITHIN_S", 0.01)
    monkeypatch.setattr(sql, "_AGAIN_S", 0.01)
    late, refused = SqlStore(store.engine, prepared=False), asyncio.Event()
    writing = late._writing

    @asynccontextmanager
    async def seen() -> AsyncIterator[AsyncConnection]:
        try:
            async with writing() as connection:
                yield connection
        except StoreError:
            refused.set()
            raise

    monkeypatch.setattr(late, "_writing", seen)
    report = {"cause": "healthy"}
    with pytest.raises(StoreError):
        await late.keep_triage(report, target="default", at=NOW)
    refused.clear()
    keeping = asyncio.create_task(
        late.keep_triage(report, target="default", at=NOW, identity="clicked on", patience_s=30)
    )
    await refused.wait()
    assert await late.triage("clicked on") == report
    late.is_prepared()
    assert await keeping == "clicked on"
    assert await store.triage("clicked on") == report


async def test_a_triage_that_was_written_though_nobody_heard_of_it_is_written_once(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "_AGAIN_S", 0.01)
    writing, answers = store._writing, iter([False, True, True])

    @asynccontextmanager
    async def cut() -> AsyncIterator[AsyncConnection]:
        async with writing() as connection:
            yield connection
        if not next(answers):
            raise StoreError("the connection was cut")

    monkeypatch.setattr(store, "_writing", cut)
    kept = await store.keep_triage({"cause": "healthy"}, target="default", at=NOW, identity="once", patience_s=30)
    assert await store.triage(kept) == {"cause": "healthy"}


async def test_requests_and_triages_that_are_long_done_are_forgotten_and_incidents_never(store: SqlStore) -> None:
    made = await declared(store)
    identity = await store.keep_triage({"cause": "healthy"}, target="default", at=NOW)
    assert await store.forget(NOW + timedelta(days=13)) == 0
    assert await store.forget(NOW + timedelta(days=15)) == 1
    assert await store.made_by("view:1") is None
    assert await store.triage(identity) is not None
    assert await store.forget(NOW + timedelta(days=91)) == 1
    assert await store.triage(identity) is None
    assert await store.incident(made.id) == made
