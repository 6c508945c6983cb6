"""The Prometheus client against servers that misbehave."""

import asyncio
import contextlib
import gc
import json
import math
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from urllib3.connection import HTTPConnection

from bot.clients.prometheus import PrometheusMetrics
from bot.configuration import load
from bot.errors import BadAnswer, Forbidden, LoginExpired, Unreachable, UpstreamError
from bot.settings import Network
from tests.fakes import NOW
from tests.upstreams import connected

TOKEN = "made-up-token-8c1f"
Speak = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def speaking(speak: Speak, heard: list[str] | None = None) -> AsyncIterator[PrometheusMetrics]:
    """A client of a server that reads the request's head and then does ``speak``."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(head.decode())
        await speak(writer)

    async with connected(answer) as port:
        url = f"http://127.0.0.1:{port}"
        settings = load({"PROMETHEUS_URL": url, "PROMETHEUS_TOKEN": TOKEN}).target("default").prometheus
        yield PrometheusMetrics(settings, Network(), 100_000)


def whole(status: int, body: bytes, *headers: str) -> Speak:
    async def speak(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return speak


def vector(value: str) -> bytes:
    rows = [{"metric": {"pod": "a"}, "value": [1.0, value]}]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": rows}}).encode()


async def _hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _drip_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    await _drip(writer)


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _flood(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
    for _ in range(500):
        writer.write(b" " * 100_000)
        await writer.drain()


async def ended(before: set[threading.Thread]) -> None:
    """Waits until there are no threads but those ``before``."""
    given_up_at = time.monotonic() + 30
    while set(threading.enumerate()) - before:
        assert time.monotonic() < given_up_at
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("speak", [_hang, _drip_body, _drip], ids=["hang", "drip of a body", "drip of a head"])
async def test_what_does_not_end_is_ended_and_so_is_its_thread(speak: Speak) -> None:
    async with speaking(speak) as metrics:
        before = set(threading.enumerate())
        with pytest.raises(Unreachable, match=r"within 0\.4 s"):
            await metrics.query("up", timeout_s=0.4)
        await ended(before)


@pytest.mark.parametrize(
    ("speak", "kind", "says"),
    [
        (whole(401, b"no"), LoginExpired, "PROMETHEUS_TOKEN"),
        (whole(403, b"no"), Forbidden, "forbidden: query Prometheus"),
        (whole(302, b"", "Location: http://127.0.0.1:9/"), BadAnswer, "redirects"),
        (whole(302, b"", "Location: http://[x/"), BadAnswer, "redirects"),
        (whole(200, b"no", "Content-Encoding: gzip"), BadAnswer, "not Prometheus"),
        (whole(200, b"[" * 90_000), BadAnswer, "not Prometheus"),
        (whole(200, b'{"data": ' + b"9" * 5_000 + b"}"), BadAnswer, "not Prometheus"),
        (whole(400, b"[" * 90_000), BadAnswer, "not Prometheus"),
        (whole(200, b"<html>Sign in</html>"), BadAnswer, "not Prometheus"),
        (whole(200, b"[]"), BadAnswer, "not Prometheus"),
        (whole(200, b'{"data": {"result": [{"metric": 3}]}}'), BadAnswer, "not Prometheus"),
        (whole(500, b"no"), BadAnswer, "500"),
        (whole(400, b'{"error": "parse error"}'), BadAnswer, "parse error"),
        (_flood, BadAnswer, "more than 100000 bytes"),
    ],
)
async def test_a_bad_answer_is_one_sentence_without_the_token(
    speak: Speak, kind: type[UpstreamError], says: str
) -> None:
    async with speaking(speak) as metrics:
        with pytest.raises(kind, match=says) as told:
            await metrics.query("up", timeout_s=3)
    assert TOKEN not in repr(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"500 X\r\nContent-Length: 2", b"no"),
        (b"200 X\r\nContent-Length: 2", b"no"),
        (b"302 X\r\nContent-Length: 2\r\nLocation: http://\xff\xfe/", b"no"),
        (b"200 X\r\nContent-Length: 500000\r\nContent-Encoding: gzip", b"x" * 70_000),
        (b"200 X\r\nContent-Length: 500000", b"x" * 200_000),
    ],
    ids=["an error", "not JSON", "nowhere", "not gzip", "too much"],
)
async def test_a_connection_is_closed_whatever_came_over_it(head: bytes, body: bytes) -> None:
    closed = asyncio.Event()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + head + b"\r\n\r\n" + body)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        closed.set()

    gc.disable()  # what waits to be collected is still open
    try:
        async with connected(once) as port, asyncio.timeout(30):
            target = load({"PROMETHEUS_URL": f"http://127.0.0.1:{port}"}).target("default")
            with pytest.raises(BadAnswer):
                await PrometheusMetrics(target.prometheus, Network(), 100_000).query("up", timeout_s=20)
            await closed.wait()
    finally:
        gc.enable()


async def test_what_is_late_before_it_is_connected_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = HTTPConnection.connect

    def late(connection: HTTPConnection) -> None:
        time.sleep(0.5)  # as a name that is looked up does
        connect(connection)

    monkeypatch.setattr(HTTPConnection, "connect", late)
    async with speaking(_drip) as metrics:
        before = set(threading.enumerate())
        with pytest.raises(Unreachable, match=r"within 0\.2 s"):
            await metrics.query("up", timeout_s=0.2)
        await ended(before)


async def test_a_closed_port_is_unreachable() -> None:
    settings = load({"PROMETHEUS_URL": "http://127.0.0.1:1"}).target("default").prometheus
    metrics = PrometheusMetrics(settings, Network(), 1000)
    with pytest.raises(Unreachable, match="PROMETHEUS_URL"):
        await metrics.query("up", timeout_s=2)


async def test_nan_is_kept_and_the_token_is_sent() -> None:
    heard: list[str] = []
    async with speaking(whole(200, vector("NaN")), heard) as metrics:
        (sample,) = await metrics.query("up", timeout_s=2)
    assert sample.labels == {"pod": "a"}
    assert math.isnan(sample.value)
    assert f"Authorization: Bearer {TOKEN}\r\n" in heard[0]


async def test_a_range_has_points_in_utc() -> None:
    row = {"metric": {}, "values": [[NOW.timestamp(), "0.5"]]}
    body = json.dumps({"status": "success", "data": {"result": [row]}}).encode()
    heard: list[str] = []
    async with speaking(whole(200, body), heard) as metrics:
        (series,) = await metrics.query_range("up", start=NOW - timedelta(hours=2), end=NOW, step_s=30, timeout_s=2)
    assert series.points == ((NOW, 0.5),)
    assert "step=30 " in heard[0].replace("&", " ")
