"""Everything that people do to an incident: each act takes values and returns a Change, or raises Refusal; pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bot.domain.cadence import next_update, respond_by
from bot.domain.causes import Severity
from bot.domain.collecting import BY_ITSELF, Why
from bot.domain.incident import (
    BOT,
    CARD,
    CARD_CHARS,
    HOME,
    MOVES,
    PAGER,
    REACHED,
    TEXT_CHARS,
    TITLE_CHARS,
    Change,
    Incident,
    Milestone,
    Outgoing,
    Priority,
    Refusal,
    Role,
    Status,
    plain,
)
from bot.domain.policy import Policy
from bot.domain.redaction import redact
from bot.domain.timeline import Event, Kind

# What is noted to have been reached earlier is a slip of the pen.
_LONGEST_BEFORE = timedelta(days=366)


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What somebody fills in to declare an incident."""

    target: str
    title: str
    severity: Severity
    impact: str = ""
    action: str = ""
    commander: str | None = None
    components: tuple[str, ...] = ()
    cause: str | None = None
    channel: str
    first_alert: datetime | None = None
    alert_key: str | None = None
    """The key whose alerts it is about."""


def declare(told: Declaration, actor: str, now: datetime, policy: Policy) -> Change:
    """A new incident, its announcement, and its clocks."""
    title = " ".join(redact(plain(told.title)).split())
    if not title:
        raise Refusal("An incident needs a title.")
    milestones = {Milestone.DECLARED: now}
    if told.first_alert is not None:
        # a clock that is ahead of ours tells of what is to come
        milestones[Milestone.FIRST_ALERT] = min(told.first_alert, now)
    incident = Incident(
        target=told.target,
        title=title[:TITLE_CHARS],
        severity=told.severity,
        impact=_text(told.impact),
        action=_text(told.action),
        components=told.components,
        cause=told.cause,
        milestones=milestones,
        declared_by=actor,
        declared_at=now,
        updated_at=now,
        channel=told.channel,
    )
    incident = _awaited(_restarted(incident, now, policy), now, policy)
    events = [Event(kind=Kind.DECLARED, at=now, actor=actor, text=incident.title, data={"severity": told.severity})]
    messages = [CARD]
    if max(len(incident.impact), len(incident.action)) > CARD_CHARS:
        messages.append(replace(_post("incident_update", incident, actor), aloud=False))
    if policy.own_channel:
        messages.append(Outgoing(kind="channel", to=HOME))
    if told.commander is not None:
        incident, given = _given(incident, Role.COMMANDER, told.commander, actor, now)
        events += given
        messages += _told_commander(incident, told.commander, actor)
    return Change(
        incident=incident,
        events=tuple(events),
        messages=tuple(messages),
        alert_key=told.alert_key,
        evidence=Why.DECLARED if incident.severity in BY_ITSELF else None,
    )


@dataclass(frozen=True, kw_only=True)
class Update:
    """What an update tells; None: as it was. ``next_in`` None: as the policy says."""

    status: Status | None = None
    impact: str | None = None
    action: str | None = None
    next_in: timedelta | None = None


def update(incident: Incident, told: Update, actor: str, now: datetime, policy: Policy) -> Change:
    """An update of any kind restarts the clock; it is posted, and the card says it."""
    _must_be_open(incident)
    status = told.status or incident.status
    if status is Status.RESOLVED:
        raise Refusal(f"Resolve {incident.name} with `/mistral resolve`, which looks whether it is over first.")
    moved, events = _moved(incident, status, actor, now)
    changed = replace(
        moved,
        impact=incident.impact if told.impact is None else _text(told.impact),
        action=incident.action if told.action is None else _text(told.action),
        updated_at=now,
    )
    changed = _restarted(changed, now, policy, told.next_in)
    said = {"status": changed.status, "impact": changed.impact, "action": changed.action}
    events.append(Event(kind=Kind.UPDATE, at=now, actor=actor, text=changed.action or changed.impact, data=said))
    return Change(incident=changed, events=tuple(events), messages=(CARD, _post("incident_update", changed, actor)))


def set_severity(incident: Incident, severity: Severity, actor: str, now: datetime, policy: Policy) -> Change:
    """A raised severity starts the shorter clock at once; a lowered one the longer."""
    _must_be_open(incident)
    if severity is incident.severity:
        raise Refusal(f"{incident.name} is {severity} already.")
    changed = _restarted(replace(incident, severity=severity, updated_at=now), now, policy)
    if _waits(changed):
        # counted from now: nobody can have been late for a promise that was not made yet
        changed = _awaited(changed, now, policy)
    event = Event(
        kind=Kind.SEVERITY,
        at=now,
        actor=actor,
        text=f"{incident.severity} to {severity}",
        data={"from": incident.severity, "to": severity},
    )
    post = _post("incident_severity", changed, actor, was=incident.severity)
    # as if it had been declared so
    wanted = Why.DECLARED if severity in BY_ITSELF and incident.severity not in BY_ITSELF else None
    return Change(incident=changed, events=(event,), messages=(CARD, post), evidence=wanted)


