"""The page to use the sandbox in: channels, App Home, modals, an input line, a chooser of worlds and of who you are.

Rendered here, kept up to date by server-sent events; the bot does not know of it.
"""

import asyncio
import base64
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from multidict import MultiMapping

from bot.sandbox.forms import errors, fields, initial, values
from bot.sandbox.mrkdwn import to_html
from bot.sandbox.scenario import Scenario, World
from bot.sandbox.slack import Channel, Message, View, Workspace
from bot.sandbox.slack.filling import options

_CSP = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'"
_ASSETS = Path(__file__).with_name("assets")
_HOME = "home"
_CHANNEL = re.compile(r"<#(\w+)>")
# as the bot's manifest names it
_SHORTCUTS = {"add_to_timeline": "Add to the timeline"}


@dataclass(frozen=True)
class _Seat:
    """Who sits at the page, and what they look at: a channel, or App Home."""

    user: str
    place: str


class Page:
    """The page of one sandbox; ``choose`` makes a scenario happen. ``shortcuts`` are a message's, by callback id."""

    def __init__(
        self,
        workspace: Workspace,
        world: World,
        scenarios: dict[str, Scenario],
        choose: Callable[[Scenario], Awaitable[None]],
        shortcuts: Mapping[str, str] = _SHORTCUTS,
    ) -> None:
        self._workspace, self._world, self._scenarios, self._choose = workspace, world, scenarios, choose
        self._shortcuts = shortcuts
        self._templates = Environment(loader=FileSystemLoader(_ASSETS), autoescape=True, undefined=StrictUndefined)
        self._templates.filters.update(mrkdwn=self._shown, initial=initial, options=options, fields=_by_block)
        self._choosing = asyncio.Lock()

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self._index)
        app.router.add_get("/events", self._events)
        app.router.add_post("/scenario", self._scenario)
        for path, doing in {
            "/say": self._say,
            "/use": self._use,
            "/menu": self._menu,
            "/submit": self._submit,
            "/close": self._close,
        }.items():
            app.router.add_post(path, self._done(doing))
        app.router.add_static("/assets", _ASSETS)
        return app

    def _shown(self, text: str, *, escaped: bool = True) -> Markup:
        """As HTML, channels by their names, as they are called now."""
        channels = self._workspace.channels
        named = _CHANNEL.sub(
            lambda found: f"<#{found[1]}|#{channels[found[1]].name}>" if found[1] in channels else found[0], text
        )
        return to_html(named, escaped=escaped)

    def _seat(self, held: MultiMapping[str]) -> _Seat:
        """The seat that a request names, or the usual one."""
        user, place = str(held.get("user", "")), str(held.get("place", ""))
        person = self._workspace.people.get(user)
        user = "U0REQUESTER" if person is None or person.is_bot else user
        return _Seat(user, place if place == _HOME or place in self._workspace.channels else "C0INCIDENTS")

    def _rendered(self, template: str, seat: _Seat) -> str:
        slack = self._workspace
        messages = [one for one in slack.messages if one.channel == seat.place and one.only_for in (None, seat.user)]
        threads: dict[str, list[Message]] = {}
        for message in messages:
            if message.thread_ts:
                threads.setdefault(message.thread_ts, []).append(message)
        return self._templates.get_template(template).render(
            seat=seat,
            place=slack.channels.get(seat.place),
            home=slack.homes.get(seat.user),
            view=slack.views.get(seat.user),
            messages=[message for message in messages if not message.thread_ts],
            threads=threads,
            channels=[one for one in slack.channels.values() if _open_to(one, seat.user)],
            people=[person for person in slack.people.values() if not person.is_bot],
            users={person.id: person.name or person.id for person in slack.people.values()},
            images={
                name: base64.b64encode(held).decode()
                for name, held in slack.files.items()
                if held.startswith(b"\x89PNG")
            },
            shortcuts=self._shortcuts,
            scenarios=self._scenarios,
            scenario=self._world.scenario,
        )

    async def _index(self, request: web.Request) -> web.Response:
        seat = self._seat(request.query)
        if seat.place == _HOME:
            await self._tell_home(seat)
        headers = {"Content-Security-Policy": _CSP}
        return web.Response(text=self._rendered("page.html", seat), content_type="text/html", headers=headers)

    async def _tell_home(self, seat: _Seat) -> None:
        try:
            await self._workspace.open_home(seat.user)
        except (LookupError, TimeoutError):
            return  # the bot is not there; the page says that it has shown nothing yet

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The place and the list of channels at each change, and the modal where it is another one."""
        seat = self._seat(request.query)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the browser has left
            await self._follow(seat, response)
        return response

    async def _follow(self, seat: _Seat, response: web.StreamResponse) -> None:
        shown: tuple[str, str] | None = ("", "")
        while True:
            change, view = self._workspace.tick, self._workspace.views.get(seat.user)
            await self._send(response, "place", seat)
            await self._send(response, "places", seat)
            key = None if view is None else (view.id, view.hash)
            if key != shown:
                shown = key
                await self._send(response, "modal", seat)
            await change.wait()

    async def _send(self, response: web.StreamResponse, part: str, seat: _Seat) -> None:
        body = "".join(f"data: {line}\n" for line in self._rendered(f"{part}.html", seat).split("\n"))
        await response.write(f"event: {part}\n{body}\n".encode())

    def _done(
        self, doing: Callable[[_Seat, MultiMapping[str]], Awaitable[dict[str, object] | None]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A handler that does it, and says in a sentence where that was not possible."""

        async def handle(request: web.Request) -> web.Response:
            posted: MultiMapping[str] = await request.post()  # type: ignore[assignment]  # nobody uploads here
            try:
                answer = await doing(self._seat(posted), posted)
            except TimeoutError:
                return web.Response(status=503, text="The bot did not answer in time. Try again?")
            except LookupError as error:
                return web.Response(status=400, text=f"That did not work: {error}")
            return web.json_response(answer or {})

        return handle

    async def _say(self, seat: _Seat, posted: MultiMapping[str]) -> None:
        text = posted.get("text", "").strip()[:10_000]
        if text.startswith("/mistral"):
            command = text.removeprefix("/mistral").strip()
            await self._workspace.command(command, user=seat.user, channel=seat.place)
        elif text:
            await self._workspace.say(text, user=seat.user, channel=seat.place)

    def _where(self, seat: _Seat, posted: MultiMapping[str]) -> Message | View:
        where = posted.get("where", "")
        found = self._workspace.find_view(where) or self._workspace.find(seat.place, where)
        if found is None:
            raise LookupError("it is not there any more")
        return found

    async def _use(self, seat: _Seat, posted: MultiMapping[str]) -> None:
        """A button or a menu outside a form."""
        where, action = self._where(seat, posted), posted.get("action_id", "")
        if posted.get("kind") == "button":
            await self._workspace.click(where, action, user=seat.user, value=posted.get("value"))
        else:
            await self._workspace.choose(where, action, posted.get("value", ""), user=seat.user)

    async def _menu(self, seat: _Seat, posted: MultiMapping[str]) -> None:
        message = self._workspace.find(seat.place, posted.get("where", ""))
        if message is None:
            raise LookupError("it is not there any more")
        if "reaction" in posted:
            await self._workspace.react(message, posted["reaction"], user=seat.user)
        else:
            await self._workspace.shortcut(posted.get("callback_id", ""), message, user=seat.user)

    async def _submit(self, seat: _Seat, posted: MultiMapping[str]) -> dict[str, object]:
        view = self._modal(seat, posted)
        view.errors = {}
        await self._workspace.submit(view, values(view, posted), user=seat.user)
        return {"errors": errors(view)}

    async def _close(self, seat: _Seat, posted: MultiMapping[str]) -> None:
        await self._workspace.close(self._modal(seat, posted))

    def _modal(self, seat: _Seat, posted: MultiMapping[str]) -> View:
        view = self._workspace.views.get(seat.user)
        if view is None or view.id != posted.get("where"):
            raise LookupError("the dialog has closed")
        return view

    async def _scenario(self, request: web.Request) -> web.Response:
        name = str((await request.post()).get("name"))
        if name not in self._scenarios:
            return web.Response(status=404, text="There is no such scenario.")
        async with self._choosing:
            await self._choose(self._scenarios[name])
        self._workspace.changed()
        return web.json_response({})


def _by_block(view: View) -> dict[str, str]:
    """The name in the form of each input block's field."""
    return {block["block_id"]: name for name, block, _ in fields(view)}


def _open_to(channel: Channel, user: str) -> bool:
    return user in channel.members or not channel.is_private
