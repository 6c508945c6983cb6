"""Runs for the tests of what stores and drives them."""

from datetime import datetime, timedelta
from typing import Any

from bot.domain import mitigation
from bot.domain.causes import Severity
from bot.domain.changes import AnnotationChange, EnvChange, KeyChange, RevisionChange
from bot.domain.incident import Incident
from bot.domain.policy import Mitigations
from bot.domain.runs import Approval, Circumstances, Plan, Run, RunChange
from bot.domain.timeline import fault
from bot.store.sql import SqlStore
from tests.fakes import NOW

LIMITS = Mitigations(per_hour=6)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
QUIET = Circumstances()

# one of each kind, since each is stored in its own way
CHANGES = (
    EnvChange(container="app", name="LIMIT", before=None, after={"name": "LIMIT", "value": "5"}),
    AnnotationChange(name="kubectl.kubernetes.io/restartedAt", before=None, after="2026-07-01T12:00:00Z"),
    RevisionChange(before=3, before_set="app-3", after=2, after_set="app-2"),
    KeyChange(secret="keys", entry="api-key", source="new", source_entry="api-key", source_version="7"),
)


def asking(incident: int, identity: str = "r1", **more: Any) -> Run:
    told: dict[str, Any] = {
        "target": "default",
        "remedy": "limit_concurrency",
        "arguments": {"value": "5"},
        "severity": Severity.P1,
        "requested_by": "U1",
        "reason": "too many at once",
        "requested_at": NOW,
        "temporary": True,
    }
    return Run(id=identity, incident=incident, **(told | more))


def planning(deployment: str = "app") -> Plan:
    return Plan(
        cluster="prod",
        namespace="default",
        deployment=deployment,
        uid="u-1",
        pin="a" * 64,
        after="b" * 64,
        secret_pin="u-2:7",
        changes=CHANGES,
        shown=(("LIMIT", "not set", "5"),),
        diff=("+ spec.containers[app].env[LIMIT]: 5",),
        replicas=3,
        strategy="RollingUpdate",
        last_rollout_s=12.5,
        warnings=("Ünï 🔥",),
        commands=("kubectl set env deployment/app LIMIT=5",),
        cause="rate_limited",
        baseline=("mistral_api",),
        found_by=("mistral_api", "canary"),
    )


def approving(run: Run, user: str = "U2", at: datetime = NOW) -> RunChange:
    return mitigation.approved(run, Approval(user=user, at=at), enough=True, policy=LIMITS)


async def added(store: SqlStore, incident: int, identity: str = "r1", **more: Any) -> Run:
    run = asking(incident, identity, **more)
    return await store.add_run(mitigation.asked(run), now=NOW, request=f"ask:{identity}")


async def claimed(store: SqlStore, run: Run, now: datetime = NOW) -> Run:
    """The same, for this process alone."""
    found = {one.id: one for one in await store.claim_runs(now, limit=100, lease_s=60)}
    return found[run.id]


async def proposed(store: SqlStore, incident: int, identity: str = "r1", deployment: str = "app", **more: Any) -> Run:
    run = await claimed(store, await added(store, incident, identity, **more))
    return await store.move_run(run, mitigation.proposed(run, planning(deployment), NOW, LIMITS), now=NOW)


async def approved(store: SqlStore, incident: int, identity: str = "r1", deployment: str = "app", **more: Any) -> Run:
    """Approved and claimed, about to begin."""
    run = await proposed(store, incident, identity, deployment, **more)
    return await claimed(store, await store.move_run(run, approving(run), now=NOW))


async def begin(store: SqlStore, run: Run, now: datetime = NOW) -> Run | None:
    return await store.begin_run(run, lambda around: mitigation.begun(run, now, around, LIMITS), now=now)


async def applied(store: SqlStore, incident: int, identity: str = "r1", deployment: str = "app", **more: Any) -> Run:
    """The cluster has taken it."""
    run = await begin(store, await approved(store, incident, identity, deployment, **more))
    assert run is not None
    return await store.move_run(run, mitigation.accepted(run, NOW, LIMITS), now=NOW)


async def told(store: SqlStore, incident: Incident) -> list[str]:
    """The timeline's texts; its chain is whole."""
    newest = await store.incident(incident.id)
    entries = await store.timeline(incident.id)
    assert newest is not None
    assert fault(entries, count=newest.entries, last_hash=newest.last_hash) is None
    return [entry.event.text for entry in entries[1:]]
