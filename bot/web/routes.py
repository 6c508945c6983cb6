"""``/healthz`` (the process), ``/readyz`` (Slack and the database), ``/metrics``, and in HTTP mode Slack's events."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from slack_bolt.async_app import AsyncApp

from bot.ports import Backlog
from bot.settings import HttpLimits
from bot.web.alerts import AlertRoutes
from bot.web.limits import REFUSALS_OF, Refusals, limited
from bot.web.metrics import Metrics
from bot.web.slack_events import SlackRoutes
from bot.web.status import StatusRoutes

_STALE_S = 30.0


@dataclass
class Readiness:
    """When Slack and the database last answered; ready while both have within 30 s."""

    last_answers: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("Slack", "the database"), -math.inf))
    backlog: Backlog | None = None
    """What was left undone when the database answered last."""
    ticks_late: Callable[[], Mapping[str, float]] = dict
    """How late each tick is, in seconds."""

    def answered(self, who: str) -> None:
        self.last_answers[who] = time.monotonic()

    @property
    def missing(self) -> tuple[str, ...]:
        now = time.monotonic()
        return tuple(who for who, at in self.last_answers.items() if now - at > _STALE_S)

    @property
    def given_up(self) -> str:
        """A sentence about dead letters, or nothing."""
        dead = 0 if self.backlog is None else self.backlog.deliveries.get("dead", 0)
        what = "1 delivery was" if dead == 1 else f"{dead} deliveries were"
        return f"{what} given up; `mistral-bot deliveries` says why\n" if dead else ""


def application(
    readiness: Readiness,
    bolt: AsyncApp | None,
    alerts: AlertRoutes | None = None,
    status: StatusRoutes | None = None,
    limits: HttpLimits | None = None,
) -> web.Application:
    """The routes; ``bolt`` None: Socket Mode, so no route for Slack; ``status`` None: no status page."""
    told = Metrics(lambda: readiness.backlog, lambda: readiness.ticks_late())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=told.text(), headers={"Content-Type": told.content_type})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if readiness.missing:
            missing = f"no answer from: {', '.join(readiness.missing)}\n"
            return web.Response(status=503, text=missing + readiness.given_up)
        return web.Response(text=f"ok\n{readiness.given_up}")

    routes = web.Application(middlewares=[limited(limits or HttpLimits())])
    routes[REFUSALS_OF] = Refusals()
    routes.on_response_prepare.append(_nameless)
    logging.getLogger("aiohttp.server").addFilter(_is_news)
    routes.router.add_get("/healthz", healthz)
    routes.router.add_get("/readyz", readyz)
    routes.router.add_get("/metrics", metrics)
    if bolt is not None:
        SlackRoutes(bolt).add_to(routes)
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
