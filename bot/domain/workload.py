"""Facts from Kubernetes objects as the API gives them (dicts): a deployment's template, its ReplicaSets, its pods."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.domain.redaction import MASK, redact
from bot.domain.signals import Pods, Rollout

REVISION = "deployment.kubernetes.io/revision"
# Terminations within this time count, and a pod must have been missing for so long; decision-table.md, "pods".
_RECENT = timedelta(minutes=30)
_SETTLING = timedelta(minutes=2)
_MOST_CHANGES = 20
_TELLING = ("key", "token", "secret", "password", "credential")

Object = Mapping[str, Any]


def moment(text: object) -> datetime | None:
    """A Kubernetes time (RFC 3339) as an aware datetime; None where there is none."""
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None


def template(deployment: Object) -> Object:
    """The pod template of a Deployment or ReplicaSet."""
    held: Object = (deployment.get("spec") or {}).get("template") or {}
    return held


def containers(pod_template: Object, *, init: bool = True) -> list[Object]:
    spec = pod_template.get("spec") or {}
    return [*(spec.get("containers") or ()), *((spec.get("initContainers") or ()) if init else ())]


@dataclass(frozen=True)
class KeyReference:
    """A Secret and the key in it that the pod template takes; ``key`` None: the whole Secret."""

    secret: str
    key: str | None


def key_reference(deployment: Object, usual_secret: str) -> KeyReference | None:
    """Where the pod template takes Mistral's key from: the usual Secret first, else a variable that sounds like it."""
    references: list[tuple[str, KeyReference]] = []
    whole: list[str] = []
    for container in containers(template(deployment)):
        for variable in container.get("env") or ():
            taken = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if taken:
                reference = KeyReference(str(taken.get("name")), str(taken.get("key")))
                references.append((str(variable.get("name")).upper(), reference))
        whole += [
            str(source["secretRef"].get("name")) for source in container.get("envFrom") or () if source.get("secretRef")
        ]
    volumes = (template(deployment).get("spec") or {}).get("volumes") or ()
    whole += [str(volume["secret"].get("secretName")) for volume in volumes if volume.get("secret")]
    for _, reference in references:
        if reference.secret == usual_secret:
            return reference
    for name, reference in references:
        if "MISTRAL" in name and "KEY" in name:
            return reference
    return KeyReference(usual_secret, None) if usual_secret in whole else None


def uses_proxy(deployment: Object) -> bool:
    """Whether the pod template sends HTTPS through a proxy."""
    names = {str(v.get("name")).upper() for c in containers(template(deployment)) for v in c.get("env") or ()}
    return "HTTPS_PROXY" in names


def newest_rollout(deployment: Object, replica_sets: Iterable[Object]) -> Rollout:
    """The newest ReplicaSet with replicas and a revision above 1, with what it changed; empty where there is none."""
    name, uid = deployment["metadata"].get("name"), deployment["metadata"].get("uid")
    by_revision: dict[int, Object] = {}
    for replica_set in replica_sets:
        owners = replica_set["metadata"].get("ownerReferences") or ()
        ours = not owners or any(owner.get("uid") == uid or owner.get("name") == name for owner in owners)
        revision = str((replica_set["metadata"].get("annotations") or {}).get(REVISION, ""))
        if ours and revision.isdigit():
            by_revision[int(revision)] = replica_set
    running = [number for number, held in by_revision.items() if (held.get("spec") or {}).get("replicas")]
    newest = max(running, default=0)
    if newest <= 1:
        return Rollout()
    before = max((number for number in by_revision if number < newest), default=None)
    changed = () if before is None else tuple(_changes(by_revision[before], by_revision[newest]))
    return Rollout(
        revision=newest,
        created=moment(by_revision[newest]["metadata"].get("creationTimestamp")),
        changes=changed[:_MOST_CHANGES],
    )


def _changes(old: Object, new: Object) -> Iterator[str]:
    before, after = _described(template(old)), _described(template(new))
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"{name}: {before.get(name, 'unset')} → {after.get(name, 'unset')}"


