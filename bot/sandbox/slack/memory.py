"""The state of the workspace and how it is looked up; everything in memory."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from typing import Any

from bot.sandbox.slack.model import BOT_USER, PEOPLE, Call, Channel, Message, ResponseUrl, Trigger, View

# docs.slack.dev/interactivity/handling-user-interaction: a trigger_id opens one modal within three seconds, and a
# response_url takes five posts within half an hour
TRIGGER_S = 3.0
RESPONSE_S = 1800.0


class Memory:
    """What people and the bot share; nothing here decides what is allowed."""

    def __init__(self) -> None:
        self.people = dict(PEOPLE)
        self.channels = {
            channel: Channel(id=channel, name=name, members=set(PEOPLE), created=int(time.time()))
            for channel, name in (("C0INCIDENTS", "incidents"), ("C0GENERAL", "general"))
        }
        self.usergroups = {"S0ONCALL": "on-call"}
        self.usergroup_members = {"S0ONCALL": ["U0APPROVER", "U0COMMANDER"]}
        self.scopes: set[str] = set()
        """What the bot's token may do; the server grants all that there is."""
        self.messages: list[Message] = []
        self.files: dict[str, bytes] = {}
        self.file_names: dict[str, str] = {}
        self.calls: list[Call] = []
        self.views: dict[str, View] = {}
        """The modal that is open, by user: the uppermost, where some were pushed upon each other."""
        self.homes: dict[str, View] = {}
        """What the bot published to each user's App Home."""
        self.triggers: dict[str, Trigger] = {}
        self.trigger_s = TRIGGER_S
        """How long a trigger_id opens a modal, in seconds."""
        self.response_urls: dict[str, ResponseUrl] = {}
        """By the URL's last part."""
        self.response_s = RESPONSE_S
        """How long a response_url takes posts, in seconds."""
        self.base_url = ""
        self._count = itertools.count(1)
        self._newest_us = 0
        self._found: dict[tuple[str, str], Message] = {}
        self.tick = asyncio.Event()
        """Set, and replaced by a new one, at each change."""

    def new_ts(self) -> str:
        """The time of day in seconds, to the microsecond: no two are the same, and each is later than the last."""
        self._newest_us = max(self._newest_us + 1, int(time.time() * 1e6))
        return f"{self._newest_us // 1_000_000}.{self._newest_us % 1_000_000:06d}"

    def new_trigger(self, user: str) -> str:
        trigger = f"{next(self._count)}.{int(time.time())}.{secrets.token_hex(16)}"
        self.triggers[trigger] = Trigger(user, time.monotonic())
        return trigger

    def new_view(self, user: str, body: dict[str, Any]) -> View:
        return View(id=f"V0{next(self._count):08d}", user=user, body=body, hash=self.new_ts())

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
        self._found[message.channel, message.ts] = message
        self.changed()
        return message

    def remove(self, message: Message) -> None:
        self.messages.remove(message)
        del self._found[message.channel, message.ts]
        self.changed()

    def find(self, channel: str, ts: str) -> Message | None:
        return self._found.get((channel, ts))

    def find_view(self, view_id: str) -> View | None:
        return next((one for one in (*self.modals(), *self.homes.values()) if one.id == view_id), None)

    def modals(self) -> list[View]:
        """All that are open, those too that lie beneath another."""
        return [one for top in self.views.values() for one in top.stack]

    def close_view(self, view: View) -> None:
        """Shows the one beneath again, if there is one."""
        if view.beneath is None:
            self.views.pop(view.user, None)
        else:
            self.views[view.user] = view.beneath

    def channel(self, name: str) -> Channel:
        """The channel called ``name``; raises LookupError."""
        for channel in self.channels.values():
            if channel.name == name.removeprefix("#"):
                return channel
        raise LookupError(f"there is no channel {name}")

    def add_channel(self, name: str, *, is_private: bool = False, members: set[str] | None = None) -> Channel:
        """A new channel; everybody is in it where ``members`` does not say otherwise."""
        channel = Channel(
            id=f"C0{next(self._count):08d}",
            name=name,
            is_private=is_private,
            members=set(self.people) if members is None else members,
            created=int(time.time()),
        )
        self.channels[channel.id] = channel
        self.changed()
        return channel

    def direct(self, user: str) -> Channel:
        """The direct messages between the bot and ``user``."""
        channel = "D" + user[1:]
        return self.channels.setdefault(
            channel, Channel(id=channel, name="", is_im=True, is_private=True, members={user, BOT_USER})
        )

    def expel_bot(self, channel: str) -> None:
        """Throws the bot out of the channel."""
        self.channels[channel].members.discard(BOT_USER)
        self.changed()
