"""What Slack sends: each listener acknowledges first, and then starts work that nobody's three seconds wait for."""

import logging
import time
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.errors import BotError
from bot.ports import Reply
from bot.settings import DEFAULT_TARGET
from bot.slack import parse
from bot.slack.tasks import Tasks
from bot.slack.triage import Place, SlackTriage

logger = logging.getLogger(__name__)

OFFER_EVERY_S = 600
_REMEMBERED = 1000


@dataclass(frozen=True, kw_only=True)
class Listeners:
    """The commands, clicks and events of one workspace."""

    triage: SlackTriage
    targets: tuple[str, ...]
    tasks: Tasks
    _events: "OrderedDict[str, None]" = field(default_factory=OrderedDict)
    _offered: "OrderedDict[str, float]" = field(default_factory=OrderedDict)

    def register(self, app: AsyncApp) -> None:
        app.command("/mistral")(self.command)
        app.action("triage")(self.click)
        app.event("app_mention")(self.mention)
        app.event("message")(self.message)

    async def command(self, ack: AsyncAck, command: dict[str, Any]) -> None:
        await ack()
        place = Place(channel=command["channel_id"], user=command["user_id"], response_url=command.get("response_url"))
        match parse.command(str(command.get("text") or ""), self.targets):
            case parse.Triage(target):
                self._start(place, self.triage.show(place, target), f"triage of {target}")
            case parse.Health(target):
                self._start(place, self.triage.health(place, target), f"health of {target}")
            case parse.Unknown(sentence):
                self._start(place, self.triage.tell(place, sentence), "answer")
            case _:
                help_ = Reply(template="help", context={"targets": self.targets})
                self._start(place, self.triage.answer(place, help_), "help")

    async def click(self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        await ack()
        place = Place(channel=body["channel"]["id"], user=body["user"]["id"], response_url=body.get("response_url"))
        target = action.get("value") or DEFAULT_TARGET
        if target in self.targets:
            self._start(place, self.triage.show(place, target), f"triage of {target}")
        else:
            self._start(place, self.triage.tell(place, "That target is no longer configured."), "answer")

    async def mention(self, ack: AsyncAck, event: dict[str, Any], body: dict[str, Any]) -> None:
        await ack()
        if _said_by_a_person(event):
            self._offer(event, body)

    async def message(self, ack: AsyncAck, event: dict[str, Any], body: dict[str, Any]) -> None:
        await ack()
        if _said_by_a_person(event) and parse.calls_for_help(str(event.get("text") or "")):
            self._offer(event, body)

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
            await self.triage.messenger.post(channel, Reply(template="offer", context={}))
        except BotError:
            del self._offered[channel]  # nobody saw it: the next call for help is offered one again
            raise

    def _start(self, place: Place, work: Coroutine[None, None, None], name: str) -> None:
        self.tasks.start(self._told(place, work), name)

    async def _told(self, place: Place, work: Coroutine[None, None, None]) -> None:
        """Does the work; what goes wrong is told in a sentence to whoever asked, and the log has the rest."""
        try:
            await work
        except Exception as error:
            logger.exception("a request from Slack failed")
            sentence = str(error) if isinstance(error, BotError) else "Something went wrong; the bot's log says more."
            try:
                await self.triage.tell(place, sentence)
            except BotError as silent:
                logger.warning("nobody could be told of it: %s", silent)


def _said_by_a_person(event: dict[str, Any]) -> bool:
    """Neither a bot's message nor an edit, a join or the like."""
    return event.get("subtype") is None and "bot_id" not in event


def _remember(memory: "OrderedDict[str, Any]", key: str, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
