"""The only caller of Slack's Web API: posts and updates what handlers say, at the pace that Slack takes it.

A post whose connection broke is not sent again, since one lost response would make two messages; a call that Slack asks
to repeat later (429) is, where that is soon.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.clients.proxies import proxy_for
from bot.errors import MessageError
from bot.measures import SLACK_CALLS
from bot.ports import File, MessageRef, Reply
from bot.render import Renderer
from bot.settings import Network
from bot.slack.place import Place
from bot.slack.uploads import UNREACHABLE, file_names, upload

logger = logging.getLogger(__name__)

# Slack: about one message a second and channel.
_PACE_S = 1.0
_PACED_CHANNELS = 1000
_ATTEMPTS = 3
# Slack's Retry-After is mostly below this; somebody is waiting for the answer.
_PATIENCE_S = 30.0
# A response_url takes five posts, of which each of these may be one.
_ANSWERED_AGAIN_S = (1.0, 5.0, 15.0, 40.0)
_METADATA = "mistral_bot_delivery"


@dataclass(frozen=True)
class SlackMessenger:
    """``answered`` is told of every call that Slack answered, for ``/readyz``."""

    client: AsyncWebClient
    renderer: Renderer
    network: Network
    answered: Callable[[], None] = lambda: None
    patience_s: float = _PATIENCE_S
    """How long a call may wait where Slack says when to ask again; what waits in the store needs none."""
    pace_s: float | None = None
    """The time between two posts in a channel; None: Slack's own."""
    _next_post: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    async def hello(self) -> dict[str, Any]:
        """Who the bot is (``auth.test``); raises MessageError."""
        response = await self._call(self.client.auth_test)
        return dict(response.data)

    async def post(
        self,
        channel: str,
        reply: Reply,
        *,
        thread_ts: str | None = None,
        aloud: bool = False,
        delivery: str | None = None,
    ) -> MessageRef:
        message = self.renderer.message(reply)
        await self._pace(channel)
        response = await self._call(
            self.client.chat_postMessage,
            channel=channel,
            text=message.text,
            blocks=message.blocks,
            thread_ts=thread_ts,
            reply_broadcast=aloud or None,
            metadata=_metadata(delivery),
            unfurl_links=False,
            unfurl_media=False,
        )
        ref = MessageRef(channel=str(response["channel"]), ts=str(response["ts"]))
        await self._overflow(ref, message.overflow, thread_ts, delivery)
        return ref

    async def complete(
        self, message: MessageRef, reply: Reply, *, thread_ts: str | None, delivery: str, since: datetime
    ) -> None:
        rest = self.renderer.message(reply).overflow
        await self._overflow(message, rest, thread_ts, delivery, since)

    async def find(self, channel: str, delivery: str, *, since: datetime, thread_ts: str | None) -> MessageRef | None:
        if channel.startswith(("U", "W")):
            opened = await self._call(self.client.conversations_open, users=channel)
            channel = str(opened["channel"]["id"])
        cursor: str | None = None
        while True:
            page = await self._page_of(channel, since, thread_ts, cursor)
            for message in page.get("messages") or ():
                held = (message.get("metadata") or {}).get("event_payload") or {}
                if held.get("delivery") == delivery:
                    return MessageRef(channel=channel, ts=str(message["ts"]))
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return None

    async def _page_of(self, channel: str, since: datetime, thread_ts: str | None, cursor: str | None) -> Any:
        asked = {
            "channel": channel,
            "oldest": f"{since.timestamp():.6f}",
            "include_all_metadata": True,
            "limit": 200,
            "cursor": cursor,
        }
        if thread_ts is None:
            return await self._call(self.client.conversations_history, **asked)
        return await self._call(self.client.conversations_replies, ts=thread_ts, **asked)

    async def update(self, message: MessageRef, reply: Reply) -> None:
        rendered = self.renderer.message(reply)
        await self._call(
            self.client.chat_update,
            channel=message.channel,
            ts=message.ts,
            text=rendered.text,
            blocks=rendered.blocks,
        )
        await self._overflow(message, rendered.overflow, None)

    async def upload(self, message: MessageRef, file: File) -> None:
        await upload(self.client, self._call, self.network, message, file)

    async def file_names(self, message: MessageRef) -> frozenset[str]:
        return await file_names(self.client, self._call, message)

    async def pin(self, message: MessageRef) -> None:
        try:
            await self._call(self.client.pins_add, channel=message.channel, timestamp=message.ts)
        except MessageError as error:
            if error.code != "already_pinned":
                raise

    async def make_channel(self, name: str) -> str:
        try:
            made = await self._call(self.client.conversations_create, name=name)
        except MessageError as error:
            if error.code != "name_taken":
                raise
            return await self._channel_called(name)
        return str(made["channel"]["id"])

    async def _channel_called(self, name: str) -> str:
        cursor: str | None = None
        while True:
            page = await self._call(self.client.conversations_list, limit=1000, cursor=cursor)
            for channel in page["channels"]:
                if channel["name"] == name:
                    return str(channel["id"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                raise MessageError(f"Slack says that the name {name} is taken, and lists no such channel", "name_taken")

    async def invite(self, channel: str, users: Sequence[str]) -> None:
        for user in users:
            try:
                await self._call(self.client.conversations_invite, channel=channel, users=user)
            except MessageError as error:
                if error.passing:
                    raise
                logger.info("%s was not invited: %s", user, error.code)

    async def open_view(self, trigger_id: str, reply: Reply) -> str:
        """A form, whose id is given; ``trigger_id`` lives three seconds."""
        opened = await self._call(self.client.views_open, trigger_id=trigger_id, view=self.renderer.view(reply))
        return str(opened["view"]["id"])

    async def update_view(self, view: str, reply: Reply) -> None:
        """The form anew; what somebody has typed stays. A form that was closed meanwhile stays closed."""
        try:
            await self._call(self.client.views_update, view_id=view, view=self.renderer.view(reply))
        except MessageError as error:
            if error.code not in ("not_found", "view_not_found"):
                raise

    async def message(self, channel: str, ts: str) -> dict[str, Any] | None:
        """The message as Slack has it, a thread's too."""
        found = await self._call(
            self.client.conversations_replies, channel=channel, ts=ts, latest=ts, inclusive=True, limit=1
        )
        return next((dict(one) for one in found["messages"] if one.get("ts") == ts), None)

    async def answer(self, place: Place, reply: Reply) -> None:
        """A reply that only the person who asked sees; for a minute where Slack is away, since nothing keeps it."""
        for pause_s in (*_ANSWERED_AGAIN_S, None):
            try:
                if place.response_url is not None:
                    await self.respond(place.response_url, reply)
                else:
                    await self.whisper(place.channel, place.user, reply)
            except MessageError as error:
                if pause_s is None or not error.passing:
                    raise
                await asyncio.sleep(max(pause_s, error.retry_after_s or 0.0))
            else:
                return

    async def tell(self, place: Place, sentence: str) -> None:
        await self.answer(place, Reply(template="sentence", context={"sentence": sentence}))

    async def publish_home(self, user: str, reply: Reply) -> None:
        """What ``user`` sees in the bot's App Home."""
        view = {"type": "home", "blocks": self.renderer.message(reply, most=100).blocks}
        await self._call(self.client.views_publish, user_id=user, view=view)

    async def person(self, user: str) -> dict[str, Any]:
        """Slack's facts about somebody."""
        found = await self._call(self.client.users_info, user=user)
        return dict(found["user"])

    async def group_members(self, group: str) -> frozenset[str]:
        """The users in a user group, by their ids."""
        found = await self._call(self.client.usergroups_users_list, usergroup=group)
        return frozenset(map(str, found["users"]))

    async def whisper(self, channel: str, user: str, reply: Reply) -> None:
        """A message that only ``user`` sees."""
        message = self.renderer.message(reply)
        await self._call(
            self.client.chat_postEphemeral, channel=channel, user=user, text=message.text, blocks=message.blocks
        )

    async def respond(self, url: str, reply: Reply, *, in_channel: bool = False, replace: bool = False) -> None:
        """An answer by a command's or click's ``response_url``, which Slack takes five times in half an hour."""
        message = self.renderer.message(reply)
        body = {
            "response_type": "in_channel" if in_channel else "ephemeral",
            "replace_original": replace,
            "text": message.text,
            "blocks": message.blocks,
        }
        timeout = aiohttp.ClientTimeout(total=self.client.timeout)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    url,
                    json=body,
                    proxy=proxy_for(url, self.network),
                    ssl=self.client.ssl or True,
                    allow_redirects=False,
                ) as response,
            ):
                if response.status != 200:
                    raise MessageError(f"Slack did not take the answer ({response.status})", f"http_{response.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise MessageError("Slack cannot be reached", UNREACHABLE) from error

    async def _overflow(
        self,
        message: MessageRef,
        texts: tuple[str, ...],
        thread_ts: str | None,
        delivery: str | None = None,
        since: datetime | None = None,
    ) -> None:
        """The rest of a long text, into the thread; ``since`` set: what was posted from then on is not posted again."""
        thread = thread_ts or message.ts
        for number, blocks in enumerate(self.renderer.rest(texts), 1):
            part = None if delivery is None else f"{delivery}/{number}"
            if part and since and await self.find(message.channel, part, since=since, thread_ts=thread):
                continue
            await self._pace(message.channel)
            await self._call(
                self.client.chat_postMessage,
                channel=message.channel,
                thread_ts=thread,
                text="…",
                blocks=blocks,
                metadata=_metadata(part),
            )

    async def _pace(self, channel: str) -> None:
        """Waits for the channel's turn; a channel that has been quiet for a second does not wait."""
        now = time.monotonic()
        if len(self._next_post) > _PACED_CHANNELS:
            for quiet in [name for name, free in self._next_post.items() if free <= now]:
                del self._next_post[quiet]
        turn = max(now, self._next_post[channel])
        self._next_post[channel] = turn + (_PACE_S if self.pace_s is None else self.pace_s)
        if turn > now:
            await asyncio.sleep(turn - now)

    async def _call(self, method: Callable[..., Awaitable[Any]], **arguments: Any) -> Any:
        given = {name: value for name, value in arguments.items() if value is not None}
        for last in (False,) * (_ATTEMPTS - 1) + (True,):
            try:
                response = await self._once(method, given)
            except MessageError as error:
                if last or error.retry_after_s is None or error.retry_after_s > self.patience_s:
                    raise
                await asyncio.sleep(error.retry_after_s)
            else:
                break
        self.answered()
        return response

    async def _once(self, method: Callable[..., Awaitable[Any]], arguments: dict[str, Any]) -> Any:
        status = "ok"
        try:
            return await method(**arguments)
        except SlackApiError as error:
            refused = _refused(error.response)
            status = refused.code or "unknown"
            raise refused from error
        except (
            *(SlackClientError, aiohttp.ClientError, TimeoutError, OSError, ValueError),
            # the SDK's own, where a proxy answers in Slack's place with plain text, or a list
            *(AttributeError, TypeError, KeyError, RecursionError),
        ) as error:
            status = UNREACHABLE
            raise MessageError("Slack cannot be reached", UNREACHABLE) from error
        finally:
            SLACK_CALLS.labels(getattr(method, "__name__", "upload"), status).inc()


def _metadata(delivery: str | None) -> dict[str, Any] | None:
    return None if delivery is None else {"event_type": _METADATA, "event_payload": {"delivery": delivery}}


def _refused(response: Any) -> MessageError:
    """``response`` is a SlackResponse, or a plain dict where a file's bytes were refused."""
    held, status = getattr(response, "data", response), getattr(response, "status_code", None)
    # a proxy that answers in Slack's place says it in its own words
    word = str(held.get("error") or "unknown") if isinstance(held, dict) else UNREACHABLE
    if status != 429:
        return MessageError("Slack cannot be reached" if word == UNREACHABLE else f"Slack refuses: {word}", word)
    asked = {name.lower(): value for name, value in response.headers.items()}.get("retry-after", "")
    wait_s = float(asked) if asked.isdecimal() else 1.0
    return MessageError(f"Slack asks to wait for {wait_s:g} s", word, wait_s)
