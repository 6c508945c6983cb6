"""Why a remedy must not be used for what a triage has found, as a sentence for whoever wants it all the same; pure."""

from collections.abc import Mapping
from typing import Any

from bot.domain.causes import CAUSES
from bot.domain.table import ROWS


def why_never(found: Mapping[str, Any], remedy: str) -> str:
    """``found``: a triage's JSON, or its ``cause`` alone; empty where nothing speaks against ``remedy``."""
    cause = CAUSES.get(str(found.get("cause")))
    if cause is None or not any(row.cause == cause.name and remedy in row.never for row in ROWS):
        return ""
    headline = str(found.get("headline") or cause.headline)
    return f"The triage says: {headline}. {remedy} must not be used for that."
