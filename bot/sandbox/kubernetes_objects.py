"""The objects of the sandbox's cluster as the API writes them, built from a scenario's ``ClusterSpec``; pure."""

import base64
import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.sandbox.scenario import ClusterSpec

NAMESPACE = "default"
DEPLOYMENT = "mistral-service"
LABELS = {"app": "mistral-service"}
CONTAINER = "app"
SECRET = "mistral-secrets"  # noqa: S105 - an object's name
SECRET_KEY = "api-key"  # noqa: S105 - an entry's name
REVISION = "deployment.kubernetes.io/revision"
# how the image of a release ends that does not start, whatever the scenario
BROKEN = "-broken"
HASH_LABEL = "pod-template-hash"

Object = dict[str, Any]


def stamp(at: datetime) -> str:
    """A time as the API writes it, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(now: datetime, minutes: float) -> str:
    return stamp(now - timedelta(minutes=minutes))


def uid(*parts: object) -> str:
    """The same parts give the same uid, in the form of a UUID."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def template_hash(template: Object) -> str:
    """Ten characters that name a pod template."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def is_broken(template: Object) -> bool:
    """Whether its image is one that does not start."""
    return str(template["spec"]["containers"][0]["image"]).endswith(BROKEN)


def template(spec: ClusterSpec, key: str, *, before: bool = False) -> Object:
    """The pod template of the newest revision, or of the one ``before`` it; ``key`` is Mistral's."""
    plain = {
        "MISTRAL_API_URL": "https://api.mistral.ai",
        "MISTRAL_MODEL": "mistral-small-latest",
        "MISTRAL_TIMEOUT": "30000",
        "MAX_CONCURRENT_REQUESTS": "50",
        "RATE_LIMIT_MODE": "reject",
        "MISTRAL_FALLBACK": "false",
    }
    release = spec.revision - 1 if before and not spec.changes else spec.revision if not spec.changes else 1
    image = f"registry.example.com/{DEPLOYMENT}:1.{release}.0"
    if not before:
        plain |= {name: value for name, value in spec.changes.items() if name != "image"}
        image = spec.changes.get("image", image)
    missing = spec.secret == "other key" and not before  # noqa: S105 - a state
    from_secret = {"name": SECRET, "key": "mistral-key" if missing else SECRET_KEY}
    held = {"value": key} if spec.key_from == "value" and not before else {"valueFrom": {"secretKeyRef": from_secret}}
    env = [{"name": "MISTRAL_API_KEY", **held}, *({"name": n, "value": v} for n, v in plain.items())]
    return {
        "metadata": {"labels": dict(LABELS)},
        "spec": {
            "containers": [
                {
                    "name": CONTAINER,
                    "image": image,
                    "env": env,
                    "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                    "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
                }
            ],
            "restartPolicy": "Always",
        },
    }


def deployment(spec: ClusterSpec, pods: Object, now: datetime) -> Object:
    """The Deployment that runs the template ``pods``; its status is the controller's to fill in."""
    created = ago(now, spec.rollout_minutes_ago + (14_400 if spec.revision > 1 else 0))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata("Deployment", DEPLOYMENT, created)
        | {"labels": dict(LABELS), "annotations": {REVISION: str(spec.revision)}, "generation": 1},
        "spec": {
            "replicas": spec.desired,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": dict(LABELS)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": pods,
        },
    }


def replica_set(pods: Object, revision: int, created: str, replicas: int) -> Object:
    """The ReplicaSet of one revision, with the labels and the owner that the deployment controller gives it."""
    hashed = template_hash(pods)
    held = deepcopy(pods)
    held.setdefault("metadata", {}).setdefault("labels", {})[HASH_LABEL] = hashed
    labels = LABELS | {HASH_LABEL: hashed}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": _metadata("ReplicaSet", f"{DEPLOYMENT}-{hashed}", created)
        | {"labels": labels, "annotations": {REVISION: str(revision)}, "ownerReferences": [_owner("Deployment")]},
        "spec": {"replicas": replicas, "selector": {"matchLabels": dict(labels)}, "template": held},
        "status": {"replicas": replicas},
    }


