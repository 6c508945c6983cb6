"""Sends what the store says must reach somebody: once where that can be looked up, in order, and never lost."""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from bot.correlation import note
from bot.domain import acts
from bot.domain.incident import BOT, CARD, FILES, FOLDER, HOME, PAGER, Outgoing, Priority
from bot.domain.policy import Policy
from bot.domain.telling import STATUS
from bot.errors import AlreadyDone, BotError, Conflict, Forbidden, MessageError, StoreError, UpstreamError
from bot.handlers.filing import Filer
from bot.handlers.sending import Sender, place_of
from bot.ports import Clock, Delivery, Lane, Messenger, Pager, StatusPage, Store

logger = logging.getLogger(__name__)

_BATCH = 10
# Longer than one attempt takes at worst, all of them in one channel at Slack's pace and two time-outs; and as short as
# can be, since whatever a process held when it died waits so long.
_LEASE_S = 45.0
# An upload of a large bundle over a slow line, and then some.
_FILES_LEASE_S = 660.0
# Between the last moment to send and the first at which another process may.
_LEASE_MARGIN_S = 3.0
# What goes to people is there soon after Slack is; a file, or a public page, need not be.
_FIRST_RETRY_S, _LONGEST_RETRY_S, _LONGEST_RETRY_APART_S = 2.0, 30.0, 300.0
# Slack's words for a channel that takes nothing: is_inactive is what chat.update says of an archived one.
_UNREACHABLE_PLACES = frozenset(
    {"not_in_channel", "channel_not_found", "is_archived", "is_inactive", "restricted_action"}
)
# Whoever writes down that a channel cannot be posted to may meet others who change the incident.
_ATTEMPTS = 8


