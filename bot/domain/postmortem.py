"""A postmortem as it is kept: what people wrote, version by version; pure values. ``drafting`` writes the rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class PostmortemState(StrEnum):
    UNWRITTEN = "unwritten"
    """Nobody has said anything yet: what there is of it is the draft that the bot writes from the record."""
    DRAFT = "draft"
    PUBLISHED = "published"


@dataclass(frozen=True, kw_only=True)
class Version:
    """What people had written when it was saved: texts by section, and only those that somebody has changed.

    A section that is not in ``written`` is drafted from the record whenever it is shown. ``confirmed_by``: who has
    confirmed the root cause, None: nobody, and it is marked as the bot's diagnosis.
    """

    incident: int
    number: int
    at: datetime
    by: str
    written: Mapping[str, str] = field(default_factory=dict)
    confirmed_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Postmortem:
    """Where the postmortem of an incident stands; ``newest`` None: nothing is written yet.

    ``published``: the number of the version that was published last, None: none was.
    """

    incident: int
    state: PostmortemState = PostmortemState.UNWRITTEN
    newest: Version | None = None
    published: int | None = None
    published_at: datetime | None = None
    published_by: str | None = None
    reminders: int = 0
    remind_at: datetime | None = None
