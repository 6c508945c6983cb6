"""A target that the settings have lost while a mitigation of it is in place: everything still says what to do.

Two bots, one after the other, on the same database: the second one's settings do not know the target any more.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bot.configuration import load
from bot.domain.runs import REVERT, State
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from tests.databases import copy_of
from tests.flows.rooms import CHRIS, ON_CALL, ROBIN, Room, policy_of, room_in

GONE = "The target “eu” is not configured any more (it was default/mistral-service): put it back under that name, or"


@asynccontextmanager
async def with_eu(uri: str) -> AsyncIterator[Room]:
    """A bot that knows the target `eu`, whose cluster and upstreams are a sandbox of their own."""
    eu = Sandbox(load_scenarios()["all is well"])
    await eu.start()
    try:
        here = load(eu.environment()).targets[0]
        async with room_in(uri, policy_of(ON_CALL), targets=(here, replace(here, name="eu"))) as room:
            yield room
    finally:
        await eu.close()


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Room]:
    """`fallback` is in place on `eu`, which is not configured any more."""
    uri = copy_of("SQLite", tmp_path, request)
    async with with_eu(uri) as before:
        told = {"title": "Completions fail", "severity": "P2"}
        await before.ask("mitigate fallback eu", **told)
        await before.click(before.card(), "approve")
        (run,) = await before.runs()
        assert (run.target, run.in_place) == ("eu", True), run.said
    async with room_in(uri, policy_of(ON_CALL)) as held:
        # the ids of this Slack's forms begin anew, and the first was sent to the other one already
        await held.slack.command("revert")
        await held.slack.close(await held.open_form())
        yield held


async def test_a_revert_says_what_to_do_and_has_its_commands(room: Room) -> None:
    await room.slack.command("revert")
    await room.slack.submit(await room.open_form(), {"reason": {"value": "the provider is back"}})
    await room.settle()
    back = (await room.runs())[-1]
    assert (back.remedy, back.state) == (REVERT, State.CANCELLED)
    card = next(one for one in room.slack.messages if "revert of `fallback` for" in one.text)
    assert f"{GONE} use kubectl." in card.text
    await room.click(card, "kubectl", CHRIS)
    told = await room.whispered("The same by kubectl", CHRIS)
    assert "kubectl -n default set env deployment/mistral-service" in told.all_text
    assert "MISTRAL_FALLBACK=false" in told.all_text


async def test_the_end_of_its_incident_says_why_nothing_looks_whether_it_is_over(room: Room) -> None:
    await room.slack.command("resolve 1")
    await room.open_form()
    await room.bot.tasks.drain(10)
    view = room.slack.views[ROBIN]
    assert "no triage can look whether it is over: the target “eu” is not configured any more" in view.all_text
    assert "failed" not in view.all_text


async def test_a_triages_button_tells_a_target_that_is_not_there_from_one_without_a_cluster(room: Room) -> None:
    await room.slack.command("mitigate")
    listed = await room.whispered("*Remedies*", ROBIN)
    old = listed.as_seen()
    for element in (one for block in old.blocks for one in block.get("elements", ()) if "value" in one):
        element["value"] = "target:eu"
    await room.slack.click(old, "mitigate_fallback", user=CHRIS)
    await room.whispered("There is no target “eu”; there are default.", CHRIS)