@dataclass(frozen=True, kw_only=True)
class DeliveryHandler:
    """``pagers`` empty: nobody is paged, which the message about the escalation says.

    ``pages`` are the status pages, and ``components`` what they list.
    """

    store: Store
    messenger: Messenger
    pagers: Sequence[Pager]
    clock: Clock
    policy: Policy
    pages: Sequence[StatusPage] = ()
    components: Sequence[str] = ()
    filer: Filer | None = None
    _wanted: dict[Lane, asyncio.Event] = field(default_factory=dict)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        bells, pages = (place_of(pager) for pager in self.pagers), (STATUS + page.name for page in self.pages)
        apart = (PAGER, *bells, FILES, FOLDER, *pages)
        for lane in (Lane(others=frozenset(apart)), *(Lane(destination=one) for one in apart)):
            self._wanted[lane] = asyncio.Event()

    @property
    def _sender(self) -> Sender:
        return Sender(
            store=self.store,
            messenger=self.messenger,
            pagers=self.pagers,
            pages={page.name: page for page in self.pages},
            components=self.components,
            clock=self.clock,
            policy=self.policy,
            wake=self.wake,
            filer=self.filer,
        )

    def wake(self) -> None:
        self._woken.set()

    def end(self) -> None:
        """Lets :meth:`work` return when what is being sent has been sent."""
        self._ending.set()
        self.wake()
        for wanted in self._wanted.values():
            wanted.set()

    async def work(self) -> None:
        """Sends until :meth:`end`; looks when it is woken. Whoever starts it wakes it at least every few seconds.

        Pages, files and each status page go beside the rest: what hangs holds up nothing else.
        """
        # a group waits for all of it where it is cancelled: nothing must still write when the store is closed
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._look())
            for lane, wanted in self._wanted.items():
                lanes.create_task(self._work(lane, wanted))

    async def _look(self) -> None:
        """Wakes the lanes that have something to send.

        They are woken with every change. That each looked for itself held up what else the change was made for: the
        database has few connections.
        """
        apart = {lane.destination: wanted for lane, wanted in self._wanted.items() if lane.destination is not None}
        rest = next(wanted for lane, wanted in self._wanted.items() if lane.destination is None)
        while not self._ending.is_set():
            await self._woken.wait()
            self._woken.clear()
            rest.set()
            try:
                due = await self.store.due_among(self.clock.now(), apart.keys())
            except StoreError:
                continue  # the store has told the log; the next wake-up tries again
            except Exception:
                logger.exception("nobody looked what is to be sent; the next wake-up does")
                continue
            for destination in due:
                apart[destination].set()

    async def _work(self, lane: Lane, wanted: asyncio.Event) -> None:
        while not self._ending.is_set():
            await wanted.wait()
            wanted.clear()
            try:
                while not self._ending.is_set() and await self.send_some(lane):
                    pass
            except StoreError:
                pass  # the store has told the log; the next wake-up tries again
            except Exception:
                logger.exception("sending failed; it goes on with the next wake-up")

    async def send_some(self, lane: Lane | None = None) -> int:
        """Sends what is due in ``lane`` (None: in all), at most a batch; how many there were."""
        lease_s = _FILES_LEASE_S if lane is not None and lane.destination == FILES else _LEASE_S
        # from before the claim: the database may answer late, and the lease counts from when it was written
        until = asyncio.get_running_loop().time() + lease_s - _LEASE_MARGIN_S
        claimed = await self.store.claim(self.clock.now(), limit=_BATCH, lease_s=lease_s, lane=lane)
        ended = await asyncio.gather(*(self._deliver(delivery, until) for delivery in claimed), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error
        return len(claimed)

    async def _deliver(self, delivery: Delivery, until: float) -> None:
        """One attempt, until then by the event loop's clock; how it ended is written down."""
        note(incident=delivery.incident, delivery=delivery.id)
        try:
            # a process that stood still for longer than its lease must not send what another has sent meanwhile
            async with asyncio.timeout_at(until):
                version = await self._public_version(delivery)
                ref = await self._sender.send(delivery)
        except TimeoutError:
            await self._again(delivery, "it was not sent in the time that was left", unsure=True)
        except MessageError as error:
            await self._failed(delivery, error)
        except Forbidden as error:
            logger.error("delivery %s is given up: %s", delivery.id, error)
            await self._given_up(delivery, error)
        except (UpstreamError, Conflict) as error:
            await self._again(delivery, str(error), unsure=True)
            if delivery.error is None:
                await self._show_page(delivery)
        except StoreError:
            raise
        except BotError as error:
            logger.error("delivery %s cannot be sent: %s", delivery.id, error)
            await self._given_up(delivery, error)
        except Exception as error:
            logger.exception("delivery %s failed", delivery.id)
            await self._again(delivery, type(error).__name__, unsure=True)
        else:
            if await self._public_version(delivery) != version:
                # another process may have told the page of it before this one told what it had read earlier
                await self._tell(delivery.incident, delivery.message)
            await self.store.sent(delivery, ref)
            if delivery.ts is None or delivery.error is not None:
                await self._show_page(delivery)

    async def _public_version(self, delivery: Delivery) -> tuple[int, int] | None:
        return await self.store.public_version() if delivery.message.kind == "status" else None

    async def _show_page(self, delivery: Delivery) -> None:
        """The card says how far a status page is."""
        if delivery.message.kind == "status":
            await self._tell(delivery.incident, CARD)

    async def _given_up(self, delivery: Delivery, error: BotError) -> None:
        """The incident's people are told that the public was not, and why."""
        if delivery.message.kind == "status":
            context = {"page": delivery.message.to.removeprefix(STATUS), "why": str(error)}
            told = Outgoing(kind="post", to=HOME, template="unpublished", context=context)
            # before: what is given up is not looked at again, and this process may die in between
            await self._tell(delivery.incident, told, f"unpublished:{delivery.id}:{delivery.wanted}")
        await self.store.dead(delivery, str(error))
        await self._show_page(delivery)

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
            await self._tell_instead(delivery, error)
            await self.store.dead(delivery, str(error))

    async def _again(self, delivery: Delivery, why: str, *, unsure: bool) -> None:
        to = delivery.message.to
        longest_s = _LONGEST_RETRY_APART_S if to in (FILES, FOLDER) or to.startswith(STATUS) else _LONGEST_RETRY_S
        pause_s = min(longest_s, _FIRST_RETRY_S * 2 ** min(delivery.attempts - 1, 10))
        # not all at once when what was down comes back
        pause_s *= random.uniform(0.5, 1.0)  # noqa: S311 - nothing to be guessed
        logger.warning("delivery %s is tried again in %.0f s: %s", delivery.id, pause_s, why)
        await self.store.later(delivery, self.clock.now() + timedelta(seconds=pause_s), why, unsure=unsure)

    async def _tell_instead(self, delivery: Delivery, error: MessageError) -> None:
        """Tells a person that the incident's channel cannot be posted to; who cannot be told is in the log."""
        if error.code not in _UNREACHABLE_PLACES or delivery.message.kind not in ("card", "run", "post", "notice"):
            return
        if delivery.message.template == "undelivered" or delivery.incident is None:
            return
        incident = await self.store.incident(delivery.incident)
        if incident is None:
            return
        context = {"channel": incident.home, "why": error.code}
        person = incident.commander or incident.declared_by
        if person == BOT:
            logger.warning("nobody was told that %s cannot be posted to", incident.home)
            return
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

    async def _tell(self, number: int | None, message: Outgoing, request: str | None = None) -> bool:
        """Whether ``message`` waits to be sent; the same ``request`` makes one."""
        if number is None:
            return False
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
            logger.warning("%s: %s", request or message.kind, gone)
        return False


def _to_a_person(message: Outgoing) -> bool:
    return message.kind == "post" and message.to.startswith(("U", "W"))
