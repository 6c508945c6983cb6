"""A triage in Slack: one message, posted at once, updated in place, with the details in its thread."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from bot.domain.report import TriageReport
from bot.errors import BotError, MessageError
from bot.handlers.triage import TriageHandler, check_health
from bot.ports import MessageRef, Probe, Reply
from bot.slack.messenger import SlackMessenger
from bot.slack.place import Place

logger = logging.getLogger(__name__)

_RETRIES_S = (1.0, 3.0, 9.0)


@dataclass(frozen=True, kw_only=True)
class SlackTriage:
    """Shows triages and health checks where they are asked for."""

    handler: TriageHandler
    health_probe: Probe
    messenger: SlackMessenger
    keep: Callable[[TriageReport], Awaitable[str]]
    """Keeps a report in the store; its id, empty where the store cannot be used."""
    _showing: set[tuple[str, str]] = field(default_factory=set)

    async def show(self, place: Place, target: str) -> None:
        """One card a channel and target: whoever asks meanwhile is told that it is on its way."""
        key = (place.channel, target)
        if key in self._showing:
            await self.messenger.tell(place, "A triage is already running in this channel; look for its message.")
            return
        self._showing.add(key)
        try:
            await self._show(place, target)
        finally:
            self._showing.discard(key)

    async def health(self, place: Place, target: str) -> None:
        await self.messenger.answer(place, await check_health(self.handler.prober, self.health_probe, target))

    async def _show(self, place: Place, target: str) -> None:
        card: MessageRef | None = None
        final: Reply | None = None
        posted = False
        async for reply in self.handler.cards(target):
            final = reply
            if reply.template == "triage":
                break
            if card is None and posted:
                continue  # a post without an answer may have arrived; one that was refused would be again
            posted = True
            try:
                card = await self._grow(card, place, reply)
            except MessageError as error:
                logger.warning("the card of a running triage was not shown: %s", error)
        if final is None:
            return
        final = replace(final, context={**final.context, "kept": await self.keep(final.context["report"])})
        if card is None:
            card = await self._answer_instead(place, final)
        else:
            held = card
            await _insist(lambda: self.messenger.update(held, final))
        if card is not None:
            await self._details(card, final)

    async def _grow(self, card: MessageRef | None, place: Place, reply: Reply) -> MessageRef:
        if card is None:
            return await self.messenger.post(place.channel, reply)
        await self.messenger.update(card, reply)
        return card

    async def _answer_instead(self, place: Place, final: Reply) -> MessageRef | None:
        """The card where the running one could not be posted: by the response URL, else as a message of its own."""
        if place.response_url is not None:
            await self.messenger.respond(place.response_url, final, in_channel=True)
            return None
        return await self.messenger.post(place.channel, final)

    async def _details(self, card: MessageRef, final: Reply) -> None:
        for reply in final.thread:
            try:
                await self.messenger.post(card.channel, reply, thread_ts=card.ts)
            except BotError as error:
                logger.warning("a detail of a triage was not posted: %s", error)
        for file in await self.handler.files(final.context["report"]):
            try:
                await self.messenger.upload(card, file)
            except BotError as error:
                logger.warning("the chart of a triage was not uploaded: %s", error)


async def _insist(call: Callable[[], Awaitable[None]]) -> None:
    """Tries again while Slack cannot be reached, since the result is what people wait for."""
    for pause in _RETRIES_S:
        try:
            await call()
        except MessageError as error:
            if error.code != "unreachable":
                raise
            await asyncio.sleep(pause)
        else:
            return
    await call()
