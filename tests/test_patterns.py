"""No regular expression of the bot's holds everything up: what a pod logs, or an upstream says, is anybody's."""

import importlib
import itertools
import pkgutil
import re
import time
from collections.abc import Iterator
from typing import Any

import bot

# Of what repeats in logs: rules, dots, tables, times, quotes.
_SIGNS = " -.:,=aA0T[\"'/"
_REPEATED = 600
_HOSTILE = [
    (one * _REPEATED)[:_REPEATED] + end
    for one in (*_SIGNS, *("".join(two) for two in itertools.permutations(_SIGNS, 2)))
    for end in ("!", " 3 errors")
]


def _patterns() -> Iterator[tuple[str, "re.Pattern[Any]"]]:
    for module in pkgutil.walk_packages(bot.__path__, "bot."):
        if module.name.endswith("__main__") or module.name.startswith(("bot.sandbox", "bot.store.migrations")):
            continue
        for name, held in vars(importlib.import_module(module.name)).items():
            yield from ((f"{module.name}.{name}", one) for one in _within(held))


def _within(held: object) -> Iterator["re.Pattern[Any]"]:
    if isinstance(held, re.Pattern):
        yield held
    elif isinstance(held, tuple | list):
        for one in held:
            yield from _within(one)


def test_no_pattern_takes_longer_than_a_line_is_worth() -> None:
    patterns = {id(one): (name, one) for name, one in _patterns()}
    assert len(patterns) > 50
    for name, pattern in patterns.values():
        for line in _HOSTILE:
            text = line.encode() if isinstance(pattern.pattern, bytes) else line
            began = time.process_time()
            pattern.search(text)
            # a thousandth of it where the time grows with the length; minutes where it grows with its cube
            assert time.process_time() - began < 1, f"{name}: {line[:4]}… {line[-4:]}"
