"""The HTTP side of the sandbox's Slack: Web API, Socket Mode, response URLs, uploads, and what goes wrong there."""

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bot.sandbox.answers import fail
from bot.sandbox.slack.delivery import ACK_S, SocketMode, post
from bot.sandbox.slack.faults import Faults, Pace, rate_limited
from bot.sandbox.slack.limits import SlackRefusal, blocks_of, named
from bot.sandbox.slack.methods import METHODS, call
from bot.sandbox.slack.model import BOT_USER, Call, Message, ResponseUrl
from bot.sandbox.slack.workspace import Acknowledged, Workspace
from bot.sandbox.world import World

BOT_TOKEN = "xoxb-sandbox-bot-token"  # noqa: S105 - of a workspace that exists in memory alone
APP_TOKEN = "xapp-sandbox-app-token"  # noqa: S105

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SlackServer:
    """Slack for one bot.

    ``faults`` holds what the next calls meet; ``down`` is an outage; ``pace`` holds the bot to Slack's rates.
    """

    def __init__(self, world: World) -> None:
        self.workspace = Workspace()
        self.workspace.deliver = self.deliver
        self.request_url: str | None = None
        """Set: delivery by signed requests to this URL; else by Socket Mode."""
        self.ack_s = ACK_S
        """How long the bot has to acknowledge, in seconds."""
        self.faults = Faults()
        self.pace = False
        self._paced = Pace()
        self._down = False
        self._world = world
        self._sockets = SocketMode()
        self._tickets: set[str] = set()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=50_000_000, middlewares=[self._outage])
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_get("/link", self._socket)
        app.router.add_post("/response/{key}", self._response)
        app.router.add_post("/upload/{file}", self._upload)
        app.on_shutdown.append(self._close_sockets)
        return app

    @property
    def connected(self) -> bool:
        return self.request_url is not None or bool(self._sockets.connections)

    async def wait_connected(self, timeout_s: float = 15, *, connections: int = 1) -> None:
        """Until the bot is there: in Socket Mode, until so many ``connections`` are open."""
        enough = self._sockets.connections
        await self.workspace.wait_for(lambda: self.request_url is not None or len(enough) >= connections, timeout_s)

    @property
    def down(self) -> bool:
        """Whether Slack is away: every connection is cut, open ones and new ones, and nothing is delivered."""
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        self._down = down
        if down:
            self._sockets.cut()

    async def refresh(self, notice_s: float = 10.0) -> None:
        """Replaces the Socket Mode connections, as Slack does, so long after a warning."""
        await self._sockets.refresh(notice_s)

    def spread(self, seed: int) -> None:
        """From now on each delivery goes to any one of the open connections, as Slack does with several."""
        self._sockets.spread = random.Random(seed)  # noqa: S311 - repeatable, and no secret

    async def deliver(self, kind: str, payload: dict[str, Any], retry: int = 0) -> Acknowledged:
        """Brings the payload to the bot, as the ``retry``-th try again; raises TimeoutError or LookupError."""
        if self._down:
            raise LookupError("Slack is down")
        began = time.monotonic()
        if self.request_url is None:
            body = await self._sockets.send(kind, payload, retry, self.ack_s)
        else:
            body = await post(self.request_url, kind, payload, retry, self.ack_s)
        return Acknowledged(time.monotonic() - began, body)

    @web.middleware
    async def _outage(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        return await fail(request, "reset") if self._down else await handler(request)

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        arguments = await _arguments(request)
        self._world.seen("slack", request.method, f"/api/{method}")
        self.workspace.calls.append(Call(method, time.monotonic(), arguments))
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or str(arguments.get("token", ""))

        if method == "api.test" and self._world.scenario.control.fail is not None:
            return await fail(request, "reset")

        async def answer(_: web.Request) -> web.StreamResponse:
            try:
                held = self._answer(method, token, arguments)
            except SlackRefusal as refusal:
                return web.json_response(refusal.answer)
            scopes = {"x-oauth-scopes": ",".join(sorted(self.workspace.scopes))}
            return web.json_response({"ok": True, **held}, headers=scopes)

        return await self._faulty(request, method, answer, arguments)

    async def _faulty(
        self, request: web.Request, queue: str, answer: _Handler, arguments: dict[str, Any] | None = None
    ) -> web.StreamResponse:
        """``answer``, or what goes wrong instead."""
        fault = self.faults.take(queue)
        if self.pace and (wait_s := self._paced.wait_s(queue, arguments or {}, time.monotonic())):
            fault = rate_limited(wait_s)
        if fault.kind == "pass":
            return await answer(request)
        if fault.kind == "answer":
            body = {"ok": False, "error": fault.error}
            return web.json_response(body, status=fault.status, headers=fault.headers)
        if fault.kind == "late":
            held = await answer(request)
            await asyncio.sleep(fault.delay_s)
            return held
        if fault.kind == "lost":
            await answer(request)
        return await fail(request, "timeout" if fault.kind == "hang" else "reset")

    def _answer(self, method: str, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if method == "apps.connections.open":
            if token != APP_TOKEN:
                raise SlackRefusal("invalid_auth" if token else "not_authed")
            ticket = secrets.token_hex(8)
            self._tickets.add(ticket)
            return {"url": f"{self.workspace.base_url.replace('http', 'ws', 1)}/link?ticket={ticket}"}
        if method not in METHODS:
            raise SlackRefusal("unknown_method", req_method=method)
        if method != "api.test" and token != BOT_TOKEN:
            raise SlackRefusal("invalid_auth" if token else "not_authed")
        return call(self.workspace, method, arguments)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """Each address that the bot was told is for one use."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=404)
        self._tickets.remove(ticket)
        return await self._sockets.hold(request, self.workspace.changed)

    async def _response(self, request: web.Request) -> web.StreamResponse:
        return await self._faulty(request, "response_url", self._respond)

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        held = self.workspace.response_urls.get(request.match_info["key"])
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
        self._say(held, body, blocks)
        return web.Response(text="ok")

    def _say(self, held: ResponseUrl, body: dict[str, Any], blocks: list[dict[str, Any]]) -> None:
        """A new message, or the one that was clicked on anew, or gone."""
        slack, text = self.workspace, str(body.get("text") or "")
        original = slack.find(held.channel, held.message_ts)
        if original is not None and body.get("delete_original"):
            slack.remove(original)
        elif original is not None and body.get("replace_original"):
            original.text, original.blocks = text, blocks
            original.edits += 1
            slack.changed()
        else:
            message = Message(channel=held.channel, ts=slack.new_ts(), user=BOT_USER, text=text, blocks=blocks)
            message.only_for = None if body.get("response_type") == "in_channel" else held.user
            slack.add(message)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        return await self._faulty(request, "upload", self._stored)

    async def _stored(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.content_type.startswith("multipart/"):
            return web.Response(status=400, text="send the bytes themselves")
        if request.match_info["file"] not in self.workspace.files:
            return web.Response(status=404, text="there is no such upload")
        self.workspace.files[request.match_info["file"]] = body
        return web.Response(text=f"OK - {len(body)}")

    async def _close_sockets(self, _: web.Application) -> None:
        await self._sockets.close()


async def _arguments(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        held = await request.json()
        return dict(held) if isinstance(held, dict) else {}
    posted = {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    return {**request.query, **posted}
