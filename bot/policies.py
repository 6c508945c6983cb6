"""Reads ``policy`` and ``may`` of the YAML file; what is not said there is the runbook's. ``remedies`` reads more."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import time, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from bot.domain.causes import Severity
from bot.domain.policy import Act, Calendar, Escalation, Policy, Promise, QuietHours
from bot.variables import nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


_Read = TypeVar("_Read", bound="DataclassInstance")
_THE_SAME: Mapping[str, str] = MappingProxyType({})

# What a menu of Slack's takes.
_OPTIONS, _OPTION_CHARS = 100, 75


class Wrong(ValueError):
    """The text is what the value should be."""


def read_policy(document: Mapping[str, Any], problems: list[str]) -> Policy:
    """The policy of the file; what is wrong is added to ``problems``, a line each."""
    policy = read_fields(document, "policy", Policy(), _READ, problems, _FIELDS)
    may: dict[Act, frozenset[str]] = {}
    for name, users in section(document.get("may"), "may", problems).items():
        if name not in list(Act):
            problems.append(f"may: unknown key {name!r}; {nearest(str(name), list(Act))}")
        elif not isinstance(users, list) or not all(is_id(user, "UW") for user in users):
            problems.append(
                f"may: {name} holds {users!r}; it should hold a list of Slack user ids, such as [U012AB3CD]"
            )
        else:
            may[Act(name)] = frozenset(users)
    return replace(policy, may=may)


def read_components(document: Mapping[str, Any], problems: list[str]) -> tuple[str, ...]:
    """The names of what an incident may affect."""
    held = document.get("components") or []
    if (
        not isinstance(held, list)
        or not all(isinstance(name, str) and name.strip() and len(name) <= _OPTION_CHARS for name in held)
        or not len(set(held)) == len(held) <= _OPTIONS
    ):
        problems.append("components should hold a list of at most 100 names, each of at most 75 characters and once")
        return ()
    return tuple(held)


def section(held: object, name: str, problems: list[str]) -> Mapping[str, Any]:
    """The map that the file has under ``name``; empty where it has none, or something else, which is told."""
    if held is None:
        return {}
    if not isinstance(held, dict):
        problems.append(f"{name} should hold a map")
        return {}
    return held


def read_fields(
    document: Mapping[str, Any],
    name: str,
    usual: _Read,
    known: Mapping[str, Callable[[Any], Any]],
    problems: list[str],
    fields: Mapping[str, str] = _THE_SAME,
) -> _Read:
    """``usual`` with what the file says under ``name``: each key of ``known``, by what reads it or raises Wrong.

    ``fields``: what those fields are called whose names are not their keys.
    """
    read = usual
    for key, value in section(document.get(name), name, problems).items():
        if key not in known:
            problems.append(f"{name}: unknown key {key!r}; {nearest(str(key), known)}")
            continue
        try:
            read = replace(read, **{fields.get(key, key): known[key](value)})
        except Wrong as wrong:
            problems.append(f"{name}: {key} holds {value!r}; it should hold {wrong}")
    return read


def _promises(held: Any) -> Mapping[Severity, Promise]:
    what = "a map such as P1: {respond: 15, update: 15}, in minutes; respond: next business day, update: none"
    if not isinstance(held, dict):
        raise Wrong(what)
    promises = dict(Policy().promises)
    for name, said in held.items():
        if name not in list(Severity) or not isinstance(said, dict) or set(said) - {"respond", "update"}:
            raise Wrong(what)
        was = promises[Severity(name)]
        promises[Severity(name)] = Promise(
            respond=_minutes_or(said["respond"], "next business day", what) if "respond" in said else was.respond,
            update=_minutes_or(said["update"], "none", what) if "update" in said else was.update,
        )
    return promises


def _minutes_or(held: Any, word: str, what: str) -> timedelta | None:
    return None if held == word or held is None else minutes(held, what)


def minutes(held: Any, what: str = "a number of minutes above 0") -> timedelta:
    """Raises Wrong for anything else than a number, and for more than a year."""
    if isinstance(held, bool) or not isinstance(held, int | float) or not 0 < held <= 525_600:
        raise Wrong(what)
    return timedelta(minutes=held)


def _count(held: Any) -> int:
    if isinstance(held, bool) or not isinstance(held, int) or not 0 <= held <= 100:
        raise Wrong("a whole number from 0 to 100")
    return held


def _calendar(held: Any) -> Calendar:
    what = "a map of timezone, begin, end, weekdays, country, region"
    if not isinstance(held, dict) or set(held) - {"timezone", "begin", "end", "weekdays", "country", "region"}:
        raise Wrong(what)
    calendar = Calendar()
    if "timezone" in held:
        try:
            ZoneInfo(str(held["timezone"]))
        except (KeyError, ValueError, OSError):
            raise Wrong("a time zone such as Europe/Paris") from None
        calendar = replace(calendar, timezone=str(held["timezone"]))
    calendar = replace(
        calendar,
        begin=_time(held["begin"]) if "begin" in held else calendar.begin,
        end=_time(held["end"]) if "end" in held else calendar.end,
    )
    if calendar.end <= calendar.begin:
        raise Wrong("an end of work that is after its begin")
    if "weekdays" in held:
        days = held["weekdays"]
        if not isinstance(days, list) or not days or not all(str(day).lower() in _DAYS for day in days):
            raise Wrong("days such as [monday, friday]")
        calendar = replace(calendar, weekdays=frozenset(_DAYS.index(str(day).lower()) for day in days))
    return _with_holidays(calendar, held)


def _with_holidays(calendar: Calendar, held: Mapping[str, Any]) -> Calendar:
    country, region = held.get("country"), held.get("region")
    if country is None:
        if region is not None:
            raise Wrong("a country such as FR beside the region")
        return calendar
    import holidays

    try:
        holidays.country_holidays(str(country), subdiv=region, years=2026)
    except (NotImplementedError, ValueError, TypeError):
        raise Wrong("a country such as FR, and a region of it, that the package holidays knows") from None
    return replace(calendar, country=str(country), region=region)


def _time(held: Any) -> time:
    # YAML reads 09:00 as a text and 9:00 as a number in base sixty
    if isinstance(held, int) and not isinstance(held, bool) and 60 <= held < 1440:
        return time(held // 60, held % 60)
    try:
        # a number on its own would be read as hours or as minutes, who knows
        told = time.fromisoformat(held) if isinstance(held, str) and ":" in held else None
    except ValueError:
        told = None
    if told is None or told.tzinfo is not None:
        raise Wrong("times such as 09:00")
    return told


def _quiet(held: Any) -> QuietHours:
    if not isinstance(held, dict) or set(held) - {"begin", "end", "severities"} or not {"begin", "end"} <= set(held):
        raise Wrong("a map of begin, end and severities")
    quiet = QuietHours(begin=_time(held["begin"]), end=_time(held["end"]))
    if quiet.begin == quiet.end:
        raise Wrong("an end that is not its begin")
    if "severities" in held:
        listed = held["severities"]
        if not isinstance(listed, list) or not all(one in list(Severity) for one in listed):
            raise Wrong("severities such as [P3, P4]")
        quiet = replace(quiet, severities=frozenset(Severity(one) for one in listed))
    return quiet


def _escalations(held: Any) -> tuple[Escalation, ...]:
    what = "a list of maps of after (minutes), mention (a user group's id, S…) and page (true or false)"
    if not isinstance(held, list):
        raise Wrong(what)
    steps = []
    for step in held:
        if not isinstance(step, dict) or set(step) - {"after", "mention", "page"}:
            raise Wrong(what)
        mention, page = step.get("mention"), step.get("page", False)
        if not isinstance(page, bool) or not (mention is None or is_id(mention, "S")):
            raise Wrong(what)
        held_back = step.get("after", 0)
        after = timedelta(0) if held_back == 0 and held_back is not False else minutes(held_back, what)
        steps.append(Escalation(after=after, mention=mention, page=page))
    return tuple(sorted(steps, key=lambda one: one.after))


def is_id(held: Any, kinds: str) -> bool:
    """Whether it is an id of Slack's; a name such as @robin would let in, or tell, nobody."""
    return isinstance(held, str) and re.fullmatch(rf"[{kinds}][A-Z0-9]{{2,30}}", held) is not None


def yes_or_no(held: Any) -> bool:
    """Raises Wrong for anything else than what YAML takes for true or false."""
    if not isinstance(held, bool):
        raise Wrong("true or false")
    return held


def _template(held: Any) -> str:
    named = re.findall(r"\{(.*?)\}", held) if isinstance(held, str) else []
    if not isinstance(held, str) or not held.strip() or set(named) - {"id", "date", "severity", "title"}:
        raise Wrong("a text such as inc-{id}-{title}, with {id}, {date}, {title}")
    return held


_READ: Mapping[str, Callable[[Any], Any]] = {
    "severities": _promises,
    "calendar": _calendar,
    "quiet_hours": _quiet,
    "remind_before": minutes,
    "snoozes": _count,
    "overdue_reminders": _count,
    "escalation": _escalations,
    "own_channel": yes_or_no,
    "channel_name": _template,
}
_FIELDS = {
    "severities": "promises",
    "quiet_hours": "quiet",
    "snoozes": "snoozes_most",
    "overdue_reminders": "nudges_most",
    "escalation": "escalations",
}
