"""Kubernetes objects for tests, as small as the API could give them."""

from datetime import datetime, timedelta
from typing import Any

from tests.fakes import NOW

Object = dict[str, Any]
LABELS = {"app": "mistral-service"}


def ago(minutes: float) -> str:
    """A time as the API writes it."""
    at: datetime = NOW - timedelta(minutes=minutes)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def variable(name: str, value: str) -> Object:
    return {"name": name, "value": value}


def taken(name: str, secret: str, key: str, **more: Any) -> Object:
    """A variable that takes an entry of a Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, **more}}}


def container(name: str = "app", *env: Object, image: str = "service:1", **more: Any) -> Object:
    return {"name": name, "image": image, "env": list(env), **more}


def template(*containers: Object, **more: Any) -> Object:
    return {"metadata": {"labels": dict(LABELS)}, "spec": {"containers": list(containers or [container()]), **more}}


def deployment(*containers: Object, replicas: int = 3, status: Object | None = None, **more: Any) -> Object:
    """``more`` goes into the pod's spec."""
    return {
        "metadata": {"name": "mistral-service", "uid": "d-1"},
        "spec": {"replicas": replicas, "template": template(*containers, **more)},
        "status": status or {},
    }


def replica_set(revision: object, *containers: Object, replicas: int = 0, minutes: float = 60) -> Object:
    return {
        "metadata": {
            "name": f"mistral-service-{revision}",
            "labels": dict(LABELS),
            "annotations": {"deployment.kubernetes.io/revision": revision},
            "creationTimestamp": ago(minutes),
            "ownerReferences": [{"kind": "Deployment", "name": "mistral-service", "uid": "d-1"}],
        },
        "spec": {"replicas": replicas, "template": template(*containers)},
    }


def pod(
    name: str = "pod-0",
    *states: Object,
    ready: bool = True,
    since: float = 600,
    started: float = 600,
    phase: str = "Running",
) -> Object:
    """A pod that started ``started`` minutes ago and has been ready (or not) for ``since``."""
    return {
        "metadata": {"name": name, "labels": dict(LABELS), "creationTimestamp": ago(started)},
        "spec": {"containers": [{"name": "app"}]},
        "status": {
            "phase": phase,
            "startTime": ago(started),
            "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": ago(since)}],
            "containerStatuses": list(states),
        },
    }


def waiting(reason: str, restarts: int = 0) -> Object:
    return {"name": "app", "restartCount": restarts, "state": {"waiting": {"reason": reason}}}


def ended(reason: str, minutes: float, restarts: int = 1) -> Object:
    """A container that runs again after it ended ``minutes`` ago."""
    last = {"terminated": {"reason": reason, "finishedAt": ago(minutes)}}
    return {"name": "app", "restartCount": restarts, "state": {"running": {}}, "lastState": last}
