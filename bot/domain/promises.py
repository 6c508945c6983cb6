"""What happens to action items: made, changed, closed, and reminded of a bounded number of times; pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from bot.domain.action import Action, ActionPriority, ActionState
from bot.domain.incident import HOME, Incident, Outgoing, Priority, Refusal, plain
from bot.domain.policy import Policy
from bot.domain.redaction import redact
from bot.domain.reminding import local_day, shifted, work_begins

TEXT_CHARS = 1000
# What lies further away is a slip of the pen.
_LONGEST = timedelta(days=3650)


def promised(
    incident: Incident,
    text: str,
    priority: ActionPriority,
    owner: str | None,
    due: date | None,
    actor: str,
    now: datetime,
    policy: Policy,
) -> Action:
    """A new one; raises Refusal where it says nothing, or is due long ago or far away."""
    today = local_day(now, policy.calendar)
    action = Action(
        incident=incident.id,
        text=_text(text),
        priority=priority,
        owner=owner,
        due=_checked(due, today) or today + timedelta(days=policy.afterwards.due_days[priority]),
        created_by=actor,
        created_at=now,
    )
    return _reminded_from(action, now, policy)


def changed(
    action: Action,
    *,
    text: str,
    priority: ActionPriority,
    owner: str | None,
    due: date | None,
    state: ActionState,
    actor: str,
    now: datetime,
    policy: Policy,
) -> Action:
    """As somebody has edited it; reminders begin anew where it was put off. Raises Refusal."""
    today = local_day(now, policy.calendar)
    held = action.due if due is None or due == action.due else (_checked(due, today) or action.due)
    after = replace(action, text=_text(text), priority=priority, owner=owner, due=held)
    after = _in_state(after, action, state, actor, now)
    if after.due != action.due or after.state is not action.state:
        return _reminded_from(replace(after, reminders=0), now, policy)
    return after


def closed(action: Action, actor: str, now: datetime) -> Action:
    """Done; raises Refusal where it is closed already."""
    if action.state is not ActionState.OPEN:
        raise Refusal(f"Action item {action.id} is {action.state} already.")
    return _in_state(action, action, ActionState.DONE, actor, now)


def remind(action: Action, incident: Incident, now: datetime, policy: Policy) -> tuple[Action, Sequence[Outgoing]]:
    """What is due at ``now``: however long nobody looked, one reminder; the last ones reach the channel, too."""
    if action.state is not ActionState.OPEN or action.remind_at is None or action.remind_at > now:
        return replace(action, remind_at=None if action.state is not ActionState.OPEN else action.remind_at), ()
    moments = _moments(action, policy)
    passed = sum(at <= now for at in moments)
    following = moments[passed] if passed < len(moments) else None
    after = replace(action, reminders=action.reminders + 1, remind_at=following)
    today = local_day(now, policy.calendar)
    overdue = today > action.due
    # the first after it was due is the owner's alone
    loud = action.owner is None or (overdue and passed > (1 if policy.afterwards.action_before else 0) + 1)
    to = [*([] if action.owner is None else [action.owner]), *([HOME] if loud else [])]
    context = {
        "action": action.id,
        "text": action.text,
        "priority": action.priority.value,
        "due": action.due.isoformat(),
        "owner": action.owner,
        "overdue": overdue,
        "last": following is None,
    }
    return after, [
        Outgoing(kind="post", to=one, template="action_due", context=context, aloud=False, priority=Priority.REST)
        for one in to
    ]


def _moments(action: Action, policy: Policy) -> list[datetime]:
    """When it is reminded of, in order."""
    calendar, rules = policy.calendar, policy.afterwards
    before = [-rules.action_before] if rules.action_before else []
    return [work_begins(shifted(action.due, days, calendar), calendar) for days in (*before, *rules.action_after)]


def _reminded_from(action: Action, now: datetime, policy: Policy) -> Action:
    if action.state is not ActionState.OPEN:
        return replace(action, remind_at=None)
    return replace(action, remind_at=next((at for at in _moments(action, policy) if at > now), None))


def _in_state(after: Action, before: Action, state: ActionState, actor: str, now: datetime) -> Action:
    if state is before.state:
        return after
    if state is ActionState.OPEN:
        return replace(after, state=state, closed_by=None, closed_at=None)
    return replace(after, state=state, closed_by=actor, closed_at=now, remind_at=None)


def _text(text: str) -> str:
    said = " ".join(redact(plain(text)).split())[:TEXT_CHARS]
    if not said:
        raise Refusal("An action item needs a text: what is to be done?")
    return said


def _checked(due: date | None, today: date) -> date | None:
    if due is not None and not today <= due <= today + _LONGEST:
        raise Refusal("An action item is due today or later, at most in ten years.")
    return due
