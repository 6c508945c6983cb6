"""Reads ``alerts`` of the YAML file: which alerts matter, and what each does."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import re2

from bot.domain.alerts import Alerts, Does, Matcher, Rule, expression
from bot.domain.causes import Severity
from bot.policies import Wrong, minutes, section
from bot.variables import nearest

_KEYS = ("key", "reopen_within", "rules")
_RULE_KEYS = ("match", "does", "severity", "target")
# Alertmanager's own grammar of a matcher and of a label's name.
_MATCHER = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
_LABEL = re.compile("[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPED = re.compile(r'\\(["\\n])')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def read_alerts(document: Mapping[str, Any], targets: Sequence[str], problems: list[str]) -> Alerts:
    """The rules of the file; what is wrong is added to ``problems``, a line each."""
    held, said = section(document.get("alerts"), "alerts", problems), dict[str, Any]()
    for key, value in held.items():
        if key not in _KEYS:
            problems.append(f"alerts: unknown key {key!r}; {nearest(str(key), _KEYS)}")
            continue
        try:
            if key == "rules":
                said[key] = _rules(value, targets, problems)
            else:
                said[key] = minutes(value) if key == "reopen_within" else _labels(value)
        except Wrong as wrong:
            problems.append(f"alerts: {key} holds {value!r}; it should hold {wrong}")
    return Alerts(**said)


def _labels(held: Any) -> tuple[str, ...]:
    listed = held if isinstance(held, list) else []
    if not listed or not all(isinstance(one, str) and _LABEL.fullmatch(one) for one in listed):
        raise Wrong("a list of labels such as [alertname, namespace]")
    return tuple(listed)


def _rules(held: Any, targets: Sequence[str], problems: list[str]) -> tuple[Rule, ...]:
    if not isinstance(held, list) or not all(isinstance(one, dict) for one in held):
        raise Wrong("a list of maps of match, does, severity and target")
    rules = []
    for number, one in enumerate(held, 1):
        where = f"alerts: rule {number}"
        problems.extend(
            f"{where}: unknown key {key!r}; {nearest(str(key), _RULE_KEYS)}" for key in one if key not in _RULE_KEYS
        )
        said: dict[str, Any] = {}
        for key in (key for key in _RULE_KEYS if key in one):
            try:
                said[key] = _part(key, one[key], targets)
            except Wrong as wrong:
                problems.append(f"{where}: {key} holds {one[key]!r}; it should hold {wrong}")
        rules.append(Rule(**said))
    return tuple(rules)


def _part(key: str, held: Any, targets: Sequence[str]) -> Any:
    match key:
        case "match":
            if not isinstance(held, list):
                raise Wrong("""a list of matchers such as ['severity="critical"']""")
            return tuple(_matcher(one) for one in held)
        case "does":
            if held not in list(Does):
                raise Wrong(f"one of {', '.join(Does)}")
            return Does(held)
        case "severity":
            if held not in list(Severity):
                raise Wrong(f"one of {', '.join(Severity)}")
            return Severity(held)
        case _:
            if held not in targets:
                raise Wrong(f"the name of a target; {nearest(str(held), targets)}")
            return held


def _matcher(held: Any) -> Matcher:
    found = _MATCHER.fullmatch(held) if isinstance(held, str) else None
    if found is None:
        raise Wrong("""matchers such as severity="critical" or alertname=~"Mistral.*", with =, !=, =~ or !~""")
    label, operator, value = found.groups()
    if value.startswith('"'):
        quoted = _QUOTED.fullmatch(value)
        if quoted is None:
            raise Wrong("matchers whose quotes are closed")
        value = _ESCAPED.sub(lambda one: "\n" if one[1] == "n" else one[1], quoted[1])
    if operator.endswith("~"):
        try:
            expression(value)
        except re2.error:
            raise Wrong("expressions that RE2 can read, such as Mistral.*") from None
    return Matcher(label=label, operator=operator, value=value)
