"""Sends one delivery by its kind: a card, a post, a page, what a status page is to say, an incident's own channel."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.domain import acts
from bot.domain.incident import BOT, HOME, ONE_PAGER, PAGER, Change, Incident, Milestone, Outgoing
from bot.domain.naming import channel_name
from bot.domain.policy import Policy
from bot.domain.telling import STATUS
from bot.errors import AlreadyDone, Conflict, Forbidden, MessageError, Unreachable
from bot.handlers.cards import Cards
from bot.handlers.filing import Filer, place
from bot.handlers.public import public_view
from bot.ports import Clock, Delivery, MessageRef, Messenger, Pager, Reply, StatusPage, Store

logger = logging.getLogger(__name__)

_EARLIER = timedelta(minutes=2)
# So long a process that runs with other settings than this one may still be there.
_SETTINGS_ROLL_OUT = timedelta(minutes=10)
# What is said or rung so that an open incident is looked after, and so that somebody takes command of it.
_WHILE_OPEN, _UNTIL_TAKEN = ("reminder", "overdue", "escalation", "trigger"), ("escalation", "trigger")


def _is_late(message: Outgoing, incident: Incident) -> bool:
    """Whether it asks for what was done while it could not be sent: nobody is woken for that."""
    over = message.template in _WHILE_OPEN and not incident.open
    return over or (message.template in _UNTIL_TAKEN and Milestone.ACKNOWLEDGED in incident.milestones)


def place_of(pager: Pager) -> str:
    """As a delivery is addressed that is for this pager alone."""
    return ONE_PAGER + pager.name


@dataclass(frozen=True, kw_only=True)
class Sender:
    """``pagers`` empty: nobody is paged, which the message about the escalation says.

    ``components``: what the status pages list; ``wake`` is called when there is more to send.
    """

    store: Store
    messenger: Messenger
    pagers: Sequence[Pager]
    pages: Mapping[str, StatusPage]
    components: Sequence[str]
    clock: Clock
    policy: Policy
    wake: Callable[[], None]
    filer: Filer | None = None
    """None: nothing that is configured makes files."""

    async def send(self, delivery: Delivery) -> MessageRef | None:
        """Once; where it stands now. Raises BotError."""
        message = delivery.message
        if message.kind == "proposal":
            return await self._proposal(delivery)
        incident = None if delivery.incident is None else await self.store.incident(delivery.incident)
        if message.kind == "evidence":
            return await self._evidence(delivery, incident)
        if message.kind == "file":
            return None if self.filer is None else await self.filer.send(delivery, incident)
        if incident is None or _is_late(message, incident):
            return None
        match message.kind:
            case "card":
                return await self._card(delivery, incident)
            case "run":
                return await self._run(delivery, incident)
            case "postmortem":
                return await self._postmortem(delivery, incident)
            case "post" | "notice":
                return await self._post(delivery, incident)
            case "status":
                return await self._status(delivery, incident)
            case "channel":
                await self._own_channel(incident)
            case "page":
                await self._page(delivery, incident)
        return None

    async def _card(self, delivery: Delivery, incident: Incident) -> MessageRef:
        channel = incident.channel if delivery.message.to == HOME else delivery.message.to
        shown = await self._keyed(delivery, await self._cards.incident(incident), channel)
        if delivery.ts != shown.ts:
            await self._pin(shown)
        return shown

    async def _run(self, delivery: Delivery, incident: Incident) -> MessageRef | None:
        """A mitigation's card: where it was posted it stays, though the incident moves to a channel of its own."""
        reply = await self._cards.run(incident, delivery.message.template)
        if reply is None:
            return None
        channel = incident.home
        if incident.own_channel and await self._found(delivery, incident.channel, None):
            channel = incident.channel  # it was sent there, and the answer lost, before the incident moved
        return await self._keyed(delivery, reply, channel)

    async def _proposal(self, delivery: Delivery) -> MessageRef | None:
        reply = await self._cards.proposal(delivery.message.template)
        return None if reply is None else await self._keyed(delivery, reply, delivery.message.to)

    async def _evidence(self, delivery: Delivery, incident: Incident | None) -> MessageRef | None:
        """A bundle's card, with the incident's other messages, or where it was asked for."""
        reply = await self._cards.evidence(incident, delivery.message.template)
        if reply is None:
            return None
        if incident is None:
            return await self._keyed(delivery, reply, delivery.message.to)
        channel, thread = await place(self.store, incident)
        return await self._keyed(delivery, reply, channel, thread)

    async def _postmortem(self, delivery: Delivery, incident: Incident) -> MessageRef | None:
        reply = await self._cards.postmortem(incident)
        return None if reply is None else await self._keyed(delivery, reply, incident.home)

    @property
    def _cards(self) -> Cards:
        return Cards(store=self.store, policy=self.policy, pages=self.pages)

    async def _keyed(self, delivery: Delivery, reply: Reply, channel: str, thread: str | None = None) -> MessageRef:
        """The one message of a card, in its place if it stands, else posted in ``channel``."""
        held = await self._found(delivery, channel, thread)
        if held is None and delivery.channel and delivery.ts:
            held = MessageRef(channel=delivery.channel, ts=delivery.ts)
        shown = None if held is None else await self._shown_anew(held, reply, delivery)
        return shown or await self.messenger.post(channel, reply, thread_ts=thread, delivery=delivery.id)

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
        message = delivery.message
        channel, thread = await self._place(message, incident)
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

    async def _place(self, message: Outgoing, incident: Incident) -> tuple[str, str | None]:
        """(channel, thread) of a post."""
        if message.kind == "notice":
            first = await self.store.first_notice(incident.id, message.to)
            return message.to, None if first is None else first.ts
        if message.to != HOME:
            return message.to, None
        return await place(self.store, incident)

    async def _status(self, delivery: Delivery, incident: Incident) -> MessageRef | None:
        name = delivery.message.to.removeprefix(STATUS)
        page, public = self.pages.get(name), await self.store.public(incident.id)
        if page is None:
            raise Forbidden(f"the status page {name} is not configured any more")
        if public is None:
            return None
        view = await public_view(self.store, self.components)
        return MessageRef(channel=name, ts=await page.publish(public, view, known=delivery.ts))

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
        await self.messenger.invite(channel, sorted({incident.declared_by, *incident.roles.values()} - {BOT}))
        now = self.clock.now()
        await self.store.save(incident, acts.moved_to(incident, channel, now), now=now)
        self.wake()

    async def _page(self, delivery: Delivery, incident: Incident) -> None:
        action, to = delivery.message.template, delivery.message.to
        if to == PAGER and len(self.pagers) > 1:
            await self._page_each(delivery, incident)
            return
        for pager in self.pagers:
            if to in (PAGER, place_of(pager)):
                await pager.page(action, incident)
                return
        if to != PAGER:
            if self.clock.now() - delivery.created_at < _SETTINGS_ROLL_OUT:
                raise Unreachable(f"this process knows no {to}; another may")
            raise Forbidden(f"{to} is not configured any more")
        logger.warning("nobody is paged for %s: no pager is configured", incident.name)

    async def _page_each(self, delivery: Delivery, incident: Incident | None) -> None:
        """Of several each has a delivery of its own: while one cannot be reached, no other rings again, or waits."""
        each = tuple(replace(delivery.message, to=place_of(pager)) for pager in self.pagers)
        while incident is not None:
            try:
                told = Change(incident=incident, messages=each)
                await self.store.save(incident, told, now=self.clock.now(), request=f"pagers:{delivery.id}")
            except AlreadyDone:
                break
            except Conflict:
                # somebody else has changed it meanwhile, and nobody is to sleep on for that
                incident = await self.store.incident(incident.id)
            else:
                break
        self.wake()
