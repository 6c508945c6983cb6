"""Makes the preview of a mitigation: what would change, by the API server's own dry run, and how things stand now."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.domain import mitigation
from bot.domain.caution import why_never
from bot.domain.changes import (
    AnnotationChange,
    Change,
    EnvChange,
    KeyChange,
    RevisionChange,
    Unfitting,
    changed,
    diff,
    inverse,
    merge_patch,
    template_hash,
)
from bot.domain.diagnosis import diagnose
from bot.domain.incident import Refusal
from bot.domain.objects import Object, whole, within
from bot.domain.policy import Mitigations
from bot.domain.redaction import mask_within, redact
from bot.domain.rollout import last_rollout_s, managed_by, strategy
from bot.domain.runs import REVERT, Plan, Run, RunChange
from bot.domain.signals import Finding, ProbeName, Verdict
from bot.domain.workload import shown_value, template
from bot.errors import Changed, Forbidden, LoginExpired, NotConfigured
from bot.handlers.moved import AsBefore
from bot.handlers.probing import Prober, known_keys
from bot.handlers.reverting import note_reverted
from bot.ports import Ask, Cluster, Probe, ProbeRun, Remedy, Store
from bot.settings import Kubernetes

# What stands between users and the provider heals nothing there: only these say whether it helps.
_OWN = frozenset({ProbeName.HEALTH, ProbeName.PROMETHEUS, ProbeName.PODS, ProbeName.LOGS})
_MOST_LINES = 200
_ATTEMPTS = 20


@dataclass(frozen=True)
class Seen:
    """The deployment as it was read, with the ReplicaSets and pods of its selector."""

    deployment: Object
    replica_sets: Sequence[Object]
    pods: Sequence[Object]

    @property
    def sets(self) -> Mapping[str, Object]:
        return {str(within(held, "metadata").get("name")): held for held in self.replica_sets}


async def seen(run: ProbeRun, cluster: Cluster) -> Seen:
    """Raises UpstreamError."""
    settings = run.target.kubernetes

    async def listed(kind: str) -> list[Object]:
        return [one async for one in cluster.list(kind, selector=settings.selector)]

    deployment, sets, pods = await asyncio.gather(
        cluster.get("Deployment", settings.deployment), listed("ReplicaSet"), listed("Pod")
    )
    return Seen(deployment, sets, pods)


@dataclass(frozen=True, kw_only=True)
class Planner:
    prober: Prober
    probes: Sequence[Probe]
    remedies: Mapping[str, Remedy]
    store: Store
    policy: Mitigations

    async def plan(self, run: Run, _: object) -> RunChange:
        """The run as it is proposed, or cancelled with a sentence that says why."""
        now = self.prober.clock.now()
        asks = self.prober.run_of(run.target, "mitigation")
        try:
            original = await self._original(run)
            plan = await self._preview(run, original, asks, await self._findings(run))
            await self._must_be_open(run)
        except AsBefore as no:
            await note_reverted(self.store, run, now)
            return mitigation.cancelled(run, str(no), now)
        except (Refusal, Unfitting) as no:
            return mitigation.cancelled(run, str(no), now)
        except Forbidden as error:
            return mitigation.cancelled(run, f"{sentence(error)} {WHO_GRANTS}", now)
        except LoginExpired as error:
            return mitigation.cancelled(run, sentence(error), now)
        if run.automatic and original is not None and not _as_left(original, plan):
            # somebody has been here since: people look at it first
            run = replace(run, automatic=False, approvals=())
        return mitigation.proposed(run, plan, self.prober.clock.now(), self.policy)

    async def _must_be_open(self, run: Run) -> None:
        """Raises Refusal: nobody could approve it. What an incident has left may always be taken back."""
        incident = await self.store.incident(run.incident)
        if incident is not None and not incident.open and run.remedy != REVERT:
            raise Refusal(f"{incident.name} is resolved; `/mistral reopen {incident.id}` opens it again.")

    async def _preview(self, run: Run, original: Run | None, asks: ProbeRun, findings: Sequence[Finding]) -> Plan:
        """Of the deployment as it is; one whose status changes in the same moment is read again."""
        tries = 0
        while True:
            tries += 1
            held = await seen(asks, _cluster(asks))
            changes = await self._changes(run, original, asks, held)
            try:
                return await self._made(run, original, asks, held, changes, findings)
            except Changed:
                if tries == _ATTEMPTS:
                    raise

    async def _findings(self, run: Run) -> Sequence[Finding]:
        if run.remedy == REVERT:
            return ()
        return await self.prober.run(self.probes, run.target, lambda _: None)

    async def _original(self, run: Run) -> Run | None:
        """The run that a revert takes back."""
        if run.remedy != REVERT:
            return None
        original = await self.store.run(run.arguments["of"])
        if original is None or original.plan is None:
            raise Refusal("What it would take back is not known any more.")
        if original.reverted_by not in (None, run.id):
            raise Refusal("It has been reverted already.")
        return original

    async def _changes(self, run: Run, original: Run | None, asks: ProbeRun, held: Seen) -> Sequence[Change]:
        if original is not None and original.plan is not None:
            return inverse(original.plan.changes)
        stamp = run.requested_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        ask = Ask(
            run=asks,
            deployment=held.deployment,
            replica_sets=held.replica_sets,
            arguments=run.arguments,
            stamp=stamp,
        )
        return await self.remedies[run.remedy].plan(ask)

    async def _made(
        self,
        run: Run,
        original: Run | None,
        asks: ProbeRun,
        held: Seen,
        changes: Sequence[Change],
        findings: Sequence[Finding],
    ) -> Plan:
        cluster = _cluster(asks)
        settings, metadata = asks.target.kubernetes, within(held.deployment, "metadata")
        before, keys = template(held.deployment), await known_keys(asks)
        if mask_within(tuple(changes), keys) != tuple(changes):
            raise Refusal("What would be changed holds Mistral's key itself, which the bot keeps nowhere; use kubectl.")
        wanted = _wanted(held, changes, settings, reverts=original is not None)
        patch = template_patch(held.deployment, wanted)
        after = template(await cluster.patch("Deployment", settings.deployment, patch, dry_run=True))
        remedy = self.remedies.get(run.arguments.get("remedy", run.remedy))
        bad = tuple(finding.probe for finding in findings if finding.verdict is Verdict.BAD)
        cause = diagnose(tuple(findings), self.prober.clock.now()).cause if findings else None
        # whoever asked has confirmed what an earlier triage said; this one they have not seen
        never = "" if run.never else why_never({"cause": cause}, run.remedy)
        plan = Plan(
            cluster=settings.context or ("the bot's own" if settings.in_cluster else "the kubeconfig's own"),
            namespace=settings.namespace,
            deployment=settings.deployment,
            uid=str(metadata.get("uid")),
            pin=template_hash(before),
            after=template_hash(after),
            secret_pin=await _secret_pin(cluster, changes),
            changes=tuple(changes),
            shown=tuple(_shown(change) for change in changes),
            diff=diff(before, after)[:_MOST_LINES],
            replicas=whole(within(held.deployment, "spec").get("replicas"), 1),
            strategy=strategy(held.deployment),
            last_rollout_s=last_rollout_s(held.deployment, held.replica_sets, held.pods),
            warnings=(*_warnings(held), *([never] if never else [])),
            commands=_commands(run, original, remedy, settings.namespace, settings.deployment, changes),
            cause=cause,
            baseline=bad,
            found_by=_found_by(findings, shields=remedy is not None and remedy.shields),
        )
        masked: Plan = mask_within(plan, keys)
        return masked


def _wanted(held: Seen, changes: Sequence[Change], settings: Kubernetes, *, reverts: bool) -> Object:
    """The template to be; raises Refusal and AsBefore where there is nothing to do, or nothing would roll out."""
    before = template(held.deployment)
    wanted = changed(before, changes, held.sets)
    if wanted == before and reverts:
        raise AsBefore("It is as it was before already, so it counts as reverted.")
    if wanted == before:
        raise Refusal("That changes nothing: it is so already.")
    if within(held.deployment, "spec").get("paused"):
        raise Refusal(
            f"The deployment is paused, so nothing would roll out; first `kubectl -n {settings.namespace} "
            f"rollout resume deployment/{settings.deployment}`."
        )
    return wanted


def _cluster(asks: ProbeRun) -> Cluster:
    if asks.cluster is None:
        raise NotConfigured("No cluster is configured; set KUBECONFIG, or run in the cluster.")
    return asks.cluster


WHO_GRANTS = "Ask whoever administers the cluster to add that to the bot's Role."


def template_patch(deployment: Object, wanted: Object, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The merge patch that gives ``deployment``, as it was read, the template ``wanted``."""
    metadata: dict[str, Any] = {"resourceVersion": within(deployment, "metadata").get("resourceVersion")}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"metadata": metadata, "spec": {"template": merge_patch(template(deployment), wanted)}}


