"""What people type, and what the bot takes it for."""

import pytest

from bot.slack import parse
from bot.slack.parse import OnMitigation, Unknown

TARGETS = ("default", "eu")
REMEDIES = ("rotate_key", "rollback", "fallback")


def test_ten_kilobytes_of_one_word_are_answered_in_a_short_sentence() -> None:
    asked = parse.command("x" * 10_000, ("default",))
    assert isinstance(asked, parse.Unknown)
    assert len(asked.sentence) < 300


def test_a_misspelt_command_is_told_the_nearest() -> None:
    asked = parse.command("traige", ("default",))
    assert isinstance(asked, parse.Unknown)
    assert "did you mean triage?" in asked.sentence


def test_only_the_runbooks_phrases_call_for_help() -> None:
    assert parse.calls_for_help("is there a MISTRAL  outage?")
    assert not parse.calls_for_help("mistral is nice")


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("mitigate", OnMitigation("mitigate")),
        ("mitigate fallback", OnMitigation("mitigate", "fallback")),
        ("MITIGATE Fallback eu", OnMitigation("mitigate", "fallback", "eu")),
        ("mitigate eu fallback", OnMitigation("mitigate", "fallback", "eu")),
        ("mitigate eu", OnMitigation("mitigate", None, "eu")),
        ("rollback", OnMitigation("rollback", "rollback")),
        ("rollback 12", OnMitigation("rollback", "rollback", text="12")),
        ("rollback eu 12", OnMitigation("rollback", "rollback", "eu", "12")),
        ("revert", OnMitigation("revert")),
        ("revert fallback", OnMitigation("revert", "fallback")),
        ("freeze  a &lt;b&gt; &amp; c ", OnMitigation("freeze", text="a <b> & c")),
        ("freeze", OnMitigation("freeze")),
        ("unfreeze", OnMitigation("unfreeze")),
    ],
)
def test_mitigations_are_asked_for_by_remedy_target_and_revision(text: str, asked: OnMitigation) -> None:
    assert parse.command(text, TARGETS, REMEDIES) == asked


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("mitigate falback", "did you mean fallback?"),
        ("mitigate fallback defualt", "There is no target “defualt”; did you mean default?"),
        ("mitigate fallback rollback", "There is no target “rollback”"),
        ("rollback 1 2", "There is no target “2”"),
        ("rollback -1", "There is no target “-1”"),
        ("rollback 9999999999", "There is no target “9999999999”"),
        ("revert rolback", "did you mean rollback?"),
        ("revert eu", "There is no remedy “eu”"),
        ("mitigat", "did you mean mitigate?"),
        ("unfreze", "did you mean unfreeze?"),
        ("mitigate " + "x" * 5000, "There is no remedy or target"),
    ],
)
def test_what_is_misspelt_of_a_mitigation_is_told_the_nearest(text: str, hint: str) -> None:
    asked = parse.command(text, TARGETS, REMEDIES)
    assert isinstance(asked, Unknown)
    assert hint in asked.sentence
    assert len(asked.sentence) < 400


def test_a_remedy_without_a_target_needs_one_where_none_is_the_usual() -> None:
    asked = parse.command("mitigate fallback", ("eu", "us"), REMEDIES)
    assert isinstance(asked, Unknown)
    assert "There is no target “default”" in asked.sentence
