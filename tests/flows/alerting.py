"""A bot behind a real HTTP server that alerts are sent to, with a database and the sandbox's Slack."""

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from bot.configuration import load
from bot.domain.alerts import Alerts, digest
from bot.domain.scopes import SCOPES
from bot.running import Bot
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import Message
from bot.serve import wired
from bot.web.routes import application
from bot.worlds import prober
from tests.databases import store_at
from tests.fakes import NOW, FakeClock
from tests.flows.test_incident_answers import Served
from tests.flows.test_incidents import said

TOKEN = "a-token-of-alertmanagers"


@dataclass(frozen=True)
class Alerted(Served):
    """One bot with nothing that runs by itself: ``settle`` does what is to be done."""

    url: str
    clock: FakeClock
    session: aiohttp.ClientSession

    async def post(self, body: Any, path: str = "/alerts", token: str | None = TOKEN) -> tuple[int, str]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        held: Mapping[str, Any] = {"data": io.BytesIO(body)} if isinstance(body, bytes) else {"json": body}
        async with self.session.post(self.url + path, headers=headers, **held) as response:
            return response.status, await response.text()

    async def tell(self, *alerts: Mapping[str, Any], **more: Any) -> None:
        """By Alertmanager's webhook, and until all that comes of it is done."""
        assert await self.post(webhook(*alerts, **more)) == (200, "ok\n")
        await self.settle()

    async def settle(self) -> None:
        await self.bot.alerts.tick()
        await self.send()
        await self.bot.tasks.drain(10)

    def said(self, part: str) -> list[Message]:
        return said(self.slack, part)


def alert(name: str = "MistralErrors", status: str = "firing", began: str = "11:55", **more: Any) -> dict[str, Any]:
    """One alert as Alertmanager tells it; ``began`` is a time of the tests' day."""
    labels = {"alertname": name, "severity": "critical", **more.pop("labels", {})}
    return {
        "status": status,
        "labels": labels,
        "annotations": {"summary": "more than 5 % of requests fail"},
        "startsAt": f"2026-07-01T{began}:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else f"{NOW:%Y-%m-%d}T12:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=up",
        "fingerprint": digest(labels)[:16],
        **more,
    }


def webhook(*alerts: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": '{}:{alertname="MistralErrors"}',
        "status": "firing" if any(one.get("status") == "firing" for one in alerts) else "resolved",
        "receiver": "mistral-bot",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "truncatedAlerts": 0,
        "alerts": list(alerts),
        **more,
    }


@asynccontextmanager
async def alerted(database: str, rules: Alerts | None = None, **environ: str) -> AsyncIterator[Alerted]:
    """The bot over ``database``, whose clock stands at the tests' NOW until it is moved."""
    sandbox = Sandbox(load_scenarios()["rate limited under the usual traffic"], http_mode=True)
    sandbox.slack.workspace.scopes = set(SCOPES)
    sandbox.slack.ack_s = 90
    await sandbox.start()
    settings = load({**sandbox.environment(), "ALERTMANAGER_TOKEN": TOKEN, **environ})
    settings = replace(settings, alerts=rules or settings.alerts)
    store, clock = store_at(database), FakeClock()
    try:
        async with prober(settings) as asks, aiohttp.ClientSession() as session:
            bot: Bot = wired(settings, replace(asks, clock=clock), store, pace_s=0.0)
            url = await sandbox.serve(application(bot.readiness, bot.slack.app, bot.alert_routes))
            sandbox.slack.request_url = url + "/slack/events"
            yield Alerted(bot, sandbox, url, clock, session)
            await bot.tasks.drain(10)
    finally:
        await store.close()
        await sandbox.close()
