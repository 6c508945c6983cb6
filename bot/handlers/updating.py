"""Updates for up to three audiences: kept as a draft, shown as they will look, and sent with one click, once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.domain.incident import Change, Incident, Refusal
from bot.domain.ledger import must_be_settled
from bot.domain.publication import ENDED
from bot.domain.updates import RESOLVE, Differs, Filled, change, digest, filled_of, held, tells, with_due
from bot.handlers.incident import IncidentHandler
from bot.ports import Draft, Reply

# A draft's id is the form's and, of 32 characters, 13 that stand for what the preview shows.
_FORM_CHARS = 19


@dataclass(frozen=True, kw_only=True)
class UpdateHandler:
    """``pages``: the status pages by their names. Raises Refusal and StoreError, both sentences."""

    incidents: IncidentHandler
    pages: tuple[str, ...]

    async def preview(
        self, filled: Filled, number: int, user: str, form: str, channel: str, *, changed: bool = False
    ) -> Reply:
        """Keeps what ``user`` has filled in as a draft, and shows each message under a line that says where it goes.

        ``form``: the form's own id, by which it is sent once; ``channel``: where ``user`` is; ``changed``: another
        preview was shown before.
        """
        incident, now = await self.incidents.one(number), self.incidents.clock.now()
        # what is shown is made of what is kept
        kept = held(with_due(filled, incident, user, now, self.incidents.policy))
        made = await self._made(filled_of(kept), incident, user, now)
        draft = Draft(id=f"{form[-_FORM_CHARS:]}-{digest(made)}", incident=number, by=user, held=kept)
        await self.incidents.store.keep_draft(draft)
        metadata = {"draft": draft.id, "number": number, "channel": channel}
        return _preview(made, metadata, self.pages, changed=changed)

    async def draft(self, identity: str, number: int, user: str) -> Draft:
        """What was filled in; raises Refusal where it is not ``user``'s, or not about that incident."""
        draft = await self.incidents.store.draft(identity)
        if draft is None or draft.by != user or draft.incident != number:
            raise Refusal("That preview is not yours, or is too old. Fill in the form anew.")
        return draft

    async def send(self, draft: Draft, channel: str) -> Incident | Reply:
        """Sends what was previewed, once; where that is not what would be sent by now, gives a preview of this."""
        filled, (form, _, shown) = filled_of(draft.held), draft.id.rpartition("-")
        try:
            return await self.at_once(filled, draft.incident, draft.by, f"draft:{form}", shown)
        except Differs:
            return await self.preview(filled, draft.incident, draft.by, form, channel, changed=True)

    async def at_once(self, filled: Filled, number: int, user: str, request: str, shown: str | None = None) -> Incident:
        """Without a preview; the same ``request`` is carried out once. Raises Differs from what was ``shown``."""
        runs = await self.incidents.store.runs(number) if filled.form == RESOLVE else ()
        noticed = await self.incidents.store.noticed(number)

        def act(incident: Incident, now: datetime) -> Change:
            must_be_settled(runs)
            made = change(filled, incident, user, now, self.incidents.policy, self.pages, noticed)
            if shown is not None and digest(made) != shown:
                raise Differs("It is not what the preview showed any more.")
            return made

        return await self.incidents.act(number, act, request)

    async def _made(self, filled: Filled, incident: Incident, user: str, now: datetime) -> Change:
        if filled.form == RESOLVE:
            must_be_settled(await self.incidents.store.runs(incident.id))
        noticed = await self.incidents.store.noticed(incident.id)
        return change(filled, incident, user, now, self.incidents.policy, self.pages, noticed)


def _preview(made: Change, metadata: Mapping[str, Any], pages: tuple[str, ...], *, changed: bool) -> Reply:
    """Each message by the very template that is sent, under where it goes."""
    incident, parts = made.incident, []
    told = tells(made)
    for one in (one for one in told if one.kind == "post"):
        parts += [_heading(channels=[incident.home]), Reply(template=one.template, context=_known(made, one.context))]
    notices = [one for one in told if one.kind == "notice"]
    if notices:
        parts += [
            _heading(channels=[one.to for one in notices]),
            Reply(template=notices[0].template, context=_known(made, notices[0].context)),
        ]
    if made.publication is not None:
        context = {"public": made.publication, "ended": made.publication.status in ENDED}
        parts += [_heading(pages=pages), Reply(template="public_update", context=context)]
    context = {
        "metadata": metadata,
        "incident": incident,
        "public": made.publication is not None,
        "changed": changed,
        "resolves": any(one.template == "incident_resolved" for one in told),
    }
    return Reply(template="preview_modal", context=context, thread=tuple(parts))


def _known(made: Change, context: Mapping[str, Any]) -> dict[str, Any]:
    """What a message is rendered with when it is sent."""
    return {**context, "incident": made.incident}


def _heading(channels: list[str] | None = None, pages: tuple[str, ...] = ()) -> Reply:
    return Reply(template="preview_part", context={"channels": channels or [], "pages": pages})
