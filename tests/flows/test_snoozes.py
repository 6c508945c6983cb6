"""A reminder's Snooze puts off the update that it is about, and no other, through the front door."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.policy import Policy
from bot.sandbox.slack import Message
from tests.databases import copy_of
from tests.flows.desk import ROBIN, Desk, desk_at
from tests.flows.test_incident_answers import ADA

MINUTES = timedelta(minutes=1)
# People are reminded of an update of a P1, which is due in 15 minutes, at once.
EARLY = Policy(remind_before=20 * MINUTES)


@pytest.fixture
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with desk_at(copy_of("SQLite", tmp_path, request), EARLY) as held:
        await held.declared()
        yield held


async def reminded(desk: Desk) -> Message:
    """The newest reminder, as it stands in the channel."""
    await desk.bot.incidents.tick()
    await desk.send()
    return [one for one in desk.posts() if "an update is due" in one.text][-1]


async def due(desk: Desk) -> tuple[datetime | None, int]:
    """(when the next update is due, how often it was put off)."""
    incident = await desk.bot.incidents.one(1)
    return incident.next_update_at, incident.snoozes


async def test_a_reminder_of_an_update_that_was_sent_puts_off_no_other(desk: Desk) -> None:
    old = await reminded(desk)
    await desk.click_send(await desk.filled(action="queueing"))
    before = await due(desk)
    await desk.slack.click(old, "snooze_10", user=ADA)
    told = await desk.whispered("That reminder is out of date", ADA)
    assert told.text == (
        "That reminder is out of date: the next update of INC-1 is due at another time now; "
        "its own reminder puts it off."
    )
    assert await due(desk) == before
    await desk.slack.click(await reminded(desk), "snooze_10", user=ADA)
    await desk.whispered("INC-1: the update is put off by 10 minutes.", ADA)
    assert before[0] is not None
    assert await due(desk) == (before[0] + 10 * MINUTES, 1)


async def test_the_same_reminder_puts_its_update_off_once_however_often_it_is_clicked(desk: Desk) -> None:
    reminder = await reminded(desk)
    before, _ = await due(desk)
    assert before is not None
    await desk.slack.click(reminder, "snooze_20", user=ADA)
    await desk.whispered("the update is put off by 20 minutes", ADA)
    await desk.slack.redeliver_last()
    await desk.slack.click(reminder, "snooze_30", user=ROBIN)
    await desk.whispered("That reminder is out of date", ROBIN)
    assert await due(desk) == (before + 20 * MINUTES, 1)


async def test_a_reminder_of_before_the_upgrade_puts_off_whichever_update_is_next(desk: Desk) -> None:
    old = (await reminded(desk)).as_seen()
    for block in old.blocks:
        for element in block.get("elements", ()):
            element["value"] = "1"
    await desk.click_send(await desk.filled(action="queueing"))
    before, _ = await due(desk)
    assert before is not None
    await desk.slack.click(old, "snooze_10", user=ADA)
    await desk.whispered("INC-1: the update is put off by 10 minutes.", ADA)
    assert await due(desk) == (before + 10 * MINUTES, 1)


@pytest.mark.parametrize("value", ["1 soon", "1 2026-13-01", "one", "1  ", "\u0661"])
async def test_a_value_that_no_bot_has_made_is_another_versions(desk: Desk, value: str) -> None:
    forged = (await reminded(desk)).as_seen()
    (actions,) = [block for block in forged.blocks if block["type"] == "actions"]
    for element in actions["elements"]:
        element["value"] = value
    before = await due(desk)
    await desk.slack.click(forged, "snooze_10", user=ADA)
    await desk.whispered("That button is of another version of the bot.", ADA)
    assert await due(desk) == before
