"""Sends what the store says must reach somebody: once where that can be looked up, in order, and never lost."""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from bot.domain import acts
from bot.domain.approvals import HOW_TO_CONFIGURE, rule_for, second_person
from bot.domain.incident import HOME, Incident, Outgoing, Priority
from bot.domain.ledger import revertible
from bot.domain.naming import channel_name
from bot.domain.policy import Policy
from bot.errors import AlreadyDone, BotError, Conflict, Forbidden, MessageError, StoreError, UpstreamError
from bot.ports import Clock, Delivery, MessageRef, Messenger, Pager, Reply, Store

logger = logging.getLogger(__name__)

_BATCH = 10
# Longer than one attempt takes at worst, all of them in one channel at Slack's pace and two time-outs; and as short as
# can be, since whatever a process held when it died waits so long.
_LEASE_S = 45.0
_FIRST_RETRY_S, _LONGEST_RETRY_S = 2.0, 300.0
_EARLIER = timedelta(minutes=2)
# Slack's words for a channel that takes nothing: is_inactive is what chat.update says of an archived one.
_UNREACHABLE_PLACES = frozenset(
    {"not_in_channel", "channel_not_found", "is_archived", "is_inactive", "restricted_action"}
)
# Whoever writes down that a channel cannot be posted to may meet others who change the incident.
_ATTEMPTS = 8


