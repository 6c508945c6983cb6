"""Reads ``remedies``, ``approvers`` and ``mitigations`` of the YAML file; what is not said there is the bot's own."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.domain.causes import Severity
from bot.domain.policy import ApprovalRule, Mitigations
from bot.domain.redaction import MASK, redact
from bot.domain.remedies import ENV_REMEDIES, EnvSpec, RemedyName
from bot.domain.runs import REVERT
from bot.domain.workload import shown_value
from bot.policies import Wrong, is_id, minutes, read_fields, section, yes_or_no
from bot.variables import nearest

# What a menu of Slack's takes, less those that come with the bot.
_MOST = 90
_MOST_NUMBER = 10**9
_TEXT = "a text of one line and at most 150 characters"


def read_remedies(document: Mapping[str, Any], problems: list[str]) -> Mapping[str, EnvSpec]:
    """The remedies that set a variable: the bot's own, as the file has them, then those that the file adds."""
    held: dict[str, EnvSpec] = {str(name): spec for name, spec in ENV_REMEDIES.items()}
    said = section(document.get("remedies"), "remedies", problems)
    if len(said) > _MOST:
        problems.append(f"remedies should hold at most {_MOST}, or no menu can show them")
    for name, keys in said.items():
        wrong = _wrong_name(name)
        if wrong:
            problems.append(f"remedies: {wrong}")
        elif not isinstance(keys, dict):
            problems.append(f"remedies: {name} should hold a map of {', '.join(_SPEC)}")
        else:
            spec = _spec(str(name), keys, held.get(name), problems)
            if spec is not None:
                held[name] = spec
    return held


def _wrong_name(name: object) -> str:
    """What is wrong with a remedy's name; empty: nothing."""
    if name in set(RemedyName) - set(ENV_REMEDIES):
        return f"{name} sets no variable, so there is nothing to choose about it"
    if name == REVERT or not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        return f"a name holds {name!r}; it should hold up to 40 of a-z, 0-9 and _, such as shed_batch"
    return ""


def _spec(name: str, keys: Mapping[Any, Any], known: EnvSpec | None, problems: list[str]) -> EnvSpec | None:
    """None where it is not whole; the problems tell why."""
    told = len(problems)
    values = _values(name, keys, problems)
    if len(problems) > told:
        return None
    missing = [key for key in ("what", "variable", "value") if known is None and key not in values]
    if missing:
        problems.append(
            f"remedies: {name} has no {' and no '.join(missing)}, which one of your own needs; for one of the bot's: "
            f"{nearest(name, ENV_REMEDIES)}"
        )
        return None
    # one of the file's own is judged by all probes unless it says otherwise
    spec = EnvSpec(**{"shields": False, **values}) if known is None else replace(known, **values)
    contradiction = _contradiction(spec)
    if contradiction:
        problems.append(f"remedies: {name}: {contradiction}")
        return None
    return spec


