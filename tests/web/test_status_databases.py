"""The status page of several replicas, and of a database that is away or does not answer."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from bot.web import status_cache
from bot.web.status_cache import FRESH_S
from tests.databases import KINDS, copy_of, open_store
from tests.public import published
from tests.web.test_status import looking, patience

__all__ = ["patience"]
PATIENCE_S = status_cache._PATIENCE_S


def for_libpq(url: str, database: str | None = None) -> str:
    return make_url(url).set(drivername="postgresql", database=database).render_as_string(hide_password=False)


@pytest.mark.parametrize("kind", KINDS)
async def test_each_replica_shows_an_update_of_another_within_a_second(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = copy_of(kind, tmp_path, request)
    async with (
        open_store(url) as writes,
        open_store(url) as one,
        open_store(url) as other,
        looking(one) as first,
        looking(other) as second,
    ):
        for number in range(3):
            for looker in (first, second):
                await looker.get("/status")
            title = f"Told elsewhere, {number}"
            await published(writes, title=title)
            await asyncio.gather(first.sees(title), second.sees(title))


async def test_while_the_database_is_away_what_was_shown_last_is_shown(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = copy_of("PostgreSQL", tmp_path, request)
    name = make_url(url).database
    async with open_store(url) as store, looking(store) as looker:
        await published(store, title="Seen before")
        assert "Seen before" in (await looker.get("/status"))[1]
        with psycopg.connect(for_libpq(url, database="postgres"), autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            looker.clock.advance(FRESH_S)
            # the feed was not rendered yet; what it shows has been read
            for path in ("/status", "/status/feed.atom"):
                answer, text = await looker.get(path)
                assert (answer.status, "Seen before" in text) == (200, True)
            answer, text = await looker.get("/status/incidents/0123456789ab")
            assert answer.status == 503
            assert text == "The status page cannot be read just now; try again in a minute.\n"
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
        assert (await looker.get("/status/incidents/0123456789ab"))[0].status == 404


async def test_a_database_that_does_not_answer_makes_nobody_wait_for_what_was_shown_last(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.store.engine._WAIT_S", 25)  # whoever waits for the lock waits longer than this test
    url = copy_of("PostgreSQL", tmp_path, request)
    async with open_store(url) as store, looking(store) as looker:
        await looker.get("/status")
        with psycopg.connect(for_libpq(url)) as other, monkeypatch.context() as impatient:
            other.execute("LOCK TABLE public_updates IN ACCESS EXCLUSIVE MODE")
            looker.clock.advance(FRESH_S)
            impatient.setattr(status_cache, "_PATIENCE_S", PATIENCE_S)
            async with asyncio.timeout(20):
                seen = await asyncio.gather(*(looker.get("/status") for _ in range(50)))
            assert {answer.status for answer, _ in seen} == {200}
            other.rollback()
        await looker.get("/status")  # it waits for the answer that those did not wait for
        await published(store, title="Shown after")
        await looker.sees("Shown after")
