"""Every story of the sandbox through Slack: its cause is found, what is listed cures it, what is ruled out does not.

The bot runs in this process, on a clock that is moved on while it verifies: the errors of the last five minutes count.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.policy import ApprovalRule
from bot.domain.runs import Outcome, State
from bot.domain.table import ROWS
from bot.sandbox.slack import Message
from bot.sandbox.story import Story, load_stories
from bot.settings import Timeouts
from tests.databases import copy_of
from tests.flows.rooms import Room, policy_of, room_in
from tests.flows.test_incident_answers import ADA
from tests.mitigated import QUICK, ROBIN

STORIES = load_stories()
CURES = [(story, remedy) for story in STORIES.values() for remedy in story.cures]
# where something fails; what a healthy world must not be treated with could cure nothing
FAILING = [story for story in STORIES.values() if story.scenario.expect.severity != "P4"]
NEVER = [(story, remedy) for story in FAILING for remedy in story.scenario.expect.never]
EVERYBODY = ApprovalRule(users=frozenset({ROBIN, ADA}))
POLICY = replace(
    policy_of(EVERYBODY),
    mitigations=replace(
        QUICK, approvers=(EVERYBODY,), verify_within=timedelta(minutes=9), rollout_within=timedelta(minutes=60)
    ),
)
STEP_S = 30
# for what is left without an answer
SHORT_S = 1.5


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest, story: Story) -> AsyncIterator[Room]:
    mistral = story.scenario.mistral
    hangs = mistral is not None and mistral.models.fail == "timeout"
    timeouts = Timeouts(mistral_api=SHORT_S, canary=SHORT_S) if hangs else Timeouts()
    async with room_in(copy_of("SQLite", tmp_path, request), POLICY, story, timeouts=timeouts) as held:
        yield held


def named(held: object) -> str:
    return held.name if isinstance(held, Story) else str(held)


async def triaged(room: Room, cause: str) -> Message:
    """The card of a triage that found ``cause``."""
    await room.slack.command("triage")
    card: Message = await room.slack.wait_for(
        lambda: next((one for one in room.slack.messages if f"`{cause}`" in one.all_text), None), timeout_s=30
    )
    return card


def offered(card: Message) -> tuple[str, ...]:
    """The remedies that have a button."""
    buttons = [one.get("action_id", "") for block in card.blocks for one in block.get("elements", ())]
    return tuple(one.removeprefix("mitigate_") for one in buttons if one.startswith("mitigate_"))


async def carried_out(room: Room, remedy: str, **more: str) -> Outcome | None:
    """The remedy asked for and approved; time goes on until it has ended."""
    secret = {"argument_secret": "mistral-secrets-new"} if remedy == "rotate_key" else {}
    await room.ask(f"mitigate {remedy}", title="It fails", severity="P2", **secret, **more)
    (run,) = await room.runs()
    if run.state is not State.PROPOSED:
        return run.outcome  # refused at once, as a key is that the API does not take
    approving = asyncio.create_task(room.click(room.card("waits for approval", remedy), "approve"))
    while not approving.done():
        await asyncio.sleep(0.05)
        (run,) = await room.runs()
        if run.state is State.VERIFYING:
            room.sandbox.move_clock(STEP_S)
    await approving
    (run,) = await room.runs()
    return run.outcome


def test_there_is_a_story_for_every_cause_of_the_table() -> None:
    told = {story.scenario.expect.cause for story in STORIES.values()}
    assert told == {row.cause for row in ROWS}


@pytest.mark.parametrize("story", STORIES.values(), ids=named)
async def test_a_story_is_diagnosed_as_its_own_cause(room: Room, story: Story) -> None:
    expect = story.scenario.expect
    card = await triaged(room, expect.cause)
    assert offered(card) == expect.mitigations
    assert expect.severity in str(card.blocks[0])


def test_what_a_story_lists_is_what_cures_it() -> None:
    for story in STORIES.values():
        assert set(story.cures) == set(story.scenario.expect.mitigations or ()), story.name


@pytest.mark.parametrize(("story", "remedy"), CURES, ids=named)
async def test_what_a_story_lists_cures_it(room: Room, remedy: str) -> None:
    assert await carried_out(room, remedy) is Outcome.FIXED
    assert room.sandbox.world.telling is not None
    assert room.sandbox.world.telling.cured


@pytest.mark.parametrize(("story", "remedy"), NEVER, ids=named)
async def test_what_must_never_be_used_does_not_cure_a_story(room: Room, remedy: str) -> None:
    assert await carried_out(room, remedy) is not Outcome.FIXED
    assert room.sandbox.world.telling is not None
    assert not room.sandbox.world.telling.cured