def _values(name: str, keys: Mapping[Any, Any], problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in keys.items():
        read = _SPEC.get(key)
        if read is None:
            problems.append(f"remedies: {name}: unknown key {key!r}; {nearest(str(key), _SPEC)}")
            continue
        try:
            values[_SPEC_FIELDS.get(key, key)] = read(value)
        except Wrong as wrong:
            shown = MASK if _secret("", str(value)) else repr(value)
            problems.append(f"remedies: {name}: {key} holds {shown}; it should hold {wrong}")
    return values


def _contradiction(spec: EnvSpec) -> str:
    if (spec.least is None) != (spec.most is None):
        return "least and most go together"
    if spec.least is None or spec.most is None:
        same = spec.off is not None and spec.off.lower() == spec.value.lower()
        return f"value and off_value are both {spec.value!r}" if same else ""
    if spec.off is not None:
        return "it takes off_value, or least and most, not all of them"
    if not spec.value.isdecimal() or not spec.least <= int(spec.value) <= spec.most:
        return f"value holds {spec.value!r}; it should hold a whole number from {spec.least} to {spec.most}"
    return ""


def _text(held: Any) -> str:
    if not isinstance(held, str) or not held.strip() or len(held) > 150 or not held.isprintable():
        raise Wrong(_TEXT)
    if _secret("", held):
        raise Wrong("a text that does not look like a secret: it is shown to people")
    return held.strip()


def _unit(held: Any) -> str:
    if not isinstance(held, str) or not re.fullmatch(r"[A-Za-z/% ]{0,20}", held):
        raise Wrong("a unit such as ms")
    return held.strip()


def _variable(held: Any) -> str:
    if not isinstance(held, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,252}", held):
        raise Wrong("the name of an environment variable, such as BATCH_ENABLED")
    if _secret(held, "x"):
        raise Wrong("a variable whose name does not sound like a secret: its values are shown to people")
    return held


def _value(held: Any) -> str:
    # true, on, no and 0.5 are read by YAML as something else than what is written
    text = str(held) if isinstance(held, int) and not isinstance(held, bool) else held
    if not isinstance(text, str) or not text or len(text) > 1000 or not text.isprintable():
        raise Wrong('a text in quotes, such as "false", or a whole number')
    if _secret("", text):
        raise Wrong("a value that does not look like a secret: it is shown to people")
    return text


def _secret(name: str, value: str) -> bool:
    """Whether people would not be shown the value of such a variable."""
    return MASK in shown_value({"name": name, "value": value}) or redact(value) != value


def _bound(held: Any) -> int:
    if isinstance(held, bool) or not isinstance(held, int) or not 0 <= held <= _MOST_NUMBER:
        raise Wrong(f"a whole number from 0 to {_MOST_NUMBER}")
    return held


_SPEC: Mapping[str, Callable[[Any], Any]] = {
    "what": _text,
    "variable": _variable,
    "value": _value,
    "off_value": _value,
    "least": _bound,
    "most": _bound,
    "unit": _unit,
    "temporary": yes_or_no,
    "shields": yes_or_no,
}
_SPEC_FIELDS = {"off_value": "off"}


def read_mitigations(document: Mapping[str, Any], remedies: Mapping[str, EnvSpec], problems: list[str]) -> Mitigations:
    """How mitigations are approved and carried out; ``remedies`` are those of the settings."""
    before = len(problems)
    policy = read_fields(document, "mitigations", Mitigations(), _READ, problems)
    longest = (policy.successes - 1) * policy.verify_every
    if len(problems) == before and longest >= policy.verify_within:
        problems.append(
            f"mitigations: {policy.successes} successes, one each {policy.verify_every.total_seconds():g} s "
            f"(verify_every), take longer than verify_within, {policy.verify_within / timedelta(minutes=1):g} minutes"
        )
    # one that is told to be wrong is not told to be missing, too
    said = section(document.get("remedies"), "remedies", [])
    names = dict.fromkeys(str(name) for name in (*RemedyName, *remedies, *said))
    return replace(policy, approvers=_approvers(document.get("approvers"), list(names), problems))


def _approvers(held: Any, remedies: list[str], problems: list[str]) -> tuple[ApprovalRule, ...]:
    if held is None:
        return ()
    if not isinstance(held, list) or not all(isinstance(rule, dict) for rule in held):
        problems.append("approvers should hold a list of maps, such as [{users: [U012AB3CD], approvals: 1}]")
        return ()
    rules: list[ApprovalRule] = []
    for number, said in enumerate(held, 1):
        before = len(problems)
        rule = _rule(said, number, remedies, problems)
        if len(problems) > before:
            continue
        if any(_covers(earlier, rule) for earlier in rules):
            problems.append(f"approvers: rule {number} is never used, since one before it fits all that it fits")
        rules.append(rule)
    return tuple(rules)


def _rule(said: Mapping[Any, Any], number: int, remedies: list[str], problems: list[str]) -> ApprovalRule:
    readers: Mapping[str, Callable[[Any], Any]] = {
        "remedies": lambda held: _remedies(held, remedies),
        "severities": _severities,
        "users": lambda held: _ids(held, "UW", "Slack user ids, such as [U012AB3CD]"),
        "groups": lambda held: _ids(held, "S", "user groups' ids, such as [S012AB3CD]"),
        "approvals": _approvals,
        "requester": yes_or_no,
    }
    values: dict[str, Any] = {}
    before = len(problems)
    for key, value in said.items():
        if key not in readers:
            problems.append(f"approvers: rule {number}: unknown key {key!r}; {nearest(str(key), readers)}")
            continue
        try:
            values[key] = readers[key](value)
        except Wrong as wrong:
            problems.append(f"approvers: rule {number}: {key} holds {value!r}; it should hold {wrong}")
    rule = ApprovalRule(**values)
    if len(problems) == before and not rule.groups and len(rule.users) < rule.approvals:
        problems.append(
            f"approvers: rule {number} asks for {rule.approvals} approvals and lists {len(rule.users)} users and no "
            "groups, so nothing could be approved"
        )
    return rule


def _covers(earlier: ApprovalRule, later: ApprovalRule) -> bool:
    """Whether all that ``later`` fits is the earlier rule's."""
    fits: tuple[tuple[frozenset[str] | None, frozenset[str] | None], ...] = (
        (earlier.remedies, later.remedies),
        (earlier.severities, later.severities),
    )
    return all(wide is None or (narrow is not None and narrow <= wide) for wide, narrow in fits)


def _remedies(held: Any, known: list[str]) -> frozenset[str]:
    if not isinstance(held, list) or not held or not all(isinstance(name, str) for name in held):
        raise Wrong(f"a list of remedies, such as [{', '.join(known[:2])}]")
    for name in held:
        if name not in known:
            raise Wrong(f"remedies that there are; {nearest(name, known)}")
    return frozenset(held)


def _severities(held: Any) -> frozenset[Severity]:
    if not isinstance(held, list) or not held or not all(one in list(Severity) for one in held):
        raise Wrong("severities such as [P1, P2]")
    return frozenset(Severity(one) for one in held)


def _ids(held: Any, kinds: str, what: str) -> frozenset[str]:
    if not isinstance(held, list) or not all(is_id(one, kinds) for one in held):
        raise Wrong(f"a list of {what}")
    return frozenset(held)


def _approvals(held: Any) -> int:
    if isinstance(held, bool) or not isinstance(held, int) or not 1 <= held <= 10:
        raise Wrong("a whole number from 1 to 10")
    return held


def _seconds(held: Any) -> timedelta:
    if isinstance(held, bool) or not isinstance(held, int | float) or not 1 <= held <= 3600:
        raise Wrong("a number of seconds from 1 to 3600")
    return timedelta(seconds=held)


def _hours(held: Any) -> timedelta:
    if isinstance(held, bool) or not isinstance(held, int | float) or not 0 < held <= 8760:
        raise Wrong("a number of hours above 0")
    return timedelta(hours=held)


def _whole(least: int) -> Callable[[Any], int]:
    def read(held: Any) -> int:
        if isinstance(held, bool) or not isinstance(held, int) or not least <= held <= 100:
            raise Wrong(f"a whole number from {least} to 100")
        return held

    return read


_READ: Mapping[str, Callable[[Any], Any]] = {
    "approve_within": minutes,
    "start_within": minutes,
    "rollout_within": minutes,
    "verify_within": minutes,
    "verify_every": _seconds,
    "per_hour": _whole(0),
    "successes": _whole(1),
    "remind_after": _hours,
    "key_by_form": yes_or_no,
}
