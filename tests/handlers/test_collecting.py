"""Whatever a source does the bundle is whole: late, broken, refused; and a job that is stopped leaves nothing."""

import asyncio
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.clients.bundle_check import check
from bot.clients.charts import ChartProcess
from bot.domain.collecting import Collection, Manifest, State, Why
from bot.errors import BotError, Forbidden
from bot.handlers.collecting import Collector
from bot.handlers.evidence import EvidenceHandler
from bot.ports import Bundle, Collecting, Record, Written
from bot.settings import EvidenceSettings
from tests.databases import copy_of, open_store
from tests.fakes import NOW, FakeClock, unhurried
from tests.handlers.test_status_deliveries import until
from tests.handlers.test_triage import handler as triaging

Collect = Callable[[Collecting, Bundle], Coroutine[Any, Any, None]]
WANTED = Collection(
    id="0011223344",
    incident=None,
    target="default",
    channel="C1",
    why=Why.ASKED,
    asked_by="U1",
    requested_at=NOW,
    since=timedelta(),
)


@dataclass(frozen=True)
class FakeSource:
    name: str
    does: Collect
    order: int = 1

    async def collect(self, asked: Collecting, bundle: Bundle) -> None:
        await self.does(asked, bundle)


async def fine(asked: Collecting, bundle: Bundle) -> None:
    assert asked.since == timedelta(hours=1), "what the settings say"
    await bundle.add("fine.txt", b"fine\n", source="x")


async def forbidden(asked: Collecting, bundle: Bundle) -> None:
    raise Forbidden("forbidden: list events in default")


async def broken(asked: Collecting, bundle: Bundle) -> None:
    raise ZeroDivisionError


async def hangs(asked: Collecting, bundle: Bundle) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"what came\n" * 30_000
        await asyncio.Event().wait()

    await bundle.add("late.log", never(), source="x")


async def full(asked: Collecting, bundle: Bundle) -> None:
    raise BotError("the bundle cannot be written to /x: No space left on device")


def page(_: Manifest, __: Record | None) -> bytes:
    return b"<!doctype html>"


def collector(folder: Path, *sources: FakeSource, deadline_s: float = 20.0) -> Collector:
    return Collector(
        prober=triaging().prober,
        sources=sources,
        charts=ChartProcess(),
        folder=folder,
        limits=EvidenceSettings(deadline_s=deadline_s),
        index=page,
    )


async def told(*_: object) -> None:
    pass


def there(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def held(folder: Path, written: Written) -> dict[str, bytes]:
    assert check(folder / written.name).faults == ()
    with tarfile.open(folder / written.name) as archive:
        return {
            one.name.partition("/")[2]: file.read()
            for one in archive.getmembers()
            if (file := archive.extractfile(one)) is not None
        }


async def test_a_source_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    sources = (FakeSource("events", forbidden), FakeSource("odd", broken), FakeSource("fine", fine, order=2))
    written = await collector(tmp_path, *sources).collect(WANTED, None, told)
    assert held(tmp_path, written)["fine.txt"] == b"fine\n"
    assert {one.what: one.why for one in written.manifest.missing} == {
        "events": "forbidden: list events in default",
        "odd": "the source itself failed (ZeroDivisionError); the bot's log has more",
    }


async def test_the_deadline_keeps_what_came_and_says_what_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhurried(monkeypatch)  # what comes is to be written before
    sources = (FakeSource("fine", fine), FakeSource("logs", hangs), FakeSource("later", fine, order=2))
    written = await collector(tmp_path, *sources, deadline_s=0.5).collect(WANTED, None, told)
    assert held(tmp_path, written)["late.log"] == b"what came\n" * 30_000
    (late,) = [one for one in written.manifest.files if one.name == "late.log"]
    assert late.cut == "the time was over"
    (missing,) = written.manifest.missing
    assert missing.what == "logs"
    assert "deadline of 0.5 s" in missing.why


async def test_a_disk_that_is_full_ends_it_in_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    sources = (FakeSource("logs", hangs), FakeSource("odd", full))
    with pytest.raises(BotError, match="No space left on device"):
        await collector(tmp_path, *sources).collect(WANTED, None, told)
    assert there(tmp_path) == []


async def test_a_job_that_is_stopped_leaves_nothing_and_is_taken_up_again(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "evidence"
    async with open_store(copy_of("SQLite", tmp_path, request)) as store:
        handler = EvidenceHandler(
            store=store,
            clock=FakeClock(),
            collector=collector(folder, FakeSource("logs", hangs), deadline_s=120),
            settings=EvidenceSettings(),
        )
        await handler.ask(None, target="default", channel="C1", user="U1", since=timedelta(), request="command:1")
        working = asyncio.create_task(handler.work())
        try:
            await until(lambda: folder.exists() and bool(there(folder)))
            handler.end()
            await asyncio.wait_for(working, 60)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        assert there(folder) == []
        await store.end_leases()
        quick = replace(handler, collector=collector(folder, FakeSource("fine", fine)))
        assert await quick.collect_one()
        (name,) = there(folder)
        assert check(folder / name).faults == ()


async def test_a_job_that_never_ends_is_given_up_in_a_sentence(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with open_store(copy_of("SQLite", tmp_path, request)) as store:
        handler = EvidenceHandler(
            store=store,
            clock=FakeClock(),
            collector=collector(tmp_path / "evidence", FakeSource("fine", fine)),
            settings=EvidenceSettings(),
        )
        asked = await handler.ask(
            None, target="default", channel="C1", user="U1", since=timedelta(), request="command:1"
        )
        for _ in range(3):
            assert await store.claim_collection(NOW, lease_s=60) is not None
            await store.end_leases()
        assert await handler.collect_one()
        kept = await store.collection(asked.id)
    assert kept is not None
    assert kept.state is State.FAILED
    assert "begun 3 times" in kept.said
