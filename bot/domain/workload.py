"""Facts from Kubernetes objects as the API gives them (dicts): a deployment's template, its ReplicaSets, its pods."""

import base64
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.objects import Object, each, moment, whole, within
from bot.domain.redaction import MASK, redact
from bot.domain.signals import Pods, Rollout

REVISION = "deployment.kubernetes.io/revision"
HASH_LABEL = "pod-template-hash"
# Terminations within this time count, and a pod must have been missing for so long; decision-table.md, "pods".
_RECENT = timedelta(minutes=30)
_SETTLING = timedelta(minutes=2)
_MOST_CHANGES = 20
_TELLING = ("key", "token", "secret", "pass", "credential", "auth")


def template(deployment: Object) -> Object:
    """The pod template of a Deployment or ReplicaSet."""
    return within(deployment, "spec", "template")


def containers(pod_template: Object, *, init: bool = True) -> list[Object]:
    held = each(pod_template, "spec", "containers")
    return [*held, *each(pod_template, "spec", "initContainers")] if init else held


@dataclass(frozen=True)
class KeyReference:
    """A Secret and the key in it that the pod template takes; ``key`` None: the whole Secret."""

    secret: str
    key: str | None


def key_reference(deployment: Object, usual_secret: str, usual_key: str) -> KeyReference | None:
    """Where the pod template takes Mistral's key from; None where it takes it from no Secret.

    What a variable is called tells most, since a Secret may hold other things too: a variable that sounds like the key
    and takes the usual Secret, then any that takes the usual entry of it, then one that sounds like the key.
    """
    found = [one for container in containers(template(deployment)) for one in _key_references(container)]
    usual = [one for one in found if one[1].secret == usual_secret]
    entry = KeyReference(usual_secret, usual_key)
    for candidates in (_sounding(usual), [one for one in usual if one[1] == entry], _sounding(found)):
        if candidates:
            return candidates[0][1]
    if usual_secret in _whole_secrets(template(deployment)):
        return KeyReference(usual_secret, None)
    # never a database's password: it would be sent to Mistral as if it were the key
    return next((taken for name, taken in usual if "KEY" in name), None)


def _sounding(references: Iterable[tuple[str, KeyReference]]) -> list[tuple[str, KeyReference]]:
    return [(name, taken) for name, taken in references if "MISTRAL" in name and "KEY" in name]


def _key_references(container: Object) -> Iterator[tuple[str, KeyReference]]:
    """(variable in capitals, what it takes) of each variable that takes an entry of a Secret."""
    for variable in each(container, "env"):
        taken = within(variable, "valueFrom", "secretKeyRef")
        if taken:
            yield str(variable.get("name")).upper(), KeyReference(str(taken.get("name")), str(taken.get("key")))


def _whole_secrets(pod_template: Object) -> set[str]:
    """The Secrets that are taken with all they hold, as variables or as files."""
    volumes = each(pod_template, "spec", "volumes")
    projected = [source for volume in volumes for source in each(volume, "projected", "sources")]
    return {
        *(str(within(s, "secretRef").get("name")) for c in containers(pod_template) for s in each(c, "envFrom")),
        *(str(within(volume, "secret").get("secretName")) for volume in volumes),
        *(str(within(source, "secret").get("name")) for source in projected),
    }


def key_containers(deployment: Object, reference: KeyReference | None) -> list[str]:
    """The containers (no init containers) that take Mistral's key from ``reference``; None: that have it in themselves.

    Of a Secret that is taken whole: as variables or as files.
    """
    pod_template = template(deployment)
    volumes = {
        volume.get("name")
        for volume in each(pod_template, "spec", "volumes")
        if reference is not None and reference.secret in _whole_secrets({"spec": {"volumes": [volume]}})
    }

    def takes(container: Object) -> bool:
        if reference is None:
            names = (str(variable.get("name")).upper() for variable in each(container, "env"))
            return any("MISTRAL" in name and "KEY" in name for name in names)
        if reference.key is not None:
            return any(taken == reference for _, taken in _key_references(container))
        sources = (within(source, "secretRef").get("name") for source in each(container, "envFrom"))
        mounted = {mount.get("name") for mount in each(container, "volumeMounts")}
        return reference.secret in sources or bool(volumes & mounted)

    return [str(one.get("name")) for one in containers(pod_template, init=False) if takes(one)]


