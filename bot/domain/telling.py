"""Who else is told with an update: stakeholders in their channels, the public on the status pages; pure.

Each takes a change and gives the same with what it tells; it is stored and sent with it, or not at all.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.causes import Severity
from bot.domain.incident import CARD, Change, Outgoing, Refusal, plain
from bot.domain.policy import Policy
from bot.domain.publication import TEXT_CHARS, TITLE_CHARS, Publication
from bot.domain.redaction import redact
from bot.domain.timeline import Event, Kind

STATUS = "status:"


def audience(severity: Severity, noticed: Sequence[str], policy: Policy) -> tuple[str, ...]:
    """The channels of stakeholders: the policy's for the severity, and those that were ``noticed``.

    Who has heard of a beginning hears of the end, though the severity was lowered since.
    """
    return tuple(dict.fromkeys((*policy.stakeholders.get(severity, ()), *noticed)))


def to_stakeholders(
    change: Change, text: str, actor: str, now: datetime, policy: Policy, noticed: Sequence[str]
) -> Change:
    """Tells ``text`` to the :func:`audience`. Raises Refusal where there is none, or nothing is said."""
    said, incident = redact(plain(text))[:TEXT_CHARS], change.incident
    channels = audience(incident.severity, noticed, policy)
    if not said:
        raise Refusal("What stakeholders are told is empty.")
    if not channels:
        raise Refusal(f"No channel of stakeholders is configured for {incident.severity}: see `stakeholders:`.")
    due = incident.next_update_at
    context = {
        "text": said,
        "status": incident.status,
        "severity": incident.severity,
        "next_update_at": None if due is None else due.isoformat(),
    }
    posts = [Outgoing(kind="notice", to=one, template="stakeholder_update", context=context) for one in channels]
    event = Event(kind=Kind.TOLD, at=now, actor=actor, text=said, data={"channels": list(channels)})
    return replace(change, events=(*change.events, event), messages=(*change.messages, *posts))


def to_public(change: Change, told: Publication, now: datetime, pages: Sequence[str]) -> Change:
    """Publishes on the status pages called ``pages``. Raises Refusal where the title or the text is empty."""
    title, text = " ".join(redact(plain(told.title)).split())[:TITLE_CHARS], redact(plain(told.text))[:TEXT_CHARS]
    if not title or not text:
        raise Refusal("What the public is told needs a title and a text.")
    if not pages:
        raise Refusal("No status page is configured: see `status_page:`.")
    workaround = redact(plain(told.workaround))[:TEXT_CHARS]
    said = replace(told, title=title, text=text, workaround=workaround)
    components = {name: state.value for name, state in said.components.items()}
    event = Event(
        kind=Kind.PUBLISHED,
        at=now,
        actor=told.by,
        text=f"{title}: {text}",
        data={"status": said.status.value, "components": components, "pages": list(pages)},
    )
    sent = [Outgoing(kind="status", to=STATUS + page) for page in pages]
    return replace(change, events=(*change.events, event), messages=(*change.messages, CARD, *sent), publication=said)
