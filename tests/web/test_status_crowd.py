"""The status page when many ask, and for what is not there; and its history, in which no incident may be missing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from bot.domain.publication import PublicIncident, PublicStatus
from bot.handlers import public as reading
from bot.settings import StatusPageSettings
from bot.store.sql import SqlStore
from bot.web import status, status_cache
from bot.web.routes import Readiness, application
from bot.web.status import StatusRoutes
from tests.databases import copy_of, store_at
from tests.domain.incidents import declaring
from tests.fakes import NOW
from tests.store.test_publications import TOLD, told


class Asked(SqlStore):
    """Counts how many incidents are looked up at once, and how often older ones are listed."""

    at_once = most_at_once = listings_of_older = 0

    async def public_called(self, slug: str) -> PublicIncident | None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await super().public_called(slug)
        finally:
            self.at_once -= 1

    async def public_incidents(
        self, *, open_only: bool = False, limit: int, since: PublicIncident | None = None
    ) -> Sequence[PublicIncident]:
        self.listings_of_older += since is not None
        return await super().public_incidents(open_only=open_only, limit=limit, since=since)


@pytest.fixture
async def store(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Asked]:
    held = Asked(store_at(copy_of("SQLite", tmp_path, request)).engine)
    yield held
    await held.close()


@pytest.fixture
async def page(store: Asked) -> AsyncIterator[TestServer]:
    routes = StatusRoutes(store, StatusPageSettings(), ("Chat",), None)
    server = TestServer(application(Readiness(), None, None, routes))
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=250)) as held:
        yield held


async def publish(store: SqlStore, number: int, *, minutes: int = 0, ended: bool = True) -> None:
    made = await store.create(declaring(), now=NOW, request=f"view:{number}")
    state = PublicStatus.RESOLVED if ended else PublicStatus.INVESTIGATING
    await told(store, made, replace(TOLD, status=state, title=f"Incident {number}."), minutes=minutes)


async def test_no_incident_is_missing_between_the_first_page_and_the_older_ones(
    store: Asked, page: TestServer, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "LISTED", 3)
    monkeypatch.setattr(reading, "LISTED", 3)
    await publish(store, 0, ended=False)  # nobody has ended it: it is older than all of the history
    for number in range(1, 9):
        await publish(store, number, minutes=number // 2)
    seen, path = "", "/status"
    while path:
        async with session.get(page.make_url(path)) as answer:
            text = await answer.text()
        seen += text
        link = text.rpartition('">Older incidents')[0].rpartition('href="')[2]
        path = f"/status/{link.removeprefix('status/')}" if "Older incidents" in text else ""
    assert [number for number in range(9) if f"Incident {number}." not in seen] == []


async def test_whoever_asks_for_what_is_not_there_does_not_take_the_database_from_the_bot(
    store: Asked, page: TestServer, session: aiohttp.ClientSession
) -> None:
    async def status_of(number: int) -> int:
        path = "/status/history?before=" if number % 2 else "/status/incidents/"
        async with session.get(page.make_url(f"{path}{number:012x}")) as answer:
            return answer.status

    assert set(await asyncio.gather(*(status_of(number) for number in range(200)))) == {404}
    assert 1 <= store.most_at_once <= 2


async def test_a_query_that_means_nothing_makes_no_page_of_its_own(
    store: Asked, page: TestServer, session: aiohttp.ClientSession
) -> None:
    await publish(store, 0)
    for query in ("", "?x=1", "?before=&x=2"):
        async with session.get(page.make_url(f"/status/history{query}")) as answer:
            assert answer.status == 200
    assert store.listings_of_older == 1


async def test_what_is_kept_of_pages_is_bounded_and_the_first_page_is_among_it(
    store: Asked, page: TestServer, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_cache, "_KEPT_BYTES", 10_000)
    for number in range(8):
        await publish(store, number)
    slugs = [one.slug for one in await store.public_incidents(limit=8)]
    cache = status_cache.StatusCache(store)

    async def made(key: str) -> status_cache.Rendered:
        return status_cache.Rendered(text=key * 100)

    await cache.get("/status", lambda: made("/status"))
    for slug in slugs:
        await cache.get(slug, lambda: made("0123456789ab"))
        assert cache.held("/status") is not None
    assert cache.held(slugs[0]) is None
    assert cache.held(slugs[-1]) is not None