def give_role(incident: Incident, role: Role, user: str, actor: str, now: datetime) -> Change:
    """``user`` takes or is given ``role``. Who takes command for themselves has responded."""
    if incident.roles.get(role) == user and (actor != user or role is not Role.COMMANDER or not _waits(incident)):
        raise Refusal(f"<@{user}> has that role already.")
    changed, events = _given(incident, role, user, actor, now)
    messages = [CARD, replace(_post("incident_role", changed, actor, role=role, user=user), aloud=False)]
    if role is Role.COMMANDER:
        messages += _told_commander(changed, user, actor)
    messages += _quietened(incident, changed)
    return Change(incident=replace(changed, updated_at=now), events=tuple(events), messages=tuple(messages))


def take_command(incident: Incident, user: str, now: datetime) -> Change:
    """By a button, which may be on a card that has not heard of whoever was first: takes it from nobody."""
    _must_be_open(incident)
    if incident.commander not in (None, user) and not _waits(incident):
        raise Refusal(
            f"<@{incident.commander}> has command already; `/mistral role {incident.id} commander` takes it over."
        )
    return give_role(incident, Role.COMMANDER, user, user, now)


def note(incident: Incident, text: str, actor: str, now: datetime, *, at: datetime | None = None) -> Change:
    """Something for the timeline; ``at`` is when it happened, where that was not now."""
    said = _text(text)
    if not said:
        raise Refusal("A note needs a text: `/mistral note what happened`.")
    event = Event(kind=Kind.NOTE, at=at or now, actor=actor, text=said)
    return Change(incident=incident, events=(event,))


def set_milestone(incident: Incident, milestone: Milestone, at: datetime, actor: str, now: datetime) -> Change:
    """Notes or corrects when a milestone was reached; a correction is an entry of its own."""
    if at > now:
        raise Refusal("A milestone lies in the past.")
    was = incident.milestones.get(milestone)
    if at < incident.declared_at - _LONGEST_BEFORE:
        raise Refusal("A milestone lies at most a year before the incident was declared.")
    changed = replace(incident, milestones={**incident.milestones, milestone: at})
    if not _waits(changed):
        changed = replace(changed, respond_by=None, escalate_at=None)
    event = Event(
        kind=Kind.MILESTONE if was is None else Kind.CORRECTION,
        at=at,
        actor=actor,
        text=milestone,
        data={} if was is None else {"was": was.isoformat()},
    )
    return Change(incident=changed, events=(event,), messages=(CARD, *_quietened(incident, changed)))


def resolve(incident: Incident, objections: tuple[str, ...], reason: str, actor: str, now: datetime) -> Change:
    """Ends it. With ``objections`` (sentences that say why not) only for a ``reason``, which is recorded."""
    _must_be_open(incident)
    reason = _text(reason)
    if objections and not reason:
        raise Refusal("Say why it is over all the same.")
    changed, events = _moved(incident, Status.RESOLVED, actor, now)
    changed = replace(
        changed,
        resolved_at=now,
        updated_at=now,
        next_update_at=None,
        remind_at=None,
        nudge_at=None,
        escalate_at=None,
    )
    data = {"objections": [_text(one) for one in objections]} if objections else {}
    events.append(Event(kind=Kind.RESOLVED, at=now, actor=actor, text=reason, data=data))
    post = _post("incident_resolved", changed, actor, reason=reason)
    pages = (
        (Outgoing(kind="page", to=PAGER, template="resolve", priority=Priority.PAGE),) if incident.escalations else ()
    )
    wanted = Why.RESOLVED if changed.severity in BY_ITSELF else None
    told = (CARD, post, *pages)
    return Change(incident=changed, events=tuple(events), messages=told, evidence=wanted, over=True)


def reopen(incident: Incident, actor: str, now: datetime, policy: Policy) -> Change:
    """It was not over: the clocks run again, and what had been restored was not."""
    if incident.open:
        raise Refusal(f"{incident.name} is open already.")
    changed, _ = _moved(incident, Status.INVESTIGATING, actor, now)
    milestones = dict(changed.milestones)
    milestones.pop(Milestone.RESTORED, None)
    changed = replace(changed, resolved_at=None, updated_at=now, milestones=milestones)
    changed = _restarted(changed, now, policy)
    if _waits(changed):
        changed = _awaited(changed, now, policy)
    event = Event(kind=Kind.REOPENED, at=now, actor=actor, text=changed.title)
    post = _post("incident_reopened", changed, actor)
    return Change(incident=changed, events=(event,), messages=(CARD, post), over=False)


