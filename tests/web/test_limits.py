"""What the port is held to: rates, connections, slow clients; each refusal is counted, and told without its payload."""

import asyncio
import contextlib
import io
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from bot.configuration import load
from bot.errors import SettingsError
from bot.measures import REGISTRY
from bot.sandbox.slack.delivery import signed
from bot.settings import HttpLimits
from bot.web import limits as limiting
from bot.web import routes as routing
from bot.web.limits import Rate, Refusals
from bot.web.listening import listening
from bot.web.routes import Readiness, application
from tests.databases import copy_of
from tests.flows.alerting import TOKEN, Alerted, alert, alerted, webhook

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
COMMAND = "command=%2Fmistral&text=note+3+{}&user_id=U0REQUESTER&channel_id=C0INCIDENTS&team_id=T0&trigger_id=1.2.3"


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Alerted]:
    async with alerted(copy_of("SQLite", tmp_path, request)) as held:
        yield held


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time goes by in which more could come, or the log be told once more."""
    monkeypatch.setattr(limiting, "Rate", partial(Rate, monotonic=lambda: 0.0))
    monkeypatch.setattr(routing, "Refusals", partial(Refusals, monotonic=lambda: 0.0))


def refused(route: str, why: str) -> float:
    return REGISTRY.get_sample_value("mistral_bot_http_refusals_total", {"route": route, "why": why}) or 0.0


def test_a_rate_lets_two_seconds_burst_and_then_so_many_a_second() -> None:
    now = 0.0
    rate = Rate(10, monotonic=lambda: now)
    assert [rate.take() for _ in range(21)] == [True] * 20 + [False]
    now = 0.5
    assert [rate.take() for _ in range(6)] == [True] * 5 + [False]
    now = 1000.0
    assert sum(rate.take() for _ in range(100)) == 20


@pytest.mark.usefixtures("still")
async def test_above_the_rate_pages_are_429_and_the_clusters_own_questions_have_another() -> None:
    async with TestClient(TestServer(application(Readiness(), None, limits=HttpLimits(pages_per_second=1)))) as client:
        before = refused("/healthz", "rate")
        answers = [await client.get("/nowhere") for _ in range(3)]
        assert [answer.status for answer in answers] == [404, 404, 429]
        assert answers[2].headers["Retry-After"] == "1"
        answers = [await client.get("/healthz") for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429], "a crowd at the page kills no pod"
        assert refused("/healthz", "rate") == before + 1


@pytest.mark.usefixtures("still")
async def test_above_its_rate_alertmanager_is_asked_to_come_again(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with alerted(copy_of("SQLite", tmp_path, request)) as room:
        limits = HttpLimits(alerts_per_second=1, slack_per_second=1)
        routes = application(Readiness(), room.bot.slack.app, room.bot.alert_routes, limits=limits)
        async with TestClient(TestServer(routes)) as client:
            for path in ("/alerts", "/slack/events"):
                statuses = [(await client.post(path, data=b"x")).status for _ in range(3)]
                assert statuses == [401, 401, 503], "Alertmanager drops what is answered with 429"


@contextlib.asynccontextmanager
async def port(**limits: Any) -> AsyncIterator[int]:
    settings = replace(load({"HOST": "127.0.0.1", "PORT": "0"}), http=HttpLimits(**limits))
    ports: list[int] = []

    async with listening(settings, application(Readiness(), None), ports.append):
        yield ports[0]


async def test_for_a_connection_too_many_the_oldest_has_to_go() -> None:
    async with port(connections=3) as number, aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as opened:
        before = refused("none", "crowd")
        idle = [await asyncio.open_connection("127.0.0.1", number) for _ in range(3)]
        for _, writer in idle:
            opened.callback(writer.close)
        await asyncio.sleep(0)
        async with session.get(f"http://127.0.0.1:{number}/healthz") as answer:
            assert answer.status == 200, "who asks something gets in"
        async with asyncio.timeout(30):  # less than an idle connection is kept for
            assert await idle[0][0].read() == b""
        assert refused("none", "crowd") == before + 1
        idle[2][1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await idle[2][0].readline()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("said", [b"", b"GET /hea", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: b\r\n"], ids=ascii)
async def test_who_never_finishes_a_request_is_hung_up_on(said: bytes) -> None:
    async with port(slow_s=1) as number:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(said)
        dripping = asyncio.create_task(_drip(writer if said else None))
        try:
            async with asyncio.timeout(30):
                assert await reader.read() == b""
            assert time.monotonic() - began > 0.9
        finally:
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)
            writer.close()


async def _drip(writer: asyncio.StreamWriter | None) -> None:
    """A byte now and then, as slowloris does."""
    while writer is not None:
        await asyncio.sleep(0.2)
        writer.write(b"y")


async def test_a_port_that_is_taken_is_told() -> None:
    async with port() as number:
        settings = load({"HOST": "127.0.0.1", "PORT": str(number)})
        with pytest.raises(SettingsError, match="should hold an address that is free"):
            async with listening(settings, application(Readiness(), None)):
                pass


async def test_what_is_refused_is_counted_and_its_payload_told_nowhere(
    room: Alerted, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiting, "_TOLD_EVERY_S", 0.0)  # each of them is told
    caplog.set_level(logging.INFO, "bot")
    marked = "MARKED%0aforged"
    body = COMMAND.format(marked)
    asked: list[tuple[str, str, str, dict[str, str], int, str]] = [
        ("/slack/events", body, "unsigned", FORM, 401, "unsigned"),
        ("/slack/events", body, "forged", {**FORM, **signed(body, secret="MARKED")}, 401, "forged"),
        ("/slack/events", body, "replayed late", {**FORM, **signed(body, at=time.time() - 301)}, 401, "stale"),
        ("/slack/events", "x" * 1_000_001, "oversized", {**FORM, **signed("x")}, 413, "large"),
        ("/alerts", "MARKED", "wrong token", {"Authorization": "Bearer MARKED"}, 401, "token"),
        ("/alerts", "MARKED", "no JSON", {"Authorization": f"Bearer {TOKEN}"}, 400, "malformed"),
        ("/alerts", "x" * 1_100_000, "oversized", {"Authorization": f"Bearer {TOKEN}"}, 413, "large"),
    ]
    for path, sent, kind, headers, status, why in asked:
        before = refused(path, why)
        async with room.session.post(room.url + path, data=io.BytesIO(sent.encode()), headers=headers) as answer:
            assert (kind, answer.status) == (kind, status)
            assert "MARKED" not in await answer.text()
        assert refused(path, why) == before + 1, kind
        assert f"1 at {path} ({why})" in caplog.text, kind
    assert "MARKED" not in caplog.text


@pytest.mark.usefixtures("still")
async def test_a_crowd_of_refusals_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    limits = HttpLimits(pages_per_second=1)
    async with TestClient(TestServer(application(Readiness(), None, limits=limits))) as client:
        for _ in range(50):
            await client.get("/healthz")
    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert lines == ["requests were refused: 1 at /healthz (rate)"]


async def test_a_signed_request_that_is_replayed_at_once_is_carried_out_once(room: Alerted) -> None:
    await room.post(webhook(alert(labels={"severity": "critical"})))
    await room.settle()
    (incident,) = await room.bot.store.listed(open_only=True, limit=5)
    body = COMMAND.replace("note+3", f"note+{incident.id}").format("replayed")
    for _ in range(3):
        headers = {**FORM, **signed(body)}
        async with room.session.post(room.url + "/slack/events", data=body, headers=headers) as answer:
            assert answer.status == 200
    await room.bot.tasks.drain(10)
    notes = [entry for entry in await room.bot.store.timeline(incident.id) if "replayed" in str(entry)]
    assert len(notes) == 1


async def test_each_request_has_an_id_in_the_log(room: Alerted, monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.correlation import ids

    seen: list[dict[str, str]] = []
    logger = logging.getLogger("bot")
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda _: seen.append(dict(ids())))
    logger.addHandler(handler)
    try:
        body = COMMAND.replace("note+3+{}", "timeline+77")
        room.sandbox.slack.faults.add("chat.postEphemeral", _unavailable())
        for _ in range(2):
            async with room.session.post(room.url + "/alerts", data=b"{}", headers={**FORM, **signed(body)}):
                pass
        async with room.session.post(room.url + "/slack/events", data=body, headers={**FORM, **signed(body)}) as one:
            assert one.status == 200
        await room.bot.tasks.drain(10)
    finally:
        logger.removeHandler(handler)
    requests = [held["request"] for held in seen if "request" in held]
    assert requests
    assert all(len(one) == 12 for one in requests)


def _unavailable() -> Any:
    from bot.sandbox.slack.faults import refused as refusing

    return refusing("internal_error")


def test_the_route_and_why_of_refusals_are_bounded() -> None:
    samples = [one for family in REGISTRY.collect() for one in family.samples if "http_refusals_total" in one.name]
    assert len(samples) < 50
    assert not any("%" in json.dumps(one.labels) for one in samples)
