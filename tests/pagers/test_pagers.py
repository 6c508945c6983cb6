"""Pagers over the wire: what they are told of an incident, what an answer means, and no key in any sentence."""

import contextlib
import logging
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from bot.clients.http import HttpClient
from bot.configuration import load
from bot.domain.causes import Severity
from bot.domain.incident import PAGER, Change, Outgoing, Priority
from bot.errors import BadAnswer, BotError, Forbidden, Unreachable
from bot.handlers.delivery import DeliveryHandler
from bot.pagers import pagers
from bot.ports import Messenger, Pager
from bot.settings import Limits, Network
from tests.databases import store_at
from tests.domain.incidents import POLICY, declared
from tests.fakes import NOW, FakeClock, FakeHttp
from tests.upstreams import answering

KEY = "R0UTINGKEY" + "0123456789abcdef" + "planted"
PATH = "/hook/planted-token"
INCIDENT = replace(declared(Severity.P2, title='Ünï 🔥 "quoted" <!channel>'), id=7)
VARIABLES = {"PagerDuty": "PAGERDUTY_EVENTS_URL", "webhook": "PAGER_WEBHOOK_URL"}


@dataclass
class Upstream:
    """Takes posts anywhere; answers them with ``status``."""

    url: str = ""
    status: int = 202
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((request.path, await request.json()))
        return web.json_response({"status": "told"}, status=self.status)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    held = Upstream()
    app = web.Application()
    app.router.add_post("/{path:.*}", held.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    held.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield held
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    held = HttpClient(Network(), Limits().response_bytes)
    yield held
    await held.close()


def pager(name: str, url: str, http: HttpClient) -> Pager:
    environ = {VARIABLES[name]: url + PATH}
    if name == "PagerDuty":
        environ["PAGERDUTY_ROUTING_KEY"] = KEY
    (made,) = pagers(load(environ), http)
    return made


def test_only_what_is_configured_is_called() -> None:
    both = {"PAGERDUTY_ROUTING_KEY": KEY, "PAGER_WEBHOOK_URL": "https://example.com/hook"}
    assert pagers(load({}), FakeHttp()) == ()
    assert [type(one).__name__ for one in pagers(load(both), FakeHttp())] == ["PagerDuty", "Webhook"]


@pytest.mark.parametrize("action", ["trigger", "acknowledge", "resolve"])
async def test_pagerduty_hears_of_one_alert_that_follows_the_incident(
    action: str, upstream: Upstream, http: HttpClient
) -> None:
    await pager("PagerDuty", upstream.url, http).page(action, INCIDENT)
    assert upstream.got == [
        (
            PATH,
            {
                "routing_key": KEY,
                "event_action": action,
                "dedup_key": "mistral-bot-20260701T120000-7",
                "client": "mistral-incident-bot",
                "payload": {
                    "summary": 'P2 INC-7: Ünï 🔥 "quoted" <!channel>',
                    "source": "default",
                    "severity": "error",
                    "timestamp": "2026-07-01T12:00:00+00:00",
                },
            },
        )
    ]


@pytest.mark.parametrize(
    ("severity", "told"),
    [(Severity.P1, "critical"), (Severity.P2, "error"), (Severity.P3, "warning"), (Severity.P4, "info")],
)
async def test_pagerduty_has_words_of_its_own_for_severities(
    severity: Severity, told: str, upstream: Upstream, http: HttpClient
) -> None:
    await pager("PagerDuty", upstream.url, http).page("trigger", replace(INCIDENT, severity=severity))
    assert upstream.got[0][1]["payload"]["severity"] == told


async def test_the_dedup_key_is_the_incidents_and_stays(upstream: Upstream, http: HttpClient) -> None:
    asked = pager("PagerDuty", upstream.url, http)
    changed = replace(
        INCIDENT, severity=Severity.P1, title="Other", updated_at=INCIDENT.updated_at + timedelta(hours=1)
    )
    elsewhere = replace(INCIDENT, declared_at=INCIDENT.declared_at + timedelta(seconds=1))
    for incident in (INCIDENT, changed, replace(INCIDENT, id=8), elsewhere):
        await asked.page("trigger", incident)
    first, second, *others = (told["dedup_key"] for _, told in upstream.got)
    assert first == second
    assert len({first, *others}) == 3


async def test_a_webhook_hears_what_it_is_about(upstream: Upstream, http: HttpClient) -> None:
    await pager("webhook", upstream.url, http).page("trigger", INCIDENT)
    assert upstream.got == [
        (
            PATH,
            {
                "action": "trigger",
                "id": 7,
                "title": 'Ünï 🔥 "quoted" <!channel>',
                "severity": "P2",
                "status": "investigating",
                "target": "default",
                "declared_at": "2026-07-01T12:00:00+00:00",
            },
        )
    ]


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, BadAnswer) for status in (429, 500, 503)),
        *((status, Forbidden) for status in (302, 400, 401, 403, 404)),
    ],
)
async def test_what_may_be_taken_later_is_tried_again_and_a_refusal_is_final(
    name: str, status: int, kind: type[BotError], upstream: Upstream, http: HttpClient
) -> None:
    upstream.status = status
    with pytest.raises(kind, match=str(status)) as caught:
        await pager(name, upstream.url, http).page("trigger", INCIDENT)
    assert type(caught.value) is kind
    assert kind is BadAnswer or "check PAGER" in str(caught.value)