def moved_to(incident: Incident, channel: str, now: datetime) -> Change:
    """Its own channel has been made: from now on it lives there, with a card of its own."""
    event = Event(kind=Kind.NOTE, at=now, actor=BOT, text=f"moved to the channel {channel}")
    card = Outgoing(kind="card", to=channel)
    return Change(incident=replace(incident, own_channel=channel), events=(event,), messages=(card, CARD))


def saying(change: Change, message: Outgoing) -> Change:
    """The same, and a message."""
    return replace(change, messages=(*change.messages, message))


def tell(incident: Incident, message: Outgoing) -> Change:
    """Nothing but a message."""
    return Change(incident=incident, messages=(message,))


def _post(template: str, incident: Incident, actor: str, **more: Any) -> Outgoing:
    context = {
        "title": incident.title,
        "severity": incident.severity,
        "status": incident.status,
        "impact": incident.impact,
        "action": incident.action,
        "next_update_at": None if incident.next_update_at is None else incident.next_update_at.isoformat(),
        "actor": actor,
        **more,
    }
    return Outgoing(kind="post", to=HOME, template=template, context=context)


def _must_be_open(incident: Incident) -> None:
    if not incident.open:
        raise Refusal(f"{incident.name} is resolved; `/mistral reopen {incident.id}` opens it again.")


def _moved(incident: Incident, status: Status, actor: str, now: datetime) -> tuple[Incident, list[Event]]:
    if status is incident.status:
        return incident, []
    if status not in MOVES[incident.status]:
        raise Refusal(f"{incident.name} is {incident.status} and cannot become {status}.")
    milestones: dict[Milestone, datetime] = dict(incident.milestones)
    reached = REACHED.get(status)
    if reached is not None:
        milestones.setdefault(reached, now)
    text = f"{incident.status} to {status}"
    event = Event(kind=Kind.STATUS, at=now, actor=actor, text=text, data={"from": incident.status, "to": status})
    return replace(incident, status=status, milestones=milestones), [event]


def _given(incident: Incident, role: Role, user: str, actor: str, now: datetime) -> tuple[Incident, list[Event]]:
    event = Event(kind=Kind.ROLE, at=now, actor=actor, text=role, data={"user": user})
    changed = replace(incident, roles={**incident.roles, role: user})
    if role is Role.COMMANDER and user == actor and incident.open and _waits(incident):
        milestones = {**changed.milestones, Milestone.ACKNOWLEDGED: now}
        changed = replace(changed, milestones=milestones, respond_by=None, escalate_at=None)
    return changed, [event]


def _waits(incident: Incident) -> bool:
    """Nobody has responded yet."""
    return Milestone.ACKNOWLEDGED not in incident.milestones


def _awaited(incident: Incident, now: datetime, policy: Policy) -> Incident:
    """With the clocks of a response that is asked for ``now``; its escalation begins at the head of the list."""
    due = respond_by(incident.severity, now, policy)
    first = due + policy.escalations[0].after if policy.escalations else None
    steps = max(1, len(policy.escalations))
    # rounded up and not 0: whoever was paged before is still to hear that somebody responded
    rounds = -(-incident.escalations // steps) * steps
    return replace(incident, respond_by=due, escalate_at=first, escalations=rounds)


def _quietened(before: Incident, after: Incident) -> list[Outgoing]:
    """Tells the pager that somebody has responded, where it may have rung."""
    if not (before.open and before.escalations and _waits(before)) or _waits(after):
        return []
    return [Outgoing(kind="page", to=PAGER, template="acknowledge", priority=Priority.PAGE)]


def _told_commander(incident: Incident, user: str, actor: str) -> list[Outgoing]:
    """Who was named by somebody else is told in person, since the channel may not be theirs."""
    if user == actor:
        return []
    return [replace(_post("incident_role", incident, actor, role=Role.COMMANDER, user=user), to=user)]


def _text(said: str) -> str:
    """What somebody has typed, without a token or the like that was pasted into it: everybody will read it."""
    return redact(plain(said))[:TEXT_CHARS]


def _restarted(incident: Incident, now: datetime, policy: Policy, next_in: timedelta | None = None) -> Incident:
    """With the update clock as it is after an update made ``now``."""
    due = now + next_in if next_in is not None else next_update(incident.severity, now, policy)
    return replace(
        incident,
        next_update_at=due,
        remind_at=None if due is None else max(now, due - policy.remind_before),
        nudge_at=due,
        nudges=0,
        snoozes=0,
    )
