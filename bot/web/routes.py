"""``/healthz`` (the process), ``/readyz`` (Slack and the database), ``/metrics``, and in HTTP mode Slack's events."""

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp

from bot.web.alerts import AlertRoutes
from bot.web.metrics import Metrics
from bot.web.status import StatusRoutes

_STALE_S = 30.0
_BODY_BYTES = 1_000_000
# Slack sends at once; anybody else may hold a connection and a body open.
_READ_WITHIN_S = 10.0


@dataclass
class Readiness:
    """When Slack and the database last answered; ready while both have within 30 s."""

    last_answers: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("Slack", "the database"), -math.inf))
    deliveries: Mapping[str, int] | None = None
    """How many are not sent, by state, when the database answered last."""

    def answered(self, who: str) -> None:
        self.last_answers[who] = time.monotonic()

    @property
    def missing(self) -> tuple[str, ...]:
        now = time.monotonic()
        return tuple(who for who, at in self.last_answers.items() if now - at > _STALE_S)

    @property
    def given_up(self) -> str:
        """A sentence about dead letters, or nothing."""
        dead = (self.deliveries or {}).get("dead", 0)
        what = "1 delivery was" if dead == 1 else f"{dead} deliveries were"
        return f"{what} given up; `mistral-bot deliveries` says why\n" if dead else ""


def application(
    readiness: Readiness,
    bolt: AsyncApp | None,
    alerts: AlertRoutes | None = None,
    status: StatusRoutes | None = None,
) -> web.Application:
    """The routes; ``bolt`` None: Socket Mode, so no route for Slack; ``status`` None: no status page."""
    told = Metrics(lambda: readiness.deliveries)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=told.text(), headers={"Content-Type": told.content_type})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if readiness.missing:
            missing = f"no answer from: {', '.join(readiness.missing)}\n"
            return web.Response(status=503, text=missing + readiness.given_up)
        return web.Response(text=f"ok\n{readiness.given_up}")

    async def events(request: web.Request) -> web.Response:
        if bolt is None:
            raise web.HTTPNotFound
        if not request.headers.get("X-Slack-Request-Timestamp", "").isdecimal():
            return web.Response(status=401, text="not signed\n")
        try:
            async with asyncio.timeout(_READ_WITHIN_S):
                await request.text()  # read once, and kept for the line below
            bolt_request = await to_bolt_request(request)
        except TimeoutError:
            return web.Response(status=408, text="too slow\n")
        except (UnicodeDecodeError, ValueError):
            return web.Response(status=400, text="not what Slack sends\n")
        return await to_aiohttp_response(await bolt.async_dispatch(bolt_request))

    routes = web.Application(client_max_size=_BODY_BYTES)
    routes.on_response_prepare.append(_nameless)
    logging.getLogger("aiohttp.server").addFilter(_is_news)
    routes.router.add_get("/healthz", healthz)
    routes.router.add_get("/readyz", readyz)
    routes.router.add_get("/metrics", metrics)
    routes.router.add_post("/slack/events", events)
    if alerts is not None:
        alerts.add_to(routes)
    if status is not None:
        status.add_to(routes)
    return routes


async def _nameless(_: web.Request, response: web.StreamResponse) -> None:
    """Which versions of what answers is nobody's business."""
    response.headers.pop("Server", None)


def _is_news(record: logging.LogRecord) -> bool:
    """Not that something is no HTTP or cannot be unpacked: anybody may send such, each would be a page of the log."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, web.RequestPayloadError | HttpProcessingError)
