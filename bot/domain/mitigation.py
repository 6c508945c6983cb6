"""The steps of a mitigation, each a pure function from a run as it is to a :class:`RunChange`.

A step that may not be taken raises Refusal: the legal moves are the table in ``runs``. ``approvals`` decides who may.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.domain.incident import BOT, CARD, HOME, TEXT_CHARS, Outgoing, Refusal, plain
from bot.domain.policy import Mitigations
from bot.domain.runs import (
    IN_FLIGHT,
    MOVES,
    REVERT,
    WORKED_ON,
    Approval,
    Circumstances,
    Outcome,
    Plan,
    Run,
    RunChange,
    State,
)
from bot.domain.timeline import Event, Kind

_AGAIN = "It is proposed again."


def card(run: Run) -> Outgoing:
    """The run's one message, rendered anew whenever it is sent."""
    return Outgoing(kind="run", to=HOME, template=run.id)


def cards(run: Run) -> tuple[Outgoing, ...]:
    """The same, and where it is temporary the incident's own, which tells what is in place."""
    return (card(run), CARD) if run.temporary else (card(run),)


def asked(run: Run) -> RunChange:
    """Somebody, or the bot, wants it; the preview comes next, and with it the card.

    Slack tells those who are mentioned in a new message, and not those that an edit mentions: a card that stood there
    before would have its ten minutes pass without any approver having heard of it.
    """
    event = _event(run, run.requested_at, run.requested_by, f"{run.name} asked for: {run.reason}")
    return RunChange(run=run, events=(event,))


def proposed(run: Run, plan: Plan, now: datetime, policy: Mitigations) -> RunChange:
    """The preview is there. A revert that the bot makes by itself needs no other approval."""
    _must_be(run, State.PLANNING)
    if run.automatic:
        after = _moved(run, State.APPROVED, plan=plan, start_by=now + policy.start_within)
    else:
        after = _moved(run, State.PROPOSED, plan=plan, approve_by=now + policy.approve_within)
    return RunChange(run=after, events=(_event(after, now, BOT, f"{run.name} proposed"),), messages=(card(after),))


def approved(run: Run, approval: Approval, *, enough: bool, policy: Mitigations) -> RunChange:
    """One more approval; ``enough``: with it there are as many as the policy asks for. Who may is decided before."""
    _must_be(run, State.PROPOSED)
    if run.approve_by is not None and approval.at >= run.approve_by:
        raise Refusal("The offer has expired; ask for it again, with a new preview.")
    given = replace(run, approvals=(*run.approvals, approval))
    after = _moved(given, State.APPROVED, start_by=approval.at + policy.start_within) if enough else given
    how = f", breaking the glass: {approval.reason}" if approval.reason else ""
    event = _event(after, approval.at, approval.user, f"{run.name} approved{how}")
    messages = [card(after)]
    if approval.reason:
        context = {**_named(run), "actor": approval.user, "reason": approval.reason}
        messages.append(Outgoing(kind="post", to=HOME, template="glass_broken", context=context))
    return RunChange(run=after, events=(event,), messages=tuple(messages))


def rejected(run: Run, user: str, reason: str, now: datetime) -> RunChange:
    _must_be(run, State.PROPOSED)
    why = plain(reason)[:TEXT_CHARS]
    if not why:
        raise Refusal("Say why it is rejected.")
    after = _moved(run, State.REJECTED, ended_at=now, said=why)
    return RunChange(
        run=after, events=(_event(after, now, user, f"{run.name} rejected: {why}"),), messages=(card(after),)
    )


def begun(run: Run, now: datetime, around: Circumstances, policy: Mitigations) -> RunChange | None:
    """The last look before anything is changed; None: not yet, since something else is in flight."""
    _must_be(run, State.APPROVED)
    if run.start_by is not None and now >= run.start_by:
        return expired(run, now, busy_with=around.busy_with)
    if around.resolved and run.remedy != REVERT:
        over = f"INC-{run.incident} is resolved, so it is not begun; `/mistral reopen {run.incident}` opens it again."
        return cancelled(run, over, now)
    if around.frozen_by is not None:
        return cancelled(run, f"Mitigations are frozen by {_person(around.frozen_by)}.", now)
    if around.busy_with is not None:
        return None
    if around.applied >= policy.per_hour and run.remedy != REVERT:
        return cancelled(run, f"There were {around.applied} mitigations in the last hour, which is the limit.", now)
    after = _moved(run, State.APPLYING, said="")
    return RunChange(run=after, events=(_event(after, now, BOT, f"{run.name} begins"),), messages=(card(after),))


