"""Spans of time as people type them: 90m, 1h, 2h30m, 1d, 2w; pure."""

import re
from datetime import timedelta

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_WHOLE = re.compile(r"(?:\d{1,5}[mhdwy])+")
_PART = re.compile(r"(\d+)([mhdwy])")
_WEEK = timedelta(days=7)


def span_of(text: str, most: timedelta = _WEEK) -> timedelta | None:
    """None: that is none, or none from a minute to ``most``."""
    said = text.strip().lower()
    if not _WHOLE.fullmatch(said):
        return None
    span = timedelta(seconds=sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(said)))
    return span if timedelta(minutes=1) <= span <= most else None
