"""A guest, who is in a few channels only, reads nothing of incidents by the bot, unless policy names them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.policy import Act, ApprovalRule, Policy
from tests.databases import copy_of
from tests.flows.rooms import GUEST, ON_CALL, Room, policy, policy_of, room_in
from tests.flows.test_incidents import said

__all__ = ["policy"]
REFUSED = "To read this is for everybody but guests; ask somebody who may."
# With what each says to whoever may read it.
READING = {
    "list": "*INC-1*",
    "timeline 1": "*declared*",
    "catch-up 1": "*So far*",
    "role": "Who does what in INC-1",
    "health": "*healthy*",
    "actions": "action item",
}
NAMED_AS = {
    "somebody who may update": replace(policy_of(ON_CALL), may={Act.UPDATE: frozenset({GUEST})}),
    "an approver": policy_of(ApprovalRule(users=frozenset({GUEST}))),
}


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest, policy: Policy) -> AsyncIterator[Room]:
    async with room_in(copy_of("SQLite", tmp_path, request), policy) as held:
        await held.declared(title="Completions fail")
        yield held


@pytest.mark.parametrize("words", [*READING, "role 1 scribe", "metrics"])
async def test_a_guest_reads_nothing_by_a_command(room: Room, words: str) -> None:
    before = len(room.slack.messages)
    await room.slack.command(words, user=GUEST)
    told = await room.whispered("everybody but guests", GUEST)
    await room.settle()
    assert told.text == REFUSED
    assert room.slack.messages[before:] == [told], "nobody else is shown it in the guest's place"


async def test_a_guest_is_not_told_which_incidents_there_are_where_one_has_to_be_named(room: Room) -> None:
    await room.declared(title="Search fails")
    await room.slack.command("role scribe", user=GUEST)
    told = await room.whispered("everybody but guests", GUEST)
    assert said(room.slack, "Search fails", only_for=GUEST) == []
    assert told.text == REFUSED


async def test_a_guest_is_not_given_a_mitigations_commands(room: Room) -> None:
    await room.ask()
    await room.click(room.card(), "kubectl", GUEST)
    assert (await room.whispered("everybody but guests", GUEST)).text == REFUSED
    assert said(room.slack, "The same by kubectl") == []


async def test_a_guests_app_home_says_why_it_is_empty(room: Room) -> None:
    await room.slack.open_home(GUEST)
    home = await room.slack.wait_for(lambda: room.slack.homes.get(GUEST))
    assert REFUSED in home.all_text
    assert "INC-1" not in home.all_text


@pytest.mark.parametrize("policy", NAMED_AS.values(), ids=NAMED_AS)
@pytest.mark.parametrize("words", READING)
async def test_a_guest_whom_policy_names_reads_what_others_read(room: Room, words: str) -> None:
    await room.slack.command(words, user=GUEST)
    await room.whispered(READING[words], GUEST)


@pytest.mark.parametrize("policy", [NAMED_AS["an approver"]], ids=["an approver"])
async def test_a_guest_who_may_approve_is_given_the_commands_and_an_app_home(room: Room) -> None:
    await room.ask()
    await room.click(room.card(), "kubectl", GUEST)
    await room.whispered("The same by kubectl", GUEST)
    await room.slack.open_home(GUEST)
    home = await room.slack.wait_for(lambda: room.slack.homes.get(GUEST))
    assert "Completions fail" in home.all_text


@pytest.mark.parametrize("policy", [replace(policy_of(), may={Act.TRIAGE: frozenset()})], ids=["nobody may triage"])
async def test_who_is_no_guest_reads_whatever_they_may_not_do(room: Room) -> None:
    await room.slack.command("list")
    await room.whispered("*INC-1*", "U0REQUESTER")
