"""What an incident's clocks make happen when they are looked at: reminder, overdue, escalation; pure.

However long nobody looked, each fires once: what would have been said in between is not said late. In quiet hours none
fires: what falls due then waits for their end.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.cadence import after_quiet
from bot.domain.incident import BOT, HOME, PAGER, Change, Incident, Milestone, Outgoing, Priority, Refusal
from bot.domain.policy import Policy
from bot.domain.timeline import Event, Kind


def earliest(incident: Incident) -> datetime | None:
    """When its next clock fires; None: none runs."""
    running = [at for at in (incident.remind_at, incident.nudge_at, incident.escalate_at) if at is not None]
    return min(running) if running and incident.open else None


def tick(incident: Incident, now: datetime, policy: Policy) -> Change | None:
    """What is due at ``now``; None: nothing."""
    at = earliest(incident)
    if at is None or at > now:
        return None
    loud_at = after_quiet(incident.severity, now, policy)
    if loud_at > now:
        return Change(incident=_put_off(incident, now, loud_at))
    events: list[Event] = []
    messages: list[Outgoing] = []
    for clock in (_remind, _nudge, _escalate):
        incident = clock(incident, now, policy, events, messages)
    return Change(incident=incident, events=tuple(events), messages=tuple(messages))


def snooze(
    incident: Incident, by: timedelta, actor: str, now: datetime, policy: Policy, *, reminded: datetime | None = None
) -> Change:
    """Puts the update off, at most as often as the policy lets; the next reminder comes before the new time.

    ``reminded``: when the update was due of which somebody was reminded, who means no other; None: whichever is next.
    """
    if not incident.open or incident.next_update_at is None:
        raise Refusal(f"No update of {incident.name} is due.")
    if reminded not in (None, incident.next_update_at):
        raise Refusal(
            f"That reminder is out of date: the next update of {incident.name} is due at another time now; "
            "its own reminder puts it off."
        )
    if incident.snoozes >= policy.snoozes_most:
        raise Refusal(f"This update was put off {incident.snoozes} times already; send it, please.")
    due = max(now, incident.next_update_at) + by
    changed = replace(
        incident,
        next_update_at=due,
        remind_at=max(now, due - policy.remind_before),
        nudge_at=due,
        nudges=0,
        snoozes=incident.snoozes + 1,
    )
    minutes = round(by.total_seconds() / 60)
    event = Event(kind=Kind.SNOOZED, at=now, actor=actor, text=f"update put off by {minutes} min")
    return Change(incident=changed, events=(event,), messages=(Outgoing(kind="card", to=HOME),))


def _put_off(incident: Incident, now: datetime, until: datetime) -> Incident:
    """With the clocks that have run out at ``now`` set to ``until``."""

    def later(at: datetime | None) -> datetime | None:
        return until if at is not None and at <= now else at

    return replace(
        incident,
        remind_at=later(incident.remind_at),
        nudge_at=later(incident.nudge_at),
        escalate_at=later(incident.escalate_at),
    )


def _remind(
    incident: Incident, now: datetime, policy: Policy, events: list[Event], messages: list[Outgoing]
) -> Incident:
    due = incident.next_update_at
    if incident.remind_at is None or incident.remind_at > now:
        return incident
    if due is not None and due > now:
        context = {"next_update_at": due.isoformat(), "snoozes_left": policy.snoozes_most - incident.snoozes}
        to = incident.commander or HOME
        messages.append(Outgoing(kind="post", to=to, template="reminder", context=context))
    return replace(incident, remind_at=None)


def _nudge(
    incident: Incident, now: datetime, policy: Policy, events: list[Event], messages: list[Outgoing]
) -> Incident:
    due = incident.next_update_at
    if due is None or incident.nudge_at is None or incident.nudge_at > now:
        return incident
    if incident.nudges == 0:
        events.append(Event(kind=Kind.UPDATE_MISSED, at=due, actor=BOT, text="the update that was due was not sent"))
    if incident.nudges >= policy.nudges_most:
        return replace(incident, nudge_at=None)
    nudges = incident.nudges + 1
    every = policy.promises[incident.severity].update
    again = None if every is None or nudges >= policy.nudges_most else now + every / 2
    context = {"next_update_at": due.isoformat(), "commander": incident.commander, "last": again is None}
    messages.append(Outgoing(kind="post", to=HOME, template="overdue", context=context))
    return replace(incident, nudges=nudges, nudge_at=again)


def _escalate(
    incident: Incident, now: datetime, policy: Policy, events: list[Event], messages: list[Outgoing]
) -> Incident:
    due = incident.respond_by
    if due is None or incident.escalate_at is None or incident.escalate_at > now:
        return incident
    if Milestone.ACKNOWLEDGED in incident.milestones or not policy.escalations:
        return replace(incident, escalate_at=None)
    place = incident.escalations % len(policy.escalations)
    step, *following = policy.escalations[place:]
    told = "paged" if step.page else "mentioned"
    events.append(Event(kind=Kind.ESCALATED, at=now, actor=BOT, text=f"nobody had responded: {told}"))
    context = {"respond_by": due.isoformat(), "mention": step.mention, "paged": step.page}
    messages.append(Outgoing(kind="post", to=HOME, template="escalation", context=context))
    if step.page:
        messages.append(Outgoing(kind="page", to=PAGER, template="trigger", priority=Priority.PAGE))
    # counted from this one, which may be late: whoever was told first has the time that the policy gives them
    again = now + following[0].after - step.after if following else None
    return replace(incident, escalations=incident.escalations + 1, escalate_at=again)
