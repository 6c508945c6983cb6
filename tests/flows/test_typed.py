"""What is typed after a command does what it says, or nothing: no word of it is passed over in silence."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.incident import TITLE_CHARS, Milestone
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
        ("role commander 1 2", "I do not know “2”"),
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


@pytest.mark.parametrize(
    ("words", "user"),
    [
        ("role scribe", ROBIN),
        ("role Scribe #1", ROBIN),
        (f"role scribe <@{ADA}|ada>", ADA),
        (f"role <@{ADA}> scribe", ADA),
        (f"role INC 1 scribe <@{ADA}>", ADA),
        (f"role scribe inc-1 <@{ADA}>", ADA),
        (f"role scribe <@{ADA}> INC1", ADA),
    ],
)
async def test_a_role_goes_to_whoever_is_mentioned_and_else_to_whoever_asks(desk: Desk, words: str, user: str) -> None:
    await desk.declared(title="Another")
    incident = 1 if "1" in words else 2
    await typed(desk, words if incident == 1 else f"{words} INC-2")
    assert (await desk.bot.incidents.one(incident)).roles == {"scribe": user}


@pytest.mark.parametrize("number", ["#2", "INC2", "INC 2", "inc-2", "2"])
@pytest.mark.parametrize(("verb", "title"), [("resolve", "Resolve INC-2"), ("update", "Update INC-2")])
async def test_an_incident_is_named_as_people_write_it(desk: Desk, verb: str, title: str, number: str) -> None:
    await desk.declared(title="Another")
    view = await desk.opened(f"{verb} {number}")
    assert view.body["title"]["text"] == title


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (
            "resolve we restarted it",
            "I do not know “we restarted it” after `resolve`: say `/mistral resolve` or `/mistral resolve INC-3`.",
        ),
        ("resolve INC-", "I do not know “INC-” after `resolve`"),
        ("publish INC-1 now", "I do not know “now” after `publish`"),
        ("timeline yesterday", "I do not know “yesterday” after `timeline`"),
        ("catch-up INC-1, please", "I do not know “INC-1, please” after `catch-up`"),
        ("list 3", "I do not know “3” after `list`: say `/mistral list`."),
        ("actions mine", "I do not know “mine” after `actions`"),
        ("postmortem INC_1", "I do not know “INC_1” after `postmortem`"),
        ("reopen it", "I do not know “it” after `reopen`: say `/mistral reopen INC-3`."),
    ],
)
async def test_words_that_a_command_has_no_use_for_are_refused_with_its_form(
    desk: Desk, words: str, answer: str
) -> None:
    before = len(desk.slack.messages)
    await typed(desk, words)
    await desk.whispered(answer, ROBIN)
    assert len(desk.slack.messages) == before + 1
    assert desk.slack.views == {}


async def test_what_is_typed_after_declare_is_the_forms_title(desk: Desk) -> None:
    view = await desk.opened("declare 3 pods  are &lt;down&gt;\nsince noon")
    assert shown(view.blocks, "title") == "3 pods are <down> since noon"


async def test_of_a_title_that_is_too_long_nothing_is_lost(desk: Desk) -> None:
    words = "completions fail " * 30
    view = await desk.opened(f"declare {words}")
    assert shown(view.blocks, "title") == words[:TITLE_CHARS]
    assert shown(view.blocks, "impact") == words.strip()


async def test_what_is_typed_after_update_is_what_is_being_done(desk: Desk) -> None:
    for words in ("we restarted 2 pods", "2 of 3 regions are back"):
        view = await desk.opened(f"update {words}")
        assert shown(view.blocks, "action") == words
        await desk.slack.close(view)
    await desk.declared(title="Another")
    view = await desk.opened("update INC-2 we restarted")
    assert view.body["title"]["text"] == "Update INC-2"
    assert shown(view.blocks, "action") == "we restarted"


def shown(blocks: list[dict[str, object]], name: str) -> object:
    (element,) = [block["element"] for block in blocks if block.get("block_id") == name]
    assert isinstance(element, dict)
    return element.get("initial_value")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("action INC-2 raise the limit", "Action item 1 of INC-2 (P2, open)"),
        ("action inc 2 raise the limit", "Action item 1 of INC-2 (P2, open)"),
        ("action #2 raise the limit", "Action item 1 of INC-2 (P2, open)"),
        ("note INC2 the provider was called", "It is in the timeline of INC-2."),
        ("milestone INC-2 mitigated 00:00", "INC-2: mitigated at"),
        ("milestone 2 mitigated 00:00", "INC-2: mitigated at"),
        ("note 2 pods are down", "Which one? Open are: INC-"),
    ],
)
async def test_a_text_is_kept_where_it_was_meant_to_be_and_the_answer_says_where(
    desk: Desk, words: str, answer: str
) -> None:
    await desk.declared(title="Another")
    await typed(desk, words)
    await desk.whispered(answer, ROBIN)


async def test_a_number_that_begins_a_text_belongs_to_it_and_the_answer_names_the_incident(desk: Desk) -> None:
    await typed(desk, "action 3 retries are too many")
    await desk.whispered("Action item 1 of INC-1 (P2, open)", ROBIN)
    (made,) = await desk.bot.store.actions(open_only=True, limit=5)
    assert (made.incident, made.text) == (1, "3 retries are too many")


async def test_who_names_no_incident_of_several_is_told_a_form_that_every_command_takes(desk: Desk) -> None:
    await desk.declared(title="Another")
    await typed(desk, "note the provider was called")
    await desk.whispered("Name its number, such as `/mistral update INC-", ROBIN)
    await desk.slack.command("action raise the limit", user=ROBIN, channel="C0GENERAL")
    await desk.whispered("Say which: `/mistral action INC-3`.", ROBIN)
