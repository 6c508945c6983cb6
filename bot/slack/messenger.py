"""The only caller of Slack's Web API: posts and updates what handlers say, at the pace that Slack takes it.

A post whose connection broke is not sent again, since one lost response would make two messages; a call that Slack asks
to repeat later (429) is, where that is soon.
"""

import asyncio
import logging
import ssl
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.clients.proxies import proxy_for
from bot.errors import MessageError
from bot.ports import File, MessageRef, Reply
from bot.render import Renderer
from bot.settings import Network, Settings

logger = logging.getLogger(__name__)

# Slack: about one message a second and channel.
_PACE_S = 1.0
_PACED_CHANNELS = 1000
_TIMEOUT_S = 15
_ATTEMPTS = 3
# Slack's Retry-After is mostly below this; somebody is waiting for the answer.
_PATIENCE_S = 30.0
_UNREACHABLE = "unreachable"


def web_client(settings: Settings) -> AsyncWebClient:
    """A client of Slack's Web API with the settings' token, proxy and certificates."""
    slack, network = settings.slack, settings.network
    proxy = proxy_for(slack.api_url, network)
    client = AsyncWebClient(
        token=None if slack.bot_token is None else slack.bot_token.reveal(),
        base_url=slack.api_url,
        timeout=_TIMEOUT_S,
        proxy=proxy,
        ssl=ssl.create_default_context(cafile=str(network.ca_file)) if network.ca_file else None,
        trust_env_in_session=False,
        retry_handlers=[],
    )
    # without one it looks in the environment itself, and knows no NO_PROXY
    client.proxy = proxy
    return client


@dataclass(frozen=True)
class SlackMessenger:
    """``answered`` is told of every call that Slack answered, for ``/readyz``."""

    client: AsyncWebClient
    renderer: Renderer
    network: Network
    answered: Callable[[], None] = lambda: None
    _next_post: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    async def hello(self) -> dict[str, Any]:
        """Who the bot is (``auth.test``); raises MessageError."""
        response = await self._call(self.client.auth_test)
        return dict(response.data)

    async def post(self, channel: str, reply: Reply, *, thread_ts: str | None = None) -> MessageRef:
        message = self.renderer.message(reply)
        await self._pace(channel)
        response = await self._call(
            self.client.chat_postMessage,
            channel=channel,
            text=message.text,
            blocks=message.blocks,
            thread_ts=thread_ts,
            unfurl_links=False,
            unfurl_media=False,
        )
        ref = MessageRef(channel=str(response["channel"]), ts=str(response["ts"]))
        await self._overflow(ref, message.overflow, thread_ts)
        return ref

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
        await self._call(
            self.client.files_upload_v2,
            channel=message.channel,
            thread_ts=message.ts,
            filename=file.name,
            title=file.title,
            content=file.content,
        )

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
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    url, json=body, proxy=proxy_for(url, self.network), ssl=self.client.ssl or True
                ) as response,
            ):
                if response.status != 200:
                    raise MessageError(f"Slack did not take the answer ({response.status})", f"http_{response.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise MessageError("Slack cannot be reached", _UNREACHABLE) from error

    async def _overflow(self, message: MessageRef, texts: tuple[str, ...], thread_ts: str | None) -> None:
        for blocks in self.renderer.rest(texts):
            await self._pace(message.channel)
            await self._call(
                self.client.chat_postMessage,
                channel=message.channel,
                thread_ts=thread_ts or message.ts,
                text="…",
                blocks=blocks,
            )

    async def _pace(self, channel: str) -> None:
        """Waits for the channel's turn; a channel that has been quiet for a second does not wait."""
        now = time.monotonic()
        if len(self._next_post) > _PACED_CHANNELS:
            for quiet in [name for name, free in self._next_post.items() if free <= now]:
                del self._next_post[quiet]
        turn = max(now, self._next_post[channel])
        self._next_post[channel] = turn + _PACE_S
        if turn > now:
            await asyncio.sleep(turn - now)

    async def _call(self, method: Callable[..., Awaitable[Any]], **arguments: Any) -> Any:
        given = {name: value for name, value in arguments.items() if value is not None}
        for last in (False,) * (_ATTEMPTS - 1) + (True,):
            try:
                response = await self._once(method, given)
            except MessageError as error:
                if last or error.retry_after_s is None or error.retry_after_s > _PATIENCE_S:
                    raise
                await asyncio.sleep(error.retry_after_s)
            else:
                break
        self.answered()
        return response

    async def _once(self, method: Callable[..., Awaitable[Any]], arguments: dict[str, Any]) -> Any:
        try:
            return await method(**arguments)
        except SlackApiError as error:
            raise _refused(error.response) from error
        except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise MessageError("Slack cannot be reached", _UNREACHABLE) from error


def _refused(response: Any) -> MessageError:
    """``response`` is a SlackResponse, or a plain dict where a file's bytes were refused."""
    word = str(response.get("error") or "unknown") if hasattr(response, "get") else "unknown"
    if getattr(response, "status_code", None) != 429:
        return MessageError(f"Slack refuses: {word}", word)
    held = {name.lower(): value for name, value in response.headers.items()}.get("retry-after", "")
    wait_s = float(held) if held.isdecimal() else 1.0
    return MessageError(f"Slack asks to wait for {wait_s:g} s", word, wait_s)
