"""The alerts' way in over real HTTP: what is written is answered with 200, and whatever may go well later with 503."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import text

from bot.handlers.alert import AlertHandler
from bot.store.sql import SqlStore
from bot.variables import Secret
from bot.web.alerts import BODY_BYTES, AlertRoutes
from bot.web.routes import Readiness, application
from tests.databases import copy_of
from tests.flows.alerting import TOKEN, Alerted, alert, alerted, webhook

PATHS = ("/alerts", "/alerts/generic")
GENERIC = {"title": "Queue full", "severity": "P2", "key": "queue", "url": "https://queue.example"}


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Alerted]:
    async with alerted(copy_of("SQLite", tmp_path, request)) as held:
        yield held


async def served(room: Alerted, handler: AlertHandler, token: str | None = TOKEN, **more: int) -> Alerted:
    """The same bot behind routes of their own."""
    routes = AlertRoutes(handler, None if token is None else Secret(token), **more)
    return replace(room, url=await room.sandbox.serve(application(Readiness(), None, routes)))


async def count(room: Alerted) -> int:
    store = room.bot.store
    assert isinstance(store, SqlStore)
    async with store.engine.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM alerts"))).scalar_one())


async def test_who_has_not_the_token_is_refused(room: Alerted) -> None:
    told = ("Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xe9")
    for path in PATHS:
        for headers in ({}, *({"Authorization": one} for one in told)):
            async with room.session.post(room.url + path, json=webhook(alert()), headers=headers) as answer:
                assert answer.status == 401, (path, headers)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert TOKEN not in await answer.text()
    assert await count(room) == 0


async def test_without_a_token_no_alerts_are_taken(room: Alerted) -> None:
    closed = await served(room, room.bot.alerts, None)
    for path in PATHS:
        said = await closed.post(webhook(alert()), path)
        assert said == (404, "No alerts are taken here: ALERTMANAGER_TOKEN is not set.\n")


async def test_the_scheme_may_be_written_in_any_case(room: Alerted) -> None:
    headers = {"Authorization": f"bEARER {TOKEN}"}
    async with room.session.post(room.url + "/alerts", json=webhook(alert()), headers=headers) as answer:
        assert answer.status == 200


async def test_a_body_of_1_mb_passes_and_a_larger_one_does_not(room: Alerted) -> None:
    def body(size: int) -> bytes:
        rest = size - len(json.dumps(webhook(alert(), padding="")))
        return json.dumps(webhook(alert(), padding="x" * rest)).encode()

    assert (await room.post(body(BODY_BYTES)))[0] == 200
    assert await count(room) == 1

    async def in_parts() -> AsyncIterator[bytes]:
        yield body(BODY_BYTES + 1)

    status, sentence = await room.post(body(BODY_BYTES + 1))
    assert (status, "At most 1 MB is taken" in sentence) == (413, True)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with room.session.post(room.url + "/alerts", data=in_parts(), headers=headers) as answer:
        assert answer.status == 413, "though no length was told"


async def test_what_is_no_webhook_is_refused_in_a_sentence(room: Alerted) -> None:
    bodies = (b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"{}", b'{"alerts": 1}', b"null")
    for path in PATHS:
        for body in bodies:
            status, sentence = await room.post(body, path)
            assert status == 400, (path, body[:20])
            assert sentence.endswith(".\n")
            assert sentence.count("\n") == 1


async def test_hostile_values_are_taken_and_stored(room: Alerted) -> None:
    hostile = [
        alert(labels={"alertname": "\x00\ud800<!channel>" + "x" * 50_000}),
        alert(labels={f"l{number}": "\x00" for number in range(500)}, fingerprint="\x00"),
        alert(fingerprint=7, startsAt="9999-12-31T23:59:59Z", endsAt=[], annotations=None),
        {"labels": None},
    ]
    await room.tell(*hostile, groupKey="\x00\ud800", status=None)
    assert await count(room) == len(hostile)
    for message in room.slack.messages:
        assert "<!channel>" not in message.all_text


async def test_an_empty_payload_is_taken(room: Alerted) -> None:
    assert await room.post(webhook()) == (200, "ok\n")


async def test_without_the_database_the_sender_is_to_come_again(room: Alerted) -> None:
    store = room.bot.store
    assert isinstance(store, SqlStore)
    async with store.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE alerts RENAME TO away"))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for body, path in ((webhook(alert()), "/alerts"), (GENERIC, "/alerts/generic")):
        async with room.session.post(room.url + path, json=body, headers=headers) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert "The database cannot be used just now" in await answer.text()
    async with store.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO alerts"))
    assert (await room.post(webhook(alert())))[0] == 200


async def test_what_waits_at_the_same_moment_is_written_together_and_beyond_a_bound_refused(room: Alerted) -> None:
    store = room.bot.store
    assert isinstance(store, SqlStore)
    narrow = await served(room, replace(room.bot.alerts, waiting_most=10, _waiting=type(room.bot.alerts._waiting)()))
    commits = list[int]()
    async with store.engine.begin():  # a writer that holds the file
        sent = [asyncio.create_task(narrow.post(webhook(alert(labels={"pod": str(number)})))) for number in range(30)]
        done, waiting = await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result()[0] for task in done} == {503}
        assert waiting, "those that came first wait to be written"
        commits.append(len(waiting))
    ended = [await task for task in sent]
    statuses = [status for status, _ in ended]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 10
    assert await count(room) == statuses.count(200), "what is answered with 200 is written, and nothing else"


async def test_too_many_bytes_at_once_are_refused_before_they_are_read(room: Alerted) -> None:
    narrow = await served(room, room.bot.alerts, held_most=1000)
    status, sentence = await narrow.post(webhook(alert(), padding="x" * 2000))
    assert (status, "send them again" in sentence) == (503, True)
    assert (await narrow.post(GENERIC, "/alerts/generic"))[0] == 200


async def test_a_sender_that_goes_away_leaves_nothing_behind(room: Alerted) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await room.post(webhook(alert()))
    assert (await room.post(webhook(alert())))[0] == 200
    assert await count(room) == 1


async def test_no_token_stands_in_the_log(room: Alerted, caplog: pytest.LogCaptureFixture) -> None:
    await room.post(b"{")
    await room.post(webhook(alert()), token="wrong-token-of-somebody")
    assert TOKEN not in caplog.text
    assert "wrong-token" not in caplog.text
    assert isinstance(room.session, aiohttp.ClientSession)
