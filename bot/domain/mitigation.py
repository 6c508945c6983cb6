"""A mitigation from the request to its end: the legal moves are a table, and every step is a pure function.

A step takes the run as it is and gives a :class:`RunChange`: the run as it then is, what the incident's timeline says,
and what must reach somebody; the store writes all of it or nothing. A step that may not be taken raises Refusal.
``approvals`` decides who may.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.domain.causes import Severity
from bot.domain.changes import Change
from bot.domain.incident import BOT, HOME, TEXT_CHARS, Outgoing, Refusal, plain
from bot.domain.policy import Mitigations
from bot.domain.timeline import Event, Kind


class State(StrEnum):
    PLANNING = "planning"
    """Asked for; the bot makes the preview."""
    PROPOSED = "proposed"
    """The preview is shown; waits for approvals."""
    APPROVED = "approved"
    """Waits to begin, which it must within minutes."""
    APPLYING = "applying"
    """The change is being sent, or may have been."""
    WATCHING = "watching"
    """The cluster has taken it; its rollout is watched."""
    VERIFYING = "verifying"
    """It is rolled out; the probes look whether it helps."""
    ENDED = "ended"
    """With an outcome."""
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    """What it would change has changed; another run was proposed in its place."""
    CANCELLED = "cancelled"
    """Nothing was changed: it could not be previewed, or not begin."""


class Outcome(StrEnum):
    FIXED = "fixed"
    NO_EFFECT = "no effect"
    WORSE = "worse"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


_S = State
MOVES: Mapping[State, frozenset[State]] = {
    _S.PLANNING: frozenset({_S.PROPOSED, _S.APPROVED, _S.CANCELLED}),
    _S.PROPOSED: frozenset({_S.APPROVED, _S.REJECTED, _S.EXPIRED}),
    _S.APPROVED: frozenset({_S.APPLYING, _S.EXPIRED, _S.SUPERSEDED, _S.CANCELLED}),
    _S.APPLYING: frozenset({_S.WATCHING, _S.SUPERSEDED, _S.ENDED}),
    _S.WATCHING: frozenset({_S.VERIFYING, _S.ENDED}),
    _S.VERIFYING: frozenset({_S.ENDED}),
    **{last: frozenset() for last in (_S.ENDED, _S.REJECTED, _S.EXPIRED, _S.SUPERSEDED, _S.CANCELLED)},
}
# A process works on these; the others wait for people or are over.
WORKED_ON = frozenset({_S.PLANNING, _S.APPROVED, _S.APPLYING, _S.WATCHING, _S.VERIFYING})
# From the first to the last of these nothing else may change the same deployment.
IN_FLIGHT = frozenset({_S.APPLYING, _S.WATCHING, _S.VERIFYING})

REVERT = "revert"
"""The remedy of a run that takes another one back; ``arguments["of"]`` is that one's id."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will do, as its preview shows it; holds no secret.

    ``pin``: a hash of the pod template (of a Secret: its resourceVersion); ``after``: the hash that the template has
    when the change is made (empty for a Secret). ``baseline``: which probes were bad before, and what they said.
    """

    kind: str
    """Of the object that is changed: Deployment or Secret."""
    name: str
    uid: str
    pin: str
    after: str
    deployment: str
    cluster: str
    namespace: str
    changes: tuple[Change, ...]
    shown: tuple[tuple[str, str, str], ...]
    """(what, old value, new value), for people."""
    diff: tuple[str, ...]
    """Lines that begin with ``- `` or ``+ ``, from the API server's dry run."""
    replicas: int
    strategy: str
    last_rollout_s: float | None
    warnings: tuple[str, ...]
    commands: tuple[str, ...]
    """The same by kubectl, ready to paste."""
    cause: str | None
    baseline: tuple[str, ...]
    """The probes that were bad before."""
    found_by: tuple[str, ...]
    """The probes that must be well for it to count as fixed."""


