"""What people type, as values; pure. Anything is taken: the text comes from outside and may be 10 KB of nonsense."""

import re
from dataclasses import dataclass
from datetime import datetime

from bot.domain.redaction import redact
from bot.settings import DEFAULT_TARGET
from bot.variables import nearest

ON_INCIDENTS = (
    "declare",
    "update",
    "severity",
    "role",
    "note",
    "milestone",
    "timeline",
    "list",
    "resolve",
    "publish",
    "reopen",
    "catch-up",
)
AFTERWARDS = ("evidence", "postmortem", "action", "actions", "metrics")
ON_MITIGATIONS = ("mitigate", "rollback", "revert", "freeze", "unfreeze")
COMMANDS = ("triage", "health", *ON_INCIDENTS, *ON_MITIGATIONS, *AFTERWARDS, "help")
_LONGEST_WORD = 40
_LONGEST_TEXT = 4000
# An incident as people name it: INC-3, inc 3, INC3, #3, or 3 alone.
_MARK = r"(?:inc[ #-]{0,3}|#)"
_FIRST = re.compile(rf"(?i){_MARK}?(\d{{1,9}})(?!\S)")
_FIRST_MARKED = re.compile(rf"(?i){_MARK}(\d{{1,9}})(?!\S)")
_ANYWHERE = re.compile(rf"(?i)(?<!\S){_MARK}?(\d{{1,9}})(?!\S)")
# What is said in these may begin with a number: only INC-3 or #3 names an incident there.
_FREE_TEXT = ("note", "action")
# The few words of these have no numbers of their own: the incident's may stand before, between or after them.
_FEW_WORDS = ("severity", "role", "evidence")
# Of these nothing else can be said; of the first not even which incident.
_ALONE = ("list",)
_NUMBER_ALONE = ("timeline", "resolve", "publish", "reopen", "catch-up", "postmortem", "actions")
_REVISION = re.compile(r"[0-9]{1,9}")
_MENTION = re.compile(r"<@([UW][A-Z0-9]{2,30})(?:\|[^>]*)?>")
_GROUP = re.compile(r"<![^>]*>")
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
class OnIncident:
    """``verb`` is one of ON_INCIDENTS; ``number`` None: the one that is meant; ``text``: what else was typed."""

    verb: str
    number: int | None = None
    text: str = ""


@dataclass(frozen=True)
class OnMitigation:
    """``verb`` is one of ON_MITIGATIONS; ``remedy`` None: none was named. ``text``: a reason, or a revision."""

    verb: str
    remedy: str | None = None
    target: str = DEFAULT_TARGET
    text: str = ""


@dataclass(frozen=True)
class Afterwards:
    """``verb`` is one of AFTERWARDS; ``number`` None: the incident that is meant, or none; ``text``: what else."""

    verb: str
    number: int | None = None
    text: str = ""


@dataclass(frozen=True)
class Unknown:
    """``sentence`` says what is not known, and the nearest thing that is."""

    sentence: str


Request = Triage | Health | Help | OnIncident | OnMitigation | Afterwards | Unknown


def command(text: str, targets: tuple[str, ...], remedies: tuple[str, ...] = ()) -> Request:
    """What ``/mistral TEXT`` asks for; Slack has escaped ``& < >`` in it."""
    words = text[:_LONGEST_TEXT].split()
    if not words:
        return Help()
    word, rest = words[0].lower(), words[1:]
    if word not in COMMANDS:
        return Unknown(f"I do not know “{short(words[0])}”; {nearest(word[:_LONGEST_WORD], COMMANDS)}")
    if word == "help":
        return Help()
    if word in ON_INCIDENTS or word in AFTERWARDS:
        return _about_incident(word, text[:_LONGEST_TEXT].strip()[len(word) :].strip())
    if word in ON_MITIGATIONS:
        return _on_mitigation(word, text[:_LONGEST_TEXT].strip()[len(word) :].strip(), targets, remedies)
    target = rest[0] if rest else DEFAULT_TARGET
    if target not in targets:
        return Unknown(f"There is no target “{short(target)}”; {nearest(target[:_LONGEST_WORD], targets)}")
    return Triage(target) if word == "triage" else Health(target)


