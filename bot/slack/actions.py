"""Action items in Slack: typed in one line, or in a form; listed with buttons."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from slack_bolt.async_app import AsyncAck

from bot.domain.action import Action, ActionPriority, ActionState
from bot.domain.incident import Incident, Refusal
from bot.domain.policy import Act
from bot.domain.reminding import local_day
from bot.domain.spans import span_of
from bot.handlers.action import ActionHandler
from bot.ports import Reply
from bot.slack import parse
from bot.slack.form_parts import Answered, answered, beneath, values
from bot.slack.incidents import SlackIncidents
from bot.slack.messenger import SlackMessenger
from bot.slack.place import Place

FORM = "action"
PRIORITIES = [("P1", "P1: an immediate fix"), ("P2", "P2: prevents it"), ("P3", "P3: an improvement")]
STATES = [(state.value, state.value.capitalize()) for state in ActionState]
_SHOWN = 10
_PRIORITY = re.compile(r"(?i)(?<!\S)P[123](?!\S)")
_DUE = re.compile(r"(?i)(?<!\S)due\s+(\d{4}-\d{2}-\d{2}|in\s+\d{1,3}[dw])(?!\S)")
_MENTION = re.compile(r"<@([UW][A-Z0-9]{2,30})(?:\|[^>]*)?>")
_FAR = timedelta(days=3650)


@dataclass(frozen=True, kw_only=True)
class SlackActions:
    handler: ActionHandler
    incidents: SlackIncidents
    messenger: SlackMessenger

    async def add(self, place: Place, asked: parse.Afterwards, incident: int, request: str) -> None:
        """By one line; without a text the form opens."""
        await self.incidents.allowed(Act.UPDATE, place.user)
        if not asked.text:
            await self.open_new(place, incident)
            return
        about = await self.incidents.handler.one(incident)
        text, priority, owner, due = self._read(asked.text)
        made = await self.handler.add(about, text, priority, owner, due, user=place.user, request=request)
        if made is not None:
            await self.messenger.tell(place, _told(made))

    async def open_new(self, place: Place, incident: int) -> None:
        await self.incidents.allowed(Act.UPDATE, place.user)
        about = await self.incidents.handler.one(incident)
        await self._open(place, about, None)

    async def open_one(self, place: Place, identity: int) -> None:
        await self.incidents.allowed(Act.UPDATE, place.user)
        held = await self.handler.one(identity)
        await self._open(place, await self.incidents.handler.one(held.incident), held)

    async def done(self, place: Place, identity: int, request: str) -> None:
        await self.incidents.allowed(Act.UPDATE, place.user)
        await self.handler.done(identity, place.user, request)
        await self.messenger.tell(place, f"Action item {identity} is done.")

    async def list(self, place: Place, incident: int | None) -> None:
        await self.incidents.may_read(place.user)
        held = await self.handler.open_ones(incident)
        context = {
            "mine": [one for one in held if one.owner == place.user],
            "others": [one for one in held if one.owner != place.user],
            "most": _SHOWN,
            "today": self._today(),
        }
        await self.messenger.answer(place, Reply(template="actions", context=context))

    async def submitted(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        metadata = json.loads(view.get("private_metadata") or "{}")
        user = str(body["user"]["id"])
        place = Place(channel=str(metadata.get("channel") or user), user=user)
        work = self._submitted(values(view), metadata, place, str(view["id"]))
        sentence = await answered(ack, work, beneath("text"))
        if sentence:
            await self.messenger.tell(place, sentence)

    async def _submitted(
        self, told: Mapping[str, Any], metadata: Mapping[str, Any], place: Place, view: str
    ) -> Answered:
        await self.incidents.allowed(Act.UPDATE, place.user)
        text, priority = str(told.get("text") or ""), ActionPriority(str(told.get("priority")))
        owner, due = told.get("owner"), _day(told.get("due"))
        if metadata.get("action"):
            state = ActionState(str(told.get("state")))
            after = await self.handler.edit(
                int(metadata["action"]),
                text=text,
                priority=priority,
                owner=owner,
                due=due,
                state=state,
                user=place.user,
                request=f"view:{view}",
            )
            return Answered(sentence=_told(after))
        about = await self.incidents.handler.one(int(metadata["number"]))
        made = await self.handler.add(about, text, priority, owner, due, user=place.user, request=f"view:{view}")
        return Answered(sentence="" if made is None else _told(made))

    async def _open(self, place: Place, incident: Incident, held: Action | None) -> None:
        if place.trigger_id is None:
            raise Refusal("That needs a command or a button.")
        context = {
            "action": held,
            "text": "" if held is None else held.text,
            "priorities": PRIORITIES,
            "priority": "P2" if held is None else held.priority.value,
            "owner": None if held is None else held.owner,
            "due": None if held is None else held.due.isoformat(),
            "states": STATES,
            "metadata": {
                "number": incident.id,
                "channel": place.channel,
                "action": None if held is None else held.id,
            },
        }
        await self.messenger.open_view(place.trigger_id, Reply(template="action_modal", context=context))

    def _read(self, said: str) -> tuple[str, ActionPriority, str | None, date | None]:
        """(text, priority, owner, due) of one line."""
        priority, due, owner = ActionPriority.P2, None, None
        if found := _DUE.search(said):
            due = self._due(found[1].lower())
            said = said[: found.start()] + said[found.end() :]
        if found := _PRIORITY.search(said):
            priority = ActionPriority(found[0].upper())
            said = said[: found.start()] + said[found.end() :]
        if found := _MENTION.search(said):
            owner = found[1]
            said = said[: found.start()] + said[found.end() :]
        return said, priority, owner, due

    def _due(self, said: str) -> date:
        if said.startswith("in"):
            span = span_of(said[2:], _FAR)
            if span is not None:
                return self._today() + span
        day = _day(said)
        if day is None:
            raise Refusal(f"“{said}” is no day: say `due 2026-12-24` or `due in 2w`.")
        return day

    def _today(self) -> date:
        return local_day(self.handler.clock.now(), self.handler.policy.calendar)


def _day(said: object) -> date | None:
    try:
        return date.fromisoformat(str(said)) if said else None
    except ValueError:
        return None


def _told(action: Action) -> str:
    who = f"<@{action.owner}>" if action.owner else "nobody yet"
    state = f"{action.priority}, {action.state}"
    return f"Action item {action.id} of INC-{action.incident} ({state}), due {action.due}: {who}."
