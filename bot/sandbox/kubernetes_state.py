"""What the sandbox's cluster holds: built from the scenario when it changes, then moved on by patches and time."""

import time
from collections.abc import Iterable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.sandbox import kubernetes_objects as objects
from bot.sandbox.deeds import Since, runs
from bot.sandbox.kubernetes_controller import Controller, Objects
from bot.sandbox.kubernetes_objects import Object
from bot.sandbox.kubernetes_patch import merge_patch, strategic_patch
from bot.sandbox.scenario import ClusterSpec, Scenario
from bot.sandbox.world import World

PATCHES = {
    "application/strategic-merge-patch+json": strategic_patch,
    "application/merge-patch+json": merge_patch,
}
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
    """The objects by resource and name. ``refresh()`` first: it follows ``world.scenario`` and moves rollouts on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._built_from: Scenario | None = None
        self._objects = Objects()
        self._controller: Controller | None = None
        self._key_changed: float | None = None
        self._down: set[str] = set()

    @property
    def held(self) -> dict[str, dict[str, Object]]:
        return self._objects.held

    @property
    def spec(self) -> ClusterSpec:
        return self._world.cluster_spec

    def refresh(self) -> None:
        if self._built_from is not self._world.scenario:
            self._build()
        elif self._controller is not None:
            self._trouble()
            self._controller.look()

    def done(self, remedy: str) -> float:
        """The share of the serving pods that run as ``remedy`` leaves them."""
        serving = [pod for pod in self.held["pods"].values() if pod["status"]["containerStatuses"][0]["ready"]]
        return sum(self._run(remedy, serving)) / len(serving) if serving else 0.0

    def tried(self, remedy: str) -> bool:
        """Whether any pod is as ``remedy`` leaves it, whether it starts or not."""
        return any(self._run(remedy, self.held["pods"].values()))

    def _run(self, remedy: str, pods: Iterable[Object]) -> list[bool]:
        """Of each pod, whether it runs so; in a story."""
        telling = self._world.telling
        if telling is None:
            return []
        before = objects.template(self.spec, self._world.service_key, before=True)
        since = Since(chosen=telling.chosen, key_changed=self._key_changed, before=before)
        return [runs(remedy, pod, since) for pod in pods]

    def _trouble(self) -> None:
        """Keeps pods as what happens wants them: some down by hand, one that ran out of memory until that is cured."""
        pods, now = list(self.held["pods"].values()), objects.stamp(_now())
        down = self._world.changes.pods_down
        for number, pod in enumerate(pods):
            is_down = pod["metadata"]["name"] in self._down
            if (number < down) != is_down:
                (self._down.discard if is_down else self._down.add)(pod["metadata"]["name"])
                (objects.becomes_ready if is_down else objects.becomes_unready)(pod, now)
                self._objects.put("pods", pod)
        ends = self.spec.terminated
        if ends and self._world.telling is not None and self._world.failing and pods:
            told = [pod["status"]["containerStatuses"][0]["lastState"] for pod in pods]
            if not any(one.get("terminated", {}).get("reason") == ends for one in told):
                objects.ended(pods[0], ends, now)
                self._objects.put("pods", pods[0])

    def _build(self) -> None:
        spec, now = self.spec, _now()
        self._built_from, self._controller = self._world.scenario, None
        self._key_changed, self._down = None, set[str]()
        kinds = ("pods", "secrets", "events", "deployments", "replicasets", "networkpolicies")
        self._objects.held = {kind: {} for kind in kinds}
        if self._world.scenario.cluster is None:
            return
        put = self._objects.put
        newest = objects.template(spec, self._world.service_key)
        put("deployments", objects.deployment(spec, newest, now))
        if spec.revision > 1:
            older = objects.template(spec, self._world.service_key, before=True)
            created = objects.ago(now, spec.rollout_minutes_ago + 4320)
            if objects.template_hash(older) != objects.template_hash(newest):
                put("replicasets", objects.replica_set(older, spec.revision - 1, created, 0))
        created = objects.ago(now, spec.rollout_minutes_ago)
        owner = objects.replica_set(newest, spec.revision, created, spec.desired)
        put("replicasets", owner)
        self._make_pods(owner, now)
        put("events", objects.scaled_up(owner, now))
        if (secret := objects.secret(spec, self._world.service_key, now)) is not None:
            put("secrets", secret)
        for name, key in spec.spare_keys.items():
            put("secrets", objects.key_secret(name, objects.SECRET_KEY, key, now))
        if spec.egress:
            put("networkpolicies", objects.network_policy(spec.egress, now))
        self._controller = Controller(
            self._objects,
            spec,
            rollout_s=self._world.rollout_s,
            breaks=self._breaks,
            monotonic=self._world.monotonic,
        )
        self._controller.settled(now)

    def _make_pods(self, owner: Object, now: datetime) -> None:
        spec = self.spec
        minutes = spec.rollout_minutes_ago if spec.pods_started_minutes_ago is None else spec.pods_started_minutes_ago
        for number in range(spec.desired):
            is_ready = number < spec.ready
            since = objects.ago(now, minutes if is_ready else min(minutes, spec.not_ready_minutes))
            started = objects.ago(now, minutes)
            self._objects.put("pods", objects.pod(owner, number, started, spec, ready=is_ready, ready_since=since))
        if spec.terminated:
            objects.ended(next(iter(self.held["pods"].values())), spec.terminated, objects.ago(now, 2))

    def patch(self, resource: str, name: str, patch: Any, content_type: str, *, dry_run: bool) -> Object:
        """The object as patched; raises KeyError where it is not there and Conflict where it has moved on."""
        held = self.held[resource][name]
        wanted = (patch.get("metadata") or {}).get("resourceVersion")
        if wanted is not None and wanted != held["metadata"]["resourceVersion"]:
            raise Conflict
        patched: Object = PATCHES[content_type](deepcopy(held), patch)
        for entry, text in (patched.pop("stringData", None) or {}).items():
            patched.setdefault("data", {})[entry] = objects.encoded(text)
        if resource == "deployments":
            # the status has an address of its own, and an empty value is left out as the API's types do
            patched["status"] = deepcopy(held["status"])
            _without_empty_values(patched["spec"]["template"])
            if patched["spec"] != held["spec"]:
                patched["metadata"]["generation"] += 1
        if dry_run or patched == held:
            return patched
        self._objects.put(resource, patched)
        if resource == "secrets" and _key_in(patched) != _key_in(held):
            self._secret_changed(patched)
        if patched.get("spec") != held.get("spec") and self._controller is not None:
            self._controller.changed()
        return patched

    def _secret_changed(self, secret: Object) -> None:
        """Notes since when it holds another key that Mistral takes."""
        spare = {objects.encoded(key) for key in self.spec.spare_keys.values()}
        good = secret["metadata"]["name"] == objects.SECRET and _key_in(secret) in spare
        self._key_changed = time.time() if good else None

    def release(self) -> None:
        """Somebody rolls out a release that does not start."""
        deployment = self.held["deployments"].get(objects.DEPLOYMENT)
        if deployment is None:
            return
        image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        number = int(deployment["metadata"]["annotations"][objects.REVISION]) + 1
        container = {"name": objects.CONTAINER, "image": f"{image.split(':')[0]}:1.{number}.0{objects.BROKEN}"}
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        self.patch("deployments", objects.DEPLOYMENT, patch, "application/strategic-merge-patch+json", dry_run=False)

    def _breaks(self, template: Object) -> bool:
        """Whether pods of this template break as those of the scenario's newest revision do."""
        if objects.is_broken(template):
            return True
        if self.spec.ready >= self.spec.desired:
            return False
        wanted = objects.template(self.spec, self._world.service_key)["spec"]["containers"][0]
        running = template["spec"]["containers"][0]
        values = {entry["name"]: entry.get("value") for entry in running.get("env") or []}
        changed = {name: value for name, value in self.spec.changes.items() if name != "image"}
        return bool(
            running["image"] == wanted["image"] and all(values.get(name) == value for name, value in changed.items())
        )

    def log(self, pod: str) -> list[tuple[datetime, str]]:
        """The lines of one pod, oldest first: its share of thirty within the last five minutes over all pods."""
        names = list(self.held["pods"])
        number, lines = names.index(pod), (self._world.failing and self.spec.logs) or _HARMLESS
        count = max(_LOG_LINES, len(lines))
        now, step = _now(), (_LOG_WINDOW_S - 10) / count
        return [
            (now - timedelta(seconds=5 + (count - 1 - at) * step), lines[at % len(lines)])
            for at in range(count)
            if at % len(names) == number
        ]


def _key_in(secret: Object) -> str | None:
    return (secret.get("data") or {}).get(objects.SECRET_KEY)


def _without_empty_values(template: Object) -> None:
    for container in template["spec"]["containers"]:
        for variable in container.get("env") or []:
            if variable.get("value") == "":
                del variable["value"]


def _now() -> datetime:
    return datetime.now(UTC)
