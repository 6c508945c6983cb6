"""What people type, and what the bot takes it for."""

from bot.slack import parse


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
