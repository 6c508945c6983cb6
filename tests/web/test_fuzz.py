"""Whatever comes over HTTP, to every route that there is: an answer in time, never a 500, and the bot goes on."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from yarl import URL

from bot.sandbox.slack.delivery import signed
from bot.settings import StatusPageSettings
from bot.slack.aftermath import BUTTONS as AFTER_BUTTONS
from bot.slack.aftermath import FORMS as AFTER_FORMS
from bot.slack.mitigation_forms import FORMS
from bot.slack.mitigations import ASK, BUTTONS
from bot.slack.updates import FORMS as UPDATE_FORMS
from bot.web.routes import application
from bot.web.status import StatusRoutes
from tests.databases import copy_of
from tests.flows.alerting import TOKEN, Alerted, alert, alerted, webhook
from tests.public import COMPONENTS

Case = tuple[Any, ...]
TEXT = st.text(max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
HEADERS = st.dictionaries(
    st.sampled_from(["Accept-Encoding", "If-None-Match", "X-Slack-Signature", "X-Forwarded-For", "Range", "Origin"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
)
METHODS = st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
ACTIONS = ("triage", "declare", "update", "resolve", "reopen", "snooze_10", f"{ASK}restart", *BUTTONS, *AFTER_BUTTONS)
CALLBACKS = ("declare", "send", *UPDATE_FORMS, *FORMS, *AFTER_FORMS)


def drawn(strategy: st.SearchStrategy[Case], count: int) -> list[Case]:
    """What hypothesis makes of ``strategy``, the same in every run; asked for first, since a server needs its loop."""
    held: list[Case] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(strategy)
    def collect(case: Case) -> None:
        held.append(case)

    collect()
    return held


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Alerted]:
    async with alerted(copy_of("SQLite", tmp_path, request)) as held:
        yield held


@pytest.fixture
async def client(room: Alerted) -> AsyncIterator[TestClient[Any, Any]]:
    """Of every route that the bot has."""
    status = StatusRoutes(room.bot.store, StatusPageSettings(), COMPONENTS, None)
    routes = application(room.bot.readiness, room.bot.slack.app, room.bot.alert_routes, status)
    async with TestClient(TestServer(routes)) as held:
        yield held


async def answered(client: TestClient[Any, Any], method: str, path: str, **more: Any) -> int:
    async with asyncio.timeout(8), client.request(method, URL(path, encoded=True), **more) as answer:
        await answer.read()
        return int(answer.status)


async def test_any_request_to_any_route(client: TestClient[Any, Any], caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(client.server, TestServer)
    resources = sorted({resource.canonical for resource in client.server.app.router.resources()})
    assert {"/healthz", "/readyz", "/metrics", "/slack/events", "/alerts", "/status"} <= set(resources)
    cases = st.tuples(METHODS, st.sampled_from(resources), TEXT, TEXT, HEADERS, st.binary(max_size=200))
    for method, route, part, query, headers, body in drawn(cases, 400):
        path = route.replace("{slug}", quote(part, safe="")) + f"?before={quote(query)}"
        status = await answered(client, method, path, headers=headers, data=io.BytesIO(body))
        assert status < 500 or (status, route) == (503, "/readyz"), (method, path, headers, body)
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []


async def test_any_json_as_an_alert(client: TestClient[Any, Any], room: Alerted) -> None:
    usual = webhook(alert())
    changed = st.tuples(st.sampled_from(["/alerts", "/alerts/generic"]), st.sampled_from([*usual, "labels", ""]), JSON)
    for path, key, value in drawn(changed, 300):
        labelled = webhook(alert(labels={"x": value}))
        told: Any = value if not key else labelled if key == "labels" else usual | {key: value}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        status = await answered(client, "POST", path, headers=headers, data=json.dumps(told).encode())
        assert status in (200, 400), (path, told)
    await room.settle()
    assert await answered(client, "GET", "/status") == 200


def _interaction(kind: str, name: str, value: Any, state: Any) -> Mapping[str, Any]:
    person = {"id": "U0REQUESTER", "team_id": "T0SANDBOX"}
    base = {"type": kind, "user": person, "team": {"id": "T0SANDBOX"}, "trigger_id": "1.2.3"}
    if kind == "block_actions":
        action = {"action_id": name, "block_id": "b", "type": "button", "value": value, "action_ts": "1.2"}
        return base | {"actions": [action], "channel": {"id": "C0INCIDENTS"}, "container": {}}
    view = {"id": "V1", "callback_id": name, "private_metadata": value, "state": {"values": state}, "type": "modal"}
    return base | {"view": view}


async def test_any_payload_that_slack_could_sign(client: TestClient[Any, Any], room: Alerted) -> None:
    clicks: st.SearchStrategy[Case] = st.tuples(st.just("block_actions"), st.sampled_from(ACTIONS), TEXT, st.just({}))
    blocks = st.sampled_from(["title", "severity", "status", "reason", "public_text", "impact", "components"])
    held = st.dictionaries(blocks, st.dictionaries(st.just("value"), JSON, max_size=1), max_size=4)
    forms: st.SearchStrategy[Case] = st.tuples(st.just("view_submission"), st.sampled_from(CALLBACKS), TEXT, held)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for kind, name, value, state in drawn(clicks | forms, 250):
        body = urlencode({"payload": json.dumps(_interaction(kind, name, value, state))})
        status = await answered(client, "POST", "/slack/events", data=body, headers={**form, **signed(body)})
        assert status == 200, (kind, name, value, state)
    verbs = st.sampled_from(["", "note ", "severity ", "role ", "mitigate ", "action ", "evidence "])
    commands = st.tuples(verbs, TEXT)
    for verb, text in drawn(commands, 150):
        told = {"command": "/mistral", "text": verb + text, "user_id": "U0REQUESTER", "channel_id": "C0INCIDENTS"}
        body = urlencode(told | {"team_id": "T0SANDBOX", "trigger_id": "1.2.3"})
        assert await answered(client, "POST", "/slack/events", data=body, headers={**form, **signed(body)}) == 200
    await room.bot.tasks.drain(20)