@pytest.mark.parametrize("name", VARIABLES)
async def test_what_cannot_be_reached_is_tried_again(name: str, upstream: Upstream, http: HttpClient) -> None:
    async with answering(202, b"") as gone:
        pass
    with pytest.raises(Unreachable, match="cannot be reached"):
        await pager(name, gone, http).page("trigger", INCIDENT)


@pytest.mark.parametrize("name", VARIABLES)
async def test_a_page_that_was_taken_is_taken_whatever_the_answer_says(name: str, http: HttpClient) -> None:
    async with answering(202, b"x" * (Limits().response_bytes + 1)) as url:
        await pager(name, url, http).page("trigger", INCIDENT)


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("status", [200, 400, 503])
async def test_neither_key_nor_address_is_in_a_sentence_or_a_log(
    name: str, status: int, upstream: Upstream, http: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.status = status
    asked = pager(name, upstream.url, http)
    said = repr(asked)
    try:
        await asked.page("trigger", INCIDENT)
    except BotError as error:
        said += repr(error) + repr(error.__cause__) + repr(error.__context__)
    assert KEY not in said + caplog.text
    if name == "webhook":
        assert PATH not in said
        assert PATH not in "".join(one.getMessage() for one in caplog.records if one.name.startswith("bot"))


@pytest.mark.parametrize(("refused", "waiting"), [(404, {"dead": 1}), (503, {"waiting": 1})])
async def test_one_pager_that_fails_keeps_no_other_from_ringing(
    refused: int, waiting: dict[str, int], upstream: Upstream, http: HttpClient, tmp_path: Path, migrated_sqlite: Path
) -> None:
    path = tmp_path / "bot.db"
    shutil.copy(migrated_sqlite, path)
    store = store_at(f"sqlite+aiosqlite:///{path}")
    async with contextlib.AsyncExitStack() as held:
        held.push_async_callback(store.close)
        broken = await held.enter_async_context(answering(refused, b""))
        both = {"PAGER_WEBHOOK_URL": upstream.url + PATH, "PAGERDUTY_EVENTS_URL": broken, "PAGERDUTY_ROUTING_KEY": KEY}
        handler = DeliveryHandler(
            store=store,
            messenger=cast(Messenger, None),  # nothing is said in Slack
            pagers=pagers(load(both), http),
            clock=FakeClock(),
            policy=POLICY,
        )
        ring = Outgoing(kind="page", to=PAGER, template="trigger", priority=Priority.PAGE)
        await store.create(Change(incident=declared(), messages=(ring,)), now=NOW, request="view:1")
        while await handler.send_some():
            pass
        assert [path for path, _ in upstream.got] == [PATH]
        assert await store.waiting() == waiting
