"""Sends what the store says must reach somebody: once where that can be looked up, in order, and never lost."""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from bot.domain import acts
from bot.domain.incident import HOME, PAGER, Incident, Outgoing, Priority
from bot.domain.naming import channel_name
from bot.domain.policy import Policy
from bot.errors import BotError, Conflict, Forbidden, MessageError, StoreError, UpstreamError
from bot.ports import Clock, Delivery, MessageRef, Messenger, Pager, Reply, Store

logger = logging.getLogger(__name__)

_BATCH = 10
# Longer than one attempt takes at worst, all of them in one channel at Slack's pace and two time-outs; and as short as
# can be, since whatever a process held when it died waits so long.
_LEASE_S = 45.0
_FIRST_RETRY_S, _LONGEST_RETRY_S = 2.0, 300.0
_EARLIER = timedelta(minutes=2)
# Slack's words for "something is wrong with us"; anything else that it says is final.
_TRANSIENT = frozenset(
    {
        "unreachable",
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "unknown",
        "team_added_to_org",
    }
)
_UNREACHABLE_PLACES = frozenset({"not_in_channel", "channel_not_found", "is_archived", "restricted_action"})


@dataclass(frozen=True, kw_only=True)
class DeliveryHandler:
    """``pagers`` empty: nobody is paged, which the log says."""

    store: Store
    messenger: Messenger
    pagers: Sequence[Pager]
    clock: Clock
    policy: Policy
    wanted: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        self.wanted.set()

    async def work(self) -> None:
        """Sends for ever; looks when it is woken. Whoever starts it wakes it at least every few seconds."""
        while True:
            await self.wanted.wait()
            self.wanted.clear()
            try:
                while await self.send_some():
                    pass
            except StoreError:
                pass  # the store has told the log; the next wake-up tries again

    async def send_some(self) -> int:
        """Sends what is due, at most a batch; how many there were."""
        claimed = await self.store.claim(self.clock.now(), limit=_BATCH, lease_s=_LEASE_S)
        ended = await asyncio.gather(*(self._deliver(delivery) for delivery in claimed), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error
        return len(claimed)

    async def _deliver(self, delivery: Delivery) -> None:
        """One attempt; how it ended is written down."""
        try:
            ref = await self._send(delivery)
        except MessageError as error:
            await self._failed(delivery, error)
        except Forbidden as error:
            logger.error("delivery %s is given up: %s", delivery.id, error)
            await self.store.dead(delivery, str(error))
        except (UpstreamError, Conflict) as error:
            await self._again(delivery, str(error), unsure=True)
        except StoreError:
            raise
        except BotError as error:
            await self.store.dead(delivery, str(error))
            logger.error("delivery %s cannot be sent: %s", delivery.id, error)
        except Exception as error:
            logger.exception("delivery %s failed", delivery.id)
            await self._again(delivery, type(error).__name__, unsure=True)
        else:
            await self.store.sent(delivery, ref)

    async def _send(self, delivery: Delivery) -> MessageRef | None:
        message = delivery.message
        incident = await self.store.incident(delivery.incident)
        if incident is None:
            return None
        match message.kind:
            case "card":
                return await self._card(delivery, incident)
            case "post":
                return await self._post(delivery, incident)
            case "channel":
                await self._own_channel(incident)
            case "page":
                await self._page(message, incident)
        return None

    async def _card(self, delivery: Delivery, incident: Incident) -> MessageRef:
        reply = Reply(template="incident_card", context={"incident": incident})
        channel = incident.channel if delivery.message.to == HOME else delivery.message.to
        held = await self._found(delivery, channel, None)
        if held is None and delivery.channel and delivery.ts:
            held = MessageRef(channel=delivery.channel, ts=delivery.ts)
        if held is not None:
            await self.messenger.update(held, reply)
        else:
            held = await self.messenger.post(channel, reply, delivery=delivery.id)
        if delivery.ts is None:
            await self._pin(held)
        return held

    async def _pin(self, card: MessageRef) -> None:
        try:
            await self.messenger.pin(card)
        except MessageError as error:
            logger.warning("the card was not pinned: %s", error)

    async def _post(self, delivery: Delivery, incident: Incident) -> MessageRef:
        message, thread = delivery.message, None
        channel = message.to
        if channel == HOME:
            channel = incident.home
            card = await self.store.card(incident.id, channel)
            # in a channel of its own everything stands in the channel
            thread = None if card is None or incident.own_channel else card.ts
        found = await self._found(delivery, channel, thread)
        if found is not None:
            return found
        reply = Reply(template=message.template, context={**message.context, "incident": incident})
        return await self.messenger.post(
            channel, reply, thread_ts=thread, aloud=message.aloud and thread is not None, delivery=delivery.id
        )

    async def _found(self, delivery: Delivery, channel: str, thread: str | None) -> MessageRef | None:
        """The message, where an earlier attempt may have sent it without our knowing."""
        if not delivery.unsure or delivery.ts is not None:
            return None
        since = delivery.created_at - _EARLIER
        return await self.messenger.find(channel, delivery.id, since=since, thread_ts=thread)

    async def _own_channel(self, incident: Incident) -> None:
        if incident.own_channel is not None:
            return
        channel = await self.messenger.make_channel(channel_name(incident, self.policy))
        now = self.clock.now()
        await self.store.save(incident, acts.moved_to(incident, channel, now), now=now)
        people = sorted({incident.declared_by, *incident.roles.values()})
        await self.messenger.invite(channel, people)
        self.wake()

    async def _page(self, message: Outgoing, incident: Incident) -> None:
        if not self.pagers:
            logger.warning("nobody is paged for %s: no pager is configured", incident.name)
        for pager in self.pagers:
            await pager.page(message.template, incident)

    async def _failed(self, delivery: Delivery, error: MessageError) -> None:
        if error.retry_after_s is not None:
            at = self.clock.now() + timedelta(seconds=error.retry_after_s)
            await self.store.later(delivery, at, str(error), unsure=delivery.unsure)
        elif error.code in _TRANSIENT or error.code.startswith("http_5"):
            await self._again(delivery, str(error), unsure=True)
        else:
            logger.error("delivery %s is given up: %s", delivery.id, error)
            await self.store.dead(delivery, str(error))
            await self._tell_instead(delivery, error)

    async def _again(self, delivery: Delivery, why: str, *, unsure: bool) -> None:
        pause_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2 ** min(delivery.attempts - 1, 10))
        # not all at once when what was down comes back
        pause_s *= random.uniform(0.5, 1.0)  # noqa: S311 - nothing to be guessed
        logger.warning("delivery %s is tried again in %.0f s: %s", delivery.id, pause_s, why)
        await self.store.later(delivery, self.clock.now() + timedelta(seconds=pause_s), why, unsure=unsure)

    async def _tell_instead(self, delivery: Delivery, error: MessageError) -> None:
        """Tells a person that the incident's channel cannot be posted to; who cannot be told is in the log."""
        if error.code not in _UNREACHABLE_PLACES or delivery.message.to not in (HOME, PAGER):
            return
        incident = await self.store.incident(delivery.incident)
        if incident is None:
            return
        context = {"channel": incident.home, "why": error.code}
        person = incident.commander or incident.declared_by
        told = Outgoing(kind="post", to=person, template="undelivered", context=context, priority=Priority.REST)
        now = self.clock.now()
        try:
            await self.store.save(incident, acts.tell(incident, told), now=now, request=f"undelivered:{delivery.id}")
        except StoreError as gone:
            logger.warning("nobody was told that %s cannot be posted to: %s", incident.home, gone)
