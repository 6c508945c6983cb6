"""A mitigation's run: what it is, its states, and the table of its legal moves; ``mitigation`` makes the moves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bot.domain.causes import Severity
from bot.domain.changes import Change, KeyChange
from bot.domain.incident import Outgoing
from bot.domain.timeline import Event


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
    """Nobody knows what became of it; people have to look."""
    DONE = "done"
    """Of a revert: all is as it was before."""


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

    ``pin``: the hash of the pod template that the preview was made of; ``after``: the one that it is to have.
    """

    cluster: str
    namespace: str
    deployment: str
    uid: str
    """The deployment's."""
    pin: str
    after: str
    secret_pin: str = ""
    """Of a Secret that is changed, ``uid:resourceVersion``; empty: none is."""
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
    def undoes(self) -> str:
        """Of a revert, the remedy that it takes back."""
        return self.arguments.get("remedy", "") if self.remedy == REVERT else ""

    @property
    def name(self) -> str:
        """What people call it in a sentence."""
        return f"{self.remedy} of {self.undoes}" if self.undoes else self.remedy

    @property
    def in_place(self) -> bool:
        """Whether its run is over and has left something temporary in the cluster that somebody has to take back."""
        applied = self.applied_at is not None and self.state is State.ENDED
        return self.temporary and applied and self.reverted_by is None

    @property
    def key_by_form(self) -> bool:
        """Whether somebody enters the new key when it has been approved."""
        changes = () if self.plan is None else self.plan.changes
        return any(isinstance(change, KeyChange) and not change.source for change in changes)

    @property
    def lock(self) -> str | None:
        """What no other run may change at the same time; None: nothing just now."""
        if self.state not in IN_FLIGHT or self.plan is None:
            return None
        return f"{self.plan.cluster}/{self.plan.namespace}/{self.plan.deployment}"


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
    """What the run is called that is in flight on the same deployment."""
    applied: int = 0
    resolved: bool = False
    """Whether the run's incident is."""
