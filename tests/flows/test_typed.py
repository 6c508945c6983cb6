"""What is typed after a command does what it says, or nothing: no word of it is passed over in silence."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.incident import Milestone
from bot.domain.policy import Policy
from tests.databases import copy_of
from tests.flows.desk import ROBIN, Desk, desk_at
from tests.flows.test_incident_answers import ADA


@pytest.fixture
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with desk_at(copy_of("SQLite", tmp_path, request), Policy()) as held:
        await held.declared(severity="P3")
        yield held


async def typed(desk: Desk, words: str) -> None:
    await desk.slack.command(words, user=ROBIN)
    await desk.bot.tasks.drain(5)
    await desk.send()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (
            "role commander ada",
            "I do not know “ada”: pick them from Slack's list, as in `/mistral role commander @ada`.",
        ),
        ("role commander @ada", "I do not know “@ada”"),
        ("role commander Ada &amp; Chris", "I do not know “Ada &amp; Chris”"),
        (f"role commander <@{ADA}|ada> chris", "I do not know “chris”"),
        ("role commander <!subteam^S0ONCALL|@oncall>", "A role is one person's: mention one"),
        ("role commander <!here>", "A role is one person's: mention one"),
        (f"role commander <@{ADA}|ada> <@U0COMMANDER|chris>", "A role is one person's: mention one"),
    ],
)
async def test_a_role_goes_to_nobody_but_whom_it_was_typed_for(desk: Desk, words: str, answer: str) -> None:
    await typed(desk, words)
    await desk.whispered(answer, ROBIN)
    incident = await desk.bot.incidents.one(1)
    assert incident.roles == {}
    assert Milestone.ACKNOWLEDGED not in incident.milestones, "the pager goes on"
