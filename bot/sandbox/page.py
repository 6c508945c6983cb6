"""The page to use the sandbox in: a workspace like Slack's, for any number of people, and the world beside it.

Rendered here, kept up to date by server-sent events; the bot does not know of it.
"""

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from multidict import MultiMapping

from bot.sandbox.files import file_answer
from bot.sandbox.forms import errors, fields, initial, values
from bot.sandbox.mrkdwn import to_html
from bot.sandbox.panel import panel
from bot.sandbox.play import Play
from bot.sandbox.slack import Channel, Message, View
from bot.sandbox.slack.filling import options
from bot.sandbox.slack.model import BOT_USER
from bot.sandbox.story import Story
from bot.sandbox.world import API_CHANGES, Changes

_CSP = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'"
_ASSETS = Path(__file__).with_name("assets")
_HOME = "home"
_CHANNEL = re.compile(r"<#(\w+)>")
_GROUP = re.compile(r"<!subteam\^(\w+)>")
# as the bot's manifest names it
_SHORTCUTS = {"add_to_timeline": "Add to the timeline"}
# what is offered as one types; the bot knows more
COMMANDS = (
    *("triage", "health", "declare", "update", "publish", "severity P1", "role commander", "note ", "milestone "),
    *("timeline", "list", "catch-up", "resolve", "mitigate", "rollback", "revert", "evidence", "postmortem"),
    *("action ", "actions", "metrics", "freeze ", "unfreeze", "reopen", "help"),
)
_JOBS = {"U0REQUESTER": "on call", "U0APPROVER": "may approve", "U0COMMANDER": "may approve", "U0GUEST": "guest"}
_LOOK_S = 1.0
_LONGEST_MOVE = 24 * 60
_PNG = b"\x89PNG"


@dataclass(frozen=True)
class _Seat:
    """Who sits at the page, and what they look at: a channel, or App Home."""

    user: str
    place: str


