"""Alerts, and the rules that say what each does; pure."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """``key``: the labels whose values make the key of which one incident is open; those that are missing are empty."""

    key: tuple[str, ...] = ("alertname",)
    reopen_within: timedelta = timedelta(minutes=30)