@dataclass(frozen=True, kw_only=True)
class Approval:
    """``reason`` is set where the glass was broken."""

    user: str
    at: datetime
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One mitigation. ``id`` is opaque: it is all that a button carries. Moments are aware, in UTC."""

    id: str
    incident: int
    target: str
    remedy: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Such as value, revision, secret; what they mean is the remedy's."""
    severity: Severity
    state: State = State.PLANNING
    outcome: Outcome | None = None
    requested_by: str
    reason: str
    requested_at: datetime
    never: str = ""
    """Why the diagnosis says never to use it, where it does; who asked has confirmed to have read it."""
    temporary: bool = False
    automatic: bool = False
    """A revert that the bot makes by itself: approved as the run was that it takes back."""
    plan: Plan | None = None
    approve_by: datetime | None = None
    start_by: datetime | None = None
    approvals: tuple[Approval, ...] = ()
    said: str = ""
    """How it stands or how it ended, as a sentence."""
    applied_at: datetime | None = None
    ended_at: datetime | None = None
    reverted_by: str | None = None
    """The id of the run that took it back."""
    kept: str = ""
    """Why it stays, where somebody has decided that."""
    remind_at: datetime | None = None
    fence: int = 0
    """How often a process has taken it; whoever has an older number has lost it."""
    version: int = 0

    @property
    def open(self) -> bool:
        return bool(MOVES[self.state])

    @property
    def in_place(self) -> bool:
        """Whether something temporary is in the cluster that somebody has to take back."""
        applied = self.applied_at is not None and self.state in (*IN_FLIGHT, State.ENDED)
        return self.temporary and applied and self.reverted_by is None and not self.open

    @property
    def lock(self) -> str | None:
        """What no other run may change at the same time; None: nothing just now."""
        if self.state not in IN_FLIGHT or self.plan is None:
            return None
        return f"{self.target}/{self.plan.namespace}/{self.plan.deployment}"


