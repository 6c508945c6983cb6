"""What people do in the workspace: type, click, choose, fill in, react; each reaches the bot as Slack delivers it."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bot.sandbox.slack.filling import Values, element_state, elements, state
from bot.sandbox.slack.limits import SlackRefusal, view_of
from bot.sandbox.slack.memory import Memory
from bot.sandbox.slack.methods_views import pushed, replace
from bot.sandbox.slack.model import APP_ID, BOT_USER, TEAM, Message, ResponseUrl, View
from bot.sandbox.slack.scopes import ALL


@dataclass(frozen=True)
class Acknowledged:
    """The bot's acknowledgement: after how many seconds, and what it said with it, if anything."""

    seconds: float
    body: dict[str, Any] | None = None


Deliver = Callable[[str, dict[str, Any], int], Awaitable[Acknowledged]]
_COMMON = {"api_app_id": APP_ID, "token": "unused"}
_ROBIN = "U0REQUESTER"


class Workspace(Memory):
    """``deliver`` is set by the server: (kind, payload, number of the retry) to the acknowledgement.

    Whatever delivers raises LookupError while the bot is not connected, TimeoutError where it does not acknowledge.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scopes = set(ALL)
        self.deliver: Deliver | None = None
        self._last: tuple[str, dict[str, Any]] | None = None

    async def command(self, text: str, *, user: str = _ROBIN, channel: str = "C0INCIDENTS") -> float:
        """Somebody types ``/mistral text``; gives the seconds until it was acknowledged."""
        return (await self._deliver("slash_commands", self.slash(text, user=user, channel=channel))).seconds

    def slash(self, text: str, *, user: str = _ROBIN, channel: str = "C0INCIDENTS") -> dict[str, Any]:
        """What Slack sends of ``/mistral text``."""
        held = self.channels.get(channel)
        name = "directmessage" if held and held.is_im else held.name if held else "privategroup"
        return {
            **_COMMON,
            "command": "/mistral",
            "text": text,
            "user_id": user,
            "user_name": self.people[user].name.lower(),
            "channel_id": channel,
            "channel_name": name,
            "team_id": TEAM,
            "trigger_id": self.new_trigger(user),
            "response_url": self._response_url(channel, user),
        }

    async def say(
        self, text: str, *, user: str = _ROBIN, channel: str = "C0INCIDENTS", thread_ts: str | None = None
    ) -> float:
        """Somebody writes in a channel; the bot is told where it is a member, and of mentions as such."""
        message = self.add(Message(channel=channel, ts=self.new_ts(), user=user, text=text, thread_ts=thread_ts))
        held = self.channels[channel]
        kind = "im" if held.is_im else "group" if held.is_private else "channel"
        mentioned = f"<@{BOT_USER}>" in text
        scope = "app_mentions:read" if mentioned else f"{kind}s:history".replace("ims:", "im:")
        if BOT_USER not in held.members or scope not in self.scopes:
            return 0.0
        event = {
            "type": "app_mention" if mentioned else "message",
            "channel": channel,
            "user": user,
            "text": text,
            "ts": message.ts,
            "channel_type": kind,
            **({"thread_ts": thread_ts} if thread_ts else {}),
        }
        return (await self._event(event)).seconds

    async def react(self, message: Message, emoji: str, *, user: str = _ROBIN) -> float:
        """Somebody reacts to ``message``; raises LookupError where they have already."""
        users = message.reactions.setdefault(emoji, [])
        if user in users:
            raise LookupError(f"{user} has reacted with {emoji} already")
        users.append(user)
        self.changed()
        if BOT_USER not in self.channels[message.channel].members or "reactions:read" not in self.scopes:
            return 0.0
        event = {
            "type": "reaction_added",
            "user": user,
            "reaction": emoji,
            "item_user": message.user,
            "item": {"type": "message", "channel": message.channel, "ts": message.ts},
            "event_ts": self.new_ts(),
        }
        return (await self._event(event)).seconds

    async def open_home(self, user: str = _ROBIN) -> float:
        """Somebody opens the bot's App Home."""
        event: dict[str, Any] = {
            "type": "app_home_opened",
            "user": user,
            "channel": self.direct(user).id,
            "tab": "home",
            "event_ts": self.new_ts(),
        }
        if user in self.homes:
            event["view"] = self.homes[user].payload()
        return (await self._event(event)).seconds

    async def shortcut(self, callback_id: str, message: Message, *, user: str = _ROBIN) -> float:
        """Somebody uses a shortcut from the menu of ``message``."""
        payload = {
            "type": "message_action",
            "callback_id": callback_id,
            "action_ts": self.new_ts(),
            "message_ts": message.ts,
            "message": message.payload(),
            **self._where(message, user),
        }
        return (await self._interact(user, payload)).seconds

    async def click(
        self, where: Message | View, action_id: str, *, user: str = _ROBIN, value: str | None = None
    ) -> float:
        """Somebody clicks a button, the first called so (with that ``value``); raises LookupError if there is none.

        What counts is the object given, not what the message has become: ``message.as_seen()`` is clicked on later.
        """
        for block, element in _placed(where, action_id):
            if element["type"] == "button" and value in (None, element.get("value")):
                return await self._act(where, block, element, {"value": element.get("value")}, user)
        raise LookupError(f"there is no button {action_id}")

    async def choose(self, where: Message | View, action_id: str, value: Any, *, user: str = _ROBIN) -> float:
        """Somebody chooses from a menu or the like, outside a form; values are as for ``submit``."""
        for block, element in _placed(where, action_id):
            if element["type"] != "button":
                return await self._act(where, block, element, element_state(element, value, self.people), user)
        raise LookupError(f"there is no menu {action_id}")

    async def submit(self, view: View, values: Values | None = None, *, user: str | None = None) -> dict[str, Any]:
        """Somebody submits a modal; gives what the bot acknowledged with, {} for nothing.

        ``values`` is {block_id: {action_id: value}}: text, an option's value or a list of them, a user's id, Unix
        seconds or ISO 8601 for a date and time; what is not given stays as it was filled in from the start. Raises
        LookupError for what Slack's client does not let through, and for an answer that it cannot show.
        A modal that has closed may be submitted once more, as a double click does.
        """
        held = state(view, values or {}, self.people)
        payload = {"type": "view_submission", "view": view.payload(held), "response_urls": []}
        answer = (await self._interact(user or view.user, payload)).body or {}
        self._answered(view, held, answer)
        return answer

    def _answered(self, view: View, held: dict[str, dict[str, Any]], answer: dict[str, Any]) -> None:
        shown, action = self.views.get(view.user), answer.get("response_action")
        if shown is None or shown.id != view.id:
            return  # submitted twice, and closed or covered by the first
        shown.typed = held
        if action is None:
            self.close_view(shown)
        elif action == "clear":
            del self.views[shown.user]
        elif action in ("update", "push"):
            try:
                body = view_of(answer, "modal")
                if action == "push":
                    pushed(self, shown, body)
                else:
                    replace(self, shown, body)
            except SlackRefusal as refusal:
                raise LookupError(f"Slack cannot show the new view: {refusal.answer}") from refusal
        elif action == "errors":
            inputs = {block["block_id"] for block in shown.blocks if block["type"] == "input"}
            errors = answer.get("errors")
            if not errors or not set(errors) <= inputs:
                raise LookupError(f"Slack shows errors at inputs alone, {sorted(inputs)}, not at {errors}")
            shown.errors = {block: str(text) for block, text in errors.items()}
        else:
            raise LookupError(f"Slack does not know the response_action {action}")
        self.changed()

    async def close(self, view: View) -> None:
        """Somebody closes a modal, or goes back to the one beneath; the bot is told where it asked to be."""
        if view.body.get("clear_on_close"):
            self.views.pop(view.user, None)
        else:
            self.close_view(view)
        self.changed()
        if view.body.get("notify_on_close"):
            await self._interact(view.user, {"type": "view_closed", "view": view.payload(), "is_cleared": False})

    async def redeliver_last(self, times: int = 1) -> dict[str, Any]:
        """Slack delivers the last event, command or interaction once more, as its ``times``-th retry."""
        if self._last is None or self.deliver is None:
            raise LookupError("nothing has been delivered")
        return (await self.deliver(*self._last, times)).body or {}

    async def _act(
        self, where: Message | View, block: dict[str, Any], element: dict[str, Any], held: dict[str, Any], user: str
    ) -> float:
        action = {
            "type": element["type"],
            "action_id": element["action_id"],
            "block_id": block.get("block_id", "b"),
            "action_ts": self.new_ts(),
            **held,
        }
        payload: dict[str, Any] = {"type": "block_actions", "actions": [action]}
        chosen = {} if element["type"] == "button" else {action["block_id"]: {element["action_id"]: held}}
        if isinstance(where, View):
            container = {"type": "view", "view_id": where.id}
            payload |= {"container": container, "view": where.payload(chosen)}
        else:
            container = {"type": "message", "message_ts": where.ts, "channel_id": where.channel}
            message = {} if where.only_for else {"message": where.payload()}
            held_by = {"container": {**container, "is_ephemeral": bool(where.only_for)}, "state": {"values": chosen}}
            payload |= {**held_by, **message, **self._where(where, user)}
        return (await self._interact(user, payload)).seconds

    def _where(self, message: Message, user: str) -> dict[str, Any]:
        held = self.channels.get(message.channel)
        return {
            "channel": {"id": message.channel, "name": held.name if held else "privategroup"},
            "response_url": self._response_url(message.channel, user, message.ts),
        }

    async def _interact(self, user: str, payload: dict[str, Any]) -> Acknowledged:
        who = {"id": user, "name": self.people[user].name.lower(), "username": "", "team_id": TEAM}
        common = {"user": who, "team": {"id": TEAM, "domain": "sandbox"}, "trigger_id": self.new_trigger(user)}
        return await self._deliver("interactive", {**_COMMON, **common, **payload})

    async def _event(self, event: dict[str, Any]) -> Acknowledged:
        payload = {
            "type": "event_callback",
            "event_id": f"Ev{self.new_ts()}",
            "event_time": int(float(self.new_ts())),
            "team_id": TEAM,
            "event": event,
            "authorizations": [{"team_id": TEAM, "user_id": BOT_USER, "is_bot": True}],
        }
        return await self._deliver("events_api", {**_COMMON, **payload})

    def _response_url(self, channel: str, user: str, message_ts: str = "") -> str:
        key = self.new_ts().replace(".", "")
        self.response_urls[key] = ResponseUrl(channel, user, time.monotonic(), message_ts=message_ts)
        return f"{self.base_url}/response/{key}"

    async def _deliver(self, kind: str, payload: dict[str, Any]) -> Acknowledged:
        if self.deliver is None:
            raise LookupError("the bot is not connected")
        self._last = (kind, payload)
        return await self.deliver(kind, payload, 0)


def _placed(where: Message | View, action_id: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [
        (block, element)
        for block in where.blocks
        for element in elements(block)
        if element.get("action_id") == action_id
    ]
