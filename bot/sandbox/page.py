"""The page to use the sandbox in: a workspace like Slack's, for any number of people, and the world beside it.

Rendered here, kept up to date by server-sent events; the bot does not know of it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from bot.sandbox.files import file_answer
from bot.sandbox.forms import errors, values
from bot.sandbox.play import Play
from bot.sandbox.shown import ASSETS, HOME, SHORTCUTS, Seat, Shown
from bot.sandbox.slack import Message, View
from bot.sandbox.world import API_CHANGES, Changes

_CSP = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'"
_LOOK_S = 1.0
_LONGEST_MOVE = 24 * 60


class Page:
    """The page of one sandbox. ``shortcuts`` are a message's, by callback id."""

    def __init__(self, play: Play, shortcuts: Mapping[str, str] = SHORTCUTS) -> None:
        self._play, self._workspace = play, play.sandbox.slack.workspace
        self._shown = Shown(play, shortcuts)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[_own_page])
        app.router.add_get("/", self._index)
        app.router.add_get("/events", self._events)
        app.router.add_get("/drill/postmortem", self._postmortem)
        for path in ("/file/{file}", "/file/{file}/{path:.+}"):
            app.router.add_get(path, partial(file_answer, self._workspace))
        for path, doing in {
            "/say": self._say,
            "/use": self._use,
            "/menu": self._menu,
            "/submit": self._submit,
            "/close": self._close,
            "/story": self._story,
            "/move": self._move,
            "/change": self._change,
            "/release": self._release,
            "/drill": self._drill,
        }.items():
            app.router.add_post(path, self._done(doing))
        app.router.add_static("/assets", ASSETS)
        return app

    async def _index(self, request: web.Request) -> web.Response:
        seat = self._shown.seat(request.query)
        if seat.place == HOME:
            await self._tell_home(seat)
        headers = {"Content-Security-Policy": _CSP}
        (html,) = self._shown.rendered(["page.html"], seat)
        return web.Response(text=html, content_type="text/html", headers=headers)

    async def _tell_home(self, seat: Seat) -> None:
        try:
            await self._workspace.open_home(seat.user)
        except (LookupError, TimeoutError):
            return  # the bot is not there; the page says that it has shown nothing yet

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Each part of the page as it changes."""
        seat = self._shown.seat(request.query)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the browser has left
            await self._follow(seat, response)
        return response

    async def _follow(self, seat: Seat, response: web.StreamResponse) -> None:
        sent: dict[str, str] = {}
        view_shown: tuple[str, str] | None = ("", "")
        while True:
            change, view = self._workspace.tick, self._workspace.views.get(seat.user)
            await self._send(response, ("place", "places", "controls", "watch"), seat, sent)
            key = None if view is None else (view.id, view.hash)
            if key != view_shown:
                # what is being typed into one that is open stays
                view_shown = key
                await self._send(response, ("modal",), seat, sent={})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(change.wait(), _LOOK_S)

    async def _send(self, response: web.StreamResponse, parts: Sequence[str], seat: Seat, sent: dict[str, str]) -> None:
        """Those that are not as they were ``sent``."""
        rendered = self._shown.rendered([f"{part}.html" for part in parts], seat)
        for part, html in zip(parts, rendered, strict=True):
            if sent.get(part) != html:
                sent[part] = html
                body = "".join(f"data: {line}\n" for line in html.split("\n"))
                await response.write(f"event: {part}\n{body}\n".encode())

    def _done(
        self, doing: Callable[[Seat, MultiMapping[str]], Awaitable[dict[str, object] | None]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A handler that does it, and says in a sentence where that was not possible."""

        async def handle(request: web.Request) -> web.Response:
            posted: MultiMapping[str] = await request.post()  # type: ignore[assignment]  # nobody uploads here
            try:
                await self._play.sandbox.settled()
                answer = await doing(self._shown.seat(posted), posted)
            except TimeoutError:
                return web.Response(status=503, text="The bot did not answer in time. Try again?")
            except LookupError as error:
                return web.Response(status=400, text=f"That did not work: {error}")
            return web.json_response(answer or {})

        return handle

    async def _say(self, seat: Seat, posted: MultiMapping[str]) -> None:
        text = posted.get("text", "").strip()[:10_000]
        if text.startswith("/mistral"):
            command = text.removeprefix("/mistral").strip()
            await self._workspace.command(command, user=seat.user, channel=seat.place)
        elif text:
            await self._workspace.say(text, user=seat.user, channel=seat.place)

    def _where(self, seat: Seat, posted: MultiMapping[str]) -> Message | View:
        where = posted.get("where", "")
        found = self._workspace.find_view(where) or self._workspace.find(seat.place, where)
        if found is None:
            raise LookupError("it is not there any more")
        return found

    async def _use(self, seat: Seat, posted: MultiMapping[str]) -> None:
        """A button or a menu outside a form."""
        where, action = self._where(seat, posted), posted.get("action_id", "")
        if posted.get("kind") == "button":
            await self._workspace.click(where, action, user=seat.user, value=posted.get("value"))
        else:
            await self._workspace.choose(where, action, posted.get("value", ""), user=seat.user)

    async def _menu(self, seat: Seat, posted: MultiMapping[str]) -> None:
        message = self._workspace.find(seat.place, posted.get("where", ""))
        if message is None:
            raise LookupError("it is not there any more")
        if "reaction" in posted:
            await self._workspace.react(message, posted["reaction"], user=seat.user)
        else:
            await self._workspace.shortcut(posted.get("callback_id", ""), message, user=seat.user)

    async def _submit(self, seat: Seat, posted: MultiMapping[str]) -> dict[str, object]:
        view = self._modal(seat, posted)
        if view is None:
            raise LookupError("the dialog has closed")
        view.errors = {}
        await self._workspace.submit(view, values(view, posted), user=seat.user)
        return {"errors": errors(view)}

    async def _close(self, seat: Seat, posted: MultiMapping[str]) -> None:
        view = self._modal(seat, posted)
        if view is not None:  # a second click closes nothing more
            await self._workspace.close(view)

    def _modal(self, seat: Seat, posted: MultiMapping[str]) -> View | None:
        """The one that was posted, while it is open."""
        view = self._workspace.views.get(seat.user)
        return view if view is not None and view.id == posted.get("where") else None

    async def _story(self, _: Seat, posted: MultiMapping[str]) -> None:
        await self._play.tell(posted.get("name", ""))

    async def _move(self, _: Seat, posted: MultiMapping[str]) -> None:
        await self._play.move(_number(posted.get("minutes", ""), _LONGEST_MOVE))

    async def _change(self, _: Seat, posted: MultiMapping[str]) -> None:
        api, errors = posted.get("api", ""), posted.get("errors", "")
        changes = Changes(
            api=api if api in API_CHANGES else "",
            error_ratio=_number(errors, 1) if errors else None,
            pods_down=int(_number(posted.get("pods", "0"), 100)),
            prometheus_down="prometheus_down" in posted,
        )
        self._play.change(changes, slack_cut="slack_cut" in posted)

    async def _drill(self, _: Seat, posted: MultiMapping[str]) -> None:
        if posted.get("do") == "end":
            await self._play.end_drill()
        else:
            await self._play.begin_drill(surprise=posted.get("do") != "this")

    async def _postmortem(self, _: web.Request) -> web.Response:
        """Of the last drill, as Markdown."""
        score = self._play.score
        return web.Response(text=score.postmortem if score and score.postmortem else "There is none yet.")

    async def _release(self, _: Seat, posted: MultiMapping[str]) -> None:
        self._play.release()


@web.middleware
async def _own_page(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    """Nothing is done for another site that the same browser shows."""
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin is not None and origin.partition("://")[2] != request.host:
        return web.Response(status=403, text="That did not come from this page.")
    return await handler(request)


def _number(text: str, most: float) -> float:
    """Raises LookupError for what is none between 0 and ``most``."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise LookupError(f"{text[:20]!r} is not a number from 0 to {most:g}")
    return number
