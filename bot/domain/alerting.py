"""What alerts make of incidents: opened, proposed, attached, noted, reopened, and asked about when all is over; pure.

All of it is decided of one key at a time, by whoever holds the key's row: so that a key never has two open incidents.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.alerts import Alert, AlertKey, Alerts, Does, Judged
from bot.domain.causes import ALWAYS_P4, Family
from bot.domain.incident import BOT, CARD, HOME, TEXT_CHARS, Change, Incident, Milestone, Outgoing, Priority
from bot.domain.policy import Policy
from bot.domain.timeline import Event, Kind

# However often alerts come and go, it is asked once in so long whether the incident is over.
ASK_EVERY = timedelta(minutes=10)
# What began longer ago is not believed to be what this incident began with.
_LONGEST_BEFORE = timedelta(days=366)
_NAMED, _KEPT = 5, 20
_STRONGEST = (Does.OPEN, Does.PROPOSE, Does.NOTE)


@dataclass(frozen=True, kw_only=True)
class News:
    """One key and what of it was not worked in yet.

    ``begun`` fire, ``ended`` do not any more; ``firing``: how many of the key's alerts fire, ``begun`` among them.
    ``quiet_since``: when we heard last of one that was over, before. ``incident``: the newest of the key;
    ``beside``: the open ones of its target. ``fresh``: an id for a new proposal.
    """

    key: AlertKey
    begun: tuple[Alert, ...] = ()
    ended: tuple[Alert, ...] = ()
    more: bool = False
    """There are others that were not worked in."""
    firing: int = 0
    quiet_since: datetime | None = None
    incident: Incident | None = None
    beside: tuple[Incident, ...] = ()
    fresh: str = ""


@dataclass(frozen=True, kw_only=True)
class Worked:
    """What is to be stored: the key, a new incident, what becomes of others, a proposal's card.

    ``proposes``: the alerts belong to the key's proposal from now on.
    """

    key: AlertKey
    opened: Change | None = None
    changed: tuple[Change, ...] = ()
    card: Outgoing | None = None
    proposes: bool = False


def work_in(news: News, rules: Alerts, policy: Policy, channel: str, now: datetime) -> Worked:
    """What becomes of ``news``; incidents are announced in ``channel``."""
    judged = _strongest(news)
    key = news.key
    if news.begun:
        key = replace(key, does=judged.does, severity=judged.severity, target=judged.target, ask_at=None)
    incident = news.incident
    if incident is not None and incident.open:
        return _attached(news, key, incident, now)
    if not news.begun:
        return _over(news, replace(key, ask_at=None), now)
    if judged.does is Does.NOTE:
        return Worked(key=key, changed=_noted(news, now))
    if incident is not None and now - (incident.resolved_at or now) <= rules.reopen_within:
        reopened = acts.reopen(incident, BOT, now, policy)
        return Worked(key=replace(key, asked_at=None), changed=(_with_alerts(reopened, news, now),))
    if judged.does is Does.OPEN:
        return _opened(news, key, policy, channel, now)
    return _proposed(news, key, rules, channel, now)


def _strongest(news: News) -> Judged:
    """What the strongest of what fires says, with the worst severity of those that say it."""
    told = [one.judged for one in news.begun]
    if news.firing > len(news.begun) or not told:
        told.append(Judged(does=news.key.does, severity=news.key.severity, target=news.key.target))
    return min(told, key=lambda one: (_STRONGEST.index(one.does), one.severity))


def _opened(news: News, key: AlertKey, policy: Policy, channel: str, now: datetime) -> Worked:
    first = min(news.begun, key=lambda one: _began(one, now))
    declaration = Declaration(
        target=key.target,
        title=first.title,
        severity=key.severity,
        channel=channel,
        first_alert=_began(first, now),
    )
    change = acts.declare(declaration, BOT, now, policy)
    told = {"alerts": [_shown(one, now) for one in news.begun[:_KEPT]], "count": len(news.begun)}
    post = Outgoing(kind="post", to=HOME, template="alerts_fire", context=told, aloud=False)
    change = replace(change, events=(*change.events, *_events(news, now)), messages=(*change.messages, post))
    key = replace(key, triage_at=now, triages=0, triage=None, asked_at=None)
    return Worked(key=key, opened=change)


def _proposed(news: News, key: AlertKey, rules: Alerts, channel: str, now: datetime) -> Worked:
    """One card as long as the key keeps firing, or fires again soon."""
    lasts = news.firing > len(news.begun)
    soon = news.quiet_since is not None and now - news.quiet_since <= rules.reopen_within
    if key.proposal is None or not (lasts or soon):
        key = replace(key, proposal=news.fresh, triage=None, triage_at=now, triages=0)
    return Worked(key=key, card=proposal_card(key, channel), proposes=True)


def proposal_card(key: AlertKey, channel: str) -> Outgoing | None:
    """The card of the key's proposal, to be sent or brought up to date; None: it has none."""
    if key.proposal is None:
        return None
    return Outgoing(kind="proposal", to=channel, template=key.proposal, priority=Priority.REST)