async def _secret_pin(cluster: Cluster, changes: Sequence[Change]) -> str:
    for change in changes:
        if isinstance(change, KeyChange):
            return secret_pin(await cluster.get("Secret", change.secret))
    return ""


def secret_pin(secret: Object) -> str:
    """What a preview of a Secret is pinned to."""
    metadata = within(secret, "metadata")
    return f"{metadata.get('uid')}:{metadata.get('resourceVersion')}"


def _as_left(original: Run, plan: Plan) -> bool:
    return original.plan is not None and (original.plan.uid, original.plan.after) == (plan.uid, plan.pin)


def _found_by(findings: Sequence[Finding], *, shields: bool) -> tuple[str, ...]:
    """The probes that must be well: those that found the fault, or where it stays the service's own."""
    known = [finding for finding in findings if finding.verdict is not Verdict.UNKNOWN]
    bad = [one.probe for one in known if one.verdict is Verdict.BAD and (not shields or one.probe in _OWN)]
    return tuple(bad or (one.probe for one in known if one.probe in _OWN))


def _shown(change: Change) -> tuple[str, str, str]:
    match change:
        case EnvChange():
            old, new = ("unset" if entry is None else shown_value(entry) for entry in (change.before, change.after))
            return f"{change.name} of {change.container}", old, new
        case AnnotationChange():
            return "restarted at", change.before or "never", change.after or "never"
        case RevisionChange():
            return "revision", str(change.before), str(change.after)
        case KeyChange():
            source = f"from Secret {change.source}, key {change.source_entry}" if change.source else "from a form"
            return f"{change.entry} of Secret {change.secret}", "the key as it is", source


def _warnings(held: Seen) -> list[str]:
    warnings = []
    managed = managed_by(held.deployment)
    if managed is not None:
        warnings.append(managed)
    if whole(within(held.deployment, "spec").get("replicas"), 1) == 0:
        warnings.append("It is scaled to zero: no pod runs, so nothing will show whether it helps.")
    return warnings


def _commands(
    run: Run, original: Run | None, remedy: Remedy | None, namespace: str, deployment: str, changes: Sequence[Change]
) -> tuple[str, ...]:
    if remedy is None:
        return ()
    return tuple(redact(line) for line in remedy.commands(namespace, deployment, changes))


def sentence(error: Exception) -> str:
    """What an error says, with a capital and a full stop."""
    said = str(error)
    return f"{said[:1].upper()}{said[1:].rstrip('.')}."
