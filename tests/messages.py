"""One usual and one rich context for each template of Slack, for the golden files and for hostile text.

A new template needs a line here: ``NAME: sample(usual, rich)``, both what it is rendered with. Every text in the rich
one is in turn replaced by hostile ones, at any depth; ``own`` names what is the bot's own and never anybody's text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from bot.domain.action import Action, ActionPriority
from bot.domain.alerts import Alert, AlertKey, Does, Judged, Proposal
from bot.domain.approvals import HOW_TO_CONFIGURE
from bot.domain.causes import CAUSES, Severity
from bot.domain.collecting import Collection, Missing, Why
from bot.domain.collecting import State as Collected
from bot.domain.diagnosis import diagnose
from bot.domain.incident import Incident, Milestone, Role, Status
from bot.domain.insight import insight
from bot.domain.policy import ApprovalRule, Policy
from bot.domain.postmortem import Postmortem, PostmortemState, Version
from bot.domain.publication import ComponentState, Impact, Publication, PublicStatus
from bot.domain.remedies import ENV_REMEDIES
from bot.domain.runs import Approval, Outcome, State
from bot.domain.signals import Finding, LogLine, LogPattern, Logs, ProbeName, Traffic, Verdict
from bot.domain.similar import Similar
from bot.domain.timeline import Entry, Event, Kind
from bot.domain.watching import Watching
from bot.mitigations import load as load_remedies
from bot.ports import Published, Reply
from bot.slack.actions import PRIORITIES, STATES
from bot.slack.form_parts import SEVERITIES
from tests.domain.cases import world
from tests.domain.test_publication import INCIDENT as PUBLIC
from tests.fakes import NOW
from tests.runs import a_plan, a_run

ADA, ROBIN, CHRIS = "U0APPROVER", "U0REQUESTER", "U0COMMANDER"
LATER = NOW.replace(hour=13)
_OWN = frozenset({"id", "metadata", "template", "slug"})


@dataclass(frozen=True)
class Sample:
    usual: Mapping[str, Any]
    rich: Mapping[str, Any]
    own: frozenset[str]
    thread: tuple[Reply, ...] = ()


def sample(
    usual: Mapping[str, Any], rich: Mapping[str, Any] | None = None, *, own: Iterable[str] = (), **more: Any
) -> Sample:
    """``rich`` adds to ``usual``."""
    return Sample(usual, {**usual, **(rich or {})}, _OWN | frozenset(own), **more)


INCIDENT = Incident(
    id=3,
    target="default",
    title="Completions fail",
    severity=Severity.P1,
    impact="nobody can chat",
    declared_by=ROBIN,
    declared_at=NOW,
    updated_at=NOW,
    next_update_at=LATER,
    channel="C0INCIDENTS",
    version=1,
    entries=1,
)
BUSY = replace(
    INCIDENT,
    status=Status.IDENTIFIED,
    action="queueing requests",
    components=("Chat", "Search"),
    cause="rate_limited",
    roles={Role.COMMANDER: CHRIS, Role.SCRIBE: ADA},
    milestones={Milestone.DECLARED: NOW, Milestone.ACKNOWLEDGED: NOW},
    own_channel="C0OWN",
)
OVER = replace(BUSY, status=Status.RESOLVED, resolved_at=LATER, next_update_at=None)
RUN = a_run(incident=3, state=State.PROPOSED, plan=a_plan(), approve_by=LATER)
PROMISED = Action(
    id=4,
    incident=3,
    text="raise the limit",
    priority=ActionPriority.P2,
    owner=CHRIS,
    due=NOW.date(),
    created_by=ADA,
    created_at=NOW,
)
COLLECTED = Collection(
    id="c1",
    incident=3,
    target="default",
    channel="C0INCIDENTS",
    why=Why.ASKED,
    asked_by=ADA,
    requested_at=NOW,
    since=timedelta(hours=1),
    state=Collected.DONE,
    files=31,
    size=1_234_567,
    name="evidence-INC-3.tar.gz",
    sha256="9f86d081884c7d65" * 4,
)
ENDED = replace(OVER, milestones={Milestone.DECLARED: NOW, Milestone.RESTORED: LATER})
LEARNT = insight([ENDED], [], [], LATER, Policy())
WRITTEN = Postmortem(
    incident=3,
    state=PostmortemState.PUBLISHED,
    newest=Version(incident=3, number=2, at=LATER, by=CHRIS, written={"summary": "It failed."}),
    published=1,
    published_at=LATER,
    published_by=ADA,
)
FIELDS = [("summary", "Summary", "It failed.", ""), ("notes", "Notes", "", "Written by people.")]
DONE = a_run(
    incident=3,
    state=State.ENDED,
    plan=a_plan(warnings=("only one replica is ready",)),
    applied_at=NOW,
    outcome=Outcome.FIXED,
    kept="until the provider is back",
    said="errors are gone",
    never="The triage says: the limit is reached.",
    approvals=(Approval(user=ADA, at=NOW, reason="it cannot wait"),),
)
RULE = ApprovalRule(users=frozenset({ADA}), groups=frozenset({"S0ONCALL"}), approvals=2)
REMEDY = load_remedies(ENV_REMEDIES)["fallback"]
FOUND = diagnose(world(), NOW)
SEEN = [Finding(probe=ProbeName.PODS, verdict=Verdict.BAD, summary="2 of 3 pods are ready"), *world()[:3]]
UNSEEN = [*SEEN, Finding(probe=ProbeName.LOGS, verdict=Verdict.UNKNOWN, summary="forbidden: get pods/log in default")]
ENTRIES = [
    Entry(
        incident=3,
        number=number,
        noted=NOW,
        previous="",
        hash="",
        event=Event(kind=kind, at=NOW, actor=actor, text=text, data=data),
    )
    for number, (kind, actor, text, data) in enumerate(
        [
            (Kind.DECLARED, ROBIN, "Completions fail", {}),
            (Kind.ROLE, ADA, "commander", {"user": CHRIS}),
            (Kind.NOTE, "bot", "moved to the channel C0OWN", {}),
        ],
        1,
    )
]
LOGS = Logs(
    lines=100,
    error_lines=30,
    by_kind={"429": 20, "timeout": 10},
    pods=3,
    patterns=(LogPattern(count=30, text="mistral call failed: 429"),),
    newest=(LogLine(pod="mistral-service-1", text="mistral call failed: 429", at=NOW),),
    left_out=("2 pods were left out",),
)
PUBLICATION = Publication(
    status=PublicStatus.IDENTIFIED,
    title="Slow answers",
    text="Answers take longer than usual.",
    workaround="Please wait.",
    components={"Chat": ComponentState.DEGRADED, "Search": ComponentState.MAJOR},
    impact=Impact.MAJOR,
    by=ROBIN,
)
POST = {
    "incident": INCIDENT,
    "title": "Completions fail",
    "severity": "P1",
    "status": "identified",
    "impact": "",
    "action": "",
    "next_update_at": None,
    "actor": ADA,
}
NOBODY: dict[str, Any] = {"channels": (), "stakeholders": "", "page": None}
PAGE = {
    "published": False,
    "ends": False,
    "statuses": [("investigating", "Investigating"), ("identified", "Identified")],
    "status": "identified",
    "title": "Slow answers",
    "text": "Answers take longer than usual.",
    "workaround": "Please wait.",
    "known": ["Chat", "Search"],
    "components": ["Chat"],
    "states": [("degraded_performance", "Slower"), ("major_outage", "Out of order")],
    "state": "major_outage",
}
EVERYBODY = {"channels": ("C0SUPPORT", "C0SALES"), "stakeholders": "Answers are slow.", "page": PAGE}
FORM = {"metadata": {"number": 3}, "incident": BUSY, "audiences": NOBODY}
STATUSES = [("investigating", "Investigating"), ("identified", "Identified")]
NEXTS = [("policy", "as promised for the severity"), ("15", "in 15 min")]
# what stands in a menu is our own, or was checked when the settings were read
_MENUS = ("statuses", "nexts", "states", "known", "components", "severities", "status", "state", "severity")
ASKED = {
    "metadata": {"remedy": "fallback"},
    "remedy": REMEDY,
    "target": "default",
    "never": "",
    "incidents": [],
    "incident": None,
    "title": "",
    "severity": None,
    "severities": SEVERITIES,
    "given": {},
}
CARD = {
    "incident": INCIDENT,
    "similar": (),
    "in_place": [],
    "triage": None,
    "alerts": None,
    "watching": None,
    "public": None,
    "published": [],
}
TRIAGE = {
    "headline": "Mistral's rate limit is reached",
    "cause": "rate_limited",
    "confidence": "high",
    "mitigations": ["rate_limit_queue"],
}

_JUDGED = Judged(does=Does.PROPOSE, severity=Severity.P3, target="default")
ALERT = Alert(
    fingerprint="0a1b2c3d",
    starts_at=NOW,
    key="5f2c",
    named={"alertname": "MistralErrors"},
    name="MistralErrors",
    labels={"alertname": "MistralErrors", "namespace": "prod"},
    summary="more than 5 % of requests fail",
    url="https://status.example/5f2c",
    judged=_JUDGED,
)
KEY = AlertKey(key="5f2c", named=ALERT.named, does=Does.PROPOSE, severity=Severity.P3, target="default")
PROPOSAL = Proposal(key=KEY, alerts=(ALERT,), count=1, firing=1, declared=None)
FIRES = {"title": ALERT.title, "url": ALERT.url, "began_at": NOW.isoformat(), "labels": ALERT.labels}

MESSAGES: dict[str, Sample] = {
    "alerts_fire": sample(
        {"incident": INCIDENT, "alerts": [FIRES], "count": 1},
        {"alerts": [FIRES, {**FIRES, "url": ""}] * 4, "count": 20},
    ),
    "alerts_resolved": sample({"incident": INCIDENT}),
    "catch_up": sample(
        {"incident": INCIDENT, "entries": ENTRIES[:1], "open_for": LATER - NOW, "open_points": []},
        {"incident": BUSY, "entries": ENTRIES, "open_points": ["nobody has taken command"]},
    ),
    "commands": sample({"parts": []}, {"parts": ["kubectl rollout restart deployment/mistral-service"]}),
    "escalation": sample(
        {"incident": INCIDENT, "respond_by": LATER.isoformat(), "mention": None, "paged": False, "pagers": False},
        {"mention": "S0ONCALL", "paged": True},
    ),
    "frozen": sample({"by": ADA, "reason": "", "on": False}, {"reason": "the cluster is being moved", "on": True}),
    "glass_broken": sample({"incident": INCIDENT, "remedy": "fallback", "actor": ADA, "reason": "it cannot wait"}),
    "health": sample(
        {"healthy": True, "target": "", "sentence": "Mistral's API answers"}, {"healthy": False, "target": "eu"}
    ),
    "help": sample({"targets": ("default",)}, {"targets": ("default", "eu")}),
    "home": sample(
        {
            **{name: [] for name in ("mine", "open", "in_place", "recent", "figures", "actions")},
            "today": NOW.date(),
            "most": 15,
            "cut": False,
            "counted": 100,
            "dead": 0,
        },
        {
            "actions": [PROMISED],
            "mine": [BUSY],
            "open": [BUSY, replace(INCIDENT, respond_by=LATER)],
            "in_place": [(DONE, BUSY), (DONE, None)],
            "recent": [OVER],
            "figures": [("P1", LATER - NOW, None, 2)],
            "dead": 2,
        },
    ),
    "in_place": sample({"runs": [replace(DONE, kept="")], "most": 20}, {"runs": [DONE] * 3, "most": 2}),
    "incident_card": sample(
        CARD,
        {
            "incident": BUSY,
            "in_place": [DONE],
            "triage": TRIAGE,
            "alerts": SimpleNamespace(firing=2, names=("MistralErrors", "MistralSlow"), began_at=NOW),
            "watching": Watching(provider=("Elevated errors",)),
            "similar": [Similar(incident=replace(OVER, id=2), score=5.0, fixed_by=("rate_limit_queue",))],
            "public": PUBLIC,
            "published": [
                (Published(page="builtin", state="sent", known="5f2c", error=None), "https://status.example/5f2c"),
                (Published(page="atlassian", state="dead", known=None, error="it refuses the key"), None),
            ],
        },
        own={"cause", "last_hash", "state", "known"},
    ),
    "incident_list": sample({"incidents": [], "most": 30}, {"incidents": [BUSY, INCIDENT, OVER], "most": 2}),
    "incident_modal": sample(
        {
            "metadata": {},
            "title": "",
            "severity": None,
            "severities": SEVERITIES,
            "impact": "",
            "action": "",
            "commander": ROBIN,
            "components": [],
        },
        {"title": "It fails", "severity": "P2", "impact": "nobody can chat", "action": "ask", "components": ["Chat"]},
        own=_MENUS,
    ),
    "incident_reopened": sample(POST),
    "incident_resolved": sample({**POST, "reason": ""}, {"reason": "the limit was raised"}),
    "incident_role": sample({**POST, "role": "scribe", "user": ADA}, {"user": CHRIS}),
    "incident_roles": sample(
        {"incident": INCIDENT, "roles": list(Role), "mine": []},
        {"incident": BUSY, "mine": [Role.COMMANDER]},
    ),
    "incident_severity": sample({**POST, "was": "P2"}),
    "incident_update": sample(
        POST,
        {"incident": BUSY, "impact": "nobody can chat", "action": "queueing", "next_update_at": LATER.isoformat()},
    ),
    "mitigate_modal": sample(
        ASKED,
        {"target": "eu", "never": "The limit is reached.", "incidents": [("3", "INC-3 P1 Completions fail")]},
        own={*_MENUS, "incidents", "incident", "spec"},
    ),
    "mitigation_card": sample(
        {
            "incident": INCIDENT,
            "run": RUN,
            "rule": None,
            "second_person": False,
            "how_to_configure": HOW_TO_CONFIGURE,
            "revertible": False,
        },
        {"run": replace(DONE, state=State.PROPOSED), "rule": RULE, "second_person": True, "revertible": True},
        own={"how_to_configure"},
    ),
    "mitigation_ended": sample(
        {"incident": INCIDENT, "remedy": "fallback", "outcome": "no effect", "said": ""},
        {"said": "errors are as they were"},
    ),
    "action_due": sample(
        {
            "incident": INCIDENT,
            "action": 4,
            "text": "raise the limit",
            "priority": "P2",
            "due": "2026-07-01",
            "owner": None,
            "overdue": False,
            "last": False,
        },
        {"owner": CHRIS, "overdue": True, "last": True},
    ),
    "action_modal": sample(
        {
            "metadata": {},
            "action": None,
            "text": "",
            "priorities": PRIORITIES,
            "priority": "P2",
            "owner": None,
            "due": None,
            "states": STATES,
        },
        {"action": PROMISED, "text": PROMISED.text, "owner": CHRIS, "due": "2026-07-01"},
        own={"priorities", "states", "priority", "due"},
    ),
    "actions": sample(
        {"mine": [], "others": [PROMISED], "most": 10, "today": NOW.date()},
        {"mine": [PROMISED] * 2, "most": 1, "today": LATER.date() + timedelta(days=9)},
    ),
    "evidence_card": sample(
        {"incident": INCIDENT, "collection": COLLECTED},
        {"collection": replace(COLLECTED, missing=(Missing(what="events", why="forbidden: list events"),) * 6)},
        own={"name", "sha256"},
    ),
    "metrics": sample(
        {"insight": LEARNT, "days": 30, "spans": [("MTTR", "from declared to restored", LEARNT.spans["MTTR"])]},
    ),
    "postmortem_card": sample(
        {"incident": OVER, "postmortem": Postmortem(incident=3)},
        {"postmortem": WRITTEN},
    ),
    "postmortem_due": sample(
        {"incident": OVER, "state": "unwritten", "days": 2, "owner": None, "last": False},
        {"state": "draft", "owner": CHRIS, "last": True},
    ),
    "postmortem_modal": sample(
        {
            "metadata": {},
            "incident": OVER,
            "conflict": False,
            "newest": 0,
            "fields": FIELDS,
            "confirmed": False,
            "too_long": [],
        },
        {"conflict": True, "newest": 2, "confirmed": True, "too_long": ["Root cause"]},
        own={"fields"},
    ),
    "postmortem_published": sample({"incident": OVER, "version": 0, "by": CHRIS}, {"version": 2}),
    "offer": sample({}),
    "overdue": sample(
        {"incident": INCIDENT, "next_update_at": LATER.isoformat(), "commander": None, "last": False},
        {"commander": CHRIS, "last": True},
    ),
    "preview_modal": sample(
        {"metadata": {}, "incident": INCIDENT, "public": False, "changed": False, "resolves": False},
        {"public": True, "changed": True, "resolves": True},
        thread=(
            Reply(template="preview_part", context={"channels": ["C0INCIDENTS"], "pages": ()}),
            Reply(template="incident_update", context={**POST, "impact": "nobody can chat"}),
        ),
    ),
    "preview_part": sample(
        {"channels": ["C0INCIDENTS"], "pages": ()}, {"channels": [], "pages": ("builtin", "atlassian")}
    ),
    "problem_modal": sample({"sentence": "INC-3 is resolved."}),
    "proposal_card": sample(
        {"proposal": PROPOSAL, "incident": None, "triage": None},
        {
            "proposal": replace(
                PROPOSAL, key=replace(KEY, target="eu"), alerts=(ALERT, replace(ALERT, ends_at=LATER)) * 4, count=20
            ),
            "triage": TRIAGE,
        },
        own={"key", "does", "judged", "fingerprint", "named"},
    ),
    "public_update": sample(
        {"public": replace(PUBLICATION, workaround="", components={}), "ended": False}, {"public": PUBLICATION}
    ),
    "publish_modal": sample(
        {**FORM, "audiences": {**NOBODY, "page": {**PAGE, "published": True, "known": []}}},
        {"audiences": EVERYBODY},
        own=_MENUS,
    ),
    "remedies": sample(
        {"target": "default", "remedies": [REMEDY]},
        {"target": "eu", "remedies": [SimpleNamespace(name="shed", what="leaves batch work undone", temporary=True)]},
        own={"name", "target"},
    ),
    "recovered": sample(
        {"incident": INCIDENT, "times": 3, "in_place": []},
        {"in_place": [{"id": "run1", "remedy": "fallback"}, {"id": "run2", "remedy": "shed_batch"}]},
    ),
    "reminder": sample(
        {"incident": INCIDENT, "next_update_at": LATER.isoformat(), "snoozes_left": 3},
        {"snoozes_left": 0, "instead_of": CHRIS},
    ),
    "resolve_modal": sample(
        {**FORM, "objections": [], "in_place": []},
        {"objections": ["a triage says: it fails"], "in_place": [DONE], "audiences": EVERYBODY},
        own=_MENUS,
    ),
    "run_modal": sample(
        {"metadata": {}, "act": "keep", "run": DONE, "title": "Keep it", "submit": "Keep", "told": "It.", "hint": ""},
        {"run": replace(DONE, target="eu"), "hint": "Say why."},
        own={"act", "title", "submit", "told", "hint"},
    ),
    "sentence": sample({"sentence": "INC-3 is P2 now."}),
    "stakeholder_update": sample(
        {"incident": INCIDENT, "text": "Answers are slow.", "status": "identified", "severity": "P1"}
        | {"next_update_at": None},
        {"next_update_at": LATER.isoformat()},
    ),
    "still_in_place": sample(
        {"incident": INCIDENT, "run": "run1", "remedy": "fallback", "since": None},
        {"since": NOW.isoformat()},
        own={"run"},
    ),
    "timeline": sample({"incident": INCIDENT, "entries": ENTRIES[:1]}, {"incident": BUSY, "entries": ENTRIES}),
    "triage": sample(
        {"target": "", "diagnosis": FOUND, "findings": SEEN, "duration_ms": 300, "way": (), "kept": ""},
        {
            "target": "eu",
            "diagnosis": replace(
                FOUND,
                cause="rate_limited",
                family=CAUSES["rate_limited"].family,
                mitigations=("rate_limit_queue", "fallback"),
                also=("own_service",),
                warnings=("mistral-small-2603 will be deprecated on 2026-04-01",),
            ),
            "findings": UNSEEN,
            "way": ("Mistral API returns errors", "429"),
            "kept": "a1",
        },
        own={"kept", "mitigations"},
    ),
    "triage_codes": sample(
        {"traffic": Traffic(by_code={"429": 1.5})}, {"traffic": Traffic(by_code={"429": 1.5, "5": 2})}
    ),
    "triage_logs": sample({"logs": Logs(lines=9, error_lines=1, pods=1)}, {"logs": LOGS}),
    "triage_running": sample(
        {"target": "", "findings": [], "waiting": ["pods", "logs"]}, {"target": "eu", "findings": UNSEEN, "waiting": []}
    ),
    "undelivered": sample(
        {"incident": INCIDENT, "channel": "C0INCIDENTS", "why": "is_archived"}, {"why": "message_limit_exceeded"}
    ),
    "unpublished": sample({"incident": INCIDENT, "page": "atlassian", "why": "it refuses the key"}),
    "untriaged": sample({"incident": INCIDENT, "why": "There is no target called eu any more."}),
    "update_modal": sample({**FORM, "statuses": STATUSES, "nexts": NEXTS}, {"audiences": EVERYBODY}, own=_MENUS),
}
