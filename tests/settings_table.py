"""Writes README.md's table of settings from bot/variables.py. usage: python -m tests.settings_table"""

import re
from pathlib import Path

from bot.variables import VARIABLES

README = Path(__file__).parent.parent / "README.md"
_PLACE = re.compile(r"(<!-- settings -->\n).*?(<!-- /settings -->)", re.DOTALL)


def table() -> str:
    rows = [f"| {name} | {variable.default or ''} | {variable.meaning} |" for name, variable in VARIABLES.items()]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows]) + "\n"


def with_table(readme: str) -> str:
    return _PLACE.sub(lambda found: found[1] + table() + found[2], readme)


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
