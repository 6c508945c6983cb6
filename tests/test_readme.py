"""README.md stays true."""

from bot.__main__ import _parser
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
