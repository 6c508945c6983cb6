"""Where somebody asked something."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Place:
    """``response_url`` None: not by a command or a click. ``trigger_id`` opens a form within three seconds."""

    channel: str
    user: str
    response_url: str | None = None
    trigger_id: str | None = None
