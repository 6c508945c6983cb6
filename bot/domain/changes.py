"""What a mitigation changes in a pod template or a Secret, as values that hold no secret; pure.

A change can be put into a template, taken back, stored and shown. Templates themselves are never stored: they may hold
secrets in plain text.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

from bot.domain.objects import Object, each, within
from bot.domain.redaction import MASK, redact
from bot.domain.workload import HASH_LABEL, shown_value
from bot.errors import BotError

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


class Unfitting(BotError):
    """The change cannot be made in that template; the text is a sentence for a person."""


@dataclass(frozen=True, kw_only=True)
class EnvChange:
    """One variable of one container. ``before`` and ``after`` are whole entries of ``env``; None: it is not there."""

    container: str
    name: str
    before: Object | None
    after: Object | None


@dataclass(frozen=True, kw_only=True)
class AnnotationChange:
    """One annotation of the pod template; None: it is not there."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class RevisionChange:
    """The template of another revision, which the ReplicaSet ``after_set`` holds."""

    before: int
    before_set: str
    after: int
    after_set: str


@dataclass(frozen=True, kw_only=True)
class KeyChange:
    """The entry of a Secret, to be taken from an entry of another; ``source`` empty: a person enters it in a form."""

    secret: str
    entry: str
    source: str
    source_entry: str
    source_version: str
    """The source's resourceVersion when it was looked at."""


Change = EnvChange | AnnotationChange | RevisionChange | KeyChange
_KINDS: Mapping[str, type[Change]] = {
    "env": EnvChange,
    "annotation": AnnotationChange,
    "revision": RevisionChange,
    "key": KeyChange,
}


def change_json(change: Change) -> dict[str, Any]:
    """As it is stored."""
    kind = next(name for name, held in _KINDS.items() if type(change) is held)
    return {"kind": kind, **asdict(change)}


def change_of(held: Mapping[str, Any]) -> Change:
    return _KINDS[held["kind"]](**{name: value for name, value in held.items() if name != "kind"})


def inverse(changes: Iterable[Change]) -> tuple[Change, ...]:
    """What takes ``changes`` back, in the other order; raises Unfitting for a key, which is kept nowhere."""
    return tuple(_inverse(change) for change in reversed(list(changes)))


def _inverse(change: Change) -> Change:
    match change:
        case EnvChange():
            return EnvChange(container=change.container, name=change.name, before=change.after, after=change.before)
        case AnnotationChange():
            return AnnotationChange(name=change.name, before=change.after, after=change.before)
        case RevisionChange():
            return RevisionChange(
                before=change.after, before_set=change.after_set, after=change.before, after_set=change.before_set
            )
        case KeyChange():
            raise Unfitting("The old key is kept nowhere; rotate to it from a Secret that holds it.")


def changed(template: Object, changes: Iterable[Change], sets: Mapping[str, Object]) -> dict[str, Any]:
    """A pod template with ``changes`` made; ``sets`` are ReplicaSets by name. Raises Unfitting."""
    made: dict[str, Any] = deepcopy(dict(template))
    for change in changes:
        match change:
            case EnvChange():
                _set_variable(made, change)
            case AnnotationChange():
                _set_annotation(made, change)
            case RevisionChange():
                made = _template_of(change, sets)
            case KeyChange():
                pass
    return made


def _set_variable(template: dict[str, Any], change: EnvChange) -> None:
    container = next((one for one in each(template, "spec", "containers") if one.get("name") == change.container), None)
    if not isinstance(container, dict):
        raise Unfitting(f"There is no container {change.container} any more.")
    held = each(container, "env")
    places = [place for place, one in enumerate(held) if one.get("name") == change.name]
    if len(places) > 1:
        # which of them counts is easily mistaken, and taking back would not give what was before
        raise Unfitting(f"{change.name} is set twice in container {change.container}; take one of the two out first.")
    at = places[0] if places else len(held)
    held[at : at + 1] = [] if change.after is None else [deepcopy(dict(change.after))]
    if held:
        container["env"] = held
    else:
        container.pop("env", None)  # the API server keeps no empty list


def _set_annotation(template: dict[str, Any], change: AnnotationChange) -> None:
    metadata = template["metadata"] = dict(within(template, "metadata"))
    held = dict(within(metadata, "annotations"))
    if change.after is None:
        held.pop(change.name, None)
    else:
        held[change.name] = change.after
    if held:
        metadata["annotations"] = held
    else:
        metadata.pop("annotations", None)


