"""One usual and one rich context for each template of Slack, for the golden files and for hostile text.

A new template needs a line here: ``NAME: sample(usual, rich)``, both what it is rendered with. Every text in the rich
one is in turn replaced by hostile ones, at any depth; ``own`` names what is the bot's own and never anybody's text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from bot.domain.causes import CAUSES
from bot.domain.collecting import Missing
from bot.domain.incident import Role
from bot.domain.postmortem import Postmortem
from bot.domain.runs import State
from bot.domain.signals import Logs, Traffic
from bot.domain.similar import Similar
from bot.domain.watching import Watching
from bot.ports import Published, Reply
from bot.slack.actions import PRIORITIES, STATES
from bot.slack.form_parts import SEVERITIES
from tests.domain.test_publication import INCIDENT as PUBLIC
from tests.fakes import NOW
from tests.subjects import (
    ADA,
    ALERT,
    ASKED,
    BACK,
    BUSY,
    CARD,
    CHRIS,
    COLLECTED,
    DONE,
    ENTRIES,
    EVERYBODY,
    FIELDS,
    FIRES,
    FORM,
    FOUND,
    INCIDENT,
    KEY,
    LATER,
    LEARNT,
    LOGS,
    MITIGATION,
    NEXTS,
    NOBODY,
    OVER,
    PAGE,
    POST,
    PROMISED,
    PROPOSAL,
    PUBLICATION,
    REMEDY,
    ROBIN,
    RULE,
    SEEN,
    STATUSES,
    TRIAGE,
    UNSEEN,
    WRITTEN,
)

_OWN = frozenset({"id", "metadata", "template", "slug"})
# what stands in a menu is our own, or was checked when the settings were read
_MENUS = ("statuses", "nexts", "states", "known", "components", "severities", "status", "state", "severity")


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
    "glass_broken": sample(
        {"incident": INCIDENT, "remedy": "fallback", "actor": ADA, "reason": "it cannot wait"}, BACK
    ),
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
        MITIGATION,
        {"run": replace(DONE, state=State.PROPOSED), "rule": RULE, "second_person": True, "revertible": True},
        own={"how_to_configure"},
    ),
    "mitigation_ended": sample(
        {"incident": INCIDENT, "remedy": "fallback", "outcome": "no effect", "said": ""},
        {**BACK, "outcome": "not begun", "said": "It is late.", "approvers": [ADA, CHRIS]},
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
    "update_modal": sample(
        {**FORM, "statuses": STATUSES, "nexts": NEXTS, "action": BUSY.action}, {"audiences": EVERYBODY}, own=_MENUS
    ),
}
