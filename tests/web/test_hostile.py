"""Whatever anybody sends to the bot's HTTP server is answered: with no fault, and with nothing of anybody else."""

import asyncio
import gzip
import json
import logging
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from bot.settings import StatusPageSettings
from bot.web import bodies
from bot.web.routes import Readiness, application
from bot.web.status import StatusRoutes
from tests.databases import copy_of, store_at
from tests.flows.alerting import TOKEN, Alerted, alert, alerted, webhook
from tests.public import COMPONENTS, published

BEARER = {"Authorization": f"Bearer {TOKEN}", "Connection": "close"}
BOMB = gzip.compress(b" " * 200_000_000, 9)
DAYS = (
    "0001-01-01T00:00:00Z",
    "99999-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "2026-07-01T11:59:00",
    "2026-07-01",
    "2026-02-30T00:00:00Z",
    "-2026-07-01T00:00:00Z",
    "2026-07-01T11:59:60Z",
    "2026-07-01T11:59:00\ud800",
    "\uff11\uff19\uff19\uff19-07-01T11:59:00Z",
)


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Alerted]:
    async with alerted(copy_of("SQLite", tmp_path, request)) as held:
        yield held


def nested(depth: int) -> bytes:
    return b'{"alerts":[{"labels":{"a":' + b"[" * depth + b"]" * depth + b"}}]}"


BODIES: Mapping[str, bytes] = {
    "many labels": json.dumps(webhook(alert(labels={f"l{one}": "x" * 50 for one in range(10_000)}))).encode(),
    "a long label": json.dumps(webhook(alert(labels={"x": "y" * 1_000_000}))).encode(),
    "the same key twice": b'{"alerts":[{"labels":{"alertname":"a","alertname":"b"},"status":"firing","status":[]}]}',
    "huge numbers": b'{"alerts":[{"labels":{"alertname":' + b"9" * 4000 + b',"b":1e999,"c":-0.0,"d":NaN}}]}',
    "a number that Python does not read": b'{"alerts":[{"labels":{"alertname":' + b"9" * 5000 + b"}}]}",
    "UTF-16": json.dumps(webhook(alert("\ud83d\ude00"))).encode("utf-16"),
    "halves of characters": b'{"alerts":[{"labels":{"\\ud800":"\\udfff\\u0000"},"fingerprint":"\\ud800"}]}',
    "turned around": json.dumps(webhook(alert("\u202egnihtyreve\u2066"))).encode(),
    "templates": json.dumps(webhook(alert("{{ 7*7 }}{% raw %}{#", generatorURL="http://{{x}}|<b>"))).encode(),
    "more than can be read": b'{"alerts":[' + b"{}," * 300_000 + b"{}]}",
    **{f"{depth} deep": nested(depth) for depth in (50, 900, 960, 985, 990, 5000, 400_000)},
    **{f"a day such as {day!a}": json.dumps(webhook(alert(startsAt=day, endsAt=day))).encode() for day in DAYS},
    **{
        f"ended on {day!a}": json.dumps(webhook(alert(status="resolved", startsAt=day, endsAt=day))).encode()
        for day in DAYS
    },
}


async def test_whatever_the_body_of_alerts_is_it_is_taken_or_refused_and_what_comes_of_it_goes_on(
    room: Alerted,
) -> None:
    answers = {}
    for kind, body in BODIES.items():
        answers[kind] = (await room.post(body))[0]
        await room.settle()
        if kind.startswith("ended"):
            assert (await room.post(webhook(alert(status="resolved"))))[0] == 200
    refused = {"a number that Python does not read", "more than can be read"}
    assert {kind for kind, status in answers.items() if status != 200 and "deep" not in kind} == refused
    assert set(answers.values()) == {200, 400}
    for message in room.slack.messages:
        assert "\u202e" not in message.all_text


PACKED: Mapping[str, tuple[Mapping[str, str], bytes, int]] = {
    "gzip": ({"Content-Encoding": "gzip"}, gzip.compress(json.dumps(webhook(alert())).encode()), 200),
    "deflate": ({"Content-Encoding": "deflate"}, zlib.compress(json.dumps(webhook(alert())).encode()), 200),
    "a bomb": ({"Content-Encoding": "gzip"}, BOMB, 413),
    "no gzip": ({"Content-Encoding": "gzip"}, b"this is no gzip", 400),
    "cut gzip": ({"Content-Encoding": "gzip"}, gzip.compress(b"{}" * 1000)[:-9], 400),
    "an odd encoding": ({"Content-Encoding": "odd"}, b"{", 400),
    "an odd charset": ({"Content-Type": "text/html; charset=nonsense"}, json.dumps(webhook(alert())).encode(), 200),
    "a form": ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x", 400),
}