def _over(news: News, key: AlertKey, now: datetime) -> Worked:
    """Nothing new fires, and no incident is open."""
    if key.does is Does.NOTE:
        return Worked(key=key, changed=_noted(news, now))
    # to whichever channel: there is one card of that id
    return Worked(key=key, card=proposal_card(key, HOME) if news.ended else None, proposes=True)


def _attached(news: News, key: AlertKey, incident: Incident, now: datetime) -> Worked:
    change = _with_alerts(Change(incident=incident), news, now)
    quiet = not news.firing and not news.more and not key.truncated
    if quiet and (news.ended or key.ask_at is not None):
        due = None if key.asked_at is None else key.asked_at + ASK_EVERY
        if due is not None and due > now:
            key = replace(key, ask_at=due)
        else:
            ask = Outgoing(kind="post", to=HOME, template="alerts_resolved")
            change = acts.saying(change, ask)
            key = replace(key, ask_at=None, asked_at=now)
    elif not quiet:
        key = replace(key, ask_at=None)
    nothing = not change.events and not change.messages
    return Worked(key=key, changed=() if nothing else (change,))


def _with_alerts(change: Change, news: News, now: datetime) -> Change:
    if not (news.begun or news.ended):
        return change
    incident = change.incident
    first = incident.milestones.get(Milestone.FIRST_ALERT)
    earliest = min((_began(one, now) for one in (*news.begun, *news.ended)), default=now)
    # what is told out of order may tell of an earlier one; what a person has declared is left as it is
    if incident.declared_by == BOT and first is not None and first - _LONGEST_BEFORE < earliest < first:
        incident = replace(incident, milestones={**incident.milestones, Milestone.FIRST_ALERT: earliest})
    cards = () if CARD in change.messages else (CARD,)
    events = (*change.events, *_events(news, now))
    return replace(change, incident=incident, events=events, messages=(*change.messages, *cards))


def _noted(news: News, now: datetime) -> tuple[Change, ...]:
    events = tuple(_events(news, now))
    return tuple(Change(incident=one, events=events) for one in news.beside) if events else ()


def _events(news: News, now: datetime) -> list[Event]:
    events = []
    # of what ended as another of it began, the end comes first
    if news.ended:
        at = max(min(one.ends_at or now, now) for one in news.ended)
        events.append(_event(news.ended, "is over", "are over", at, now))
    if news.begun:
        at = min(_began(one, now) for one in news.begun)
        events.append(_event(news.begun, "fires", "fire", at, now))
    return sorted(events, key=lambda one: one.at)


def _event(alerts: Sequence[Alert], one: str, many: str, at: datetime, now: datetime) -> Event:
    titles = list(dict.fromkeys(alert.title for alert in alerts))
    listed = "; ".join(titles[:_NAMED]) + (f"; and {len(titles) - _NAMED} more" if len(titles) > _NAMED else "")
    text = f"{listed} {one}" if len(alerts) == 1 else f"{len(alerts)} alerts {many}: {listed}"
    data = {"alerts": [_shown(alert, now) for alert in alerts[:_KEPT]], "count": len(alerts)}
    return Event(kind=Kind.ALERT, at=at, actor=BOT, text=text[:TEXT_CHARS], data=data)


def _shown(alert: Alert, now: datetime) -> dict[str, Any]:
    """As JSON, for the timeline and a message."""
    return {
        "title": alert.title,
        "labels": dict(list(alert.labels.items())[:_KEPT]),
        "url": alert.url,
        "began_at": _began(alert, now).isoformat(),
    }


def _began(alert: Alert, now: datetime) -> datetime:
    return min(max(alert.starts_at or now, now - _LONGEST_BEFORE), now)


def triaged(incident: Incident, report: Mapping[str, Any], identity: str, now: datetime) -> Change:
    """With the triage that was kept as ``identity``; its cause, where it has found one and the incident has none."""
    if not incident.open:
        return Change(incident=incident)
    found = Family(report["family"]) not in ALWAYS_P4
    cause = incident.cause or (str(report["cause"]) if found else None)
    event = Event(kind=Kind.TRIAGE, at=now, actor=BOT, text=str(report["headline"])[:TEXT_CHARS])
    return Change(incident=replace(incident, triage=identity, cause=cause), events=(event,), messages=(CARD,))


def untriaged(incident: Incident, why: str, now: datetime) -> Change:
    """The triage has failed for good, which is told."""
    if not incident.open:
        return Change(incident=incident)
    event = Event(kind=Kind.TRIAGE, at=now, actor=BOT, text=f"the triage failed: {why}")
    post = Outgoing(kind="post", to=HOME, template="untriaged", context={"why": why}, aloud=False)
    return Change(incident=incident, events=(event,), messages=(post,))


Decide = Callable[[News], Worked]