def key_entry(reference: KeyReference, data: Object, usual_key: str) -> str:
    """The key within the Secret; of a Secret that is taken whole the usual one, else one that sounds like it."""
    if reference.key is not None or usual_key in data:
        return reference.key or usual_key
    sounding = (name for name in sorted(data) if "MISTRAL" in name.upper() and "KEY" in name.upper())
    return next(sounding, usual_key)


def secret_key(secret: Object | None, entry: str) -> str | None:
    """The key that an entry of a Secret holds; None where there is none that a header can carry."""
    encoded = within(secret, "data").get(entry)
    try:
        # a line feed within is no part of it
        value = base64.b64decode("".join(str(encoded or "").split()), validate=True).decode("ascii").strip()
    except ValueError:
        return None
    # one word of printable characters
    return value if value and value.isprintable() and " " not in value else None


def uses_proxy(deployment: Object) -> bool:
    """Whether the pod template sends HTTPS through a proxy."""
    names = {str(v.get("name")).upper() for c in containers(template(deployment)) for v in each(c, "env")}
    return "HTTPS_PROXY" in names


def newest_rollout(deployment: Object, replica_sets: Iterable[Object]) -> Rollout:
    """The newest ReplicaSet with replicas and a revision above 1, with what it changed; empty where there is none."""
    by_revision = revisions(deployment, replica_sets)
    running = [number for number, held in by_revision.items() if whole(within(held, "spec").get("replicas"), 0) > 0]
    newest = max(running, default=0)
    if newest <= 1:
        return Rollout()
    before = max((number for number in by_revision if number < newest), default=None)
    changed = () if before is None else tuple(_changes(by_revision[before], by_revision[newest]))
    return Rollout(
        revision=newest,
        created=moment(within(by_revision[newest], "metadata").get("creationTimestamp")),
        changes=changed[:_MOST_CHANGES],
    )


def revisions(deployment: Object, replica_sets: Iterable[Object]) -> dict[int, Object]:
    """The deployment's own ReplicaSets by the number of their revision."""
    return {number: held for held in replica_sets if (number := _revision(deployment, held))}


def _revision(deployment: Object, replica_set: Object) -> int:
    """The number of a ReplicaSet of this deployment; 0 where it is another's or has none."""
    ours, theirs = within(deployment, "metadata"), each(replica_set, "metadata", "ownerReferences")
    owned = any(owner.get(part) == ours.get(part) is not None for owner in theirs for part in ("uid", "name"))
    revision = str(within(replica_set, "metadata", "annotations").get(REVISION, ""))
    readable = revision.isascii() and revision.isdecimal() and len(revision) < 19
    return int(revision) if readable and (owned or not theirs) else 0


@dataclass(frozen=True)
class _Shown:
    """A value and how it may be shown: masked or cut, two that differ can look the same."""

    value: str
    text: str


def _changes(old: Object, new: Object) -> Iterator[str]:
    names = {str(container.get("name")) for held in (old, new) for container in containers(template(held))}
    before, after = (dict(_described(template(held), several=len(names) > 1)) for held in (old, new))
    unset = _Shown("", "unset")
    for name in sorted({*before, *after}):
        was, is_now = before.get(name), after.get(name)
        if was == is_now:
            continue
        shown = f"{(was or unset).text} → {(is_now or unset).text}"
        yield f"{name}: changed ({is_now.text})" if was and is_now and was.text == is_now.text else f"{name}: {shown}"


def _described(pod_template: Object, *, several: bool) -> Iterator[tuple[str, _Shown]]:
    """Images and variables by a name that people know; with the container's where there are ``several``."""
    for container in containers(pod_template):
        name = container.get("name")
        where = f" of {name}" if several else ""
        image = str(container.get("image"))
        yield f"image of {name}", _Shown(image, image)
        taken = ", ".join(_source(source) for source in each(container, "envFrom"))
        if taken:
            yield f"envFrom{where}", _Shown(taken, taken)
        for variable in each(container, "env"):
            yield f"{variable.get('name')}{where}", _value(variable)