async def test_whatever_the_body_is_packed_in(room: Alerted) -> None:
    for kind, (headers, body, status) in PACKED.items():
        async with room.session.post(room.url + "/alerts", data=body, headers={**BEARER, **headers}) as answer:
            assert answer.status == status, kind


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]


async def said_to(room: Alerted, told: bytes) -> bytes:
    """The first line of what is answered to these very bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(room.url.rpartition(":")[2]))
    writer.write(told)
    try:
        async with asyncio.timeout(30):
            return await reader.readline()
    finally:
        writer.close()


HEAD = f"POST {{}} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n"


NO_HTTP = {
    "no chunk": "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a huge chunk": "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nffffffffffffffffff\r\n",
    "both lengths": "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a negative length": "Content-Length: -1\r\n\r\n",
    "two lengths": "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "NUL": "X: \x00\r\n\r\n",
    "long header": "X: " + "y" * 100_000 + "\r\n\r\n",
}


async def test_what_is_no_http_is_refused(room: Alerted, caplog: pytest.LogCaptureFixture) -> None:
    for kind, told in NO_HTTP.items():
        answer = await said_to(room, (HEAD.format("/alerts") + told).encode())
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), kind
    assert faults(caplog) == []


async def test_a_body_that_does_not_come_is_not_waited_for(room: Alerted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_WITHIN_S", 0.1)
    for path, status in (("/alerts", b"503"), ("/alerts/generic", b"503"), ("/slack/events", b"408")):
        stamp = f"X-Slack-Request-Timestamp: {int(time.time())}\r\n"
        begun = HEAD.format(path) + stamp + "Content-Length: 1000\r\n\r\n{"
        assert (await said_to(room, begun.encode())).split(b" ")[1] == status, path


ROUTES = ("/status", "/status/history", "/status/style.css", "/status/feed.atom", "/api/v2/summary.json")


@pytest.fixture
async def page(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[TestClient[Any, Any]]:
    """Somebody who looks at it."""
    store = store_at(copy_of("SQLite", tmp_path, request))
    await published(store)
    status = StatusRoutes(store, StatusPageSettings(), COMPONENTS, None)
    async with TestClient(TestServer(application(Readiness(), None, None, status))) as client:
        yield client
    await store.close()


@pytest.mark.parametrize("path", ROUTES)
async def test_who_asks_and_how_changes_nothing_of_a_public_page(page: TestClient[Any, Any], path: str) -> None:
    odd = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "javascript",
        "X-Forwarded-Prefix": "/evil.example",
        "X-Original-URL": "/evil.example",
        "Forwarded": "host=evil.example",
        "Origin": "https://evil.example",
        "Cookie": "evil.example=1",
        "Referer": "https://evil.example",
        "Accept-Language": "evil.example",
        "Range": "bytes=0-10",
    }
    async with page.get(f"{path}?evil.example=1&before=", headers=odd) as poisoned:
        first, told = await poisoned.text(), poisoned.headers
        assert poisoned.status == 200
    async with page.get(path) as answer:
        assert await answer.text() == first
        assert answer.headers["ETag"] == told["ETag"]
    assert "evil.example" not in f"{first}{told}"
    assert "Set-Cookie" not in told
    assert "Server" not in told


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_a_public_page_is_read_and_nothing_else(page: TestClient[Any, Any], method: str) -> None:
    for path in (*ROUTES, "/status/incidents/0123456789ab", "/status/"):
        async with page.request(method, path, data=b"x") as answer:
            assert answer.status == 405, path
            assert answer.headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize("path", ["/healthz", "/status", "/slack/events", "/nowhere"])
async def test_what_anybody_can_send_fills_no_log(
    page: TestClient[Any, Any], path: str, caplog: pytest.LogCaptureFixture
) -> None:
    for method in ("GET", "POST"):
        headers = {"Content-Encoding": "gzip", "Connection": "close"}
        async with page.request(method, path, data=b"no gzip", headers=headers) as answer:
            assert answer.status < 500
    assert faults(caplog) == []


@pytest.mark.parametrize(
    "path",
    [
        "/status/history?before=%0d%0aSet-Cookie:%20x=1",
        "/status/history?before=" + "9" * 7000,
        "/status/history?before=0123456789ab&before=<script>",
        "/status/incidents/%0d%0aSet-Cookie:%20x=1",
        "/status/incidents/..%2f..%2f..%2fetc%2fpasswd",
        "/status/incidents/%ff%fe",
        "/status/incidents/0123456789ab%0a",
    ],
)
async def test_an_odd_address_is_not_found_and_kept_nowhere(page: TestClient[Any, Any], path: str) -> None:
    async with page.get(URL(path, encoded=True)) as answer:
        assert answer.status == 404
        text = await answer.text()
        assert "There is nothing here" in text
        assert "Set-Cookie" not in answer.headers
        assert "<script" not in text