def _described(pod_template: Object) -> dict[str, str]:
    """Images and variables by a name that people know, secrets masked."""
    held = {}
    for container in containers(pod_template):
        name = container.get("name")
        held[f"image of {name}"] = str(container.get("image"))
        for variable in container.get("env") or ():
            held[str(variable.get("name"))] = _value(variable)
    return held


def _value(variable: Object) -> str:
    taken = (variable.get("valueFrom") or {}).get("secretKeyRef")
    if taken:
        return f"from Secret {taken.get('name')}, key {taken.get('key')}"
    if any(word in str(variable.get("name")).lower() for word in _TELLING):
        return MASK
    value = redact(str(variable.get("value", "")))
    return value if len(value) <= 80 else value[:79] + "…"


class PodFacts:
    """Takes pods one at a time and keeps small facts alone, so that two thousand of them cost nothing."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self.seen = 0
        self.ready = 0
        self.restarts = 0
        self.names: list[tuple[str, tuple[str, ...]]] = []
        """(pod, containers) of the pods that run."""
        self._waiting: Counter[str] = Counter()
        self._terminated: Counter[str] = Counter()
        self._starts: list[datetime] = []
        self._not_ready_since: list[datetime | None] = []

    def add(self, pod: Object) -> None:
        status, metadata = pod.get("status") or {}, pod["metadata"]
        if metadata.get("deletionTimestamp") or status.get("phase") == "Succeeded":
            return
        self.seen += 1
        states = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
        self.restarts += sum(int(state.get("restartCount") or 0) for state in states)
        self._waiting.update({reason for state in states if (reason := _reason(state, "state", "waiting"))})
        self._terminated.update(set(self._recent_ends(states)))
        started = moment(status.get("startTime")) or moment(metadata.get("creationTimestamp"))
        if started:
            self._starts.append(started)
        names = tuple(str(container.get("name")) for container in containers(pod, init=False))
        self.names.append((str(metadata.get("name")), names))
        condition: Object = next((one for one in status.get("conditions") or () if one.get("type") == "Ready"), {})
        if condition.get("status") == "True" and status.get("phase") != "Failed":
            self.ready += 1
        else:
            self._not_ready_since.append(moment(condition.get("lastTransitionTime")) or started)

    def _recent_ends(self, states: Iterable[Object]) -> Iterator[str]:
        for state in states:
            for where in ("state", "lastState"):
                ended = (state.get(where) or {}).get("terminated")
                finished = moment(ended.get("finishedAt")) if ended else None
                if ended and finished and self._now - finished <= _RECENT and ended.get("reason"):
                    yield str(ended["reason"])

    def pods(self, deployment: Object) -> Pods:
        """The signal, against what ``deployment`` asks for."""
        replicas = (deployment.get("spec") or {}).get("replicas")
        desired = 1 if replicas is None else int(replicas)
        return Pods(
            desired=desired,
            ready=self.ready,
            below_desired=self.ready < desired and self._long_enough(deployment, desired),
            waiting=dict(self._waiting),
            terminated=dict(self._terminated),
            restarts=self.restarts,
            oldest_start=min(self._starts, default=None),
            newest_start=max(self._starts, default=None),
        )

    def _long_enough(self, deployment: Object, desired: int) -> bool:
        """Whether a pod has been missing for two minutes; where no time is known, it counts."""
        since: list[datetime | None] = list(self._not_ready_since)
        if self.seen < desired:
            conditions = (deployment.get("status") or {}).get("conditions") or ()
            available: Object = next((one for one in conditions if one.get("type") == "Available"), {})
            since.append(moment(available.get("lastTransitionTime")) if available.get("status") == "False" else None)
        return any(one is None or self._now - one >= _SETTLING for one in since)


def _reason(state: Object, where: str, kind: str) -> str | None:
    reason = ((state.get(where) or {}).get(kind) or {}).get("reason")
    return None if reason is None else str(reason)
