"""The page to use the sandbox in: the channel, an input line, working buttons and a chooser of scenarios.

Rendered here, kept up to date by server-sent events; the bot does not know of it.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bot.sandbox.mrkdwn import to_html
from bot.sandbox.scenario import Scenario, World
from bot.sandbox.slack import Message, Workspace
from bot.sandbox.slack.model import USERS

_CSP = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'"
_ASSETS = Path(__file__).with_name("assets")


class Page:
    """The page of one sandbox; ``choose`` makes a scenario happen."""

    def __init__(
        self,
        workspace: Workspace,
        world: World,
        scenarios: dict[str, Scenario],
        choose: Callable[[Scenario], Awaitable[None]],
    ) -> None:
        self._workspace, self._world, self._scenarios, self._choose = workspace, world, scenarios, choose
        self._templates = Environment(loader=FileSystemLoader(_ASSETS), autoescape=True, undefined=StrictUndefined)
        self._templates.filters["mrkdwn"] = to_html
        self._choosing = asyncio.Lock()

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self._index)
        app.router.add_get("/events", self._events)
        app.router.add_post("/say", self._say)
        app.router.add_post("/click", self._click)
        app.router.add_post("/scenario", self._scenario)
        app.router.add_static("/assets", _ASSETS)
        return app

    def _rendered(self, template: str) -> str:
        messages = self._workspace.messages
        threads: dict[str, list[Message]] = {}
        for message in messages:
            if message.thread_ts:
                threads.setdefault(message.thread_ts, []).append(message)
        return self._templates.get_template(template).render(
            messages=[message for message in messages if not message.thread_ts],
            threads=threads,
            users=USERS,
            images={name: base64.b64encode(held).decode() for name, held in self._workspace.files.items()},
            scenarios=self._scenarios,
            scenario=self._world.scenario,
        )

    async def _index(self, _: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _CSP}
        return web.Response(text=self._rendered("page.html"), content_type="text/html", headers=headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The channel anew at each change."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        while True:
            change = self._workspace.tick
            body = "".join(f"data: {line}\n" for line in self._rendered("channel.html").splitlines())
            await response.write(f"{body}\n".encode())
            await change.wait()

    async def _say(self, request: web.Request) -> web.Response:
        text = str((await request.post()).get("text", "")).strip()[:10_000]
        try:
            if text.startswith("/mistral"):
                await self._workspace.command(text.removeprefix("/mistral").strip())
            elif text:
                await self._workspace.say(text)
        except (LookupError, TimeoutError) as error:
            return web.Response(status=503, text=f"The bot is not there yet: {error}")
        return web.Response(status=204)

    async def _click(self, request: web.Request) -> web.Response:
        posted = await request.post()
        message = self._workspace.find("C0INCIDENTS", str(posted.get("ts")))
        try:
            if message is None:
                raise LookupError("there is no such message")
            await self._workspace.click(message, str(posted.get("action_id")))
        except (LookupError, TimeoutError) as error:
            return web.Response(status=404, text=f"That did not work: {error}")
        return web.Response(status=204)

    async def _scenario(self, request: web.Request) -> web.Response:
        name = str((await request.post()).get("name"))
        if name not in self._scenarios:
            return web.Response(status=404, text="There is no such scenario.")
        async with self._choosing:
            await self._choose(self._scenarios[name])
        self._workspace.changed()
        return web.Response(status=204)
