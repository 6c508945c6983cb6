"""Updates, ends and publications: a form, a preview of what each audience will read, and the click that sends it.

What is submitted is kept as a draft, in the store, until it is sent: the form's own id is the request's key, so that
sending twice is done once. What goes wrong is said in the form, or above the preview, and nothing that
somebody typed is lost.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slack_bolt.async_app import AsyncAck

from bot.domain.causes import Family
from bot.domain.incident import Incident, Refusal, Role, Status
from bot.domain.ledger import under_way, unsettled
from bot.domain.policy import Act
from bot.domain.updates import NO_OWNER, PUBLISH, RESOLVE, UPDATE, Filled, filled_of
from bot.errors import BotError
from bot.handlers.triage import TriageHandler
from bot.handlers.updating import UpdateHandler
from bot.ports import Reply
from bot.slack.audiences import Audiences
from bot.slack.form_parts import Answered, answered, beneath, values
from bot.slack.incidents import SlackIncidents
from bot.slack.messenger import SlackMessenger
from bot.slack.place import Place

logger = logging.getLogger(__name__)

FORMS, PREVIEW = (UPDATE, RESOLVE, PUBLISH), "send"
_ACTS = {UPDATE: Act.UPDATE, RESOLVE: Act.RESOLVE, PUBLISH: Act.PUBLISH}
# Where a form says what is wrong.
_BLOCKS = {UPDATE: "status", RESOLVE: "reason", PUBLISH: "public_text"}
_STATUSES = [(status.value, status.value.capitalize()) for status in Status if status is not Status.RESOLVED]
_NEXTS = [
    ("policy", "as promised for the severity"),
    ("15", "in 15 min"),
    ("30", "in 30 min"),
    ("60", "in an hour"),
    ("240", "in 4 hours"),
]
_STILL_LOOKING = "the triage that looks whether it is over has not ended yet"
_SLOW = "The database is slow. Go back and click Send again: it is done once."


@dataclass(frozen=True, kw_only=True)
class Updates:
    handler: UpdateHandler
    incidents: SlackIncidents
    messenger: SlackMessenger
    triage: TriageHandler
    audiences: Audiences

    async def update(self, place: Place, number: int | None, typed: str = "") -> None:
        """Opens the form, with what was ``typed`` after the command as what is being done."""
        await self.incidents.allowed(Act.UPDATE, place.user)
        incident = await self.handler.incidents.meant(number, place.channel)
        if not incident.open:
            raise Refusal(f"{incident.name} is resolved; `/mistral reopen {incident.id}` opens it again.")
        context = await self._context(UPDATE, incident, place)
        context |= {"statuses": _STATUSES, "action": typed or incident.action}
        await self._open(place, Reply(template="update_modal", context=context))

    async def publish(self, place: Place, number: int | None) -> None:
        """The status page alone, of a resolved incident too."""
        await self.incidents.allowed(Act.PUBLISH, place.user)
        incident = await self.handler.incidents.meant(number, place.channel)
        if not self.handler.pages:
            raise Refusal("No status page is configured: see `status_page:`.")
        await self._open(place, Reply(template="publish_modal", context=await self._context(PUBLISH, incident, place)))

    async def resolve(self, place: Place, number: int | None) -> None:
        """Opens the form at once, and puts into it what a triage of now says."""
        await self.incidents.allowed(Act.RESOLVE, place.user)
        incident = await self.handler.incidents.meant(number, place.channel)
        if not incident.open:
            raise Refusal(f"{incident.name} is resolved already.")
        context = await self._context(RESOLVE, incident, place)
        runs = await self.handler.incidents.store.runs(incident.id)
        context["in_place"], against = unsettled(runs), [*_standing(incident), *under_way(runs)]
        view = await self._open(place, _resolve_form(context, [*against, _STILL_LOOKING]))
        found = await self._looked(incident.target)
        await self.messenger.update_view(view, _resolve_form(context, [*against, *found]))

    async def submitted(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        """A form was sent: it is kept, and a preview is shown; an end that nobody else is told of is done at once."""
        form, user = str(view["callback_id"]), str(body["user"]["id"])
        metadata = json.loads(view.get("private_metadata") or "{}")
        place = Place(channel=str(metadata.get("channel") or user), user=user)
        work = self._submitted(form, values(view), metadata, place, str(view["id"]))
        await self._tell(place, await answered(ack, work, beneath(_BLOCKS[form])))

    async def sent(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        """A preview was sent, whose own id counts for nothing: what it shows is in the draft."""
        user = str(body["user"]["id"])
        metadata = json.loads(view.get("private_metadata") or "{}")
        place = Place(channel=str(metadata.get("channel") or user), user=user)
        await self._tell(place, await answered(ack, self._sent(metadata, place), self._above, slow=_SLOW))

    async def _submitted(
        self, form: str, told: Mapping[str, Any], metadata: Mapping[str, Any], place: Place, view: str
    ) -> Answered:
        await self.incidents.allowed(_ACTS[form], place.user)
        number = int(metadata["number"])
        filled = await self._filled(form, told, metadata, await self.handler.incidents.one(number))
        await self._may_publish(filled, place.user)
        if form == RESOLVE and not filled.tells_others:
            after = await self.handler.at_once(filled, number, place.user, f"view:{view}")
            return Answered(sentence=await self._told(form, after, place))
        preview = await self.handler.preview(filled, number, place.user, view, place.channel)
        return Answered(answer={"response_action": "push", "view": self._shown(preview)})

    async def _sent(self, metadata: Mapping[str, Any], place: Place) -> Answered:
        draft, number = str(metadata["draft"]), int(metadata["number"])
        kept = await self.handler.draft(draft, number, place.user)
        filled = filled_of(kept.held)
        await self.incidents.allowed(_ACTS[filled.form], place.user)
        await self._may_publish(filled, place.user)
        after = await self.handler.send(kept, place.channel)
        if isinstance(after, Reply):
            return Answered(answer={"response_action": "update", "view": self._shown(after)})
        return Answered(answer={"response_action": "clear"}, sentence=await self._told(filled.form, after, place))

    async def _filled(
        self, form: str, told: Mapping[str, Any], metadata: Mapping[str, Any], incident: Incident
    ) -> Filled:
        was = metadata.get("was") or {}
        chosen = {UPDATE: told.get("status"), RESOLVE: Status.RESOLVED, PUBLISH: told.get("public_status")}[form]
        status, minutes = str(chosen), str(told.get("next") or "")
        return Filled(
            form=form,
            status=status,
            impact=str(told.get("impact") or ""),
            action=str(told.get("action") or ""),
            next_minutes=int(minutes) if minutes.isdecimal() else None,
            reason=str(told.get("reason") or ""),
            owner=told.get("owner"),
            objections=tuple(metadata.get("objections", ())),
            stakeholders=self.audiences.stakeholders(told, incident, was, status),
            public=await self.audiences.public(form, told, incident, was, status),
        )

    async def _may_publish(self, filled: Filled, user: str) -> None:
        if filled.public is not None:
            await self.incidents.allowed(Act.PUBLISH, user)

    async def _context(self, form: str, incident: Incident, place: Place) -> dict[str, Any]:
        audiences, was = await self.audiences.offered(form, incident, place.user)
        metadata = {"number": incident.id, "channel": place.channel, "was": was}
        return {"metadata": metadata, "incident": incident, "audiences": audiences, "nexts": _NEXTS}

    async def _looked(self, target: str) -> list[str]:
        """What a triage of now says against resolving."""
        try:
            report = await self.triage.run(target)
        except BotError as error:
            return [f"no triage can look whether it is over: {error}"]
        except Exception:
            # whatever it was, the form must not go on saying that somebody still looks
            logger.exception("the triage before resolving failed")
            return ["the triage that should look whether it is over failed"]
        if report.diagnosis.family is Family.HEALTHY:
            return []
        return [f"a triage of just now says: {report.diagnosis.headline}"]

    async def _open(self, place: Place, form: Reply) -> str:
        if place.trigger_id is None:
            raise Refusal("That needs a command or a button.")
        return await self.messenger.open_view(place.trigger_id, form)

    def _shown(self, preview: Reply) -> dict[str, Any]:
        return self.messenger.renderer.view(preview)

    def _above(self, sentence: str) -> dict[str, Any]:
        """A preview has no field beneath which Slack would show an error."""
        problem = Reply(template="problem_modal", context={"sentence": sentence})
        return {"response_action": "push", "view": self.messenger.renderer.view(problem)}

    async def _told(self, form: str, after: Incident, place: Place) -> str:
        """For whoever does not see it where they are; empty: they do. Who ends an incident hears of an open page."""
        what = {UPDATE: "The update of {} is sent", RESOLVE: "{} is resolved", PUBLISH: "{} is published"}[form]
        told = f"{what.format(after.name)}; its card is in <#{after.home}>."
        elsewhere = place.channel != after.home
        public = await self.handler.incidents.store.public(after.id) if form == RESOLVE else None
        if public is not None and public.open and not after.open:
            left = f"The status page still says that it is open: `/mistral publish {after.id}` ends it there."
            return f"{told} {left}" if elsewhere else left
        return told if elsewhere else ""

    async def _tell(self, place: Place, sentence: str) -> None:
        if not sentence:
            return
        try:
            await self.messenger.tell(place, sentence)
        except BotError as error:
            logger.warning("nobody was told %r: %s", sentence, error)


def _standing(incident: Incident) -> list[str]:
    """What speaks against resolving, whatever a triage says."""
    return [] if Role.POSTMORTEM in incident.roles else [NO_OWNER]


def _resolve_form(context: Mapping[str, Any], objections: list[str]) -> Reply:
    metadata = {**context["metadata"], "objections": objections}
    return Reply(template="resolve_modal", context={**context, "metadata": metadata, "objections": objections})
