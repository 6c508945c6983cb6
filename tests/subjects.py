"""What messages are about: an incident and all that comes with it, as templates see it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.domain.action import Action, ActionPriority
from bot.domain.alerts import Alert, AlertKey, Does, Judged, Proposal
from bot.domain.approvals import HOW_TO_CONFIGURE
from bot.domain.causes import Severity
from bot.domain.collecting import Collection, Why
from bot.domain.collecting import State as Collected
from bot.domain.diagnosis import diagnose
from bot.domain.incident import Incident, Milestone, Role, Status
from bot.domain.insight import insight
from bot.domain.policy import ApprovalRule, Policy
from bot.domain.postmortem import Postmortem, PostmortemState, Version
from bot.domain.publication import ComponentState, Impact, Publication, PublicStatus
from bot.domain.remedies import ENV_REMEDIES
from bot.domain.runs import Approval, Outcome, State
from bot.domain.signals import Finding, LogLine, LogPattern, Logs, ProbeName, Verdict
from bot.domain.timeline import Entry, Event, Kind
from bot.mitigations import load as load_remedies
from bot.slack.form_parts import SEVERITIES
from tests.domain.cases import world
from tests.fakes import NOW
from tests.runs import a_plan, a_run

ADA, ROBIN, CHRIS = "U0APPROVER", "U0REQUESTER", "U0COMMANDER"
LATER = NOW.replace(hour=13)

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
BACK = {"remedy": "revert", "undoes": "fallback"}
MITIGATION = {
    "incident": INCIDENT,
    "run": RUN,
    "rule": None,
    "second_person": False,
    "how_to_configure": HOW_TO_CONFIGURE,
    "revertible": False,
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