def waits(run: Run, around: Circumstances) -> RunChange | None:
    """Says once on the card what it is that an approved run waits for; None: it says so already."""
    _must_be(run, State.APPROVED)
    said = f"It waits for the {around.busy_with} that is under way on the same deployment."
    return None if around.busy_with is None or run.said == said else progressed(run, said)


def accepted(run: Run, now: datetime, policy: Mitigations) -> RunChange:
    """The API server has taken the change."""
    after = _moved(run, State.WATCHING, applied_at=now, said="", remind_at=now + policy.remind_after)
    if not run.temporary:
        after = replace(after, remind_at=None)
    return RunChange(run=after, events=(_event(after, now, BOT, f"{run.name} applied"),), messages=(card(after),))


def progressed(run: Run, said: str) -> RunChange:
    """How far it is, for the card alone."""
    if run.state not in WORKED_ON:
        raise _not_now(run)
    after = replace(run, said=said)
    return RunChange(run=after, messages=(card(after),))


def rolled_out(run: Run, now: datetime) -> RunChange:
    after = _moved(run, State.VERIFYING, said="")
    return RunChange(run=after, events=(_event(after, now, BOT, f"{run.name} rolled out"),), messages=(card(after),))


def ended(run: Run, outcome: Outcome, said: str, now: datetime) -> RunChange:
    """With what became of it; the bot's own revert, where there is one, is asked for by ``revert_of``."""
    after = _moved(run, State.ENDED, outcome=outcome, said=said, ended_at=now)
    event = _event(after, now, BOT, f"{run.name}: {outcome}. {said}".strip())
    context = {**_named(run), "outcome": outcome, "said": said}
    told = Outgoing(kind="post", to=HOME, template="mitigation_ended", context=context)
    return RunChange(run=after, events=(event,), messages=(*cards(after), told))


def expired(run: Run, now: datetime, *, busy_with: str | None = None) -> RunChange:
    """Nobody approved it in time, or it could not begin in time.

    ``busy_with``: what is in flight now; it is to blame only where the run has waited, and did not just come late.
    """
    waited = "approved" if run.state is State.PROPOSED else "begun"
    held = busy_with or "mitigation before it" if run.said and run.state is State.APPROVED else ""
    why = f", since it waited for the {held}" if held else ""
    after = _moved(run, State.EXPIRED, ended_at=now, said=f"It was not {waited} in time{why}; nothing was changed.")
    event = _event(after, now, BOT, f"{run.name} expired{why}")
    return RunChange(run=after, events=(event,), messages=(card(after), *_not_begun(run, after)))


def cancelled(run: Run, said: str, now: datetime) -> RunChange:
    """It cannot be done; nothing was changed."""
    after = _moved(run, State.CANCELLED, ended_at=now, said=said)
    event = _event(after, now, BOT, f"{run.name} not done: {said}")
    return RunChange(run=after, events=(event,), messages=(card(after), *_not_begun(run, after)))


def target_gone(run: Run, plan: Plan | None) -> str:
    """That nothing can be asked or changed any more; ``plan``: what tells where it was, as far as anybody knows."""
    was = "" if plan is None else f" (it was {plan.namespace}/{plan.deployment})"
    return f"The target “{run.target}” is not configured any more{was}: put it back under that name, or use kubectl."


def superseded(run: Run, said: str, new_id: str, now: datetime) -> RunChange:
    """The target is not what the preview showed: the same is proposed again, with a new preview and no approvals."""
    after = _moved(run, State.SUPERSEDED, ended_at=now, said=f"{said} {_AGAIN}")
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
    event = _event(after, now, BOT, f"{run.name} not done: {said}")
    return RunChange(run=after, events=(event, *asked(again).events), messages=(card(after),), more=(again,))


