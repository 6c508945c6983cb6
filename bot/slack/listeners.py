"""What Slack sends: each listener acknowledges first, and then starts work that nobody's three seconds wait for.

Forms are the exception: they are closed when what they say is stored (see ``forms``).
"""

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.domain.incident import Refusal, Role
from bot.domain.policy import Act
from bot.errors import BotError
from bot.measures import COMMANDS
from bot.ports import Reply
from bot.settings import DEFAULT_TARGET
from bot.slack import parse
from bot.slack.aftermath import BUTTONS as AFTER_BUTTONS
from bot.slack.aftermath import FORMS as AFTER_FORMS
from bot.slack.aftermath import Aftermath
from bot.slack.forms import Forms
from bot.slack.home import Home
from bot.slack.incidents import SlackIncidents
from bot.slack.messenger import SlackMessenger
from bot.slack.mitigation_forms import FORMS
from bot.slack.mitigations import ASK, BUTTONS, SlackMitigations
from bot.slack.place import Place
from bot.slack.tasks import Tasks
from bot.slack.triage import SlackTriage
from bot.slack.updates import FORMS as UPDATE_FORMS
from bot.slack.updates import PREVIEW, Updates

logger = logging.getLogger(__name__)

OFFER_EVERY_S = 600
_REMEMBERED = 1000
_PIN = "pushpin"
_CLAIM = "role_"
_ANY = re.compile("")
_ANOTHER_VERSION = "That button is of another version of the bot."

Click = Callable[[AsyncAck, dict[str, Any], dict[str, Any]], Awaitable[None]]
"""Takes (ack, body, action)."""
Submitted = Callable[[AsyncAck, dict[str, Any], dict[str, Any]], Awaitable[None]]
"""Takes (ack, body, view)."""


