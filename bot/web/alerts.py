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
from bot.web.limits import Refusals

logger = logging.getLogger(__name__)

BODY_BYTES = 1024 * 1024
# Of all bodies that are being read or written down at the same time.
_HELD_BYTES = 16 * BODY_BYTES
_READ_WITHIN_S, _WRITTEN_WITHIN_S, _RETRY_AFTER_S = 10.0, 8.0, "5"

_Read = Callable[[Any, Alerts, datetime], Payload]


class AlertRoutes:
    """``token`` None: no alerts are taken."""

    def __init__(self, handler: AlertHandler, token: Secret | None, *, held_most: int = _HELD_BYTES) -> None:
        self._handler = handler
        self._token = token
        self._held = 0
        self._held_most = held_most
        self._refusals = Refusals()

    def add_to(self, routes: web.Application, refusals: Refusals) -> None:
        self._refusals = refusals
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
            self._refusals.note(request, "token")
            told = _said(401, "The bearer token is missing or is not ALERTMANAGER_TOKEN.")
            told.headers["WWW-Authenticate"] = "Bearer"
            return told
        if (request.content_length or 0) > BODY_BYTES:
            return self._too_large(request)
        size = request.content_length or BODY_BYTES
        if self._held + size > self._held_most:
            self._refusals.note(request, "crowd")
            return _later("More alerts come in than can be written down just now; send them again in a moment.")
        self._held += size
        try:
            return await self._taken(request, read)
        finally:
            self._held -= size

    async def _taken(self, request: web.Request, read: _Read) -> web.Response:
        try:
            async with asyncio.timeout(_READ_WITHIN_S):
                body = await _body(request)
            if body is None:
                return self._too_large(request)
            payload = read(_json(body), self._handler.rules, self._handler.clock.now())
            if payload.alerts:
                async with asyncio.timeout(_WRITTEN_WITHIN_S):
                    await self._handler.receive(payload)
        except Refusal as refusal:
            self._refusals.note(request, "malformed")
            return _said(400, str(refusal))
        except web.RequestPayloadError:
            # sent again it is as broken
            self._refusals.note(request, "malformed")
            return _said(400, "The body is cut or is not packed as its headers say.")
        except (Busy, StoreError) as error:
            return _later(str(error))
        except TimeoutError:
            self._refusals.note(request, "slow")
            return _later("It took too long; send it again.")
        except Exception:
            # whatever it was, the alert is not written: a 500 would say no more, and this says when to come again
            logger.exception("an alert was not taken")
            return _later("Something went wrong; the bot's log says more.")
        return _said(200, "ok")

    def _too_large(self, request: web.Request) -> web.Response:
        self._refusals.note(request, "large")
        return _said(413, "At most 1 MB is taken; let Alertmanager send fewer alerts at once (max_alerts).")


def _is_allowed(request: web.Request, token: Secret) -> bool:
    scheme, _, told = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(told.strip().encode("utf-8", "surrogateescape"), token.reveal().encode())
    return same and scheme.lower() == "bearer"


async def _body(request: web.Request) -> bytes | None:
    """None: it is larger than may be, which a length does not say of what is compressed or comes in parts."""
    held = bytearray()
    async for part in request.content.iter_any():
        held += part
        if len(held) > BODY_BYTES:
            return None
    return bytes(held)


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