def not_again(run: Run, change: RunChange, now: datetime) -> RunChange:
    """Instead of the ``change`` that :func:`superseded` has made of ``run``, where the incident is over by now."""
    moved = change.run.said.removesuffix(_AGAIN).strip()
    over = f"INC-{run.incident} is resolved, so it is not proposed again."
    return ended(run, Outcome.FAILED, f"Nothing was changed. {moved} {over}", now)


def revert_of(run: Run, new_id: str, user: str, reason: str, now: datetime, *, automatic: bool = False) -> Run:
    """The run that takes ``run`` back."""
    if run.remedy == REVERT:
        raise Refusal("A revert is not reverted; ask for the mitigation itself again.")
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
    if run.state in IN_FLIGHT:
        raise Refusal("It is not over yet; keep it when it is.")
    if not run.in_place:
        raise Refusal("It is not in place, so there is nothing to keep.")
    after = replace(run, kept=why, remind_at=now + 7 * policy.remind_after)
    event = _event(after, now, user, f"{run.name} stays in place: {why}")
    return RunChange(run=after, events=(event,), messages=cards(after))


def tick(run: Run, now: datetime, policy: Mitigations) -> RunChange | None:
    """What is due ``now``; None: nothing."""
    if run.state is State.PROPOSED and run.approve_by is not None and run.approve_by <= now:
        return expired(run, now)
    if run.open or run.remind_at is None or run.remind_at > now:
        return None
    if not run.in_place:
        return RunChange(run=replace(run, remind_at=None))
    every = 7 * policy.remind_after if run.kept else policy.remind_after
    context = {"run": run.id, "remedy": run.remedy, "since": run.applied_at and run.applied_at.isoformat()}
    told = Outgoing(kind="post", to=HOME, template="still_in_place", context=context)
    return RunChange(run=replace(run, remind_at=now + every), messages=(told,))


def due_at(run: Run) -> datetime | None:
    """When :func:`tick` has something to do."""
    moments = [run.approve_by if run.state is State.PROPOSED else None, None if run.open else run.remind_at]
    return min((one for one in moments if one is not None), default=None)


def _not_begun(before: Run, after: Run) -> tuple[Outgoing, ...]:
    """Whoever has approved it believes that it goes on: a card that is edited tells nobody."""
    if before.state is not State.APPROVED:
        return ()
    approvers = list(dict.fromkeys(approval.user for approval in after.approvals))
    # by the template of an end, which a bot of before knows too
    context = {**_named(after), "outcome": "not begun", "said": after.said, "approvers": approvers}
    return (Outgoing(kind="post", to=HOME, template="mitigation_ended", context=context),)


def _must_be(run: Run, state: State) -> None:
    if run.state is not state:
        raise _not_now(run)


def _not_now(run: Run) -> Refusal:
    if run.state is State.PLANNING:
        return Refusal("Too early: its preview is not there yet.")
    how = f"{run.state}, {run.outcome}" if run.outcome else run.state
    return Refusal(f"Too late: it is {how} already.")


def _moved(run: Run, to: State, **more: Any) -> Run:
    if to not in MOVES[run.state]:
        raise Refusal(f"A mitigation that is {run.state} cannot become {to}.")
    return replace(run, state=to, **more)


def _event(run: Run, at: datetime, actor: str, text: str) -> Event:
    data: dict[str, Any] = {"run": run.id, "remedy": run.remedy, "state": run.state}
    if run.plan is not None:
        data["values"] = [{"name": name, "old": old, "new": new} for name, old, new in run.plan.shown]
    return Event(kind=Kind.MITIGATION, at=at, actor=actor, text=text, data=data)


def _named(run: Run) -> dict[str, str]:
    """How a message that is posted about it knows what to call it."""
    return {"remedy": run.remedy, **({"undoes": run.undoes} if run.undoes else {})}


def _person(user: str) -> str:
    return user if user == BOT else f"<@{user}>"
