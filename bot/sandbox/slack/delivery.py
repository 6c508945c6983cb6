"""How Slack reaches the bot: envelopes over Socket Mode, or signed requests, with the bot's acknowledgement back."""

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import random
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web

SIGNING_SECRET = "sandbox-signing-secret"  # noqa: S105 - of a workspace that exists in memory alone
# Slack delivers an envelope again that was not acknowledged in time: docs.slack.dev/apis/events-api, "Retries", and
# docs.slack.dev/apis/events-api/using-socket-mode
ACK_S = 3.0
_DELIVERIES = 3
_HELLO = {"type": "hello", "num_connections": 1, "debug_info": {}, "connection_info": {"app_id": "A0SANDBOX"}}

Body = dict[str, Any] | None


def signed(body: str, *, secret: str = SIGNING_SECRET, at: float | None = None) -> dict[str, str]:
    """Slack's signature headers for ``body``: docs.slack.dev/authentication/verifying-requests-from-slack."""
    timestamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"v0:{timestamp}:{body}".encode(), hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": f"v0={digest}"}


async def post(url: str, kind: str, payload: dict[str, Any], retry: int, ack_s: float) -> Body:
    """Delivers by a signed request; the JSON object that the bot answered with, if any."""
    form = {"slash_commands": payload, "interactive": {"payload": json.dumps(payload)}}.get(kind)
    body = json.dumps(payload) if form is None else urlencode(form)
    content_type = "application/json" if form is None else "application/x-www-form-urlencoded"
    headers = {**signed(body), "Content-Type": content_type}
    if retry:
        headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"}
    timeout = aiohttp.ClientTimeout(total=ack_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=headers) as response,
        ):
            if response.status != 200:
                raise LookupError(f"the bot answered {response.status}")
            said = await response.read()
    except aiohttp.ClientConnectionError as error:
        if isinstance(error, TimeoutError):
            raise
        raise LookupError("the bot is not connected") from error
    try:
        held = json.loads(said)
    except ValueError:
        return None
    return held if isinstance(held, dict) else None


@dataclass(eq=False)
class _Connection:
    """``closed`` is done once the connection has ended."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    closed: asyncio.Future[None]


class SocketMode:
    """The connections that the bot has open. The newest gets everything, or any of them where ``spread`` is set."""

    def __init__(self) -> None:
        self.spread: random.Random | None = None
        self.connections: list[_Connection] = []
        self._acks: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)

    async def hold(self, request: web.Request, changed: Any) -> web.WebSocketResponse:
        """One connection, until it ends; ``changed`` is called as it comes and goes."""
        socket = web.WebSocketResponse(heartbeat=10)
        await socket.prepare(request)
        await socket.send_json(_HELLO)
        held = _Connection(socket, request.transport, asyncio.get_running_loop().create_future())
        self.connections.append(held)
        changed()
        try:
            async for received in socket:
                if received.type is WSMsgType.TEXT:
                    self._acknowledged(received.data)
        finally:
            self.connections.remove(held)
            held.closed.set_result(None)
            changed()
        return socket

    def _acknowledged(self, text: str) -> None:
        try:
            held = json.loads(text)
        except ValueError:
            return  # the SDK pings with text of its own
        acked = self._acks.get(str(held.get("envelope_id")))
        if acked is not None and not acked.done():
            acked.set_result(held)

    async def send(self, kind: str, payload: dict[str, Any], retry: int, ack_s: float) -> Body:
        """Delivers an envelope, again where it is not acknowledged; what the bot acknowledged with, if anything."""
        envelope_id = f"envelope-{next(self._ids)}"
        envelope = {
            "envelope_id": envelope_id,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        acked: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._acks[envelope_id] = acked
        try:
            for attempt in range(retry, retry + _DELIVERIES):
                again = {"retry_attempt": attempt, "retry_reason": "timeout"} if attempt else {}
                if await self._carried({**envelope, **again}, acked, ack_s):
                    held = acked.result().get("payload")
                    return held if isinstance(held, dict) else None
        finally:
            del self._acks[envelope_id]
        raise TimeoutError(f"{kind} was not acknowledged")

    async def _carried(self, envelope: dict[str, Any], acked: asyncio.Future[dict[str, Any]], ack_s: float) -> bool:
        """Whether it was acknowledged in time; a connection that ends meanwhile ends the wait."""
        if not self.connections:
            if "retry_attempt" not in envelope:
                raise LookupError("the bot is not connected")
            await asyncio.sleep(ack_s)  # it was a moment ago, and is expected back
            return acked.done()
        connection = self.connections[-1] if self.spread is None else self.spread.choice(self.connections)
        try:
            await connection.socket.send_json(envelope)
        except ConnectionError:
            return False
        ends: set[asyncio.Future[Any]] = {acked, connection.closed}
        await asyncio.wait(ends, timeout=ack_s, return_when=asyncio.FIRST_COMPLETED)
        return acked.done()

    async def refresh(self, notice_s: float) -> None:
        """Slack replaces its connections every few hours: a warning to each, then its end, and none is lost by it.

        docs.slack.dev/apis/events-api/using-socket-mode: the client opens another one meanwhile.
        """
        old = list(self.connections)
        for reason, wait_s in (("warning", notice_s), ("refresh_requested", 0.0)):
            for connection in old:
                with contextlib.suppress(ConnectionError):
                    await connection.socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {}})
            await asyncio.sleep(wait_s)
        for connection in old:
            await connection.socket.close()

    def cut(self) -> None:
        """Ends all connections without a word."""
        for connection in self.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def close(self) -> None:
        for connection in list(self.connections):
            await connection.socket.close()
