"""The workspace: people, channels, messages and files, and what was called when; everything in memory."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

BOT_USER = "U0SANDBOXBOT"
TEAM = "T0SANDBOX"
USERS = {"U0REQUESTER": "Robin", "U0APPROVER": "Ada", "U0COMMANDER": "Chris", BOT_USER: "mistral-bot"}
CHANNELS = {"C0INCIDENTS": "incidents", "C0GENERAL": "general"}


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

    @property
    def all_text(self) -> str:
        """Everything that a person could read in it, markup and all."""
        return "\n".join([self.text, *map(str, self.blocks)])


@dataclass(frozen=True)
class Call:
    """One call of the Web API; ``at`` is the monotonic clock's."""

    method: str
    at: float
    arguments: dict[str, Any]


Deliver = Callable[[str, dict[str, Any]], Awaitable[float]]


class Workspace:
    """What people see. ``deliver`` is set by the server: it takes (kind, payload) and gives the seconds to the ack."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.files: dict[str, bytes] = {}
        self.calls: list[Call] = []
        self.members: set[str] = set(CHANNELS)
        """The channels that the bot is in."""
        self.deliver: Deliver | None = None
        self.response_urls: dict[str, tuple[str, str, int]] = {}
        """(channel, user, posts left) by the URL's last part."""
        self.base_url = ""
        self._count = itertools.count(1)
        self.tick = asyncio.Event()
        """Set, and replaced by a new one, at each change."""

    def new_ts(self) -> str:
        return f"{int(time.time())}.{next(self._count):06d}"

    def changed(self) -> None:
        self.tick, past = asyncio.Event(), self.tick
        past.set()

    async def wait_for(self, found: Callable[[], Any], timeout_s: float = 15) -> Any:
        """The first true value of ``found``, asked again at each change; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not (value := found()):
                await self.tick.wait()
            return value

    def add(self, message: Message) -> Message:
        self.messages.append(message)
        self.changed()
        return message

    def find(self, channel: str, ts: str) -> Message | None:
        return next((one for one in self.messages if (one.channel, one.ts) == (channel, ts)), None)

    async def command(self, text: str, *, user: str = "U0REQUESTER", channel: str = "C0INCIDENTS") -> float:
        """Somebody types ``/mistral text``; gives the seconds until it was acknowledged."""
        return await self._deliver(
            "slash_commands",
            {
                "command": "/mistral",
                "text": text,
                "user_id": user,
                "user_name": USERS[user],
                "channel_id": channel,
                "channel_name": CHANNELS.get(channel, "private"),
                "team_id": TEAM,
                "trigger_id": self.new_ts(),
                "response_url": self._response_url(channel, user),
                "api_app_id": "A0SANDBOX",
                "token": "unused",
            },
        )

    async def click(self, message: Message, action_id: str, *, user: str = "U0REQUESTER") -> float:
        """Somebody clicks a button of ``message``; raises LookupError where there is no such button."""
        for block in message.blocks:
            for element in block.get("elements", ()):
                if element.get("action_id") == action_id:
                    payload = self._click_payload(message, block, element, user)
                    return await self._deliver("interactive", payload)
        raise LookupError(f"the message has no button {action_id}")

    async def say(self, text: str, *, user: str = "U0REQUESTER", channel: str = "C0INCIDENTS") -> float:
        """Somebody writes in a channel; the bot is told where it is a member, and of mentions as such."""
        message = self.add(Message(channel=channel, ts=self.new_ts(), user=user, text=text))
        if channel not in self.members:
            return 0.0
        kind = "app_mention" if f"<@{BOT_USER}>" in text else "message"
        event = {
            "type": kind,
            "channel": channel,
            "user": user,
            "text": text,
            "ts": message.ts,
            "channel_type": "channel",
        }
        return await self._deliver(
            "events_api",
            {
                "type": "event_callback",
                "event_id": f"Ev{message.ts}",
                "team_id": TEAM,
                "api_app_id": "A0SANDBOX",
                "event": event,
                "authorizations": [{"team_id": TEAM, "user_id": BOT_USER, "is_bot": True}],
            },
        )

    def _click_payload(
        self, message: Message, block: dict[str, Any], element: dict[str, Any], user: str
    ) -> dict[str, Any]:
        return {
            "type": "block_actions",
            "user": {"id": user, "name": USERS[user], "team_id": TEAM},
            "team": {"id": TEAM, "domain": "sandbox"},
            "channel": {"id": message.channel, "name": CHANNELS.get(message.channel, "private")},
            "message": {"ts": message.ts, "text": message.text, "blocks": message.blocks},
            "container": {"type": "message", "message_ts": message.ts, "channel_id": message.channel},
            "trigger_id": self.new_ts(),
            "api_app_id": "A0SANDBOX",
            "token": "unused",
            "response_url": self._response_url(message.channel, user),
            "actions": [
                {
                    "type": element["type"],
                    "action_id": element["action_id"],
                    "block_id": block.get("block_id", "b"),
                    "value": element.get("value"),
                    "action_ts": self.new_ts(),
                }
            ],
        }

    def _response_url(self, channel: str, user: str) -> str:
        key = self.new_ts().replace(".", "")
        self.response_urls[key] = (channel, user, 5)
        return f"{self.base_url}/response/{key}"

    async def _deliver(self, kind: str, payload: dict[str, Any]) -> float:
        if self.deliver is None:
            raise LookupError("the bot is not connected")
        return await self.deliver(kind, payload)
