"""What somebody has filled in to be told, to up to three audiences at once, and the change that it makes; pure.

It is kept as a draft between the form and the click that sends it: the preview and what is sent are made of the same
change, by the same function.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bot.domain import acts
from bot.domain.acts import Update
from bot.domain.incident import Change, Incident, Outgoing, Refusal, Role, Status, plain
from bot.domain.policy import Policy
from bot.domain.publication import ENDED, IMPACTS, ComponentState, Publication, PublicStatus
from bot.domain.redaction import redact
from bot.domain.telling import to_public, to_stakeholders
from bot.domain.timeline import Event

UPDATE, RESOLVE, PUBLISH = "update", "resolve", "publish"
NO_OWNER = "nobody has been named to write the postmortem"
# With the id of a form in Slack it is the id of a draft, which has 32.
_DIGEST_CHARS = 12
_TOLD_BY = ("post", "notice", "status")


class Differs(Refusal):
    """What would be sent is not what was shown."""


@dataclass(frozen=True, kw_only=True)
class Public:
    """What the public is told. ``status`` and the components' states are those of ``publication``."""

    status: str
    title: str
    text: str
    workaround: str = ""
    components: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A form as it was sent; ``form`` says which, and with it which fields count. All are JSON values in a draft.

    ``next_minutes`` None: as the policy says; ``due``: when the next update is due by the preview, in ISO 8601.
    ``stakeholders`` empty, ``public`` None: these are told nothing.
    """

    form: str
    status: str = ""
    impact: str = ""
    action: str = ""
    next_minutes: int | None = None
    due: str | None = None
    reason: str = ""
    owner: str | None = None
    objections: tuple[str, ...] = ()
    stakeholders: str = ""
    public: Public | None = None

    @property
    def tells_others(self) -> bool:
        return bool(self.stakeholders) or self.public is not None


def held(filled: Filled) -> dict[str, Any]:
    """As a draft keeps it: a token or the like that was pasted into a text is masked before it is stored."""
    kept: dict[str, Any] = _masked(asdict(filled))
    return kept


def filled_of(kept: Mapping[str, Any]) -> Filled:
    """Undoes :func:`held`."""
    public = kept["public"]
    return Filled(
        **{**kept, "objections": tuple(kept["objections"]), "public": None if public is None else Public(**public)}
    )


def with_due(filled: Filled, incident: Incident, actor: str, now: datetime, policy: Policy) -> Filled:
    """The same, and when the next update is due by it, which is part of what is previewed."""
    if filled.form != UPDATE:
        return filled
    due = _update(replace(filled, due=None), incident, actor, now, policy).incident.next_update_at
    return replace(filled, due=None if due is None else due.isoformat())


def change(
    filled: Filled,
    incident: Incident,
    actor: str,
    now: datetime,
    policy: Policy,
    pages: Sequence[str],
    noticed: Sequence[str],
) -> Change:
    """What sending it does; ``pages`` are the status pages by their names. Raises Refusal.

    ``noticed``: the channels of stakeholders that were told of the incident before.
    """
    match filled.form:
        case "update":
            made = _update(filled, incident, actor, now, policy)
        case "resolve":
            made = _resolve(filled, incident, actor, now)
        case _:
            made = Change(incident=incident)
    if filled.stakeholders:
        made = to_stakeholders(made, filled.stakeholders, actor, now, policy, noticed)
    if filled.public is not None:
        made = to_public(made, _publication(filled.public, made.incident, actor), now, pages)
    return made


def tells(made: Change) -> tuple[Outgoing, ...]:
    """The messages by which people are told, in the order of their audiences."""
    return tuple(one for one in made.messages if one.kind in _TOLD_BY)


def digest(made: Change) -> str:
    """The same for two changes that tell the same people the same."""
    sent = [[one.kind, one.to, one.template, dict(one.context)] for one in tells(made)]
    public = None if made.publication is None else asdict(made.publication)
    return hashlib.sha256(json.dumps([sent, public], sort_keys=True).encode()).hexdigest()[:_DIGEST_CHARS]


def _update(filled: Filled, incident: Incident, actor: str, now: datetime, policy: Policy) -> Change:
    due = None if filled.due is None else datetime.fromisoformat(filled.due)
    next_in = None if filled.next_minutes is None else timedelta(minutes=filled.next_minutes)
    if due is not None and due > now:
        next_in = due - now
    told = Update(status=Status(filled.status), impact=filled.impact, action=filled.action, next_in=next_in)
    return acts.update(incident, told, actor, now, policy)


def _resolve(filled: Filled, incident: Incident, actor: str, now: datetime) -> Change:
    objections = tuple(one for one in filled.objections if not (filled.owner and one == NO_OWNER))
    before, events = incident, tuple[Event, ...]()
    if filled.owner and incident.roles.get(Role.POSTMORTEM) != filled.owner:
        given = acts.give_role(incident, Role.POSTMORTEM, filled.owner, actor, now)
        before, events = given.incident, given.events
    made = acts.resolve(before, objections, filled.reason, actor, now)
    return replace(made, events=(*events, *made.events))


def _publication(public: Public, incident: Incident, actor: str) -> Publication:
    try:
        status = PublicStatus(public.status)
        components = {name: ComponentState(state) for name, state in public.components.items()}
    except ValueError:
        raise Refusal("A status page has no such status.") from None
    if (status in ENDED) is incident.open:
        # the form was opened before somebody else resolved it, or reopened it
        by_now = "open again" if incident.open else "resolved"
        raise Refusal(f"{incident.name} is {by_now}, and “{status.value}” does not fit that. Fill in the form anew.")
    return Publication(
        status=status,
        title=public.title,
        text=public.text,
        workaround=public.workaround,
        components=components,
        impact=IMPACTS[incident.severity],
        by=actor,
    )


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return redact(plain(value))
    if isinstance(value, Mapping):
        return {key: _masked(one) for key, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, list | tuple) else value
