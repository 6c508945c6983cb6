"""What the sandbox's cluster holds: built from the scenario when it changes, then moved on by patches and time."""

import time
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.sandbox import kubernetes_objects as objects
from bot.sandbox.kubernetes_objects import DEPLOYMENT, REVISION, Object
from bot.sandbox.kubernetes_patch import merge_patch, strategic_patch
from bot.sandbox.scenario import ClusterSpec, Scenario, World

PATCHES = {
    "application/strategic-merge-patch+json": strategic_patch,
    "application/merge-patch+json": merge_patch,
}
# How long the pods of a new template take to be ready, in seconds.
ROLLOUT_S = 0.4
_LOG_LINES = 30
_LOG_WINDOW_S = 300
_HARMLESS = (
    "INFO request completed status=200 duration_ms=412",
    "INFO mistral call completed model=mistral-small-latest tokens=184",
    "INFO cache hit ratio=0.31",
)


class Conflict(Exception):
    """The object has changed since the version that the patch names."""


class ClusterState:
    """The objects by resource and name. ``refresh()`` first: it follows ``world.scenario`` and finishes rollouts."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._built_from: Scenario | None = None
        self._version = 1
        self._rolled_at: float | None = None
        self.held: dict[str, dict[str, Object]] = {}

    @property
    def spec(self) -> ClusterSpec:
        return self._world.scenario.cluster or ClusterSpec(desired=0, ready=0, secret="missing")  # noqa: S106

    def refresh(self) -> None:
        if self._built_from is not self._world.scenario:
            self._build()
        elif self._rolled_at is not None and time.monotonic() - self._rolled_at >= ROLLOUT_S:
            self._rolled_at = None
            self._make_pods(_now(), ready=0 if self._is_scenarios_template() else self.spec.desired)

    def _build(self) -> None:
        spec, now = self.spec, _now()
        self._built_from, self._rolled_at = self._world.scenario, None
        self.held = {kind: {} for kind in ("pods", "secrets", "deployments", "replicasets", "networkpolicies")}
        if self._world.scenario.cluster is None:
            return
        newest = objects.template(spec, self._world.service_key)
        self._put("deployments", objects.deployment(spec, newest, now))
        if spec.revision > 1:
            older = objects.template(spec, self._world.service_key, before=True)
            created = objects.ago(now, spec.rollout_minutes_ago + 4320)
            if objects.template_hash(older) != objects.template_hash(newest):
                self._put("replicasets", objects.replica_set(older, spec.revision - 1, created, 0))
        created = objects.ago(now, spec.rollout_minutes_ago)
        self._put("replicasets", objects.replica_set(newest, spec.revision, created, spec.desired))
        started = spec.rollout_minutes_ago if spec.pods_started_minutes_ago is None else spec.pods_started_minutes_ago
        self._make_pods(now - timedelta(minutes=started), ready=spec.ready)
        if spec.terminated:
            objects.ended(next(iter(self.held["pods"].values())), spec.terminated, objects.ago(now, 2))
        if (secret := objects.secret(spec, self._world.service_key, now)) is not None:
            self._put("secrets", secret)
        if spec.egress:
            self._put("networkpolicies", objects.network_policy(spec.egress, now))

    def patch(self, resource: str, name: str, patch: Any, content_type: str, *, dry_run: bool) -> Object:
        """The object as patched; raises KeyError where it is not there and Conflict where it has moved on."""
        held = self.held[resource][name]
        wanted = (patch.get("metadata") or {}).get("resourceVersion")
        if wanted is not None and wanted != held["metadata"]["resourceVersion"]:
            raise Conflict
        patched: Object = PATCHES[content_type](deepcopy(held), patch)
        for entry, text in (patched.pop("stringData", None) or {}).items():
            patched.setdefault("data", {})[entry] = objects.encoded(text)
        if dry_run or patched == held:
            return patched
        rolls = resource == "deployments" and patched["spec"]["template"] != held["spec"]["template"]
        if resource == "deployments" and patched["spec"] != held["spec"]:
            patched["metadata"]["generation"] += 1
        self._put(resource, patched)
        if rolls:
            self._roll_out(patched)
        return patched

    def _roll_out(self, deployment: Object) -> None:
        sets = self.held["replicasets"]
        revision = 1 + max((int(s["metadata"]["annotations"][REVISION]) for s in sets.values()), default=0)
        new = objects.replica_set(
            deployment["spec"]["template"], revision, objects.stamp(_now()), deployment["spec"]["replicas"]
        )
        for old in sets.values():
            old["spec"]["replicas"] = old["status"]["replicas"] = 0
        known = sets.get(new["metadata"]["name"])
        if known is not None:
            # as the real controller: an old template that comes back keeps its ReplicaSet and its creation time
            new["metadata"]["creationTimestamp"] = known["metadata"]["creationTimestamp"]
        self._put("replicasets", new)
        deployment["metadata"].setdefault("annotations", {})[REVISION] = str(revision)
        self._make_pods(_now(), ready=0)
        self._rolled_at = time.monotonic()

    def _make_pods(self, started: datetime, *, ready: int) -> None:
        spec, now = self.spec, _now()
        owner = next(s for s in self.held["replicasets"].values() if s["spec"]["replicas"] or spec.desired == 0)
        self.held["pods"] = {}
        for number in range(owner["spec"]["replicas"]):
            is_ready = number < ready
            minutes = (now - started).total_seconds() / 60
            since = objects.ago(now, minutes if is_ready else min(minutes, spec.not_ready_minutes))
            made = objects.pod(owner, number, objects.stamp(started), spec, ready=is_ready, ready_since=since)
            self._put("pods", made)

    def _is_scenarios_template(self) -> bool:
        """Whether what was rolled out still breaks as the scenario's newest revision does."""
        if self.spec.ready >= self.spec.desired:
            return False
        wanted = objects.template(self.spec, self._world.service_key)["spec"]["containers"][0]
        running = self.held["deployments"][DEPLOYMENT]["spec"]["template"]["spec"]["containers"][0]
        values = {entry["name"]: entry.get("value") for entry in running["env"]}
        changed = {name: value for name, value in self.spec.changes.items() if name != "image"}
        return bool(
            running["image"] == wanted["image"] and all(values.get(name) == value for name, value in changed.items())
        )

    def _put(self, resource: str, item: Object) -> None:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        self.held[resource][item["metadata"]["name"]] = item

    def read(self, resource: str, item: Object) -> Object:
        """The object as the API answers it: a Deployment with the status that follows from its pods."""
        if resource != "deployments":
            return item
        pods = list(self.held["pods"].values())
        ready = sum(pod["status"]["containerStatuses"][0]["ready"] for pod in pods)
        status = {
            "observedGeneration": item["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": len(pods) - ready,
        }
        return item | {"status": {key: value for key, value in status.items() if value}}

    def log(self, pod: str) -> list[tuple[datetime, str]]:
        """The lines of one pod, oldest first: its share of thirty within the last five minutes over all pods."""
        names = list(self.held["pods"])
        number, lines = names.index(pod), self.spec.logs or _HARMLESS
        count = max(_LOG_LINES, len(lines))
        now, step = _now(), (_LOG_WINDOW_S - 10) / count
        return [
            (now - timedelta(seconds=5 + (count - 1 - at) * step), lines[at % len(lines)])
            for at in range(count)
            if at % len(names) == number
        ]


def _now() -> datetime:
    return datetime.now(UTC)
