"""What the page's templates show: what one person sees of the workspace, and what everybody sees of the world."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from multidict import MultiMapping

from bot.sandbox.forms import fields, initial
from bot.sandbox.mrkdwn import to_html
from bot.sandbox.panel import panel
from bot.sandbox.play import Play
from bot.sandbox.slack import Channel, Message, View
from bot.sandbox.slack.filling import options
from bot.sandbox.slack.model import BOT_USER
from bot.sandbox.story import Story
from bot.sandbox.world import API_CHANGES, Changes

ASSETS = Path(__file__).with_name("assets")
HOME = "home"
_CHANNEL = re.compile(r"<#(\w+)>")
_GROUP = re.compile(r"<!subteam\^(\w+)>")
# as the bot's manifest names it
SHORTCUTS = {"add_to_timeline": "Add to the timeline"}
# what is offered as one types; the bot knows more
COMMANDS = (
    *("triage", "health", "declare", "update", "publish", "severity P1", "role commander", "note ", "milestone "),
    *("timeline", "list", "catch-up", "resolve", "mitigate", "rollback", "revert", "evidence", "postmortem"),
    *("action ", "actions", "metrics", "freeze ", "unfreeze", "reopen", "help"),
)
_JOBS = {"U0REQUESTER": "on call", "U0APPROVER": "may approve", "U0COMMANDER": "may approve", "U0GUEST": "guest"}
_PNG = b"\x89PNG"


@dataclass(frozen=True)
class Seat:
    """Who sits at the page, and what they look at: a channel, or App Home."""

    user: str
    place: str


class Shown:
    """Renders the parts of the page; ``shortcuts`` are a message's, by callback id."""

    def __init__(self, play: Play, shortcuts: Mapping[str, str]) -> None:
        self._play, self._workspace = play, play.sandbox.slack.workspace
        self._shortcuts = shortcuts
        self._templates = Environment(loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined)
        self._templates.filters.update(
            mrkdwn=self._html, initial=initial, options=options, fields=_by_block, confirm=_confirm, span=_span
        )
        self._read: dict[Seat, str] = {}
        """The ts of the last message that each seat has seen."""

    def seat(self, held: MultiMapping[str]) -> Seat:
        """The seat that a request names, or the usual one."""
        user, place = str(held.get("user", "")), str(held.get("place", ""))
        person = self._workspace.people.get(user)
        user = "U0REQUESTER" if person is None or person.is_bot else user
        return Seat(user, place if place == HOME or place in self._workspace.channels else "C0INCIDENTS")

    def rendered(self, templates: Sequence[str], seat: Seat) -> list[str]:
        """Each as it is now, for who sits there."""
        held = self._slack(seat) | self._world()
        return [self._templates.get_template(template).render(held) for template in templates]

    def _slack(self, seat: Seat) -> dict[str, object]:
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
                if one.user != seat.user and one.ts > self._read.get(Seat(seat.user, one.channel), "")
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
            "ahead": _span(play.sandbox.ahead_s),
            "groups": groups,
            "story": world.telling.story if world.telling else None,
            "changes": world.changes,
            "slack_cut": play.slack_cut,
            "changed": play.slack_cut or world.changes != Changes(),
            "api_changes": list(API_CHANGES),
        }

    def _html(self, text: str, *, escaped: bool = True) -> Markup:
        """As HTML, channels and groups by their names, as they are called now."""
        channels, groups = self._workspace.channels, self._workspace.usergroups
        named = _CHANNEL.sub(
            lambda found: f"<#{found[1]}|#{channels[found[1]].name}>" if found[1] in channels else found[0], text
        )
        named = _GROUP.sub(lambda found: f"<!subteam^{found[1]}|@{groups.get(found[1], found[1])}>", named)
        return to_html(named, escaped=escaped)


def _span(seconds: float) -> str:
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