@dataclass(frozen=True, kw_only=True)
class DeliveryHandler:
    """``pagers`` empty: nobody is paged, which the message about the escalation says."""

    store: Store
    messenger: Messenger
    pagers: Sequence[Pager]
    clock: Clock
    policy: Policy
    _wanted: dict[bool, asyncio.Event] = field(
        default_factory=lambda: {pages: asyncio.Event() for pages in (True, False)}
    )

    _ending: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        for wanted in self._wanted.values():
            wanted.set()

    def end(self) -> None:
        """Lets :meth:`work` return when what is being sent has been sent."""
        self._ending.set()
        self.wake()

    async def work(self) -> None:
        """Sends until :meth:`end`; looks when it is woken. Whoever starts it wakes it at least every few seconds.

        Pages go beside the rest: a Slack that hangs must not hold them up.
        """
        # a group waits for all of it where it is cancelled: nothing must still write when the store is closed
        async with asyncio.TaskGroup() as lanes:
            for pages, wanted in self._wanted.items():
                lanes.create_task(self._work(wanted, pages=pages))

    async def _work(self, wanted: asyncio.Event, *, pages: bool) -> None:
        while not self._ending.is_set():
            await wanted.wait()
            wanted.clear()
            try:
                while not self._ending.is_set() and await self.send_some(pages=pages):
                    pass
            except StoreError:
                pass  # the store has told the log; the next wake-up tries again
            except Exception:
                logger.exception("sending failed; it goes on with the next wake-up")

    async def send_some(self, *, pages: bool | None = None) -> int:
        """Sends what is due, at most a batch, pages alone or all but them; how many there were."""
        claimed = await self.store.claim(self.clock.now(), limit=_BATCH, lease_s=_LEASE_S, pages=pages)
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
            case "run":
                return await self._run(delivery, incident)
            case "post":
                return await self._post(delivery, incident)
            case "channel":
                await self._own_channel(incident)
            case "page":
                await self._page(message, incident)
        return None

    async def _card(self, delivery: Delivery, incident: Incident) -> MessageRef:
        in_place = [run for run in await self.store.runs(incident.id) if run.in_place]
        reply = Reply(template="incident_card", context={"incident": incident, "in_place": in_place})
        channel = incident.channel if delivery.message.to == HOME else delivery.message.to
        shown = await self._keyed(delivery, reply, channel)
        if delivery.ts != shown.ts:
            await self._pin(shown)
        return shown

    async def _run(self, delivery: Delivery, incident: Incident) -> MessageRef | None:
        """A mitigation's card: where it was posted it stays, though the incident moves to a channel of its own."""
        run = await self.store.run(delivery.message.template)
        if run is None:
            return None
        judged = replace(run, severity=incident.severity)  # as an approval is
        rule = rule_for(judged, self.policy.mitigations)
        context = {
            "incident": incident,
            "run": run,
            "rule": rule,
            "second_person": rule is not None and second_person(judged, rule),
            "how_to_configure": HOW_TO_CONFIGURE,
            "revertible": revertible(run),
        }
        channel = incident.home
        if incident.own_channel and await self._found(delivery, incident.channel, None):
            channel = incident.channel  # it was sent there, and the answer lost, before the incident moved
        return await self._keyed(delivery, Reply(template="mitigation_card", context=context), channel)

    async def _keyed(self, delivery: Delivery, reply: Reply, channel: str) -> MessageRef:
        """The one message of a card, in its place if it stands, else posted in ``channel``."""
        held = await self._found(delivery, channel, None)
        if held is None and delivery.channel and delivery.ts:
            held = MessageRef(channel=delivery.channel, ts=delivery.ts)
        shown = None if held is None else await self._shown_anew(held, reply, delivery)
        return shown or await self.messenger.post(channel, reply, delivery=delivery.id)

    async def _shown_anew(self, card: MessageRef, reply: Reply, delivery: Delivery) -> MessageRef | None:
        """The card as it is now; None: somebody has deleted it, and there is no other yet."""
        try:
            await self.messenger.update(card, reply)
        except MessageError as error:
            if error.code != "message_not_found":
                raise
        else:
            return card
        other = await self._looked_up(delivery, card.channel, None)
        if other is None or other == card:
            return None
        await self.messenger.update(other, reply)
        return other

    async def _pin(self, card: MessageRef) -> None:
        """Raises MessageError where it may work later."""
        try:
            await self.messenger.pin(card)
        except MessageError as error:
            if error.passing:
                raise
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
        known = {"incident": incident, "pagers": bool(self.pagers)}
        reply = Reply(template=message.template, context={**message.context, **known})
        if found is not None:
            await self.messenger.complete(
                found, reply, thread_ts=thread, delivery=delivery.id, since=delivery.created_at - _EARLIER
            )
            return found
        return await self.messenger.post(
            channel, reply, thread_ts=thread, aloud=message.aloud and thread is not None, delivery=delivery.id
        )

    async def _found(self, delivery: Delivery, channel: str, thread: str | None) -> MessageRef | None:
        """The message, where an earlier attempt may have sent it without our knowing."""
        return None if delivery.ts is not None else await self._looked_up(delivery, channel, thread)

    async def _looked_up(self, delivery: Delivery, channel: str, thread: str | None) -> MessageRef | None:
        if not delivery.unsure:
            return None
        since = delivery.created_at - _EARLIER
        return await self.messenger.find(channel, delivery.id, since=since, thread_ts=thread)

    async def _own_channel(self, incident: Incident) -> None:
        if incident.own_channel is not None:
            return
        channel = await self.messenger.make_channel(channel_name(incident, self.policy))
        # before it is stored: whoever takes over from a process that died here looks no further than what is stored
        await self.messenger.invite(channel, sorted({incident.declared_by, *incident.roles.values()}))
        now = self.clock.now()
        await self.store.save(incident, acts.moved_to(incident, channel, now), now=now)
        self.wake()

    async def _page(self, message: Outgoing, incident: Incident) -> None:
        if not self.pagers:
            logger.warning("nobody is paged for %s: no pager is configured", incident.name)
        failed: list[UpstreamError] = []
        for pager in self.pagers:
            try:
                await pager.page(message.template, incident)
            except UpstreamError as error:
                failed.append(error)  # the others ring all the same
        if failed:
            raise min(failed, key=lambda error: isinstance(error, Forbidden))

    async def _failed(self, delivery: Delivery, error: MessageError) -> None:
        if error.retry_after_s is not None:
            at = self.clock.now() + timedelta(seconds=error.retry_after_s)
            # what was refused may be the pin or the rest of a long text, after the message itself was posted
            await self.store.later(delivery, at, str(error), unsure=True)
        elif error.passing:
            await self._again(delivery, str(error), unsure=True)
        elif _to_a_person(delivery.message) and await self._said_at_home(delivery, error):
            await self.store.sent(delivery, None)
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
        if error.code not in _UNREACHABLE_PLACES or delivery.message.kind not in ("card", "run", "post"):
            return
        if delivery.message.template == "undelivered":
            return
        incident = await self.store.incident(delivery.incident)
        if incident is None:
            return
        context = {"channel": incident.home, "why": error.code}
        person = incident.commander or incident.declared_by
        told = Outgoing(kind="post", to=person, template="undelivered", context=context, priority=Priority.REST)
        # one sentence an hour, however much cannot be posted
        request = f"undelivered:{incident.id}:{incident.home}:{self.clock.now():%Y-%m-%dT%H}"
        if not await self._tell(incident.id, told, request):
            logger.warning("nobody was told that %s cannot be posted to", incident.home)

    async def _said_at_home(self, delivery: Delivery, error: MessageError) -> bool:
        """Says what a person cannot be told (a bot, a deactivated account) in the incident's channel instead."""
        message = delivery.message
        if message.template == "undelivered":
            return False  # it is the channel that cannot be posted to
        logger.warning("%s cannot be told, the incident's channel is: %s", message.to, error)
        there = replace(message, to=HOME, context={**message.context, "instead_of": message.to})
        return await self._tell(delivery.incident, there, f"instead:{delivery.id}")

    async def _tell(self, number: int, message: Outgoing, request: str) -> bool:
        """Whether ``message`` waits to be sent; the same ``request`` makes one."""
        try:
            for _ in range(_ATTEMPTS):
                incident = await self.store.incident(number)
                if incident is None:
                    return False
                try:
                    change = acts.tell(incident, message)
                    await self.store.save(incident, change, now=self.clock.now(), request=request)
                except Conflict:
                    continue
                self.wake()
                return True
        except AlreadyDone:
            return True
        except StoreError as gone:
            logger.warning("%s: %s", request, gone)
        return False


def _to_a_person(message: Outgoing) -> bool:
    return message.kind == "post" and message.to.startswith(("U", "W"))
