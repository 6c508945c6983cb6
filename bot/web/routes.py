"""``/healthz`` (the process), ``/readyz`` (Slack and the database), and in HTTP mode ``POST /slack/events``."""

import math
import time
from dataclasses import dataclass, field

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp

_STALE_S = 30.0
_BODY_BYTES = 1_000_000


@dataclass(frozen=True)
class Readiness:
    """When Slack and the database last answered; ready while both have within 30 s."""

    last_answers: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("Slack", "the database"), -math.inf))

    def answered(self, who: str) -> None:
        self.last_answers[who] = time.monotonic()

    @property
    def missing(self) -> tuple[str, ...]:
        now = time.monotonic()
        return tuple(who for who, at in self.last_answers.items() if now - at > _STALE_S)


def application(readiness: Readiness, bolt: AsyncApp | None) -> web.Application:
    """The routes; ``bolt`` None: Socket Mode, so no route for Slack."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if readiness.missing:
            return web.Response(status=503, text=f"no answer from: {', '.join(readiness.missing)}\n")
        return web.Response(text="ok\n")

    async def events(request: web.Request) -> web.Response:
        if bolt is None:
            raise web.HTTPNotFound
        if not request.headers.get("X-Slack-Request-Timestamp", "").isdecimal():
            return web.Response(status=401, text="not signed\n")
        try:
            await request.text()  # read once, and kept for the line below
            bolt_request = await to_bolt_request(request)
        except (UnicodeDecodeError, ValueError):
            return web.Response(status=400, text="not what Slack sends\n")
        return await to_aiohttp_response(await bolt.async_dispatch(bolt_request))

    routes = web.Application(client_max_size=_BODY_BYTES)
    routes.router.add_get("/healthz", healthz)
    routes.router.add_get("/readyz", readyz)
    routes.router.add_post("/slack/events", events)
    return routes
