"""Incidents in Slack: commands, buttons and reactions that act at once. Forms are in ``forms``."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bot.domain import acts, clocks
from bot.domain.causes import Severity
from bot.domain.incident import Incident, Milestone, Refusal, Role
from bot.domain.policy import SNOOZES, Act
from bot.errors import MessageError
from bot.handlers.incident import IncidentHandler
from bot.ports import Reply
from bot.slack import parse
from bot.slack.messenger import SlackMessenger
from bot.slack.place import Place

_SHOWN_ENTRIES = 40
_SHOWN_INCIDENTS = 30
_KNOWN_PEOPLE = 1000
# Whoever stops being a guest may act after so long.
_KNOWN_S = 300.0
# Slack's ids of users that are restricted to some channels.
_GUEST = ("is_restricted", "is_ultra_restricted", "is_stranger")


@dataclass(frozen=True, kw_only=True)
class SlackIncidents:
    """Acts on incidents for people in Slack; raises BotError, whose sentence goes to whoever asked."""

    handler: IncidentHandler
    messenger: SlackMessenger
    monotonic: Callable[[], float] = time.monotonic
    _guests: dict[str, tuple[bool, float]] = field(default_factory=dict)
    """By user: whether they are a guest, and when that was asked."""

    async def command(self, place: Place, asked: parse.OnIncident, request: str) -> None:
        """What needs no form."""
        does: dict[str, Callable[[Place, parse.OnIncident, str], Awaitable[None]]] = {
            "severity": self._severity,
            "role": self._role,
            "note": self._note,
            "milestone": self._milestone,
            "timeline": self._timeline,
            "list": self._list,
            "reopen": self._reopen,
            "catch-up": self._catch_up,
        }
        await does[asked.verb](place, asked, request)

    async def allowed(self, act: Act, user: str) -> None:
        """Raises Refusal where policy does not let ``user``."""
        policy = self.handler.policy
        guest = policy.may.get(act) is None and await self._is_guest(user)
        if not policy.allows(act, user, guest=guest):
            who = "everybody but guests" if policy.may.get(act) is None else "those whom the policy names"
            raise Refusal(f"To {act} is for {who}; ask somebody who may.")

    async def may_read(self, user: str) -> None:
        """Raises Refusal where ``user`` is a guest whom policy does not name: this may be of channels not theirs."""
        if not self.handler.policy.shows(user, guest=await self._is_guest(user)):
            raise Refusal("To read this is for everybody but guests; ask somebody who may.")

    async def may(self, act: Act, user: str) -> bool:
        """Whether :meth:`allowed` lets ``user``."""
        try:
            await self.allowed(act, user)
        except Refusal:
            return False
        return True

    async def _is_guest(self, user: str) -> bool:
        known = self._guests.get(user)
        if known is not None and self.monotonic() - known[1] < _KNOWN_S:
            return known[0]
        if len(self._guests) >= _KNOWN_PEOPLE:
            self._guests.clear()
        try:
            person = await self.messenger.person(user)
        except MessageError:
            # whoever was never looked up is let through: an incident does not wait for that
            return known is not None and known[0]
        guest = any(person.get(name) for name in _GUEST)
        self._guests[user] = (guest, self.monotonic())
        return guest

    async def take_command(self, place: Place, number: int, request: str) -> None:
        await self.allowed(Act.UPDATE, place.user)
        after = await self.handler.act(number, lambda one, now: acts.take_command(one, place.user, now), request)
        await self.messenger.tell(place, f"You have command of {after.name}.")

    async def claim(self, place: Place, number: int, role: str, request: str) -> None:
        """By a button beneath who has which role, which then shows how it is."""
        after = await self._give(place, number, Role(role), place.user, request)
        await self._show_roles(place, after, instead=True)

    async def snooze(
        self, place: Place, number: int, minutes: int, request: str, reminded: datetime | None = None
    ) -> None:
        """By a button of a reminder; ``reminded``: when the update was due that it was about."""
        await self.allowed(Act.UPDATE, place.user)
        by = timedelta(minutes=minutes)
        if by not in SNOOZES:
            raise Refusal("An update can be put off by 10, 20 or 30 minutes.")
        after = await self.handler.act(
            number,
            lambda one, now: clocks.snooze(one, by, place.user, now, self.handler.policy, reminded=reminded),
            request,
        )
        await self.messenger.tell(place, f"{after.name}: the update is put off by {minutes} minutes.")

    async def reopen(self, place: Place, number: int, request: str) -> None:
        await self.allowed(Act.RESOLVE, place.user)
        after = await self.handler.act(
            number, lambda one, now: acts.reopen(one, place.user, now, self.handler.policy), request
        )
        await self.messenger.tell(place, f"{after.name} is open again; its card is in <#{after.home}>.")

    async def keep_message(self, place: Place, message: dict[str, Any], *, quietly: bool) -> None:
        """Puts a message into the timeline of the channel's incident, with the message's own time.

        ``quietly``: where the channel has no incident nobody meant the timeline, and nothing is said.
        """
        found = await self.handler.store.in_channel(place.channel)
        if quietly and not found:
            return
        if len(found) != 1:
            raise Refusal("This channel has no open incident, or several: use `/mistral note INC-3 what happened`.")
        await self.allowed(Act.UPDATE, place.user)
        said = parse.unescape(str(message.get("text") or "")) or "a message without text"
        author = str(message.get("user") or message.get("bot_id") or "somebody")
        at = datetime.fromtimestamp(float(message["ts"]), UTC)
        text = f"<@{author}>: {said}" if author.startswith(("U", "W")) else said
        await self.handler.act(
            found[0].id,
            lambda one, now: acts.note(one, text, place.user, now, at=min(at, now)),
            f"kept:{place.channel}:{message['ts']}",
        )
        await self.messenger.tell(place, f"It is in the timeline of {found[0].name}.")

    async def _severity(self, place: Place, asked: parse.OnIncident, request: str) -> None:
        await self.allowed(Act.UPDATE, place.user)
        word = asked.text.strip().upper()
        if word not in list(Severity):
            raise Refusal("Say which: `/mistral severity P1`, P2, P3 or P4.")
        severity = Severity(word)
        before = await self._meant(place, asked)
        after = await self.handler.act(
            before.id, lambda one, now: acts.set_severity(one, severity, place.user, now, self.handler.policy), request
        )
        await self.messenger.tell(place, f"{after.name} is {after.severity} now.")

    async def _role(self, place: Place, asked: parse.OnIncident, request: str) -> None:
        await self.may_read(place.user)
        if not asked.text:
            await self._show_roles(place, await self._meant(place, asked))
            return
        named = parse.people(asked.text)
        word, _, more = named.rest.partition(" ")
        word = word.lower()
        if word not in list(Role):
            raise Refusal(f"Say which: `/mistral role` {', '.join(Role)}, and a mention of whoever has it, if not you.")
        user = _one_of(named, word, more) or place.user
        before = await self._meant(place, asked)
        after = await self._give(place, before.id, Role(word), user, request)
        await self.messenger.tell(place, f"<@{after.roles.get(Role(word), user)}> is {word} of {after.name}.")

    async def _give(self, place: Place, number: int, role: Role, user: str, request: str) -> Incident:
        await self.allowed(Act.UPDATE, place.user)
        return await self.handler.act(
            number, lambda one, now: acts.give_role(one, role, user, place.user, now), request
        )

    async def _show_roles(self, place: Place, incident: Incident, *, instead: bool = False) -> None:
        """Who has which role, with buttons to claim the others; ``instead``: of the message that was clicked on."""
        mine = [role for role, user in incident.roles.items() if user == place.user]
        reply = Reply(template="incident_roles", context={"incident": incident, "roles": list(Role), "mine": mine})
        if instead and place.response_url is not None:
            await self.messenger.respond(place.response_url, reply, replace=True)
        else:
            await self.messenger.answer(place, reply)

    async def _note(self, place: Place, asked: parse.OnIncident, request: str) -> None:
        await self.allowed(Act.UPDATE, place.user)
        before = await self._meant(place, asked)
        after = await self.handler.act(before.id, lambda one, now: acts.note(one, asked.text, place.user, now), request)
        await self.messenger.tell(place, f"It is in the timeline of {after.name}.")

    async def _milestone(self, place: Place, asked: parse.OnIncident, request: str) -> None:
        await self.allowed(Act.UPDATE, place.user)
        name = next((one for one in Milestone if asked.text.lower().startswith(one)), None)
        if name is None:
            raise Refusal(
                f"Say which and when: `/mistral milestone mitigated 14:05`. There are: {', '.join(Milestone)}."
            )
        zone = ZoneInfo(self.handler.policy.calendar.timezone)
        at = _moment(asked.text[len(name) :].strip(), self.handler.clock.now().astimezone(zone))
        before = await self._meant(place, asked)
        after = await self.handler.act(
            before.id, lambda one, now: acts.set_milestone(one, name, at, place.user, now), request
        )
        await self.messenger.tell(place, f"{after.name}: {name} at {at.astimezone(zone):%Y-%m-%d %H:%M %Z}.")

    async def _timeline(self, place: Place, asked: parse.OnIncident, _: str) -> None:
        await self.may_read(place.user)
        incident = await self._meant(place, asked)
        entries = (await self.handler.store.timeline(incident.id))[-_SHOWN_ENTRIES:]
        await self.messenger.answer(
            place, Reply(template="timeline", context={"incident": incident, "entries": entries})
        )

    async def _list(self, place: Place, _asked: parse.OnIncident, _: str) -> None:
        await self.may_read(place.user)
        found = await self.handler.store.listed(open_only=True, limit=_SHOWN_INCIDENTS + 1)
        context = {"incidents": found, "most": _SHOWN_INCIDENTS}
        await self.messenger.answer(place, Reply(template="incident_list", context=context))

    async def _reopen(self, place: Place, asked: parse.OnIncident, request: str) -> None:
        if asked.number is None:
            raise Refusal("Say which: `/mistral reopen INC-3`.")
        await self.reopen(place, asked.number, request)

    async def _catch_up(self, place: Place, asked: parse.OnIncident, _: str) -> None:
        await self.may_read(place.user)
        incident = await self._meant(place, asked)
        entries = (await self.handler.store.timeline(incident.id))[-10:]
        context = {
            "incident": incident,
            "entries": entries,
            "open_for": (incident.resolved_at or self.handler.clock.now()) - incident.declared_at,
            "open_points": _open_points(incident),
        }
        await self.messenger.answer(place, Reply(template="catch_up", context=context))

    async def _meant(self, place: Place, asked: parse.OnIncident) -> Incident:
        return await self.handler.meant(asked.number, place.channel)


def _one_of(named: parse.People, role: str, more: str) -> str | None:
    """Who is to have the role; None: nobody is named. Raises Refusal rather than to take somebody else."""
    if more:
        raise Refusal(
            f"I do not know “{parse.short(more)}”: pick them from Slack's list, as in `/mistral role {role} @ada`."
        )
    if named.group or len(named.users) > 1:
        raise Refusal(f"A role is one person's: mention one, as in `/mistral role {role} @ada`.")
    return named.users[0] if named.users else None


def _open_points(incident: Incident) -> list[str]:
    missing = {
        "nobody has taken command": incident.commander is None,
        "the root cause is not identified": Milestone.IDENTIFIED not in incident.milestones,
        "it is not mitigated": Milestone.MITIGATED not in incident.milestones,
        "nobody writes the postmortem yet": Role.POSTMORTEM not in incident.roles,
    }
    return [point for point, holds in missing.items() if holds]


def _moment(text: str, now: datetime) -> datetime:
    """``14:05`` of today or, if that is still to come, of yesterday; or a date and a time, in ``now``'s zone."""
    for form in ("%H:%M", "%H:%M:%S"):
        try:
            at = datetime.strptime(text, form).time()  # noqa: DTZ007 - the zone is that of now
        except ValueError:
            continue
        held = datetime.combine(now.date(), at, now.tzinfo)
        return held if held <= now else held - timedelta(days=1)
    try:
        held = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal("Say when: `14:05`, or `2026-03-02 14:05`.") from None
    return held if held.tzinfo else held.replace(tzinfo=now.tzinfo)
