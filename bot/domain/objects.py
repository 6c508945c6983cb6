"""Reads values out of an API's objects whatever these really hold: what is missing or of a wrong type is empty."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

Object = Mapping[str, Any]


def within(held: object, *path: str) -> Object:
    """The object at ``path``; empty where there is none."""
    for step in path:
        held = held.get(step) if isinstance(held, Mapping) else None
    return held if isinstance(held, Mapping) else {}


def each(held: object, *path: str) -> list[Object]:
    """The objects in the list at ``path``, without anything in it that is none."""
    *before, last = path
    found = within(held, *before).get(last)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list | tuple) else []


def whole(value: object, otherwise: int) -> int:
    """``value`` where it is a whole number, else ``otherwise``."""
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def moment(text: object) -> datetime | None:
    """A Kubernetes time (RFC 3339) as an aware datetime; None where there is none."""
    try:
        at = datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
    return None if at is None or at.tzinfo is None else at