@dataclass(frozen=True, kw_only=True)
class RunChange:
    """``more``: runs that begin with it."""

    run: Run
    events: tuple[Event, ...] = ()
    messages: tuple[Outgoing, ...] = ()
    more: tuple[Run, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What else there is at the moment at which a run would begin. ``applied``: runs in the last hour."""

    frozen_by: str | None = None
    busy_with: str | None = None
    """The remedy of the run that is in flight on the same deployment."""
    applied: int = 0


def card(run: Run) -> Outgoing:
    """The run's one message, rendered anew whenever it is sent."""
    return Outgoing(kind="run", to=HOME, template=run.id)


def asked(run: Run) -> RunChange:
    """Somebody, or the bot, wants it; the preview comes next."""
    event = _event(run, run.requested_at, run.requested_by, f"{run.remedy} asked for: {run.reason}")
    return RunChange(run=run, events=(event,))


def proposed(run: Run, plan: Plan, now: datetime, policy: Mitigations) -> RunChange:
    """The preview is there. A revert that the bot makes by itself needs no other approval."""
    if run.automatic:
        after = _moved(run, State.APPROVED, plan=plan, start_by=now + policy.start_within)
    else:
        after = _moved(run, State.PROPOSED, plan=plan, approve_by=now + policy.approve_within)
    values = [{"name": name, "old": old, "new": new} for name, old, new in plan.shown]
    event = _event(after, now, BOT, f"{run.remedy} proposed", values=values)
    return RunChange(run=after, events=(event,), messages=(card(after),))


def approved(run: Run, approval: Approval, *, enough: bool, policy: Mitigations) -> RunChange:
    """One more approval; ``enough``: with it there are as many as the policy asks for. Who may is decided before."""
    _must_be(run, State.PROPOSED)
    if run.approve_by is not None and approval.at >= run.approve_by:
        raise Refusal("The offer has expired; ask for it again, with a new preview.")
    given = replace(run, approvals=(*run.approvals, approval))
    after = _moved(given, State.APPROVED, start_by=approval.at + policy.start_within) if enough else given
    how = f", breaking the glass: {approval.reason}" if approval.reason else ""
    event = _event(after, approval.at, approval.user, f"{run.remedy} approved{how}")
    messages = [card(after)]
    if approval.reason:
        context = {"remedy": run.remedy, "actor": approval.user, "reason": approval.reason}
        messages.append(Outgoing(kind="post", to=HOME, template="glass_broken", context=context))
    return RunChange(run=after, events=(event,), messages=tuple(messages))


def rejected(run: Run, user: str, reason: str, now: datetime) -> RunChange:
    _must_be(run, State.PROPOSED)
    why = plain(reason)[:TEXT_CHARS]
    if not why:
        raise Refusal("Say why it is rejected.")
    after = _moved(run, State.REJECTED, ended_at=now, said=why)
    return RunChange(
        run=after, events=(_event(after, now, user, f"{run.remedy} rejected: {why}"),), messages=(card(after),)
    )


def begun(run: Run, now: datetime, around: Circumstances, policy: Mitigations) -> RunChange | None:
    """The last look before anything is changed; None: not yet, since something else is in flight."""
    _must_be(run, State.APPROVED)
    if run.start_by is not None and now >= run.start_by:
        return expired(run, now)
    if around.frozen_by is not None:
        return cancelled(run, f"Mitigations are frozen by {_person(around.frozen_by)}.", now)
    if around.busy_with is not None:
        return None
    if around.applied >= policy.per_hour and run.remedy != REVERT:
        return cancelled(run, f"There were {around.applied} mitigations in the last hour, which is the limit.", now)
    after = _moved(run, State.APPLYING, said="")
    return RunChange(run=after, events=(_event(after, now, BOT, f"{run.remedy} begins"),), messages=(card(after),))


def accepted(run: Run, now: datetime, policy: Mitigations) -> RunChange:
    """The API server has taken the change."""
    after = _moved(run, State.WATCHING, applied_at=now, said="", remind_at=now + policy.remind_after)
    if not run.temporary:
        after = replace(after, remind_at=None)
    values = [] if run.plan is None else [{"name": name, "old": old, "new": new} for name, old, new in run.plan.shown]
    event = _event(after, now, BOT, f"{run.remedy} applied", values=values)
    return RunChange(run=after, events=(event,), messages=(card(after),))


def progressed(run: Run, said: str) -> RunChange:
    """How far it is, for the card alone."""
    after = replace(run, said=said)
    return RunChange(run=after, messages=(card(after),))


def rolled_out(run: Run, now: datetime) -> RunChange:
    after = _moved(run, State.VERIFYING, said="")
    return RunChange(run=after, events=(_event(after, now, BOT, f"{run.remedy} rolled out"),), messages=(card(after),))


def ended(run: Run, outcome: Outcome, said: str, now: datetime) -> RunChange:
    """With what became of it; the bot's own revert, where there is one, is asked for by ``revert_of``."""
    after = _moved(run, State.ENDED, outcome=outcome, said=said, ended_at=now)
    event = _event(after, now, BOT, f"{run.remedy}: {outcome}. {said}".strip())
    context = {"remedy": run.remedy, "outcome": outcome, "said": said}
    told = Outgoing(kind="post", to=HOME, template="mitigation_ended", context=context)
    return RunChange(run=after, events=(event,), messages=(card(after), told))


def expired(run: Run, now: datetime) -> RunChange:
    """Nobody approved it in time, or it could not begin in time."""
    waited = "approved" if run.state is State.PROPOSED else "begun"
    after = _moved(run, State.EXPIRED, ended_at=now, said=f"It was not {waited} in time; nothing was changed.")
    return RunChange(run=after, events=(_event(after, now, BOT, f"{run.remedy} expired"),), messages=(card(after),))


def cancelled(run: Run, said: str, now: datetime) -> RunChange:
    """It cannot be done; nothing was changed."""
    after = _moved(run, State.CANCELLED, ended_at=now, said=said)
    return RunChange(
        run=after, events=(_event(after, now, BOT, f"{run.remedy} not done: {said}"),), messages=(card(after),)
    )


def superseded(run: Run, said: str, new_id: str, now: datetime) -> RunChange:
    """The target is not what the preview showed: the same is proposed again, with a new preview and no approvals."""
    after = _moved(run, State.SUPERSEDED, ended_at=now, said=f"{said} It is proposed again.")
    again = replace(
        run,
        id=new_id,
        state=State.PLANNING,
        plan=None,
        approvals=(),
        automatic=False,
        approve_by=None,
        start_by=None,
        applied_at=None,
        said="",
        fence=0,
        version=0,
        requested_at=now,
    )
    event = _event(after, now, BOT, f"{run.remedy} not done: {said}")
    return RunChange(run=after, events=(event, *asked(again).events), messages=(card(after),), more=(again,))


def revert_of(run: Run, new_id: str, user: str, reason: str, now: datetime, *, automatic: bool = False) -> Run:
    """The run that takes ``run`` back."""
    if run.applied_at is None or run.open:
        raise Refusal("There is nothing to revert: it has not changed anything, or is not over.")
    if run.reverted_by is not None:
        raise Refusal("It has been reverted already.")
    return Run(
        id=new_id,
        incident=run.incident,
        target=run.target,
        remedy=REVERT,
        arguments={"of": run.id, "remedy": run.remedy},
        severity=run.severity,
        requested_by=user,
        reason=reason,
        requested_at=now,
        automatic=automatic,
        # what approved the change approved its way back
        approvals=run.approvals if automatic else (),
    )


def keep(run: Run, user: str, reason: str, now: datetime, policy: Mitigations) -> RunChange:
    """What is temporary stays on, for a reason; people are still reminded of it, less often."""
    why = plain(reason)[:TEXT_CHARS]
    if not why:
        raise Refusal("Say why it stays.")
    if not run.in_place:
        raise Refusal("It is not in place any more.")
    after = replace(run, kept=why, remind_at=now + 7 * policy.remind_after)
    event = _event(after, now, user, f"{run.remedy} stays in place: {why}")
    return RunChange(run=after, events=(event,), messages=(card(after),))


def tick(run: Run, now: datetime, policy: Mitigations) -> RunChange | None:
    """What is due ``now``; None: nothing."""
    if run.state is State.PROPOSED and run.approve_by is not None and run.approve_by <= now:
        return expired(run, now)
    if run.remind_at is None or run.remind_at > now:
        return None
    if not run.in_place:
        return None if run.open else RunChange(run=replace(run, remind_at=None))
    every = 7 * policy.remind_after if run.kept else policy.remind_after
    context = {"run": run.id, "remedy": run.remedy, "since": run.applied_at and run.applied_at.isoformat()}
    told = Outgoing(kind="post", to=HOME, template="still_in_place", context=context)
    return RunChange(run=replace(run, remind_at=now + every), messages=(told,))


def due_at(run: Run) -> datetime | None:
    """When :func:`tick` has something to do."""
    moments = [run.approve_by if run.state is State.PROPOSED else None, run.remind_at]
    return min((one for one in moments if one is not None), default=None)


def _must_be(run: Run, state: State) -> None:
    if run.state is not state:
        how = f"{run.state}, {run.outcome}" if run.outcome else run.state
        raise Refusal(f"Too late: it is {how} already.")


def _moved(run: Run, to: State, **more: Any) -> Run:
    if to not in MOVES[run.state]:
        raise Refusal(f"A mitigation that is {run.state} cannot become {to}.")
    return replace(run, state=to, **more)


def _event(run: Run, at: datetime, actor: str, text: str, **more: Any) -> Event:
    data = {"run": run.id, "remedy": run.remedy, "state": run.state, **more}
    return Event(kind=Kind.MITIGATION, at=at, actor=actor, text=text, data=data)


def _person(user: str) -> str:
    return user if user == BOT else f"<@{user}>"
