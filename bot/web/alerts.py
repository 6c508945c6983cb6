"""``POST /alerts`` (Alertmanager's webhook) and ``POST /alerts/generic``: written down, and only then answered.

Alertmanager sends again what is answered with 5xx and nothing else: whatever may go well later is a 503.
"""

import asyncio
import hmac
import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from bot.domain.alerts import Alerts, Payload
from bot.domain.incident import Refusal
from bot.domain.webhook import read_generic, read_webhook
from bot.errors import StoreError
from bot.handlers.alert import AlertHandler, Busy
from bot.variables import Secret
from bot.web.bodies import Bodies, BodyRefused
from bot.web.limits import refused

logger = logging.getLogger(__name__)

BODY_BYTES = 1024 * 1024
_WRITTEN_WITHIN_S, _RETRY_AFTER_S = 8.0, "5"
_TOO_LONG = "It took too long; send it again."
_ANSWERS = {
    "large": (413, "At most 1 MB is taken; let Alertmanager send fewer alerts at once (max_alerts)."),
    "crowd": (503, "More alerts come in than can be written down just now; send them again in a moment."),
    "slow": (503, _TOO_LONG),
    # sent again it is as broken
    "malformed": (400, "The body is cut or is not packed as its headers say."),
}

_Read = Callable[[Any, Alerts, datetime], Payload]


class AlertRoutes:
    """``token`` None: no alerts are taken. ``held_most``: as that of :class:`bot.web.bodies.Bodies`."""

    def __init__(self, handler: AlertHandler, token: Secret | None, *, held_most: int | None = None) -> None:
        self._handler = handler
        self._token = token
        self._bodies = Bodies(BODY_BYTES, held_most)

    def add_to(self, routes: web.Application) -> None:
        routes.router.add_post("/alerts", self.webhook)
        routes.router.add_post("/alerts/generic", self.generic)

    async def webhook(self, request: web.Request) -> web.Response:
        return await self._answered(request, read_webhook)

    async def generic(self, request: web.Request) -> web.Response:
        return await self._answered(request, read_generic)

    async def _answered(self, request: web.Request, read: _Read) -> web.Response:
        if self._token is None:
            return _said(404, "No alerts are taken here: ALERTMANAGER_TOKEN is not set.")
        if not _is_allowed(request, self._token):
            refused(request, "token")
            told = _said(401, "The bearer token is missing or is not ALERTMANAGER_TOKEN.")
            told.headers["WWW-Authenticate"] = "Bearer"
            return told
        try:
            async with self._bodies.of(request) as body:
                return await self._taken(request, body, read)
        except BodyRefused as refusal:
            refused(request, refusal.why)
            status, sentence = _ANSWERS[refusal.why]
            return _later(sentence) if status == 503 else _said(status, sentence)

    async def _taken(self, request: web.Request, body: bytes, read: _Read) -> web.Response:
        try:
            payload = read(_json(body), self._handler.rules, self._handler.clock.now())
            if payload.alerts:
                async with asyncio.timeout(_WRITTEN_WITHIN_S):
                    await self._handler.receive(payload)
        except Refusal as refusal:
            refused(request, "malformed")
            return _said(400, str(refusal))
        except (Busy, StoreError) as error:
            return _later(str(error))
        except TimeoutError:
            return _later(_TOO_LONG)
        except Exception:
            # whatever it was, the alert is not written: a 500 would say no more, and this says when to come again
            logger.exception("an alert was not taken")
            return _later("Something went wrong; the bot's log says more.")
        return _said(200, "ok")


def _is_allowed(request: web.Request, token: Secret) -> bool:
    scheme, _, told = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(told.strip().encode("utf-8", "surrogateescape"), token.reveal().encode())
    return same and scheme.lower() == "bearer"


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal("This is not JSON.") from None


def _later(sentence: str) -> web.Response:
    told = _said(503, sentence)
    told.headers["Retry-After"] = _RETRY_AFTER_S
    return told


def _said(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=sentence + "\n")
