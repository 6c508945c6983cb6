"""README.md stays true."""

import re
import textwrap
from datetime import timedelta
from pathlib import Path

from bot.__main__ import _parser
from bot.configuration import load
from bot.domain.causes import Severity
from bot.domain.policy import Policy
from bot.slack.parse import AFTERWARDS, COMMANDS, ON_INCIDENTS, Unknown
from bot.slack.parse import command as asked_by
from tests.settings_table import README, with_table


def test_the_table_of_settings_is_the_one_in_use() -> None:
    readme = README.read_text()
    assert with_table(readme) == readme, "run python -m tests.settings_table"


def test_every_command_of_the_command_line_is_told() -> None:
    (commands,) = (action for action in _parser()._actions if action.dest == "command")
    assert commands.choices is not None
    readme = README.read_text()
    for command in commands.choices:
        assert f"`mistral-bot {command}" in readme or f"[{command}]" in readme, command


def test_every_slash_command_is_told() -> None:
    cells = re.findall(r"^\| (`/mistral[^|]*)\|", README.read_text(), re.MULTILINE)
    told = set(re.findall(r"[\w-]+", " ".join(cells)))
    assert set(COMMANDS) - told == set()


def test_the_yaml_file_that_is_shown_can_be_read_and_holds_the_defaults(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^    targets:.*?(?=^\S)", README.read_text(), re.MULTILINE | re.DOTALL)
    config = tmp_path / "bot.yaml"
    config.write_text(textwrap.dedent(shown))
    settings = load({"MISTRAL_BOT_CONFIG": str(config), "EU_MISTRAL_KEY": "planted"})
    assert [target.name for target in settings.targets] == ["default", "eu"]
    policy, default = settings.policy, Policy()
    assert policy.promises == default.promises
    assert policy.promises[Severity.P1].respond == timedelta(minutes=15)
    same = ("remind_before", "snoozes_most", "nudges_most", "own_channel", "channel_name")
    assert [getattr(policy, name) for name in same] == [getattr(default, name) for name in same]


def test_the_pictures_that_are_shown_are_there() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README.read_text())
    assert shown
    assert [one for one in shown if not (README.parent / one).is_file()] == []


def test_what_make_is_said_to_do_it_does() -> None:
    known = re.findall(r"^([a-z-]+):", (README.parent / "Makefile").read_text(), re.MULTILINE)
    told = set(re.findall(r"`make ([a-z-]+)`", README.read_text()))
    assert told
    assert told <= set(known)


def test_a_command_that_is_told_with_an_incident_is_of_that_incident() -> None:
    told = _examples(README.read_text()) + _examples((README.parent / "templates/slack/help.j2").read_text())
    named = [one for one in told if re.search(r"(?<![\w:-])(?:INC-)?3(?!\w)", one)]
    assert {one.split()[0] for one in named} >= {"update", "action", "note", "milestone", "postmortem"}
    for one in named:
        assert getattr(asked_by(one, ("default",)), "number", None) == 3, one


def test_what_is_told_of_incidents_is_understood() -> None:
    told = [one for one in _examples(README.read_text()) if one.split()[0] in (*ON_INCIDENTS, *AFTERWARDS)]
    assert [one for one in told if isinstance(asked_by(one, ("default",)), Unknown)] == []


def _examples(text: str) -> list[str]:
    """What is told to be typed after /mistral, brackets left out; further commands may stand in its line."""
    told = [cell for line in text.splitlines() if "`/mistral " in line for cell in re.findall(r"`([^`]+)`", line)]
    bare = [re.sub(r"[\[\]]", "", one).removeprefix("/mistral ") for one in told]
    return [one for one in bare if one.split()[0] in COMMANDS]
