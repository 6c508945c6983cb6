"""The log: one record a line whatever was said, with its ids, without secrets, for people and for programs."""

import asyncio
import json
import logging
import subprocess
import sys
from urllib.parse import quote

import pytest

from bot.configuration import load
from bot.correlation import about, note
from bot.logs import RedactingFormatter
from tests.planted import PLANTED

KEY = "mistral-key-of-the-service-1234"
PASSWORD = "odd/word of the database"
ENVIRON = {
    "MISTRAL_API_KEY": KEY,
    "SLACK_BOT_TOKEN": "xoxb-1-2-abcdefghijkl",
    "DATABASE_URL": f"postgresql+psycopg://bot:{quote(PASSWORD, safe='')}@db/bot",
}


@pytest.fixture(params=["console", "json"])
def formatter(request: pytest.FixtureRequest) -> RedactingFormatter:
    return RedactingFormatter(load({**ENVIRON, "LOG_FORMAT": request.param}))


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    about_it = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("bot.handlers.delivery", logging.WARNING, "file.py", 1, message, args, about_it)


def raised(text: str) -> BaseException:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_a_record_is_json_with_its_ids() -> None:
    formatter = RedactingFormatter(load({**ENVIRON, "LOG_FORMAT": "json"}))
    with about(request="abc", incident=3, run=None):
        told = json.loads(formatter.format(record("delivery %s is given up", "d1", error=raised("late"))))
    assert told.pop("timestamp").endswith("Z")
    assert "ValueError: late" in told.pop("exception")
    assert told == {
        "event": "delivery d1 is given up",
        "level": "warning",
        "logger": "bot.handlers.delivery",
        "request": "abc",
        "incident": "3",
    }


def test_a_record_for_people_says_the_same() -> None:
    formatter = RedactingFormatter(load(ENVIRON))
    with about(incident=3):
        told = formatter.format(record("delivery %s is given up", "d1"))
    assert "\n" not in told
    assert "[warning] delivery d1 is given up" in told
    assert "incident=3" in told
    assert "[bot.handlers.delivery]" in told


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\x1b[2J", "\x85", "\u2028", "\x00"], ids=ascii)
def test_nothing_that_somebody_has_said_passes_for_a_record(formatter: RedactingFormatter, end: str) -> None:
    forged = f"innocent{end}2026-11-25T12:00:00Z [error] forged"
    with about(request=forged):
        told = formatter.format(record("an alert was refused: %s", forged, error=raised(forged)))
    first, *more = told.splitlines()
    assert all(line.startswith("  ") for line in more), "a traceback's lines are set in"
    assert not any(ord(character) < 32 or ord(character) == 127 for line in (first, *more) for character in line)


def test_secrets_are_masked_in_words_in_ids_and_in_tracebacks(formatter: RedactingFormatter) -> None:
    for secret in (KEY, PASSWORD, ENVIRON["SLACK_BOT_TOKEN"], *PLANTED.values()):
        with about(request=f"x {secret}"):
            told = formatter.format(record("it says %s", secret, error=raised(f"Bearer {secret}")))
        assert secret not in told


async def test_what_a_task_notes_stays_its_own_and_goes_along_into_what_it_starts() -> None:
    formatter = RedactingFormatter(load({**ENVIRON, "LOG_FORMAT": "json"}))

    async def inner() -> dict[str, str]:
        await asyncio.sleep(0)
        held: dict[str, str] = json.loads(formatter.format(record("x")))
        return held

    async def one(number: int) -> dict[str, str]:
        note(incident=number)
        await asyncio.sleep(0)
        return await asyncio.create_task(inner())

    with about(request="r"):
        told = await asyncio.gather(one(1), one(2), inner())
    assert [(held.get("incident"), held["request"]) for held in told] == [("1", "r"), ("2", "r"), (None, "r")]
    assert "request" not in await inner()


def test_the_log_loads_neither_rich_nor_keeps_it_from_others() -> None:
    code = """
import logging, sys
from bot.configuration import load
from bot.logs import RedactingFormatter
formatter, loaded = RedactingFormatter(load({})), lambda: [name in sys.modules for name in ("structlog", "rich")]
print(loaded())
formatter.format(logging.LogRecord("a", 30, "f", 1, "x", (), None))
print(loaded())
import rich.console
print(loaded())
"""
    told = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert told.stdout.splitlines() == ["[False, False]", "[True, False]", "[True, True]"]
