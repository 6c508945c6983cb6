"""A bot behind a real HTTP server where updates are written: three audiences, two components, one status page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from bot.configuration import load
from bot.domain.causes import Severity
from bot.domain.policy import Policy
from bot.domain.publication import PublicIncident
from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import Message, View
from bot.serve import wired
from bot.web.routes import application
from bot.worlds import prober
from tests.databases import store_at
from tests.flows.test_incident_answers import Served
from tests.flows.test_incidents import cards, form

ROBIN, HERE, SUPPORT = "U0REQUESTER", "C0INCIDENTS", "C0GENERAL"
STAKEHOLDERS = Policy(stakeholders={Severity.P1: (SUPPORT,), Severity.P2: (SUPPORT,)})
COMPONENTS = ("Chat", "Search")


@dataclass(frozen=True)
class Desk(Served):
    """Where updates are written."""

    async def filled(self, words: str = "update", user: str = ROBIN, **values: Any) -> View:
        """The preview of a form that was filled in."""
        await self.slack.command(words, user=user)
        view = await form(self.slack, user)
        answer = await self.slack.submit(view, {block: {"value": value} for block, value in values.items()})
        assert answer["response_action"] == "push", answer
        return self.slack.views[user]

    async def opened(self, words: str = "update", user: str = ROBIN) -> View:
        await self.slack.command(words, user=user)
        return await form(self.slack, user)

    async def click_send(self, preview: View) -> dict[str, Any]:
        answer = await self.slack.submit(preview)
        await self.send()
        return answer

    def posts(self, channel: str = HERE) -> list[Message]:
        """What everybody sees there, cards left out."""
        shown = cards(self.slack)
        return [one for one in self.slack.messages if one.channel == channel and not one.only_for and one not in shown]

    async def public(self, number: int = 1) -> PublicIncident | None:
        return await self.bot.store.public(number)


@asynccontextmanager
async def desk_at(url: str, policy: Policy, **more: Any) -> AsyncIterator[Desk]:
    sandbox = Sandbox(load_scenarios()["all is well"], http_mode=True)
    sandbox.slack.workspace.scopes = set(SCOPES)
    sandbox.slack.ack_s = 90
    await sandbox.start()
    settings, store = load(sandbox.environment()), store_at(url)
    settings = replace(settings, policy=policy, components=COMPONENTS, **more)
    try:
        async with prober(settings) as asks:
            bot = wired(settings, asks, store, pace_s=0)
            sandbox.slack.request_url = await sandbox.serve(application(bot.readiness, bot.slack.app)) + "/slack/events"
            yield Desk(bot, sandbox)
            await bot.tasks.drain(5)
    finally:
        await store.close()
        await sandbox.close()


def without_ids(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: held for name, held in block.items() if name != "block_id"} for block in blocks]
