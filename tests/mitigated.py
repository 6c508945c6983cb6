"""Mitigations as the bot carries them out, over a real store and real upstreams, driven by the test's own hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from bot.clients.kubernetes import KubernetesCluster
from bot.configuration import load
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.policy import ApprovalRule, Mitigations
from bot.domain.runs import Run
from bot.domain.timeline import Kind
from bot.handlers.mitigation import Asked
from bot.handlers.probing import Prober
from bot.running import Bot
from bot.serve import wired
from bot.settings import Settings
from bot.worlds import prober
from tests.databases import store_at

ROBIN, ADA = "U0REQUESTER", "U0APPROVER"
QUICK = Mitigations(
    approvers=(ApprovalRule(users=frozenset({ROBIN, ADA})),),
    look_every=timedelta(milliseconds=50),
    verify_every=timedelta(milliseconds=20),
    verify_within=timedelta(seconds=3),
)


@dataclass(kw_only=True)
class World:
    """One bot with one incident; nothing of it runs by itself."""

    settings: Settings
    asks: Prober
    bot: Bot
    incident: int = 0
    generation: int = 0

    @property
    def cluster(self) -> KubernetesCluster:
        held = self.asks.worlds["default"].cluster
        assert isinstance(held, KubernetesCluster)
        return held

    async def ask(self, remedy: str, user: str = ROBIN, **arguments: str) -> Run:
        asked = Asked(
            incident=self.incident,
            target="default",
            remedy=remedy,
            arguments=arguments,
            severity=Severity.P3,
            user=user,
            reason="completions fail",
        )
        made = await self.bot.mitigations.ask(asked, f"view:{remedy}{arguments}{asyncio.get_running_loop().time()}")
        return await self.settled(made)

    async def approve(self, run: Run, user: str = ADA) -> Run:
        await self.bot.mitigations.approve(run.id, user, frozenset(), f"click:{run.id}:{user}")
        return await self.settled(run)

    async def done(self, remedy: str, **arguments: str) -> Run:
        return await self.approve(await self.ask(remedy, **arguments))

    async def settled(self, run: Run) -> Run:
        """The run when nothing is left to be done for any but people."""
        for _ in range(4):
            await self.bot.driver.claim()
            await self.bot.driver.idle()
        return await self.bot.mitigations.one(run.id)

    async def runs(self) -> list[Run]:
        return list(await self.bot.store.runs(self.incident))

    async def deployment(self) -> dict[str, Any]:
        return await self.cluster.get("Deployment", "mistral-service")

    async def env(self) -> dict[str, str]:
        held = (await self.deployment())["spec"]["template"]["spec"]["containers"][0]["env"]
        return {one["name"]: one.get("value", "") for one in held}

    async def changes(self) -> int:
        """How often the deployment's spec was changed; dry runs change nothing."""
        return int((await self.deployment())["metadata"]["generation"]) - self.generation

    async def timeline(self) -> list[str]:
        entries = await self.bot.store.timeline(self.incident)
        return [one.event.text for one in entries if one.event.kind is Kind.MITIGATION]


@asynccontextmanager
async def world_in(
    environ: dict[str, str], url: str, policy: Mitigations = QUICK, *, counted: bool = True
) -> AsyncIterator[World]:
    """A bot with these settings, and its database at ``url``. ``counted``: the deployment can be read."""
    settings = load({**environ, "DATABASE_URL": url})
    settings = replace(settings, policy=replace(settings.policy, mitigations=policy))
    store = store_at(url)
    try:
        async with prober(settings) as asks:
            bot = wired(settings, asks, store, pace_s=0)
            await bot.tasks.drain(20)
            declaration = Declaration(target="default", title="Completions fail", severity=Severity.P3, channel="C1")
            incident = await bot.incidents.declare(declaration, ROBIN, "view:1")
            world = World(settings=settings, asks=asks, bot=bot, incident=incident.id)
            world.generation = await world.changes() if counted else 0
            yield world
    finally:
        await store.close()
