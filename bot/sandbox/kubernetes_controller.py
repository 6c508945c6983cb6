"""The sandbox's deployment controller: rolls a new template out pod by pod as time passes, and keeps the statuses."""

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.sandbox import kubernetes_objects as objects
from bot.sandbox.kubernetes_objects import DEPLOYMENT, HASH_LABEL, REVISION, Object
from bot.sandbox.scenario import ClusterSpec

# How long a change goes unnoticed, in seconds.
NOTICE_S = 0.03
_HISTORY = "deployment.kubernetes.io/revision-history"
# How long the rollout took that was over before the sandbox began.
_TOOK = timedelta(seconds=40)


class Objects:
    """The objects by resource and name; one that is put in has a new resourceVersion."""

    def __init__(self) -> None:
        self._version = 1
        self.held: dict[str, dict[str, Object]] = {}

    def put(self, resource: str, item: Object) -> None:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        self.held[resource][item["metadata"]["name"]] = item


class Controller:
    """Call :meth:`changed` when the deployment's spec has changed, and :meth:`look` before anything is read."""

    def __init__(
        self,
        held: Objects,
        spec: ClusterSpec,
        *,
        rollout_s: float,
        breaks: Callable[[Object], bool],
        monotonic: Callable[[], float],
    ) -> None:
        """``breaks``: whether a pod template does not start."""
        self._objects = held
        self._spec = spec
        self._rollout_s = rollout_s
        self._breaks = breaks
        self._monotonic = monotonic
        self._looked_at = monotonic()
        self._changed_at: float | None = None
        self._began: float | None = None
        self._starting: list[Object] = []
        self._started = 0
        self._counted = (0, 0, 0)
        self._progress_at = 0.0
        self._complete = True

    def settled(self, now: datetime) -> None:
        """Writes the statuses of a cluster in which the newest rollout has been over for long."""
        deployment = self._objects.held["deployments"][DEPLOYMENT]
        made = datetime.fromisoformat(self._newest()["metadata"]["creationTimestamp"])
        self._tell(deployment, now - timedelta(minutes=self._spec.not_ready_minutes))
        deployment["status"]["conditions"].append(
            _condition(
                {}, "Progressing", "True", "NewReplicaSetAvailable", self._message("has successfully"), made + _TOOK
            )
        )

    def changed(self) -> None:
        self._changed_at = self._monotonic()

    def look(self) -> None:
        """Moves on to where the rollout would be by now."""
        deployment, now = self._objects.held["deployments"].get(DEPLOYMENT), self._monotonic()
        self._looked_at = now
        if deployment is None:
            return
        if self._changed_at is not None:
            if now - self._changed_at < NOTICE_S:
                return
            self._changed_at = None
            deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"]
            if not deployment["spec"].get("paused"):
                self._take_up(deployment, now)
        if self._began is not None and not deployment["spec"].get("paused"):
            self._advance(deployment, now - self._began)
        self._tell(deployment, datetime.now(UTC))

    def _newest(self) -> Object:
        return max(self._objects.held["replicasets"].values(), key=_revision)

    def _pods(self, owner: Object, *, others: bool = False) -> list[Object]:
        wanted = owner["metadata"]["labels"][HASH_LABEL]
        return [
            pod
            for pod in self._objects.held["pods"].values()
            if (pod["metadata"]["labels"][HASH_LABEL] == wanted) != others
        ]

    def _take_up(self, deployment: Object, now: float) -> None:
        sets, newest = self._objects.held["replicasets"], self._newest()
        made = objects.replica_set(
            deployment["spec"]["template"], _revision(newest) + 1, objects.stamp(datetime.now(UTC)), 0
        )
        if made["metadata"]["name"] != newest["metadata"]["name"]:
            known = sets.get(made["metadata"]["name"])
            if known is not None:
                # an old template that comes back keeps its ReplicaSet, with its time
                known["metadata"]["annotations"][_HISTORY] = known["metadata"]["annotations"][REVISION]
                known["metadata"]["annotations"][REVISION] = made["metadata"]["annotations"][REVISION]
                made = known
            self._objects.put("replicasets", made)
            told = deployment["metadata"].setdefault("annotations", {})
            told[REVISION] = made["metadata"]["annotations"][REVISION]
            made["metadata"]["annotations"] |= {name: text for name, text in told.items() if name != _HISTORY}
            self._began, self._progress_at, self._complete = now, now, False
            self._starting, self._started = [], 0
            if known is None:
                said = f'Created new replica set "{made["metadata"]["name"]}"'
                self._set(deployment, "Progressing", "True", "NewReplicaSetCreated", said, datetime.now(UTC))
        elif self._began is None:
            self._scale(newest, deployment["spec"]["replicas"])

    def _advance(self, deployment: Object, elapsed_s: float) -> None:
        newest, wanted = self._newest(), deployment["spec"]["replicas"]
        breaks = self._breaks(deployment["spec"]["template"])
        steps = 0 if breaks else min(wanted, int(wanted * elapsed_s / self._rollout_s))
        recreates = deployment["spec"]["strategy"]["type"] == "Recreate"
        surge = wanted if recreates else math.ceil(wanted / 4)
        missing = min(wanted, steps + surge) - len(self._pods(newest))
        self._starting += [self._start(newest, ready=False) for _ in range(missing)]
        for pod in self._starting[: max(0, steps - self._started)]:
            objects.becomes_ready(pod, objects.stamp(datetime.now(UTC)))
            self._objects.put("pods", pod)
            self._starting.remove(pod)
            self._started += 1
        old = sorted(self._pods(newest, others=True), key=_is_ready)
        self._end(old[: max(0, len(old) - (0 if recreates else wanted - steps))])
        self._end(self._pods(newest)[wanted:])
        if steps >= wanted and not breaks:
            self._began = None

    def _scale(self, newest: Object, wanted: int) -> None:
        self._end(self._pods(newest)[wanted:])
        breaks = self._breaks(newest["spec"]["template"])
        for _ in range(wanted - len(self._pods(newest))):
            self._start(newest, ready=not breaks)

    def _start(self, owner: Object, *, ready: bool) -> Object:
        now = objects.stamp(datetime.now(UTC))
        # one that will start is being created; one that will not waits as the scenario says
        breaks = self._breaks(owner["spec"]["template"])
        waiting = self._spec.waiting if breaks else "ContainerCreating"
        if objects.is_broken(owner["spec"]["template"]):
            waiting = "CrashLoopBackOff"
        spec = replace(self._spec, waiting=waiting)
        number = len(self._objects.held["pods"])
        while True:
            made = objects.pod(owner, number, now, spec, ready=ready, ready_since=now)
            if made["metadata"]["name"] not in self._objects.held["pods"]:
                self._objects.put("pods", made)
                return made
            number += 1

    def _end(self, pods: Iterable[Object]) -> None:
        held = self._objects.held["pods"]
        for pod in pods:
            del held[pod["metadata"]["name"]]
        self._starting = [pod for pod in self._starting if pod["metadata"]["name"] in held]

    def _tell(self, deployment: Object, at: datetime) -> None:
        """The statuses as the pods are; what has changed has a new resourceVersion."""
        for held in self._objects.held["replicasets"].values():
            pods = self._pods(held)
            ready = sum(map(_is_ready, pods))
            counts = {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
            status = {"replicas": len(pods)} | {name: count for name, count in counts.items() if count}
            if (held["spec"]["replicas"], held["status"]) != (len(pods), status):
                held["spec"]["replicas"], held["status"] = len(pods), status
                self._objects.put("replicasets", held)
        before = deepcopy(deployment.get("status"))
        self._tell_deployment(deployment, at)
        if deployment["status"] != before:
            self._objects.put("deployments", deployment)

    def _tell_deployment(self, deployment: Object, at: datetime) -> None:
        pods, wanted = list(self._objects.held["pods"].values()), deployment["spec"]["replicas"]
        newest = self._newest()
        is_its = newest["metadata"]["name"].endswith(objects.template_hash(deployment["spec"]["template"]))
        updated, ready = len(self._pods(newest)) if is_its else 0, sum(map(_is_ready, pods))
        counts = {
            "replicas": len(pods),
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(0, len(pods) - ready),
        }
        old = deployment.get("status", {"observedGeneration": deployment["metadata"]["generation"]})
        kept = {name: old[name] for name in ("observedGeneration", "conditions") if name in old}
        deployment["status"] = kept | {name: count for name, count in counts.items() if count}
        if ready >= wanted - wanted // 4:
            said = "Deployment has minimum availability."
            self._set(deployment, "Available", "True", "MinimumReplicasAvailable", said, at)
        else:
            said = "Deployment does not have minimum availability."
            self._set(deployment, "Available", "False", "MinimumReplicasUnavailable", said, at)
        if is_its and not self._complete:
            self._tell_progress(deployment, (updated, ready, updated - len(pods)), at)

    def _tell_progress(self, deployment: Object, counted: tuple[int, int, int], at: datetime) -> None:
        """``counted``: what grows with progress."""
        # the moment of the look itself: what has moved on by then has not been waited for
        now, before, self._counted = self._looked_at, self._counted, counted
        updated, ready, _ = counted
        wanted, total = deployment["spec"]["replicas"], updated - counted[2]
        if (updated, ready, total) == (wanted, wanted, wanted):
            self._complete = True
            said = self._message("has successfully")
            self._set(deployment, "Progressing", "True", "NewReplicaSetAvailable", said, at)
        elif any(one > other for one, other in zip(counted, before, strict=True)):
            self._progress_at = now
            self._set(deployment, "Progressing", "True", "ReplicaSetUpdated", self._message("is"), at)
        elif now - self._progress_at >= deployment["spec"]["progressDeadlineSeconds"]:
            said = self._message("has timed out")
            self._set(deployment, "Progressing", "False", "ProgressDeadlineExceeded", said, at)

    def _message(self, how: str) -> str:
        end = "progressed" if how == "has successfully" else "progressing"
        return f'ReplicaSet "{self._newest()["metadata"]["name"]}" {how} {end}.'

    def _set(self, deployment: Object, kind: str, status: str, reason: str, said: str, at: datetime) -> None:
        conditions = deployment["status"].setdefault("conditions", [])
        old: Object = next((held for held in conditions if held["type"] == kind), {})
        if (old.get("status"), old.get("reason")) == (status, reason):
            return
        deployment["status"]["conditions"] = [
            *(held for held in conditions if held is not old),
            _condition(old, kind, status, reason, said, at),
        ]


def _condition(old: Object, kind: str, status: str, reason: str, said: str, at: datetime) -> Object:
    now = objects.stamp(at)
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": said,
        "lastUpdateTime": now,
        "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == status else now,
    }


def _revision(held: Object) -> int:
    return int(held["metadata"]["annotations"][REVISION])


def _is_ready(pod: Object) -> bool:
    return bool(pod["status"]["containerStatuses"][0]["ready"])
