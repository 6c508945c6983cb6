"""What the workspace is made of: people, channels, messages, views, and the triggers that open views."""

import copy
from dataclasses import dataclass, field
from typing import Any

BOT_USER = "U0SANDBOXBOT"
BOT_ID = "B0SANDBOX"
APP_ID = "A0SANDBOX"
TEAM = "T0SANDBOX"


@dataclass(frozen=True, kw_only=True)
class Person:
    """``name`` may be empty: not everybody gave one. Guests are restricted, those of one channel ultra restricted."""

    id: str
    name: str = ""
    is_bot: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    tz: str = "Europe/Paris"


PEOPLE = {
    person.id: person
    for person in (
        Person(id="U0REQUESTER", name="Robin"),
        Person(id="U0APPROVER", name="Ada"),
        Person(id="U0COMMANDER", name="Chris"),
        Person(id="U0GUEST", name="Gwen", is_restricted=True),
        Person(id="U0NAMELESS"),
        Person(id=BOT_USER, name="mistral-bot", is_bot=True),
    )
}
USERS = {person.id: person.name for person in PEOPLE.values()}


@dataclass(kw_only=True)
class Channel:
    """A channel, or a direct message (``is_im``); ``pins`` holds the ts of what is pinned."""

    id: str
    name: str
    is_private: bool = False
    is_archived: bool = False
    is_im: bool = False
    members: set[str] = field(default_factory=set)
    topic: str = ""
    creator: str = "U0REQUESTER"
    created: int = 0
    previous_names: list[str] = field(default_factory=list)
    pins: list[str] = field(default_factory=list)


@dataclass
class Message:
    """One message; ``only_for`` is the user who alone sees it, ``thread_ts`` the message that it answers."""

    channel: str
    ts: str
    user: str
    text: str = ""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    thread_ts: str | None = None
    only_for: str | None = None
    edits: int = 0
    files: list[str] = field(default_factory=list)
    file_names: list[str] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)

    @property
    def all_text(self) -> str:
        """Everything that a person could read in it, markup and all."""
        return "\n".join([self.text, *map(str, self.blocks)])

    def as_seen(self) -> "Message":
        """The message as it is on somebody's screen now, to click on after it has changed."""
        return copy.deepcopy(self)

    def payload(self, *, metadata: bool = False) -> dict[str, Any]:
        """The message as Slack hands it out; ``metadata`` only where it was asked for."""
        held: dict[str, Any] = {
            "type": "message",
            "user": self.user,
            "ts": self.ts,
            "text": self.text,
            "blocks": self.blocks,
            "team": TEAM,
        }
        if self.user == BOT_USER:
            held |= {"bot_id": BOT_ID, "app_id": APP_ID}
        if self.thread_ts:
            held["thread_ts"] = self.thread_ts
        if self.edits:
            held["edited"] = {"user": self.user, "ts": self.ts}
        if self.reactions:
            held["reactions"] = [
                {"name": name, "users": users, "count": len(users)} for name, users in self.reactions.items()
            ]
        if self.files:
            held["files"] = [{"id": one, "name": name} for one, name in zip(self.files, self.file_names, strict=True)]
        if metadata and self.metadata is not None:
            held["metadata"] = self.metadata
        return held


@dataclass
class View:
    """A modal that is open to ``user``, or the App Home of theirs; ``body`` is what the bot sent.

    ``errors`` are those that the bot last answered to a submission, by block; ``typed`` is the state with which it was
    last submitted, which stays on the screen while the modal is open. ``beneath``: the modal that it was pushed upon.
    """

    id: str
    user: str
    body: dict[str, Any]
    hash: str
    errors: dict[str, str] = field(default_factory=dict)
    typed: dict[str, dict[str, Any]] = field(default_factory=dict)
    beneath: "View | None" = None

    @property
    def stack(self) -> "list[View]":
        """This view and those beneath it, down to the first."""
        return [self, *(self.beneath.stack if self.beneath else ())]

    @property
    def blocks(self) -> list[dict[str, Any]]:
        return list(self.body.get("blocks", ()))

    @property
    def title(self) -> str:
        return str(self.body.get("title", {}).get("text", ""))

    @property
    def all_text(self) -> str:
        """Everything that a person could read in it, markup and all."""
        return "\n".join([self.title, *map(str, self.blocks)])

    def as_seen(self) -> "View":
        """The view as it is on somebody's screen now, to submit after it has changed."""
        return copy.deepcopy(self)

    def payload(self, values: dict[str, Any] | None = None) -> dict[str, Any]:
        """The view as Slack hands it out, with ``values`` as its state."""
        usual = {"callback_id": "", "private_metadata": "", "external_id": "", "title": None, "submit": None}
        return {
            **usual,
            "close": None,
            "clear_on_close": False,
            "notify_on_close": False,
            **self.body,
            "id": self.id,
            "team_id": TEAM,
            "state": {"values": values or {}},
            "hash": self.hash,
            "previous_view_id": self.beneath.id if self.beneath else None,
            "root_view_id": self.stack[-1].id,
            "app_id": APP_ID,
            "app_installed_team_id": TEAM,
            "bot_id": BOT_ID,
        }


@dataclass
class Trigger:
    """What lets the bot open one modal for ``user``; ``at`` is the monotonic clock's."""

    user: str
    at: float
    used: bool = False


@dataclass
class ResponseUrl:
    """Where the bot may answer what ``user`` did in ``channel``; ``at`` is the monotonic clock's."""

    channel: str
    user: str
    at: float
    posts_left: int = 5
    message_ts: str = ""
    """The message that was clicked on, if it was one."""


@dataclass(frozen=True)
class Call:
    """One call of the Web API; ``at`` is the monotonic clock's."""

    method: str
    at: float
    arguments: dict[str, Any]
