"""The forms: declare, update, resolve. What is submitted is stored before Slack is told to close the form.

So that nothing that somebody typed is lost, whatever the database does: the form stays open and says why. Submitting
twice is safe, since the form's own id is the request's key.
"""

import json
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from slack_bolt.async_app import AsyncAck

from bot.domain import acts
from bot.domain.acts import Declaration, Update
from bot.domain.causes import Family, Severity
from bot.domain.incident import Change, Incident, Refusal, Role, Status
from bot.domain.ledger import must_be_settled, unsettled
from bot.domain.policy import Act
from bot.domain.runs import Run
from bot.domain.timeline import Event
from bot.errors import BotError
from bot.handlers.incident import IncidentHandler
from bot.handlers.triage import TriageHandler
from bot.ports import Reply
from bot.settings import DEFAULT_TARGET
from bot.slack.form_parts import SEVERITIES, kept_report, stored, values
from bot.slack.incidents import SlackIncidents
from bot.slack.messenger import SlackMessenger
from bot.slack.place import Place

logger = logging.getLogger(__name__)

_STATUSES = [(status.value, status.value.capitalize()) for status in Status if status is not Status.RESOLVED]
_NEXTS = [
    ("policy", "as promised for the severity"),
    ("15", "in 15 min"),
    ("30", "in 30 min"),
    ("60", "in an hour"),
    ("240", "in 4 hours"),
]
_STILL_LOOKING = "the triage that looks whether it is over has not ended yet"


