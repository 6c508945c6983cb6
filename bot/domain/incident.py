"""What an incident is, and what a change of one consists of; ``acts`` and ``clocks`` make the changes.

A :class:`Change` is the incident as it then is, what is appended to its timeline, and what must reach somebody; the
store writes all three in one transaction, or none. A :class:`Refusal` says in a sentence why not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.domain.causes import Severity
from bot.domain.collecting import Why
from bot.domain.publication import Publication
from bot.domain.timeline import FIRST_HASH, Event
from bot.domain.watching import Watching
from bot.errors import BotError

BOT = "bot"
TITLE_CHARS, TEXT_CHARS = 150, 3000
# How much of a text the card shows; all of a longer one is in its thread.
CARD_CHARS = 1200
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Status(StrEnum):
    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"


# Which status may follow which; what is resolved is only reopened.
MOVES: Mapping[Status, frozenset[Status]] = {
    Status.INVESTIGATING: frozenset({Status.IDENTIFIED, Status.MONITORING, Status.RESOLVED}),
    Status.IDENTIFIED: frozenset({Status.INVESTIGATING, Status.MONITORING, Status.RESOLVED}),
    Status.MONITORING: frozenset({Status.INVESTIGATING, Status.IDENTIFIED, Status.RESOLVED}),
    Status.RESOLVED: frozenset({Status.INVESTIGATING}),
}


class Role(StrEnum):
    COMMANDER = "commander"
    COMMUNICATIONS = "communications"
    SCRIBE = "scribe"
    POSTMORTEM = "postmortem"


class Milestone(StrEnum):
    """The moments from which MTTA and MTTR are counted."""

    FIRST_ALERT = "first alert"
    DECLARED = "declared"
    ACKNOWLEDGED = "acknowledged"
    IDENTIFIED = "root cause identified"
    MITIGATED = "mitigated"
    RESTORED = "restored"


# The milestone that a status brings with it, unless it was there already.
REACHED = {
    Status.IDENTIFIED: Milestone.IDENTIFIED,
    Status.MONITORING: Milestone.MITIGATED,
    Status.RESOLVED: Milestone.RESTORED,
}


class Priority(StrEnum):
    """The order in which waiting messages are sent; the names sort."""

    PAGE = "1 page"
    INCIDENT = "2 incident"
    REST = "3 rest"


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """A message that must reach somebody.

    ``kind`` is ``post`` to ``to`` (a channel's or a user's id, or HOME for the incident's own place), ``card`` (one a
    place, rendered anew from the incident whenever it is sent), ``run`` (the card of the mitigation whose id is
    ``template``), ``proposal`` (the card of the alerts whose proposal's id is ``template``; it has no incident),
    ``notice`` (a post for stakeholders: the first is a message, the later ones stand in its thread), ``status`` (one a
    status page, which ``to`` names: it is brought up to date), ``channel`` (make the incident's own), ``evidence`` (the
    card of the bundle whose id is ``template``), ``postmortem`` (its card, one an incident), ``file`` (to FILES: into
    the thread of its card or of a message of its own, or to FOLDER: on disk; ``template`` says which, with
    ``context``), or ``page``.
    ``aloud`` False: where the incident shares its channel, in the card's thread alone.
    """

    kind: str
    to: str
    template: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    aloud: bool = True
    priority: Priority = Priority.INCIDENT


HOME = "home"
PAGER = "pager"
# With its name: what is for one pager alone.
ONE_PAGER = "pager:"
# Where files go: into the thread of their card or message, and onto disk. Neither holds up what people read.
FILES, FOLDER = "files", "folder"
CARD = Outgoing(kind="card", to=HOME)


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One incident. ``id`` 0: not stored yet. Moments are aware, in UTC; None: not, or not any more."""

    id: int = 0
    target: str
    title: str
    severity: Severity
    status: Status = Status.INVESTIGATING
    impact: str = ""
    action: str = ""
    components: tuple[str, ...] = ()
    cause: str | None = None
    triage: str | None = None
    """The id of the kept triage that says what is wrong."""
    roles: Mapping[Role, str] = field(default_factory=dict)
    milestones: Mapping[Milestone, datetime] = field(default_factory=dict)
    declared_by: str
    declared_at: datetime
    updated_at: datetime
    channel: str
    """Where it was declared or announced; its messages go there unless it has a channel of its own."""
    own_channel: str | None = None
    next_update_at: datetime | None = None
    remind_at: datetime | None = None
    nudge_at: datetime | None = None
    nudges: int = 0
    snoozes: int = 0
    respond_by: datetime | None = None
    escalate_at: datetime | None = None
    escalations: int = 0
    """How many steps were taken; what remains of it after whole rounds of the policy's list is the place in it."""
    resolved_at: datetime | None = None
    version: int = 0
    entries: int = 0
    last_hash: str = FIRST_HASH

    @property
    def open(self) -> bool:
        return self.status is not Status.RESOLVED

    @property
    def home(self) -> str:
        """The channel where its messages go."""
        return self.own_channel or self.channel

    @property
    def name(self) -> str:
        return f"INC-{self.id}"

    @property
    def commander(self) -> str | None:
        return self.roles.get(Role.COMMANDER)


def plain(text: str) -> str:
    """Without what no database keeps as text: NUL, and halves of characters."""
    return _UNSTORABLE.sub("", text).strip()


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an act makes of an incident."""

    incident: Incident
    events: tuple[Event, ...] = ()
    messages: tuple[Outgoing, ...] = ()
    publication: Publication | None = None
    """What the public is told from now on."""
    watching: Watching | None = None
    """How the provider was found to fare."""
    alert_key: str | None = None
    """The key whose alerts are this incident's from now on."""
    evidence: Why | None = None
    """Why a bundle is to be collected now."""
    over: bool | None = None
    """True: it has ended now, and a postmortem is due; False: it was opened again."""


class Refusal(BotError):
    """The act is not to be done; the text is a sentence for whoever asked."""
