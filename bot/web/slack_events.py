"""``POST /slack/events``: what is not signed or is older than Slack's five minutes is refused before it is read."""

import asyncio
import time

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp

from bot.web.limits import Refusals

# Of one body; Slack's largest, a form with everything in it, are some hundred thousand.
BODY_BYTES = 1_000_000
# Of all bodies that are being read at the same time.
_HELD_BYTES = 16 * BODY_BYTES
# Slack sends at once; anybody else may hold a connection and a body open.
_READ_WITHIN_S = 10.0
# Slack's own limit for replays: docs.slack.dev/authentication/verifying-requests-from-slack
_STALE_S = 300


class SlackRoutes:
    """``bolt`` checks the signature; it is given what may have one."""

    def __init__(self, bolt: AsyncApp, refusals: Refusals) -> None:
        self._bolt, self._refusals = bolt, refusals
        self._held = 0

    def add_to(self, routes: web.Application) -> None:
        routes.router.add_post("/slack/events", self.events)

    async def events(self, request: web.Request) -> web.Response:
        sent_at = request.headers.get("X-Slack-Request-Timestamp", "")
        if not (sent_at.isascii() and sent_at.isdecimal() and len(sent_at) <= 12):
            return self._refused(request, 401, "unsigned", "not signed\n")
        if abs(time.time() - int(sent_at)) > _STALE_S:
            return self._refused(request, 401, "stale", "too old, or the clocks differ\n")
        size = BODY_BYTES if request.content_length is None else request.content_length
        if size > BODY_BYTES:
            return self._refused(request, 413, "large", "too large\n")
        if self._held + size > _HELD_BYTES:
            return self._refused(request, 503, "crowd", "too many requests\n")
        self._held += size
        try:
            return await self._dispatched(request)
        finally:
            self._held -= size

    async def _dispatched(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_READ_WITHIN_S):
                await request.text()  # read once, and kept for the line below
            asked = await to_bolt_request(request)
        except TimeoutError:
            return self._refused(request, 408, "slow", "too slow\n")
        except web.HTTPRequestEntityTooLarge:
            return self._refused(request, 413, "large", "too large\n")
        except (UnicodeDecodeError, ValueError, web.RequestPayloadError):
            return self._refused(request, 400, "malformed", "not what Slack sends\n")
        answer = await to_aiohttp_response(await self._bolt.async_dispatch(asked))
        if answer.status == 401:
            self._refusals.note(request, "forged")
        return answer

    def _refused(self, request: web.Request, status: int, why: str, text: str) -> web.Response:
        self._refusals.note(request, why)
        return web.Response(status=status, text=text)
