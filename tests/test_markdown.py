"""Markdown in which every text is text: CommonMark with tables, read by another program, gives it back as it was."""

import re
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.domain.drafting import MOST_ROWS, SECTIONS, Facts, Failed, draft
from bot.domain.incident import Milestone
from bot.domain.policy import Afterwards, Objective, Policy
from bot.domain.postmortem import Version
from bot.domain.timeline import Entry, Event, Kind
from bot.handlers.publishing import sections_of
from bot.markdown import cell, prose, rendered, text, unescaped
from tests.fakes import NOW
from tests.subjects import DONE, ENDED, PROMISED

HOSTILE = (
    "a | b || c",
    "`code` and ``more`` and ```",
    "<script>alert(1)</script> <b>bold</b> <!-- gone -->",
    "# heading\n## more",
    "- item\n* item\n+ item\n1. one\n2) two",
    "> quoted",
    "[link](https://evil.example) ![image](x) [ref]: y",
    "https://evil.example and www.evil.example and mail@evil.example",
    "*emphasis* _under_ **bold** __bold__ ~~gone~~",
    "back\\slash \\| and \\",
    "    indented code",
    "---\n===\n***",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "&amp; &lt; &#65; &copy;",
    "line\r\nline\rline\u2028line",
    "$math$ and $$more$$",
    "@channel <!here> <@U1>",
    "```\nfence",
    "~~~\nfence",
    "\u202eevil\u200b",
)
READER = MarkdownIt("commonmark").enable("table").enable("strikethrough")


def tokens_of(markdown: str) -> list[Token]:
    return READER.parse(markdown)


def said(token: Token) -> str:
    """The words of an inline token; what is neither text nor a break is a fault."""
    kinds = {child.type for child in token.children or ()}
    assert kinds <= {"text", "text_special", "softbreak", "hardbreak"}, kinds
    return "".join(child.content if "text" in child.type else "\n" for child in token.children or ())


def plain(value: str) -> str:
    """As it is to be read again: without what nobody sees, and space as space."""
    shown = re.sub("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]", " ", value)
    shown = re.sub("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", _tab, shown)
    return " ".join(shown.split())


def _tab(found: re.Match[str]) -> str:
    return " " if found[0] == "\t" else ""


@pytest.mark.parametrize("value", HOSTILE)
def test_a_cell_is_one_cell_with_its_text(value: str) -> None:
    found = tokens_of(f"| a | b |\n|---|---|\n| {cell(value)} | x |\n| y | z |\n")
    cells = [said(after) for token, after in pairwise(found) if token.type == "td_open"]
    assert [plain(one) for one in cells] == [plain(value), "x", "y", "z"]


@given(st.text(max_size=200))
def test_any_text_in_a_cell_is_one_cell(value: str) -> None:
    found = tokens_of(f"| a |\n|---|\n| {cell(value)} |\n")
    assert sum(token.type == "td_open" for token in found) == 1
    cells = [said(after) for token, after in pairwise(found) if token.type == "td_open"]
    assert plain(cells[0]) == plain(value)


@pytest.mark.parametrize("value", HOSTILE)
def test_text_is_no_block_of_another_kind(value: str) -> None:
    found = tokens_of(f"before\n\n{text(value)}\n\nafter\n")
    assert {token.type for token in found} <= {"paragraph_open", "paragraph_close", "inline"}
    assert plain(" ".join(said(token) for token in found if token.type == "inline")) == plain(f"before {value} after")


def test_prose_has_lists_where_lines_begin_so_and_keeps_lines_apart() -> None:
    found = tokens_of(prose("It failed.\nTwice.\n- first | <b>\n- second\nthen"))
    assert [token.type for token in found if "list" in token.type and "item" not in token.type] == [
        "bullet_list_open",
        "bullet_list_close",
    ]
    assert sum(token.type == "list_item_open" for token in found) == 2
    words = [said(token) for token in found if token.type == "inline"]
    assert words == ["It failed.\nTwice.", "first | <b>", "second", "then"]


@pytest.mark.parametrize(
    "value", ["It failed.\nTwice.", "- first | <b>\n- second", *HOSTILE[:4], HOSTILE[8], HOSTILE[9]]
)
def test_what_is_read_back_is_what_was_shown(value: str) -> None:
    assert unescaped(prose(value)) == "\n".join(line for line in value.splitlines() if line.strip())


