"""What each severity promises, when people work, and who may do what: the defaults are the runbook's; pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from bot.domain.action import ActionPriority
from bot.domain.causes import Severity

_MINUTES = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Promise:
    """``respond``: somebody takes command within it; None: on the next business day. ``update`` None: no updates."""

    respond: timedelta | None
    update: timedelta | None


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """When people work. ``country`` (ISO 3166, such as FR) and ``region`` choose the public holidays; None: none."""

    timezone: str = "UTC"
    begin: time = time(9)
    end: time = time(17)
    weekdays: frozenset[int] = frozenset(range(5))
    """0 is Monday."""
    country: str | None = None
    region: str | None = None


@dataclass(frozen=True, kw_only=True)
class QuietHours:
    """From ``begin`` to ``end`` (the calendar's zone; over midnight where ``end`` is earlier) some are left alone."""

    begin: time
    end: time
    severities: frozenset[Severity] = frozenset({Severity.P3, Severity.P4})


@dataclass(frozen=True, kw_only=True)
class Escalation:
    """One step, ``after`` the response was due: mention a user group (its id, S…) and, if so said, page."""

    after: timedelta = timedelta(0)
    mention: str | None = None
    page: bool = False


class Act(StrEnum):
    """What ``may:`` speaks of."""

    TRIAGE = "triage"
    DECLARE = "declare"
    UPDATE = "update"
    RESOLVE = "resolve"
    MITIGATE = "mitigate"
    PUBLISH = "publish"


@dataclass(frozen=True, kw_only=True)
class ApprovalRule:
    """Who approves what; the first rule that fits counts. None: all remedies, all severities.

    ``requester`` None: whoever asked may approve, but for what needs a second person (``approvals``).
    """

    remedies: frozenset[str] | None = None
    severities: frozenset[Severity] | None = None
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    """User groups, by their ids (S…)."""
    approvals: int = 1
    requester: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Mitigations:
    """How mitigations are approved and carried out. No ``approvers``: nobody may approve any."""

    approvers: tuple[ApprovalRule, ...] = ()
    approve_within: timedelta = 10 * _MINUTES
    start_within: timedelta = 2 * _MINUTES
    per_hour: int = 6
    rollout_within: timedelta = 15 * _MINUTES
    """For a rollout that neither ends nor fails by the deployment's own deadline."""
    look_every: timedelta = timedelta(seconds=1)
    """How often a rollout is looked at."""
    verify_within: timedelta = 10 * _MINUTES
    verify_every: timedelta = timedelta(seconds=10)
    successes: int = 3
    """So many in a row count as fixed."""
    remind_after: timedelta = timedelta(days=1)
    """How long something temporary is in place before people are reminded, and again."""
    key_by_form: bool = False
    """Whether a new key may be entered in Slack."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How the provider is watched while an incident is open, and when its recovery is believed."""

    page_every: timedelta = timedelta(seconds=60)
    """The provider's status page."""
    probe_every: timedelta = timedelta(seconds=30)
    """Its API, while the cause is the provider's; the runbook's interval."""
    successes: int = 3


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A service level objective: the ``share`` of requests that are to succeed within ``window``."""

    share: float
    window: timedelta = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Afterwards:
    """What is to follow an incident. Working days are the calendar's."""

    postmortems: frozenset[Severity] = frozenset({Severity.P1, Severity.P2, Severity.P3})
    """Of which severities one is asked for; the runbook's P4 touches nobody."""
    remind_after: tuple[int, ...] = (2, 5)
    """Working days after the end, after which an unwritten postmortem is reminded of."""
    objective: Objective | None = None
    folder: Path | None = None
    """Where published postmortems are written as Markdown; None: nowhere."""
    due_days: Mapping[ActionPriority, int] = field(
        default_factory=lambda: MappingProxyType({ActionPriority.P1: 7, ActionPriority.P2: 30, ActionPriority.P3: 90})
    )
    """Days until an action item is due, where nobody says a date."""
    action_before: int = 1
    """Working days before it is due, at which its owner is reminded."""
    action_after: tuple[int, ...] = (1, 3, 7)
    """Working days after it was due: first its owner, then its owner and the incident's channel, and then no more."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """All that is a company's own choice; the YAML file's ``policy`` and ``may`` set it."""

    promises: Mapping[Severity, Promise] = field(
        default_factory=lambda: MappingProxyType(
            {
                Severity.P1: Promise(respond=15 * _MINUTES, update=15 * _MINUTES),
                Severity.P2: Promise(respond=60 * _MINUTES, update=30 * _MINUTES),
                Severity.P3: Promise(respond=240 * _MINUTES, update=240 * _MINUTES),
                Severity.P4: Promise(respond=None, update=None),
            }
        )
    )
    calendar: Calendar = Calendar()
    quiet: QuietHours | None = None
    remind_before: timedelta = 5 * _MINUTES
    snoozes_most: int = 3
    """How often one update may be put off."""
    nudges_most: int = 6
    escalations: tuple[Escalation, ...] = (Escalation(page=True),)
    may: Mapping[Act, frozenset[str]] = field(default_factory=dict)
    """User ids by act; an act that is not in it is everybody's but guests'."""
    mitigations: Mitigations = Mitigations()
    stakeholders: Mapping[Severity, tuple[str, ...]] = field(default_factory=dict)
    """Channels (C…) that are told without jargon, by severity."""
    watch: Watch = Watch()
    afterwards: Afterwards = Afterwards()
    own_channel: bool = False
    channel_name: str = "inc-{id}-{date}-{title}"
    """With ``{id}`` (needed), ``{date}``, ``{title}``."""

    def allows(self, act: Act, user: str, *, guest: bool) -> bool:
        """Whether ``user`` may."""
        listed = self.may.get(act)
        return user in listed if listed is not None else not guest

    def shows(self, user: str, *, guest: bool) -> bool:
        """Whether ``user`` may read: of guests who is named (not a group of theirs) for an act, or to approve."""
        approvers = (rule.users for rule in self.mitigations.approvers)
        return not guest or any(user in named for named in (*self.may.values(), *approvers))


SNOOZES = (10 * _MINUTES, 20 * _MINUTES, 30 * _MINUTES)
