"""The HTTP and WebSocket side of the sandbox's Slack: Web API, Socket Mode, signed requests, response URLs, uploads."""

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import time
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web

from bot.sandbox.scenario import World
from bot.sandbox.slack.limits import SlackRefusal, blocks_of, named
from bot.sandbox.slack.methods import METHODS, call
from bot.sandbox.slack.model import BOT_USER, Call, Message
from bot.sandbox.slack.workspace import Acknowledged, Workspace

BOT_TOKEN = "xoxb-sandbox-bot-token"  # noqa: S105 - of a workspace that exists in memory alone
APP_TOKEN = "xapp-sandbox-app-token"  # noqa: S105
SIGNING_SECRET = "sandbox-signing-secret"  # noqa: S105
# Slack delivers an envelope again that was not acknowledged in time.
_ACK_S = 3.0
_DELIVERIES = 3


class SlackServer:
    """Slack for one bot. ``refuse_next`` holds answers (status, headers) that the next calls get, by method."""

    def __init__(self, world: World) -> None:
        self.workspace = Workspace()
        self.workspace.deliver = self.deliver
        self.request_url: str | None = None
        """Set: delivery by signed requests to this URL; else by Socket Mode."""
        self.refuse_next: dict[str, list[tuple[int, dict[str, str]]]] = {}
        self._world = world
        self._sockets: list[web.WebSocketResponse] = []
        self._acks: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=50_000_000)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_get("/link", self._socket)
        app.router.add_post("/response/{key}", self._response)
        app.router.add_post("/upload/{file}", self._upload)
        app.on_shutdown.append(self._close_sockets)
        return app

    @property
    def connected(self) -> bool:
        return self.request_url is not None or bool(self._sockets)

    async def wait_connected(self, timeout_s: float = 15) -> None:
        await self.workspace.wait_for(lambda: self.connected, timeout_s)

    async def _api(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        arguments = await _arguments(request)
        self._world.seen("slack", request.method, f"/api/{method}")
        self.workspace.calls.append(Call(method, time.monotonic(), arguments))
        if self.refuse_next.get(method):
            status, headers = self.refuse_next[method].pop(0)
            return web.json_response({"ok": False, "error": "ratelimited"}, status=status, headers=headers)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or str(arguments.get("token", ""))
        try:
            answer = self._answer(method, token, arguments)
        except SlackRefusal as refusal:
            return web.json_response(refusal.answer)
        return web.json_response(
            {"ok": True, **answer}, headers={"x-oauth-scopes": ",".join(sorted(self.workspace.scopes))}
        )

    def _answer(self, method: str, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if method == "apps.connections.open":
            if token != APP_TOKEN:
                raise SlackRefusal("invalid_auth" if token else "not_authed")
            return {"url": self.workspace.base_url.replace("http", "ws", 1) + "/link"}
        if method not in METHODS:
            raise SlackRefusal("unknown_method", req_method=method)
        if method != "api.test" and token != BOT_TOKEN:
            raise SlackRefusal("invalid_auth" if token else "not_authed")
        return call(self.workspace, method, arguments)

    async def deliver(self, kind: str, payload: dict[str, Any], retry: int = 0) -> Acknowledged:
        """Brings the payload to the bot, as the ``retry``-th try again; raises TimeoutError or LookupError."""
        began = time.monotonic()
        carry = self._send if self.request_url is None else self._post
        body = await carry(kind, payload, retry)
        return Acknowledged(time.monotonic() - began, body)

    async def _send(self, kind: str, payload: dict[str, Any], retry: int) -> dict[str, Any] | None:
        if not self._sockets:
            raise LookupError("the bot is not connected")
        envelope = {
            "envelope_id": f"envelope-{next(self._ids)}",
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        acked: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._acks[str(envelope["envelope_id"])] = acked
        for attempt in range(retry, retry + _DELIVERIES):
            again = {"retry_attempt": attempt, "retry_reason": "timeout"} if attempt else {}
            await self._sockets[-1].send_json({**envelope, **again})
            with contextlib.suppress(TimeoutError):
                held = (await asyncio.wait_for(asyncio.shield(acked), _ACK_S)).get("payload")
                return held if isinstance(held, dict) else None
        raise TimeoutError(f"{kind} was not acknowledged")

    async def _post(self, kind: str, payload: dict[str, Any], retry: int) -> dict[str, Any] | None:
        form = {"slash_commands": payload, "interactive": {"payload": json.dumps(payload)}}.get(kind)
        body = json.dumps(payload) if form is None else urlencode(form)
        content_type = "application/json" if form is None else "application/x-www-form-urlencoded"
        headers = {**signed(body), "Content-Type": content_type}
        if retry:
            headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"}
        timeout = aiohttp.ClientTimeout(total=_ACK_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(str(self.request_url), data=body, headers=headers) as response,
        ):
            if response.status != 200:
                raise LookupError(f"the bot answered {response.status}")
            said = await response.read()
        try:
            held = json.loads(said)
        except ValueError:
            return None
        return held if isinstance(held, dict) else None

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=10)
        await socket.prepare(request)
        await socket.send_json(
            {"type": "hello", "num_connections": 1, "debug_info": {}, "connection_info": {"app_id": "A0SANDBOX"}}
        )
        self._sockets.append(socket)
        self.workspace.changed()
        try:
            async for received in socket:
                if received.type is WSMsgType.TEXT:
                    self._acknowledged(received.data)
        finally:
            self._sockets.remove(socket)
            self.workspace.changed()
        return socket

    def _acknowledged(self, text: str) -> None:
        try:
            held = json.loads(text)
        except ValueError:
            return  # the SDK pings with text of its own
        acked = self._acks.pop(str(held.get("envelope_id")), None)
        if acked is not None and not acked.done():
            acked.set_result(held)

    async def _response(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        held = self.workspace.response_urls.get(key)
        if held is None or time.monotonic() - held.at > self.workspace.response_s:
            return web.json_response({"ok": False, "error": "expired_url"}, status=404)
        if held.posts_left <= 0:
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        body = await request.json()
        try:
            blocks = named(blocks_of(body))
        except SlackRefusal as refusal:
            return web.json_response(refusal.answer, status=400)
        held.posts_left -= 1
        message = Message(
            channel=held.channel,
            ts=self.workspace.new_ts(),
            user=BOT_USER,
            text=str(body.get("text", "")),
            blocks=blocks,
        )
        message.only_for = None if body.get("response_type") == "in_channel" else held.user
        self.workspace.add(message)
        return web.Response(text="ok")

    async def _upload(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.content_type.startswith("multipart/"):
            return web.Response(status=400, text="send the bytes themselves")
        if request.match_info["file"] not in self.workspace.files:
            return web.Response(status=404, text="there is no such upload")
        self.workspace.files[request.match_info["file"]] = body
        return web.Response(text=f"OK - {len(body)}")

    async def _close_sockets(self, _: web.Application) -> None:
        for socket in list(self._sockets):
            await socket.close()


def signed(body: str, *, secret: str = SIGNING_SECRET, at: float | None = None) -> dict[str, str]:
    """Slack's signature headers for ``body`` (docs.slack.dev: verifying requests)."""
    timestamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"v0:{timestamp}:{body}".encode(), hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": f"v0={digest}"}


async def _arguments(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        held = await request.json()
        return dict(held) if isinstance(held, dict) else {}
    posted = {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    return {**request.query, **posted}