def pod(owner: Object, number: int, started: str, spec: ClusterSpec, *, ready: bool, ready_since: str) -> Object:
    """One pod of a ReplicaSet; one that is not ``ready`` waits for ``spec.waiting``."""
    inner = deepcopy(owner["spec"]["template"])
    replica_set_name = owner["metadata"]["name"]
    seed = int(uid(replica_set_name, started)[:5], 16)
    # an odd factor: no two of a million numbers share a suffix
    name = f"{replica_set_name}-{(seed + number * 40_503) % 2**20:05x}"
    held = next(iter(inner["spec"]["containers"]))
    waiting = None if ready else spec.waiting
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": started}}
    crashing = waiting == "CrashLoopBackOff"
    status = {
        "name": held["name"],
        "image": held["image"],
        "ready": ready,
        "started": waiting is None,
        "restartCount": 6 if crashing else 0,
        "state": state,
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": started}} if crashing else {},
    }
    condition = {"status": "True" if ready else "False", "lastTransitionTime": ready_since}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata("Pod", name, started)
        | {
            "labels": dict(owner["metadata"]["labels"]),
            "annotations": dict(inner["metadata"].get("annotations") or {}),
            "ownerReferences": [_owner("ReplicaSet", replica_set_name)],
        },
        "spec": inner["spec"] | {"nodeName": "sandbox-node"},
        "status": {
            "phase": "Pending" if waiting and not crashing else "Running",
            "startTime": started,
            "conditions": [{"type": kind, **condition} for kind in ("ContainersReady", "Ready")],
            "containerStatuses": [status],
        },
    }


def becomes_ready(held: Object, at: str) -> None:
    """Notes in a pod that it has started well ``at`` that time."""
    status = held["status"]
    status["phase"] = "Running"
    status["containerStatuses"][0] |= {"ready": True, "started": True, "state": {"running": {"startedAt": at}}}
    for condition in status["conditions"]:
        condition |= {"status": "True", "lastTransitionTime": at}


def becomes_unready(held: Object, at: str) -> None:
    """Notes in a pod that its container runs and does not answer since ``at``."""
    held["status"]["containerStatuses"][0]["ready"] = False
    for condition in held["status"]["conditions"]:
        condition |= {"status": "False", "lastTransitionTime": at}


def ended(held: Object, reason: str, at: str) -> None:
    """Notes in a pod that its container ended ``at`` that time and was started again."""
    status = held["status"]["containerStatuses"][0]
    code = {"OOMKilled": 137, "Completed": 0}.get(reason, 1)
    status["lastState"] = {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at}}
    status["restartCount"] += 1
    if "running" in status["state"]:
        status["state"] = {"running": {"startedAt": at}}


def encoded(text: str) -> str:
    """A Secret's value as the API holds it."""
    return base64.b64encode(text.encode()).decode()


def secret(spec: ClusterSpec, key: str, now: datetime) -> Object | None:
    """The Secret with Mistral's key, as the scenario wants it; None where it is missing."""
    if spec.secret == "missing":  # noqa: S105 - a state
        return None
    entry = "unrelated" if spec.secret == "without key" else SECRET_KEY  # noqa: S105 - a state
    return key_secret(SECRET, entry, key, now)


def key_secret(name: str, entry: str, key: str, now: datetime) -> Object:
    """A Secret that was made a month ago and holds ``key`` alone."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": _metadata("Secret", name, ago(now, 43_200)),
        "data": {entry: encoded(key)},
    }


def scaled_up(replica_set: Object, now: datetime) -> Object:
    """The event of the deployment's last rollout."""
    name, created = replica_set["metadata"]["name"], replica_set["metadata"]["creationTimestamp"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": _metadata("Event", f"{DEPLOYMENT}.scaled", created),
        "involvedObject": {"kind": "Deployment", "namespace": NAMESPACE, "name": DEPLOYMENT, "apiVersion": "apps/v1"},
        "reason": "ScalingReplicaSet",
        "message": f"Scaled up replica set {name} to {replica_set['spec']['replicas']}",
        "source": {"component": "deployment-controller"},
        "type": "Normal",
        "count": 1,
        "firstTimestamp": created,
        "lastTimestamp": created,
    }


def network_policy(egress: str, now: datetime) -> Object:
    """``allows nothing`` or ``allows only PORT[, PORT]``, each over UDP and TCP, for the service's pods."""
    ports = [int(port) for port in egress.removeprefix("allows only").replace("allows nothing", "").split(",") if port]
    rule = {"ports": [{"port": port, "protocol": protocol} for port in ports for protocol in ("UDP", "TCP")]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata("NetworkPolicy", "limit-egress", ago(now, 20)),
        "spec": {
            "podSelector": {"matchLabels": dict(LABELS)},
            "policyTypes": ["Egress"],
            **({"egress": [rule]} if ports else {}),
        },
    }


def _metadata(kind: str, name: str, created: str) -> Object:
    return {
        "name": name,
        "namespace": NAMESPACE,
        "uid": uid(kind, name),
        "resourceVersion": "1",
        "creationTimestamp": created,
    }


def _owner(kind: str, name: str = DEPLOYMENT) -> Mapping[str, Any]:
    return {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid(kind, name), "controller": True}
