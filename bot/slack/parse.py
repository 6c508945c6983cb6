"""What people type, as values; pure. Anything is taken: the text comes from outside and may be 10 KB of nonsense."""

import re
from dataclasses import dataclass

from bot.domain.redaction import redact
from bot.settings import DEFAULT_TARGET
from bot.variables import nearest

COMMANDS = ("triage", "health", "help")
_LONGEST_WORD = 80
# The phrases with which people call for help; the runbook's own.
_PHRASE = re.compile(r"\bmistral\s+(?:incident|outage|down|on-call|emergency|broken)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Triage:
    target: str = DEFAULT_TARGET


@dataclass(frozen=True)
class Health:
    target: str = DEFAULT_TARGET


@dataclass(frozen=True)
class Help:
    pass


@dataclass(frozen=True)
class Unknown:
    """``sentence`` says what is not known, and the nearest thing that is."""

    sentence: str


Request = Triage | Health | Help | Unknown


def command(text: str, targets: tuple[str, ...]) -> Request:
    """What ``/mistral TEXT`` asks for."""
    words = text[:2000].split()
    if not words:
        return Help()
    word, rest = words[0].lower(), words[1:]
    if word not in COMMANDS:
        return Unknown(f"I do not know “{_short(words[0])}”; {nearest(word[:_LONGEST_WORD], COMMANDS)}")
    if word == "help":
        return Help()
    target = rest[0] if rest else DEFAULT_TARGET
    if target not in targets:
        return Unknown(f"There is no target “{_short(target)}”; {nearest(target[:_LONGEST_WORD], targets)}")
    return Triage(target) if word == "triage" else Health(target)


def calls_for_help(text: str) -> bool:
    """Whether a message in a channel holds one of the trigger phrases."""
    return _PHRASE.search(text[:4000]) is not None


def _short(word: str) -> str:
    word = redact(word)
    return word if len(word) <= _LONGEST_WORD else word[: _LONGEST_WORD - 1] + "…"
