"""Files into Slack: streamed from disk, so that memory does not grow with them."""

from collections.abc import Awaitable, Callable
from typing import IO, Any

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from bot.clients.proxies import proxy_for
from bot.errors import MessageError
from bot.ports import File, MessageRef
from bot.settings import Network

UNREACHABLE = "unreachable"
# A bundle of 200 MB over a slow line.
_UPLOAD_S = 600.0

Call = Callable[..., Awaitable[Any]]


async def upload(client: AsyncWebClient, call: Call, network: Network, message: MessageRef, file: File) -> None:
    """Into the thread of ``message``, in Slack's three steps; raises MessageError."""
    size = len(file.content) if file.path is None else file.path.stat().st_size
    asked = await call(client.files_getUploadURLExternal, filename=file.name, length=size)
    if file.path is None:
        await _send(client, network, str(asked["upload_url"]), file.content)
    else:
        with file.path.open("rb") as content:
            await _send(client, network, str(asked["upload_url"]), content)
    await call(
        client.files_completeUploadExternal,
        files=[{"id": asked["file_id"], "title": file.title}],
        channel_id=message.channel,
        thread_ts=message.ts,
    )


async def file_names(client: AsyncWebClient, call: Call, message: MessageRef) -> frozenset[str]:
    """What the files in the thread of ``message`` are called."""
    names, cursor = set[str](), None
    while True:
        page = await call(
            client.conversations_replies, channel=message.channel, ts=message.ts, limit=200, cursor=cursor
        )
        names |= {str(one.get("name")) for held in page.get("messages") or () for one in held.get("files") or ()}
        cursor = (page.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return frozenset(names)


async def _send(client: AsyncWebClient, network: Network, url: str, content: bytes | IO[bytes]) -> None:
    timeout = aiohttp.ClientTimeout(total=_UPLOAD_S, sock_connect=client.timeout, sock_read=client.timeout)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                url,
                data=content,
                proxy=proxy_for(url, network),
                ssl=client.ssl or True,
                allow_redirects=False,
            ) as answer,
        ):
            if answer.status != 200:
                raise MessageError(f"Slack did not take the file ({answer.status})", f"http_{answer.status}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise MessageError("Slack cannot be reached", UNREACHABLE) from error