def _template_of(change: RevisionChange, sets: Mapping[str, Object]) -> dict[str, Any]:
    kept = within(sets.get(change.after_set), "spec", "template")
    if not kept:
        raise Unfitting(f"Revision {change.after} is not kept any more; `kubectl rollout history` lists what is.")
    made: dict[str, Any] = deepcopy(dict(kept))
    labels = within(made, "metadata").get("labels")
    if isinstance(labels, dict):
        labels.pop(HASH_LABEL, None)
    return made


def template_hash(template: Object) -> str:
    """What a preview of a Deployment is pinned to: the same template gives the same 64 digits, whatever its status."""
    return hashlib.sha256(_text(template).encode("utf-8", "surrogatepass")).hexdigest()


def _text(value: Any) -> str:
    """The same for the same JSON alone: to Python 1 and true are equal."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def merge_patch(before: Any, after: Any) -> Any:
    """The JSON merge patch (RFC 7386) that makes ``after`` of ``before``: maps merge, null deletes, lists are whole."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return deepcopy(after)
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        if name not in before:
            patch[name] = _without_nulls(value)
        elif _text(before[name]) != _text(value):
            patch[name] = merge_patch(before[name], value)
    return patch


def _without_nulls(value: Any) -> Any:
    """A null in a merge patch would delete; the API knows none in what it holds."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(held) for name, held in value.items() if held is not None}
    return deepcopy(value)


_Path = tuple[str, ...]
# What is longer is cut, and its change is told all the same.
_LINE_CHARS = 300
# Lists of names and values: whether a value is secret is told by its name.
_NAMED_VALUES = (".env", ".httpHeaders")


def diff(before: Object, after: Object) -> tuple[str, ...]:
    """What differs between two pod templates, a line each, ``- `` before and ``+ `` after; secrets are masked."""
    old, new = (dict(_flat(held, ())) for held in (before, after))
    lines: list[str] = []
    for path in [*old, *(path for path in new if path not in old)]:
        was, is_now = old.get(path), new.get(path)
        if was == is_now:
            continue
        name = redact("".join(path).removeprefix("."))
        if was is not None:
            lines.append(_line("-", name, was[1]))
        if is_now is not None:
            # two secrets that differ look the same
            same = was is not None and was[1] == is_now[1]
            lines.append(_line("+", name, f"{is_now[1]}{' (changed)' if same else ''}"))
    if [path for path in old if path in new] != [path for path in new if path in old]:
        lines.append("+ order: changed")
    return tuple(lines)


def _line(sign: str, name: str, text: str) -> str:
    """One line, whatever is in it: nobody can make it look like two."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in f"{sign} {name}: {text}")


def _flat(held: Any, path: _Path) -> Iterator[tuple[_Path, tuple[str, str]]]:
    """(path, (value, as it may be shown)) of every value; things in lists go by their names."""
    if isinstance(held, Mapping) and len(path) > 1 and path[-2] in _NAMED_VALUES:
        yield path, (_text(held), shown_value(held))
    elif isinstance(held, Mapping) and held:
        for name in sorted(held, key=str):
            yield from _flat(held[name], (*path, f".{name}"))
    elif isinstance(held, list | tuple) and held:
        yield from _flat_list(held, path)
    else:
        yield path, (_text(held), _shown(held, path))


def _flat_list(held: Sequence[Any], path: _Path) -> Iterator[tuple[_Path, tuple[str, str]]]:
    steps: set[str] = set()
    before: Any = None
    for place, value in enumerate(held):
        step = f"[{value.get('name', place)}]" if isinstance(value, Mapping) else f"[{place}]"
        while step in steps:  # such as a volume that is mounted twice
            step += f"[{place}]"
        steps.add(step)
        if isinstance(value, str) and _tells_of_a_secret(before):
            yield (*path, step), (_text(value), MASK)
        else:
            yield from _flat(value, (*path, step))
        before = value


def _tells_of_a_secret(argument: Any) -> bool:
    """Such as ``--password``, whose value is the next argument."""
    return isinstance(argument, str) and redact(argument) == argument and redact(f"{argument}=x") != f"{argument}=x"


def _shown(held: Any, path: _Path) -> str:
    if held is None or isinstance(held, bool | Mapping | list | tuple):
        return json.dumps(held)
    name = path[-1].removeprefix(".") if path else ""
    if path[-2:-1] == (".annotations",):
        return shown_value({"name": name, "value": held})
    text = redact(str(held))
    # a name such as PASSWORD before the value tells what the value alone does not
    if redact(f"{name}={text}") != f"{name}={text}":
        return MASK
    return text if len(text) <= _LINE_CHARS else f"{text[:_LINE_CHARS]}…"