def facts(**more: object) -> Facts:
    held = Facts(
        incident=ENDED,
        entries=(),
        triages=(),
        runs=(DONE,),
        alerts=(),
        actions=(PROMISED,),
        failed=Failed(requests=1000, errors=50, window_requests=1_000_000),
        now=NOW,
    )
    return replace(held, **more)  # type: ignore[arg-type]


def document(given: Facts, version: Version | None = None) -> str:
    policy = Policy(afterwards=Afterwards(objective=Objective(share=0.999)))
    drafted = draft(given, policy, version)
    return rendered("postmortem.md", {"draft": drafted, "incident": given.incident}, folder=None)


@pytest.mark.parametrize("value", HOSTILE)
def test_a_postmortem_of_hostile_text_keeps_its_shape(value: str) -> None:
    def event(number: int) -> Entry:
        told = Event(kind=Kind.NOTE, at=NOW + timedelta(minutes=number), actor="U1", text=value)
        return Entry(incident=3, number=number, noted=NOW, event=told, previous="", hash="")

    held = facts(
        incident=replace(ENDED, title=value, impact=value, cause=None),
        entries=[event(number) for number in range(3)],
        runs=[replace(DONE, kept=value, reason=value)],
        actions=[replace(PROMISED, text=value)],
    )
    version = Version(incident=3, number=1, at=NOW, by="U1", written=dict.fromkeys(SECTIONS, value))
    shaped, hostile = tokens_of(document(facts(entries=held.entries))), tokens_of(document(held, version))
    # a section that people wrote as a list is one
    levels = {"heading_open", "table_open", "thead_open", "tr_open", "td_open", "th_open", "html_block", "fence"}
    count = {kind: sum(token.type == kind for token in shaped) for kind in levels}
    notes = {"heading_open": 1}  # which has a heading of its own
    assert {kind: sum(token.type == kind for token in hostile) - notes.get(kind, 0) for kind in levels} == count
    assert not [
        one for token in hostile for one in token.children or () if one.type in ("html_inline", "link_open", "image")
    ]


def test_every_figure_of_a_postmortem_follows_from_the_record() -> None:
    told = document(facts())
    assert "Requests failed: 50 of 1000 (5 %)" in told
    # 50 of the 1,000 that 0.1 % of a million are
    assert "Error budget: 5 % of what 99.9 % over 30 days allows" in told
    assert "**Duration:** 1 h 0 min" in told
    assert "| P2 | raise the limit | @U0COMMANDER | 2026-07-01 | open |" in told


def test_a_summary_says_nothing_twice() -> None:
    incident = replace(ENDED, title="Mistral refuses the key", impact="mistral refuses  the key.", cause=None)
    assert draft(facts(incident=incident), Policy(), None).sections["summary"] == "Mistral refuses the key."


def test_ten_thousand_events_make_a_table_that_somebody_reads() -> None:
    def event(number: int) -> Entry:
        told = Event(kind=Kind.NOTE, at=NOW + timedelta(seconds=number), actor="U1", text=f"event {number}")
        return Entry(incident=3, number=number, noted=NOW, event=told, previous="", hash="")

    held = facts(entries=[event(number) for number in range(10_000)])
    told = document(held)
    found = tokens_of(told)
    rows = draft(held, Policy(), None)
    assert len(rows.rows) == MOST_ROWS
    assert f"{rows.left_out} events in between are left out" in told
    assert rows.left_out == 10_000 - (MOST_ROWS - 6)
    assert sum(token.type == "tr_open" for token in found) <= MOST_ROWS + 10
    assert "event 0 " in told
    assert "event 9999 " in told


def test_milestones_that_nobody_recorded_are_gaps() -> None:
    told = document(facts(incident=replace(ENDED, milestones={Milestone.DECLARED: NOW})))
    for what in ("First alert triggered", "Root cause identified", "Mitigation applied", "Service restored"):
        assert f"**{what}: not recorded**" in told


def test_an_edited_file_gives_what_was_edited_and_nothing_else() -> None:
    shown = document(facts())
    edited = shown.replace("Users affected: *to be filled in*", "Users affected: 40 % | all")
    assert sections_of(edited, shown) == {"users": "40 % | all"}
    assert sections_of(shown, shown) == {}