class Page:
    """The page of one sandbox. ``shortcuts`` are a message's, by callback id."""

    def __init__(self, play: Play, shortcuts: Mapping[str, str] = _SHORTCUTS) -> None:
        self._play, self._workspace = play, play.sandbox.slack.workspace
        self._shortcuts = shortcuts
        self._templates = Environment(loader=FileSystemLoader(_ASSETS), autoescape=True, undefined=StrictUndefined)
        self._templates.filters.update(
            mrkdwn=self._shown, initial=initial, options=options, fields=_by_block, confirm=_confirm, span=span
        )
        self._read: dict[_Seat, str] = {}
        """The ts of the last message that each seat has seen."""

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
        app.router.add_static("/assets", _ASSETS)
        return app

    def _shown(self, text: str, *, escaped: bool = True) -> Markup:
        """As HTML, channels and groups by their names, as they are called now."""
        channels, groups = self._workspace.channels, self._workspace.usergroups
        named = _CHANNEL.sub(
            lambda found: f"<#{found[1]}|#{channels[found[1]].name}>" if found[1] in channels else found[0], text
        )
        named = _GROUP.sub(lambda found: f"<!subteam^{found[1]}|@{groups.get(found[1], found[1])}>", named)
        return to_html(named, escaped=escaped)

    def _seat(self, held: MultiMapping[str]) -> _Seat:
        """The seat that a request names, or the usual one."""
        user, place = str(held.get("user", "")), str(held.get("place", ""))
        person = self._workspace.people.get(user)
        user = "U0REQUESTER" if person is None or person.is_bot else user
        return _Seat(user, place if place == _HOME or place in self._workspace.channels else "C0INCIDENTS")

    def _rendered(self, template: str, seat: _Seat) -> str:
        return self._templates.get_template(template).render(**self._slack(seat), **self._world())

    def _slack(self, seat: _Seat) -> dict[str, object]:
        """What one person sees of the workspace."""
        slack = self._workspace
        mine = [one for one in slack.messages if one.only_for in (None, seat.user)]
        messages = [one for one in mine if one.channel == seat.place]
        if messages:
            self._read[seat] = messages[-1].ts
        threads: dict[str, list[Message]] = {}
        for message in messages:
            if message.thread_ts:
                threads.setdefault(message.thread_ts, []).append(message)
        place = slack.channels.get(seat.place)
        return {
            "seat": seat,
            "place": place,
            "here": "App Home" if place is None else "Messages" if place.is_im else f"#{place.name}",
            "home": slack.homes.get(seat.user),
            "view": slack.views.get(seat.user),
            "messages": [message for message in messages if not message.thread_ts],
            "threads": threads,
            "unread": Counter(
                one.channel
                for one in mine
                if one.user != seat.user and one.ts > self._read.get(_Seat(seat.user, one.channel), "")
            ),
            "channels": [one for one in slack.channels.values() if _open_to(one, seat.user)],
            "people": [person for person in slack.people.values() if person.id in _JOBS],
            "jobs": _JOBS,
            "bot": BOT_USER,
            "users": {person.id: person.name or person.id for person in slack.people.values()},
            "images": {name for name, held in slack.files.items() if held.startswith(_PNG)},
            "shortcuts": self._shortcuts,
            "commands": COMMANDS,
            "down": self._play.sandbox.slack.down,
        }

    def _world(self) -> dict[str, object]:
        """What everybody sees of the world."""
        play = self._play
        world = play.sandbox.world
        groups: dict[str, list[Story]] = {}
        for story in play.stories.values():
            groups.setdefault(story.group, []).append(story)
        return {
            "panel": panel(play),
            "status": play.status,
            "drill": play.drill,
            "score": play.score,
            "ahead": span(play.sandbox.ahead_s),
            "groups": groups,
            "story": world.telling.story if world.telling else None,
            "changes": world.changes,
            "slack_cut": play.slack_cut,
            "changed": play.slack_cut or world.changes != Changes(),
            "api_changes": list(API_CHANGES),
        }

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
        """Each part of the page as it changes."""
        seat = self._seat(request.query)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the browser has left
            await self._follow(seat, response)
        return response

    async def _follow(self, seat: _Seat, response: web.StreamResponse) -> None:
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

    async def _send(
        self, response: web.StreamResponse, parts: Sequence[str], seat: _Seat, sent: dict[str, str]
    ) -> None:
        """Those that are not as they were ``sent``."""
        for part in parts:
            html = self._rendered(f"{part}.html", seat)
            if sent.get(part) != html:
                sent[part] = html
                body = "".join(f"data: {line}\n" for line in html.split("\n"))
                await response.write(f"event: {part}\n{body}\n".encode())

    def _done(
        self, doing: Callable[[_Seat, MultiMapping[str]], Awaitable[dict[str, object] | None]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A handler that does it, and says in a sentence where that was not possible."""

        async def handle(request: web.Request) -> web.Response:
            posted: MultiMapping[str] = await request.post()  # type: ignore[assignment]  # nobody uploads here
            try:
                if not self._play.sandbox.slack.down:
                    await self._play.sandbox.slack.wait_connected()  # it may be starting
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

    async def _story(self, _: _Seat, posted: MultiMapping[str]) -> None:
        await self._play.tell(posted.get("name", ""))

    async def _move(self, _: _Seat, posted: MultiMapping[str]) -> None:
        await self._play.move(_number(posted.get("minutes", ""), _LONGEST_MOVE))

    async def _change(self, _: _Seat, posted: MultiMapping[str]) -> None:
        api, errors = posted.get("api", ""), posted.get("errors", "")
        changes = Changes(
            api=api if api in API_CHANGES else "",
            error_ratio=_number(errors, 1) if errors else None,
            pods_down=int(_number(posted.get("pods", "0"), 100)),
            prometheus_down="prometheus_down" in posted,
        )
        self._play.change(changes, slack_cut="slack_cut" in posted)

    async def _drill(self, _: _Seat, posted: MultiMapping[str]) -> None:
        await (self._play.end_drill() if posted.get("do") == "end" else self._play.begin_drill())

    async def _postmortem(self, _: web.Request) -> web.Response:
        """Of the last drill, as Markdown."""
        score = self._play.score
        return web.Response(text=score.postmortem if score and score.postmortem else "There is none yet.")

    async def _release(self, _: _Seat, posted: MultiMapping[str]) -> None:
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


def span(seconds: float) -> str:
    """Such as ``1 h 20 min``; empty for nothing."""
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)


def _confirm(asked: Mapping[str, Any]) -> str:
    """What the page asks before it clicks, as JSON."""
    names = {"title": "title", "text": "text", "yes": "confirm", "no": "deny"}
    return json.dumps({name: asked[key]["text"] for name, key in names.items()})


def _by_block(view: View) -> dict[str, str]:
    """The name in the form of each input block's field."""
    return {block["block_id"]: name for name, block, _ in fields(view)}


def _open_to(channel: Channel, user: str) -> bool:
    return user in channel.members or not channel.is_private
