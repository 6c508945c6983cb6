"""Reads ``alerts`` of the YAML file: which alerts matter, and what each does."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.domain.alerts import Alerts
from bot.policies import section


def read_alerts(document: Mapping[str, Any], targets: Sequence[str], problems: list[str]) -> Alerts:
    """The rules of the file; what is wrong is added to ``problems``, a line each."""
    section(document.get("alerts"), "alerts", problems)
    return Alerts()