@dataclass(frozen=True, kw_only=True)
class Forms:
    """``channel``: where incidents are announced; None: where they are declared."""

    handler: IncidentHandler
    incidents: SlackIncidents
    messenger: SlackMessenger
    triage: TriageHandler
    channel: str | None
    components: tuple[str, ...]

    async def declare(self, place: Place, triage: str | None) -> None:
        """Opens the form, filled in from the triage with that id."""
        await self.incidents.allowed(Act.DECLARE, place.user)
        report = await kept_report(self.handler.store, triage)
        impact = ""
        if report.get("severity") in ("P1", "P2", "P3"):
            impact = str(report.get("headline", ""))
        context = {
            "metadata": {
                "channel": place.channel,
                "target": report.get("target", DEFAULT_TARGET),
                "cause": report.get("cause"),
            },
            "title": str(report.get("headline", "")),
            "severity": report.get("severity"),
            "severities": SEVERITIES,
            "impact": impact,
            "action": "; ".join(str(step) for step in report.get("advice", ())[:1]),
            "commander": place.user,
            "components": list(self.components),
        }
        await self._open(place, Reply(template="incident_modal", context=context))

    async def update(self, place: Place, number: int | None) -> None:
        await self.incidents.allowed(Act.UPDATE, place.user)
        incident = await self.handler.meant(number, place.channel)
        if not incident.open:
            raise Refusal(f"{incident.name} is resolved; `/mistral reopen {incident.id}` opens it again.")
        context = {
            "metadata": {"number": incident.id, "channel": place.channel},
            "incident": incident,
            "statuses": _STATUSES,
            "nexts": _NEXTS,
        }
        await self._open(place, Reply(template="update_modal", context=context))

    async def resolve(self, place: Place, number: int | None) -> None:
        """Opens the form at once, and puts into it what a triage of now says."""
        await self.incidents.allowed(Act.RESOLVE, place.user)
        incident = await self.handler.meant(number, place.channel)
        if not incident.open:
            raise Refusal(f"{incident.name} is resolved already.")
        held = unsettled(await self.handler.store.runs(incident.id))
        view = await self._open(place, _resolve_form(incident, place, [*_standing(incident), _STILL_LOOKING], held))
        found = await self._looked(incident.target)
        await self.messenger.update_view(view, _resolve_form(incident, place, [*_standing(incident), *found], held))

    async def _looked(self, target: str) -> list[str]:
        """What a triage of now says against resolving."""
        try:
            report = await self.triage.run(target)
        except Exception:
            # whatever it was, the form must not go on saying that somebody still looks
            logger.exception("the triage before resolving failed")
            return ["the triage that should look whether it is over failed"]
        if report.diagnosis.family is Family.HEALTHY:
            return []
        return [f"a triage of just now says: {report.diagnosis.headline}"]

    async def submitted(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        """A form was sent: does what it says, and only then lets Slack close it."""
        told, user = values(view), str(body["user"]["id"])
        metadata = json.loads(view.get("private_metadata") or "{}")
        request = f"view:{view['id']}"
        place = Place(channel=str(metadata.get("channel") or user), user=user)
        work: Awaitable[str]
        match view["callback_id"]:
            case "declare":
                work, block = self._declared(told, metadata, place, request), "title"
            case "update":
                work, block = self._updated(told, metadata, place, request), "status"
            case _:
                work, block = self._resolved(told, metadata, place, request), "reason"
        if sentence := await stored(ack, work, block):
            await self._whisper(place, sentence)

    async def _declared(self, told: Mapping[str, Any], metadata: dict[str, Any], place: Place, request: str) -> str:
        await self.incidents.allowed(Act.DECLARE, place.user)
        declaration = Declaration(
            target=str(metadata.get("target") or DEFAULT_TARGET),
            title=str(told.get("title") or ""),
            severity=Severity(told["severity"]),
            impact=str(told.get("impact") or ""),
            action=str(told.get("action") or ""),
            commander=told.get("commander"),
            components=tuple(told.get("components") or ()),
            cause=metadata.get("cause"),
            channel=self.channel or place.channel,
        )
        made = await self.handler.declare(declaration, place.user, request)
        return f"{made.name} is declared; its card is in <#{made.home}>."

    async def _updated(self, told: Mapping[str, Any], metadata: dict[str, Any], place: Place, request: str) -> str:
        await self.incidents.allowed(Act.UPDATE, place.user)
        chosen = str(told.get("next") or "policy")
        update = Update(
            status=Status(told["status"]),
            impact=str(told.get("impact") or ""),
            action=str(told.get("action") or ""),
            next_in=timedelta(minutes=int(chosen)) if chosen.isdecimal() else None,
        )
        after = await self.handler.act(
            int(metadata["number"]),
            lambda one, now: acts.update(one, update, place.user, now, self.handler.policy),
            request,
        )
        return _elsewhere(place, after, f"The update of {after.name} is sent")

    async def _resolved(self, told: Mapping[str, Any], metadata: dict[str, Any], place: Place, request: str) -> str:
        await self.incidents.allowed(Act.RESOLVE, place.user)
        owner, reason = told.get("owner"), str(told.get("reason") or "")
        number = int(metadata["number"])
        runs = await self.handler.store.runs(number)

        def act(incident: Incident, now: Any) -> Change:
            must_be_settled(runs)
            objections = [one for one in metadata.get("objections", ()) if not (owner and one == _NO_OWNER)]
            held = incident
            events: tuple[Event, ...] = ()
            if owner and incident.roles.get(Role.POSTMORTEM) != owner:
                given = acts.give_role(incident, Role.POSTMORTEM, owner, place.user, now)
                events, held = given.events, given.incident
            change = acts.resolve(held, tuple(objections), reason, place.user, now)
            return Change(incident=change.incident, events=(*events, *change.events), messages=change.messages)

        after = await self.handler.act(number, act, request)
        return _elsewhere(place, after, f"{after.name} is resolved")

    async def _open(self, place: Place, form: Reply) -> str:
        if place.trigger_id is None:
            raise Refusal("That needs a command or a button.")
        return await self.messenger.open_view(place.trigger_id, form)

    async def _whisper(self, place: Place, sentence: str) -> None:
        try:
            await self.messenger.tell(place, sentence)
        except BotError as error:
            logger.warning("nobody was told %r: %s", sentence, error)


_NO_OWNER = "nobody has been named to write the postmortem"


def _elsewhere(place: Place, incident: Incident, sentence: str) -> str:
    """For whoever does not see it where they are; empty: they do."""
    return "" if place.channel == incident.home else f"{sentence}; its card is in <#{incident.home}>."


def _standing(incident: Incident) -> list[str]:
    """What speaks against resolving, whatever a triage says."""
    return [] if Role.POSTMORTEM in incident.roles else [_NO_OWNER]


def _resolve_form(incident: Incident, place: Place, objections: list[str], in_place: Sequence[Run]) -> Reply:
    metadata = {"number": incident.id, "channel": place.channel, "objections": objections}
    context = {"metadata": metadata, "incident": incident, "objections": objections, "in_place": in_place}
    return Reply(template="resolve_modal", context=context)
