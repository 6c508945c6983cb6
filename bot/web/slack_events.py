"""``POST /slack/events``: what is not signed or is older than Slack's five minutes is refused before it is read."""

import time
from collections.abc import Sequence

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest

from bot.web.bodies import Bodies, BodyRefused
from bot.web.limits import refused

# Slack's largest, a form with everything in it, are some hundred thousand.
BODY_BYTES = 1_000_000
# Slack's own limit for replays: docs.slack.dev/authentication/verifying-requests-from-slack
_STALE_S = 300
_ANSWERS = {
    "unsigned": (401, "not signed"),
    "stale": (401, "too old, or the clocks differ"),
    "large": (413, "too large"),
    "crowd": (503, "too many requests"),
    "slow": (408, "too slow"),
    "malformed": (400, "not what Slack sends"),
}


class SlackRoutes:
    """``bolt`` checks the signature; it is given what may have one."""

    def __init__(self, bolt: AsyncApp) -> None:
        self._bolt = bolt
        self._bodies = Bodies(BODY_BYTES)

    def add_to(self, routes: web.Application) -> None:
        routes.router.add_post("/slack/events", self.events)

    async def events(self, request: web.Request) -> web.Response:
        sent_at = request.headers.get("X-Slack-Request-Timestamp", "")
        if not (sent_at.isascii() and sent_at.isdecimal() and len(sent_at) <= 12):
            return _refused(request, "unsigned")
        if abs(time.time() - int(sent_at)) > _STALE_S:
            return _refused(request, "stale")
        try:
            async with self._bodies.of(request) as body:
                return await self._dispatched(request, body)
        except BodyRefused as refusal:
            return _refused(request, refusal.why)

    async def _dispatched(self, request: web.Request, body: bytes) -> web.Response:
        try:
            headers: dict[str, str | Sequence[str]] = dict(request.headers.items())
            asked = AsyncBoltRequest(body=body.decode(), query=request.query_string, headers=headers)
        except ValueError:
            # neither a form nor JSON, or not in UTF-8
            return _refused(request, "malformed")
        answer = await to_aiohttp_response(await self._bolt.async_dispatch(asked))
        if answer.status == 401:
            refused(request, "forged")
        return answer


def _refused(request: web.Request, why: str) -> web.Response:
    refused(request, why)
    status, text = _ANSWERS[why]
    return web.Response(status=status, text=text + "\n")