@dataclass(frozen=True, kw_only=True)
class Listeners:
    """The commands, clicks, forms and events of one workspace."""

    triage: SlackTriage
    incidents: SlackIncidents
    forms: Forms
    updates: Updates
    mitigations: SlackMitigations
    home: Home
    aftermath: Aftermath
    messenger: SlackMessenger
    targets: tuple[str, ...]
    tasks: Tasks
    _events: "OrderedDict[str, None]" = field(default_factory=OrderedDict)
    _offered: "OrderedDict[str, float]" = field(default_factory=OrderedDict)

    def register(self, app: AsyncApp) -> None:
        """One listener a kind, the most frequent first: with every request Bolt asks one after the other if it is its.

        One for each button and form, which are sixty, took half of all the time that an acknowledgement takes.
        """
        app.event("message")(self.message)
        app.command("/mistral")(self.command)
        app.action({"type": "block_actions", "action_id": _ANY})(self.click)
        app.view(_ANY)(self.submitted)
        app.event("app_home_opened")(self.home_opened)
        app.event("app_mention")(self.mention)
        app.event("reaction_added")(self.reaction)
        app.shortcut("add_to_timeline")(self.shortcut)

    @cached_property
    def _clicks(self) -> Mapping[str, Click]:
        """What each button does, by its ``action_id``; those that begin with ASK are not in it."""
        incident = ("update", "command", "resolve", "reopen", "snooze_10", "snooze_20", "snooze_30")
        return {
            "triage": self.click_triage,
            "declare": self.click_declare,
            **dict.fromkeys((*incident, *(f"{_CLAIM}{role}" for role in Role)), self.click_incident),
            **dict.fromkeys(BUTTONS, self.click_mitigation),
            **dict.fromkeys(AFTER_BUTTONS, self.click_aftermath),
        }

    @cached_property
    def _forms(self) -> Mapping[str, Submitted]:
        """Who takes each form, by its ``callback_id``."""
        return {
            "declare": self.forms.submitted,
            **dict.fromkeys(UPDATE_FORMS, self.updates.submitted),
            PREVIEW: self.updates.sent,
            **dict.fromkeys(FORMS, self.mitigations.forms.submitted),
            **dict.fromkeys(AFTER_FORMS, self.aftermath.submitted),
        }

    async def click(self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        name = str(action["action_id"])
        known = self.click_mitigation if name.startswith(ASK) else self._clicks.get(name)
        if known is not None:
            await known(ack, body, action)
            return
        await ack()
        self._start(_place(body), self.messenger.tell(_place(body), _ANOTHER_VERSION), "answer")

    async def submitted(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        """A form that nobody takes is another version's, which the form then says: see ``server``."""
        await self._forms[view["callback_id"]](ack, body, view)

    async def command(self, ack: AsyncAck, command: dict[str, Any]) -> None:
        await ack()
        place = Place(
            channel=command["channel_id"],
            user=command["user_id"],
            response_url=command.get("response_url"),
            trigger_id=command.get("trigger_id"),
        )
        asked = parse.command(str(command.get("text") or ""), self.targets, tuple(self.mitigations.handler.remedies))
        COMMANDS.labels(getattr(asked, "verb", type(asked).__name__.lower())).inc()
        match asked:
            case parse.Triage(target):
                self._start(place, self._triage(place, target), f"triage of {target}")
            case parse.Health(target):
                self._start(place, self._health(place, target), f"health of {target}")
            case parse.OnIncident():
                self._start(place, self._on_incident(place, asked), asked.verb)
            case parse.OnMitigation():
                self._start(place, self.mitigations.command(place, asked), asked.verb)
            case parse.Afterwards():
                request = f"command:{place.trigger_id}"
                self._start(place, self.aftermath.command(place, asked, request), asked.verb)
            case parse.Unknown(sentence):
                self._start(place, self.messenger.tell(place, sentence), "answer")
            case _:
                help_ = Reply(template="help", context={"targets": self.targets})
                self._start(place, self.messenger.answer(place, help_), "help")

    async def click_triage(self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        place = _place(body)
        target = action.get("value") or DEFAULT_TARGET
        if target in self.targets:
            self._start(place, self._triage(place, target), f"triage of {target}")
        else:
            self._start(place, self.messenger.tell(place, "That target is no longer configured."), "answer")

    async def click_declare(self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        place = _place(body)
        self._start(place, self.forms.declare(place, str(action.get("value"))), "declare")

    async def click_incident(self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        place, name = _place(body), str(action["action_id"])
        try:
            number, reminded = parse.clicked(str(action.get("value")))
        except ValueError:
            self._start(place, self.messenger.tell(place, _ANOTHER_VERSION), name)
            return
        request = f"click:{action.get('action_ts')}:{name}:{place.user}"
        work: Coroutine[None, None, None]
        match name:
            case "update":
                work = self.updates.update(place, number)
            case "resolve":
                work = self.updates.resolve(place, number)
            case "command":
                work = self.incidents.take_command(place, number, request)
            case "reopen":
                work = self.incidents.reopen(place, number, request)
            case _ if name.startswith(_CLAIM):
                work = self.incidents.claim(place, number, name.removeprefix(_CLAIM), request)
            case _:
                work = self.incidents.snooze(place, number, int(name.rpartition("_")[2]), request, reminded)
        self._start(place, work, f"{name} INC-{number}")

    async def click_mitigation(self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        place, name = _place(body), str(action["action_id"])
        request = f"click:{action.get('action_ts')}:{name}:{place.user}"
        self._start(place, self.mitigations.click(place, name, str(action.get("value")), request), name)

    async def click_aftermath(self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        place, name = _place(body), str(action["action_id"])
        request = f"click:{action.get('action_ts')}:{name}:{place.user}"
        self._start(place, self.aftermath.click(place, name, str(action.get("value")), request), name)

    async def shortcut(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        place = _place(body)
        self._start(place, self.incidents.keep_message(place, body["message"], quietly=False), "add to the timeline")

    async def reaction(self, ack: AsyncAck, event: dict[str, Any]) -> None:
        await ack()
        if event.get("reaction") == _PIN and event["item"].get("type") == "message":
            place = Place(channel=event["item"]["channel"], user=event["user"])
            self._start(place, self._pinned(place, event["item"]["ts"]), "add to the timeline")

    async def home_opened(self, ack: AsyncAck, event: dict[str, Any]) -> None:
        await ack()
        place = Place(channel=event["channel"], user=event["user"])
        if event.get("tab", "home") == "home":
            self._start(place, self.home.show(place.user), "App Home")

    async def mention(self, ack: AsyncAck, event: dict[str, Any], body: dict[str, Any]) -> None:
        await ack()
        if _said_by_a_person(event):
            self._offer(event, body)

    async def message(self, ack: AsyncAck, event: dict[str, Any], body: dict[str, Any]) -> None:
        await ack()
        if _said_by_a_person(event) and parse.calls_for_help(str(event.get("text") or "")):
            self._offer(event, body)

    async def _triage(self, place: Place, target: str) -> None:
        await self.incidents.allowed(Act.TRIAGE, place.user)
        await self.triage.show(place, target)

    async def _health(self, place: Place, target: str) -> None:
        await self.incidents.may_read(place.user)
        await self.triage.health(place, target)

    async def _on_incident(self, place: Place, asked: parse.OnIncident) -> None:
        match asked.verb:
            case "declare":
                await self.forms.declare(place, None, asked.text)
            case "update":
                await self.updates.update(place, asked.number, asked.text)
            case "resolve":
                await self.updates.resolve(place, asked.number)
            case "publish":
                await self.updates.publish(place, asked.number)
            case _:
                await self.incidents.command(place, asked, f"command:{place.trigger_id}")

    async def _pinned(self, place: Place, ts: str) -> None:
        message = await self.messenger.message(place.channel, ts)
        if message is not None:
            await self.incidents.keep_message(place, message, quietly=True)

    def _offer(self, event: dict[str, Any], body: dict[str, Any]) -> None:
        """Offers a triage, at most once in ten minutes a channel, and once however often Slack delivers the event."""
        event_id, channel, now = str(body.get("event_id")), str(event["channel"]), time.monotonic()
        offered, seen = self._offered.get(channel), event_id in self._events
        _remember(self._events, event_id, None)
        if seen or (offered is not None and now - offered < OFFER_EVERY_S):
            return
        _remember(self._offered, channel, now)
        place = Place(channel=channel, user=str(event.get("user")))
        self._start(place, self._post_offer(channel), "offer")

    async def _post_offer(self, channel: str) -> None:
        try:
            await self.messenger.post(channel, Reply(template="offer", context={}))
        except BotError:
            del self._offered[channel]  # nobody saw it: the next call for help is offered one again
            raise

    def _start(self, place: Place, work: Coroutine[None, None, None], name: str) -> None:
        self.tasks.start(self._told(place, work), name)

    async def _told(self, place: Place, work: Coroutine[None, None, None]) -> None:
        """Does the work; what goes wrong is told in a sentence to whoever asked, and the log has the rest."""
        try:
            await work
        except Refusal as refusal:
            await self._tell(place, str(refusal))
        except BotError as error:
            logger.warning("a request from Slack failed: %s", error)
            await self._tell(place, str(error))
        except Exception:
            logger.exception("a request from Slack failed")
            await self._tell(place, "Something went wrong; the bot's log says more.")

    async def _tell(self, place: Place, sentence: str) -> None:
        try:
            await self.messenger.tell(place, sentence)
        except BotError as silent:
            logger.warning("nobody could be told of it: %s", silent)


def _place(body: dict[str, Any]) -> Place:
    """Of a click: in a message, or in App Home, where the channel is the person's own."""
    user = body["user"]["id"]
    return Place(
        channel=(body.get("channel") or {}).get("id") or user,
        user=user,
        response_url=body.get("response_url"),
        trigger_id=body.get("trigger_id"),
    )


def _said_by_a_person(event: dict[str, Any]) -> bool:
    """Neither a bot's message nor an edit, a join or the like."""
    return event.get("subtype") is None and "bot_id" not in event


def _remember(memory: "OrderedDict[str, Any]", key: str, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
