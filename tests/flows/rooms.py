"""A bot behind a real HTTP server, with Slack, a database and a cluster, where people ask for mitigations."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bot.configuration import load
from bot.domain.policy import ApprovalRule, Policy
from bot.domain.runs import Run
from bot.domain.scopes import SCOPES
from bot.running import Bot
from bot.sandbox.clock import MovedClock
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import Message, View
from bot.sandbox.story import Story
from bot.serve import wired
from bot.web.routes import application
from bot.worlds import prober
from tests.databases import copy_of, store_at
from tests.flows.test_incident_answers import ADA, Served
from tests.flows.test_incidents import form
from tests.mitigated import QUICK

ROBIN, CHRIS, GUEST = "U0REQUESTER", "U0COMMANDER", "U0GUEST"
HERE, ELSEWHERE = "C0INCIDENTS", "C0GENERAL"
ON_CALL = ApprovalRule(groups=frozenset({"S0ONCALL"}))


@dataclass(frozen=True)
class Room(Served):
    """One bot, whose policy can be chosen, with nothing that runs by itself: ``settle`` does what is to be done."""

    async def settle(self) -> None:
        await self.bot.tasks.drain(10)
        for _ in range(4):
            await self.bot.driver.claim()
            await self.bot.driver.idle()
        await self.send()

    async def open_form(self, user: str = ROBIN) -> View:
        return await form(self.slack, user)

    async def ask(self, words: str = "mitigate fallback", user: str = ROBIN, **values: Any) -> View:
        """By the command and its form; the form as it was."""
        await self.slack.command(words, user=user)
        view = await self.open_form(user)
        told = {"reason": "completions fail", **values}
        await self.slack.submit(view, {block: {"value": value} for block, value in told.items()})
        await self.settle()
        return view

    def card(self, part: str = "", remedy: str = "fallback") -> Message:
        """The newest card of a run."""
        return self.run_cards(part, remedy)[-1]

    def run_cards(self, part: str = "", remedy: str = "fallback") -> list[Message]:
        begin = f" `{remedy}` for *INC-"
        return [
            one
            for one in self.slack.messages
            if begin in one.text and "revert of" not in one.text and part in one.all_text
        ]

    async def runs(self, number: int = 1) -> list[Run]:
        return list(await self.bot.store.runs(number))

    async def click(self, card: Message, action: str, user: str = ADA) -> None:
        await self.slack.click(card, action, user=user)
        await self.settle()

    async def because(self, card: Message, action: str, reason: str, user: str = ADA) -> dict[str, Any]:
        """Clicks, and fills in the form that opens; what the bot acknowledged with."""
        await self.slack.click(card, action, user=user)
        answer = await self.slack.submit(await self.open_form(user), {"reason": {"value": reason}})
        await self.settle()
        return answer


def policy_of(*approvers: ApprovalRule) -> Policy:
    """Everybody but guests may ask; ``approvers`` may approve."""
    return Policy(mitigations=replace(QUICK, approvers=approvers))


@asynccontextmanager
async def room_in(
    uri: str, policy: Policy, story: Story | None = None, *, scenario: str = "all is well", **more: Any
) -> AsyncIterator[Room]:
    """A room with a sandbox in which ``scenario`` is, or ``story`` happens; its bot keeps what it does in the database.

    In a story the clock of the whole process can be moved. ``more``: settings of the bot.
    """
    sandbox = Sandbox(load_scenarios()[scenario], http_mode=True, clock=MovedClock() if story else None)
    sandbox.slack.workspace.scopes = set(SCOPES)
    sandbox.slack.ack_s = 90
    await sandbox.start()
    if story is not None:
        await sandbox.tell(story)
    settings = replace(load(sandbox.environment()), policy=policy, **more)
    store = store_at(uri)
    try:
        async with prober(settings) as asks:
            bot: Bot = wired(settings, asks, store, pace_s=0)
            sandbox.slack.request_url = await sandbox.serve(application(bot.readiness, bot.slack.app)) + "/slack/events"
            yield Room(bot, sandbox)
            await bot.tasks.drain(10)
    finally:
        await store.close()
        await sandbox.close()


@pytest.fixture
def policy() -> Policy:
    return policy_of(ON_CALL)


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest, policy: Policy) -> AsyncIterator[Room]:
    async with room_in(copy_of("SQLite", tmp_path, request), policy) as held:
        yield held