def _about_incident(verb: str, text: str) -> OnIncident | Afterwards | Unknown:
    number, said = _numbered(verb, text)
    said = unescape(said)
    if said and verb in (*_ALONE, *_NUMBER_ALONE):
        forms = [f"`/mistral {verb}`"] * (verb != "reopen") + [f"`/mistral {verb} INC-3`"] * (verb not in _ALONE)
        return Unknown(f"I do not know “{short(said)}” after `{verb}`: say {' or '.join(forms)}.")
    return OnIncident(verb, number, said) if verb in ON_INCIDENTS else Afterwards(verb, number, said)


def _numbered(verb: str, text: str) -> tuple[int | None, str]:
    """(the incident that is named, what else is said)."""
    if verb in ("declare", "metrics", *_ALONE):
        return None, text
    if verb in _FEW_WORDS:
        found = _ANYWHERE.search(text)
    elif verb == "update":
        # "2 of 3 regions are back" is no word about INC-2
        found = _FIRST.fullmatch(text) or _FIRST_MARKED.match(text)
    else:
        found = (_FIRST_MARKED if verb in _FREE_TEXT else _FIRST).match(text)
    if found is None:
        return None, text
    return int(found[1]), f"{text[: found.start()].rstrip()} {text[found.end() :].lstrip()}".strip()


def _on_mitigation(verb: str, text: str, targets: tuple[str, ...], remedies: tuple[str, ...]) -> Request:
    if verb in ("freeze", "unfreeze"):
        return OnMitigation(verb, text=unescape(text))
    remedy, target, revision = "rollback" if verb == "rollback" else None, DEFAULT_TARGET, ""
    for word in text.split():
        if remedy is None and word.lower() in remedies:
            remedy = word.lower()
        elif verb == "rollback" and not revision and _REVISION.fullmatch(word):
            revision = word
        elif verb != "revert" and word in targets:
            target = word
        else:
            known = remedies if verb == "revert" else targets if remedy else (*remedies, *targets)
            kind = "remedy" if verb == "revert" else "target" if remedy else "remedy or target"
            return Unknown(f"There is no {kind} “{short(word)}”; {nearest(word[:_LONGEST_WORD], known)}")
    if target not in targets:
        return Unknown(f"There is no target “{target}”; {nearest(target, targets)}")
    return OnMitigation(verb, remedy, target, revision)


def clicked(value: str) -> tuple[int, datetime | None]:
    """(incident's number, when the update was due that a reminder was about) of a button; raises ValueError.

    Reminders that were posted before they said the moment have the number alone, as all other buttons.
    """
    number, _, due = value.partition(" ")
    if not (number.isascii() and number.isdecimal()):
        raise ValueError(value)
    return int(number), datetime.fromisoformat(due) if due else None


def unescape(text: str) -> str:
    """Undoes Slack's own escaping, and nothing else."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@dataclass(frozen=True)
class People:
    """Who is mentioned: ``users`` by their ids; ``group``: a user group, or everybody. ``rest``: what else is said."""

    users: tuple[str, ...]
    group: bool
    rest: str


def people(text: str) -> People:
    rest = _GROUP.sub(" ", _MENTION.sub(" ", text))
    users = tuple(dict.fromkeys(found[1] for found in _MENTION.finditer(text)))
    return People(users, _GROUP.search(text) is not None, " ".join(rest.split()))


def calls_for_help(text: str) -> bool:
    """Whether a message in a channel holds one of the trigger phrases."""
    return _PHRASE.search(text[:4000]) is not None


def short(word: str) -> str:
    """As it may be repeated to whoever typed it."""
    word = redact(word)
    return word if len(word) <= _LONGEST_WORD else word[: _LONGEST_WORD - 1] + "…"
