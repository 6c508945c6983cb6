"""What every route is held to: a rate, an id and a count for each request; a refusal is counted, its body not read.

A body's size and time are the routes' own, who know what is sent to them.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from bot.correlation import about, new_request
from bot.measures import ANSWERS, REFUSALS
from bot.settings import HttpLimits

logger = logging.getLogger(__name__)

_NO_ROUTE = "none"
# What the cluster asks: a crowd at the status page must not look as if the bot were dead.
_INSIDE = frozenset({"/healthz", "/readyz", "/metrics"})
# The log says that something is refused at most so often: anybody may cause it.
_TOLD_EVERY_S = 10.0
_BURST_S = 2.0


@dataclass
class Rate:
    """So many a second; what was not used of the last two seconds may come at once."""

    per_second: float
    monotonic: Callable[[], float] = time.monotonic
    _left: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._at = self.per_second * _BURST_S, self.monotonic()

    def take(self) -> bool:
        """Whether one more may come now."""
        now = self.monotonic()
        self._left = min(self.per_second * _BURST_S, self._left + (now - self._at) * self.per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass
class Refusals:
    """Counts what was refused, and says it in the log: one line in ten seconds, without what was sent."""

    monotonic: Callable[[], float] = time.monotonic
    _untold: dict[tuple[str, str], int] = field(default_factory=dict)
    _told_at: float = -_TOLD_EVERY_S

    def note(self, request: web.Request, why: str) -> None:
        """``why``: one word, as :data:`bot.measures.REFUSALS` lists them."""
        route = route_of(request)
        REFUSALS.labels(route, why).inc()
        self._untold[route, why] = self._untold.get((route, why), 0) + 1
        now = self.monotonic()
        if now - self._told_at >= _TOLD_EVERY_S:
            self._told_at = now
            many = ", ".join(f"{count} at {route} ({why})" for (route, why), count in self._untold.items())
            self._untold.clear()
            logger.warning("requests were refused: %s", many)


REFUSALS_OF: web.AppKey[Refusals] = web.AppKey("refusals", Refusals)


def refused(request: web.Request, why: str) -> None:
    """Counts and tells that ``request`` was refused; ``why`` as :meth:`Refusals.note` has it."""
    request.app[REFUSALS_OF].note(request, why)


def limited(limits: HttpLimits) -> Middleware:
    """The middleware: no body is read before its request has passed."""
    pages, inside = Rate(limits.pages_per_second), Rate(limits.pages_per_second)
    slack, alerts = Rate(limits.slack_per_second), Rate(limits.alerts_per_second)

    def rate_of(route: str) -> Rate:
        if route.startswith("/slack"):
            return slack
        if route.startswith("/alerts"):
            return alerts
        return inside if route in _INSIDE else pages

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = route_of(request)
        rate = rate_of(route)
        with about(request=new_request()):
            if not rate.take():
                refused(request, "rate")
                response: web.StreamResponse = _too_many(again=rate in (slack, alerts))
            else:
                response = await _answered(request, handler, route)
        ANSWERS.labels(route, str(response.status)).inc()
        return response

    return middleware


async def _answered(request: web.Request, handler: Handler, route: str) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as answer:
        # aiohttp's own way to say that there is no such route
        ANSWERS.labels(route, str(answer.status)).inc()
        raise
    except Exception:
        logger.exception("a request over HTTP failed")
        return web.Response(status=500, text="Something went wrong; the bot's log says more.\n")


def route_of(request: web.Request) -> str:
    """The route as it was added, such as ``/status/incidents/{slug}``: never what somebody sent."""
    resource = request.match_info.route.resource
    return _NO_ROUTE if resource is None else resource.canonical


def _too_many(*, again: bool) -> web.Response:
    """``again``: Alertmanager and Slack send once more what is answered with 503, and drop what is with 429."""
    text = "Too many requests; come again in a second.\n"
    response = web.Response(status=503 if again else 429, text=text, headers={"Retry-After": "1"})
    response.force_close()
    return response
