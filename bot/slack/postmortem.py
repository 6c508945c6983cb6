"""Postmortems in Slack: reviewed and written in a form, published by a click."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slack_bolt.async_app import AsyncAck

from bot.domain.drafting import SECTIONS, Draft
from bot.domain.incident import Incident, Refusal
from bot.domain.policy import Act
from bot.errors import AlreadyDone, Conflict
from bot.handlers.postmortem import PostmortemHandler
from bot.ports import Reply
from bot.slack import parse
from bot.slack.form_parts import Answered, answered, beneath, values
from bot.slack.incidents import SlackIncidents
from bot.slack.messenger import SlackMessenger
from bot.slack.place import Place

FORM = "postmortem"
_MOST = 3000
_RECENT = 100


@dataclass(frozen=True, kw_only=True)
class SlackPostmortem:
    handler: PostmortemHandler
    incidents: SlackIncidents
    messenger: SlackMessenger

    async def command(self, place: Place, asked: parse.Afterwards) -> None:
        await self.review(place, await self.meant(place, asked))

    async def review(self, place: Place, number: int) -> None:
        """Opens the form; raises Refusal."""
        await self.incidents.allowed(Act.RESOLVE, place.user)
        held = await self.handler.store.postmortem(number)
        if held is None:
            incident = await self.incidents.handler.one(number)
            raise Refusal(f"{incident.name} is not resolved yet; its postmortem is drafted when it is.")
        if place.trigger_id is None:
            raise Refusal("That needs a command or a button.")
        # a trigger lives three seconds, and Prometheus may take longer
        drafted = await self.handler.draft(number, counted=False)
        await self.messenger.open_view(place.trigger_id, self._form(drafted, place))

    async def publish(self, place: Place, number: int, request: str) -> None:
        await self.incidents.allowed(Act.RESOLVE, place.user)
        await self.handler.publish(number, place.user, request)

    async def submitted(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        metadata = json.loads(view.get("private_metadata") or "{}")
        user = str(body["user"]["id"])
        place = Place(channel=str(metadata.get("channel") or user), user=user)
        work = self._submitted(values(view), metadata, place, str(view["id"]))
        sentence = await answered(ack, work, beneath("summary"))
        if sentence:
            await self.messenger.tell(place, sentence)

    async def _submitted(
        self, told: Mapping[str, Any], metadata: Mapping[str, Any], place: Place, view: str
    ) -> Answered:
        await self.incidents.allowed(Act.RESOLVE, place.user)
        number, after = int(metadata["number"]), int(metadata["version"])
        drafted = await self.handler.draft(number, counted=False)
        shown: Mapping[str, str] = metadata.get("shown") or {}
        said = {key: str(told.get(key) or "") for key in SECTIONS if key in told}
        changed = {
            key: text
            for key, text in said.items()
            if _digest(text) != shown.get(key) and text.strip() != drafted.drafted[key].strip()[:_MOST]
        }
        # what was emptied or made as it was drafted goes back to the draft
        changed |= {
            key: ""
            for key, text in said.items()
            if key in drafted.written and _digest(text) != shown.get(key) and key not in changed
        }
        confirmed = bool(told.get("confirmed"))
        if not changed and confirmed == (drafted.confirmed_by is not None):
            return Answered(sentence="Nothing was changed.")
        try:
            done = await self.handler.write(
                number, after, changed, confirmed=confirmed, user=place.user, request=f"view:{view}:{after}"
            )
        except AlreadyDone:
            return Answered()
        except Conflict:
            newest = await self.handler.draft(number, counted=False)
            form = self._form(newest, place, typed=said, confirmed=confirmed)
            return Answered(answer={"response_action": "update", "view": self.messenger.renderer.view(form)})
        version = 0 if done.newest is None else done.newest.number
        return Answered(sentence=f"Version {version} of the postmortem of INC-{number} is saved.")

    def _form(
        self,
        drafted: Draft,
        place: Place,
        *,
        typed: Mapping[str, str] | None = None,
        confirmed: bool | None = None,
    ) -> Reply:
        """``typed``: what somebody had filled in when somebody else was first."""
        texts = {key: (typed or {}).get(key, drafted.sections[key]) for key in SECTIONS}
        fields = [
            (key, label, texts[key][:_MOST], _hint(drafted, key))
            for key, label in SECTIONS.items()
            # what is longer would be cut by the form
            if len(drafted.sections[key]) <= _MOST
        ]
        context = {
            "incident": drafted.incident,
            "fields": fields,
            "too_long": [label for key, label in SECTIONS.items() if len(drafted.sections[key]) > _MOST],
            "conflict": typed is not None,
            "newest": drafted.number,
            "confirmed": drafted.confirmed_by is not None if confirmed is None else confirmed,
            "metadata": {
                "number": drafted.incident.id,
                "version": drafted.number,
                "channel": place.channel,
                "shown": {key: _digest(drafted.sections[key][:_MOST]) for key, *_ in fields},
            },
        }
        return Reply(template="postmortem_modal", context=context)

    async def meant(self, place: Place, asked: parse.Afterwards) -> int:
        """The one that is named, else the newest that has ended in this channel."""
        if asked.number is not None:
            return asked.number
        store = self.handler.store
        here = [one for one in await store.resolved(limit=_RECENT) if _lived(one, place.channel)]
        if here:
            return here[0].id
        found = await store.in_channel(place.channel)
        if found:
            return found[0].id
        raise Refusal(f"Say which: `/mistral {asked.verb} INC-3`.")


def _lived(incident: Incident, channel: str) -> bool:
    return channel in (incident.channel, incident.own_channel)


def _hint(drafted: Draft, key: str) -> str:
    if key in drafted.written and drafted.drafted[key] and drafted.drafted[key] != drafted.sections[key]:
        return "Written by people. Empty it to have what the record says."
    return ""


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.strip().encode("utf-8", "replace")).hexdigest()[:12]