def _source(source: Object) -> str:
    """One entry of envFrom."""
    kind, reference = ("Secret", "secretRef") if within(source, "secretRef") else ("ConfigMap", "configMapRef")
    prefix = f" as {source['prefix']}*" if source.get("prefix") else ""
    return f"{kind} {within(source, reference).get('name')}{prefix}"


def _value(variable: Object) -> _Shown:
    taken = within(variable, "valueFrom")
    if taken:
        text = f"from {_taken(taken)}"
        return _Shown(text, text)
    name, value = str(variable.get("name")), str(variable.get("value", ""))
    if any(word in name.lower() for word in _TELLING) or redact(f"{name}=x") != f"{name}=x":
        return _Shown(value, MASK)
    text = redact(value) or "empty"
    return _Shown(value, text if len(text) <= 80 else text[:79] + "…")


def shown_value(variable: Object) -> str:
    """The value of one entry of ``env`` as people may see it: masked where it may be a secret, cut where it is long."""
    return _value(variable).text


def _taken(value_from: Object) -> str:
    for where, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if held := within(value_from, where):
            return f"{kind} {held.get('name')}, key {held.get('key')}"
    field = within(value_from, "fieldRef").get("fieldPath") or within(value_from, "resourceFieldRef").get("resource")
    return f"field {field}"


class PodFacts:
    """Takes pods one at a time and keeps small facts alone, so that two thousand of them cost nothing."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self.read = 0
        """How many were given, with those that do not count."""
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
        self.read += 1
        status, metadata = within(pod, "status"), within(pod, "metadata")
        if metadata.get("deletionTimestamp") or status.get("phase") == "Succeeded":
            return
        states = [*each(status, "containerStatuses"), *each(status, "initContainerStatuses")]
        self._terminated.update(set(self._recent_ends(states)))
        if status.get("phase") == "Failed":
            return  # an evicted pod stays listed for days, and another runs in its place
        self.seen += 1
        self.restarts += sum(whole(state.get("restartCount"), 0) for state in states)
        self._waiting.update({reason for state in states if (reason := reason_of(state, "state", "waiting"))})
        started = moment(status.get("startTime")) or moment(metadata.get("creationTimestamp"))
        if started:
            self._starts.append(started)
        names = tuple(str(container.get("name")) for container in containers(pod, init=False))
        self.names.append((str(metadata.get("name")), names))
        if _is_ready(status):
            self.ready += 1
        else:
            self._not_ready_since.append(moment(condition(status, "Ready").get("lastTransitionTime")) or started)

    def _recent_ends(self, states: Iterable[Object]) -> Iterator[str]:
        for state in states:
            for where in ("state", "lastState"):
                ended = within(state, where, "terminated")
                finished = moment(ended.get("finishedAt"))
                if finished and self._now - finished <= _RECENT and ended.get("reason"):
                    yield str(ended["reason"])

    def pods(self, deployment: Object) -> Pods:
        """The signal, against what ``deployment`` asks for."""
        desired = whole(within(deployment, "spec").get("replicas"), 1)
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
        """Whether a pod is known to have been missing for two minutes."""
        since = list(self._not_ready_since)
        if self.seen < desired:
            # no pod tells of one that was never made; the deployment does
            for kind, told in (("Available", "False"), ("ReplicaFailure", "True")):
                held = condition(within(deployment, "status"), kind)
                if held.get("status") == told:
                    since.append(moment(held.get("lastTransitionTime")))
        return any(one is not None and self._now - one >= _SETTLING for one in since)


def _is_ready(status: Object) -> bool:
    """By its condition; where it has none by its containers, else by whether it runs."""
    told = condition(status, "Ready").get("status")
    if told is not None:
        return bool(told == "True")
    states = each(status, "containerStatuses")
    return all(state.get("ready") is True for state in states) if states else status.get("phase") == "Running"


def condition(status: Object, kind: str) -> Object:
    """The condition of that type in a status; empty where there is none."""
    return next((one for one in each(status, "conditions") if one.get("type") == kind), {})


def reason_of(state: Object, where: str, kind: str) -> str | None:
    """Why a container is as it is; ``where`` is state or lastState, ``kind`` is waiting or terminated."""
    reason = within(state, where, kind).get("reason")
    return None if reason is None else str(reason)
