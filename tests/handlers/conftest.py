"""A real database and the sandbox's Slack, and deliveries between them that a test makes by its own hand."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.configuration import load
from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.incident import Incident, Role
from bot.domain.policy import Policy
from bot.domain.scopes import SCOPES
from bot.handlers.delivery import DeliveryHandler
from bot.handlers.incident import IncidentHandler
from bot.render import Renderer
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import Message, Workspace
from bot.sandbox.slack.faults import CUT, LOST, late, rate_limited, server_error
from bot.slack.client import web_client
from bot.slack.messenger import SlackMessenger
from bot.store.sql import SqlStore
from tests.databases import copy_of, store_at
from tests.fakes import FakeClock

ROBIN, ADA, HERE = "U0REQUESTER", "U0APPROVER", "C0INCIDENTS"
# How long a call to Slack is waited for, where nothing depends on it; and where its end is waited for.
PATIENCE_S, SHORT_S = 30, 1
POLICY = Policy(own_channel=True)
# With how long a call is waited for.
ONE_FAULT = {
    "429": (rate_limited(1), PATIENCE_S),
    "429 for a minute": (rate_limited(60), PATIENCE_S),
    "500": (server_error(), PATIENCE_S),
    "503": (server_error(503), PATIENCE_S),
    "too late": (late(SHORT_S + 0.5), SHORT_S),
    "lost": (LOST, PATIENCE_S),
    "cut": (CUT, PATIENCE_S),
}


@dataclass(frozen=True)
class World:
    sandbox: Sandbox
    store: SqlStore
    clock: FakeClock
    deliveries: DeliveryHandler
    incidents: IncidentHandler

    @property
    def slack(self) -> Workspace:
        return self.sandbox.slack.workspace

    def own_channel(self) -> "World":
        """The same, with a channel for each incident."""
        return replace(
            self,
            deliveries=replace(self.deliveries, policy=POLICY),
            incidents=replace(self.incidents, policy=POLICY),
        )

    async def declare(self, *, channel: str = HERE, impact: str = "", commander: str | None = None) -> Incident:
        told = Declaration(
            target="default",
            title="Completions fail",
            severity=Severity.P1,
            channel=channel,
            impact=impact,
            commander=commander,
        )
        return await self.incidents.declare(told, ROBIN, "view:1")

    async def give(self, incident: Incident, role: Role, user: str = ADA) -> None:
        await self.incidents.act(incident.id, lambda one, now: acts.give_role(one, role, user, ROBIN, now))

    async def settle(self) -> None:
        """Until nothing waits; the clock goes on where nothing is due yet."""
        for _ in range(40):
            while await self.deliveries.send_some():
                pass
            if not {"waiting", "sending"} & set(await self.store.waiting()):
                return
            self.clock.advance(60)
        raise AssertionError(f"something still waits: {await self.store.waiting()}")

    async def dead(self) -> int:
        return (await self.store.waiting()).get("dead", 0)

    def said(self, part: str, channel: str | None = None) -> list[Message]:
        return [
            one
            for one in self.slack.messages
            if part in one.all_text and (channel is None or one.channel == channel) and not one.only_for
        ]


@pytest.fixture
def timeout_s() -> int:
    """Of a call to Slack."""
    return PATIENCE_S


@pytest.fixture
async def world(tmp_path: Path, request: pytest.FixtureRequest, timeout_s: int) -> AsyncIterator[World]:
    sandbox = Sandbox(load_scenarios()["all is well"])
    await sandbox.start()
    sandbox.slack.workspace.scopes = set(SCOPES)
    settings, store, clock = load(sandbox.environment()), store_at(copy_of("SQLite", tmp_path, request)), FakeClock()
    messenger = SlackMessenger(
        client=web_client(settings, timeout_s=timeout_s),
        renderer=Renderer(),
        network=settings.network,
        patience_s=0.0,
        pace_s=0.0,
    )
    deliveries = DeliveryHandler(store=store, messenger=messenger, pagers=(), clock=clock, policy=Policy())
    incidents = IncidentHandler(store=store, clock=clock, policy=Policy(), wake=deliveries.wake)
    yield World(sandbox, store, clock, deliveries, incidents)
    await store.close()
    await sandbox.close()
