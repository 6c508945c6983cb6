"""Whether a pod runs as a remedy leaves it: what the cluster runs decides over a story's end, whoever made it so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.sandbox.kubernetes_objects import Object

_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
_FEW_REQUESTS, _LONG_MS = 10, 60_000


@dataclass(frozen=True, kw_only=True)
class Since:
    """``chosen``: when the story was; ``key_changed``: when the Secret got one of the good keys, if it did, in seconds.

    ``before``: the pod template of the revision before the newest one of then.
    """

    chosen: float
    key_changed: float | None
    before: Object


def runs(remedy: str, pod: Object, since: Since) -> bool:
    """Whether ``pod`` runs as ``remedy`` leaves it; nothing does for one that changes no pod."""
    deed = DEEDS.get(remedy)
    return deed is not None and deed(pod, since)


def _env(template_or_pod: Object) -> dict[str, object]:
    held = template_or_pod["spec"]["containers"][0].get("env") or []
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in held}


def _set(name: str, holds: Callable[[str], bool]) -> Callable[[Object, Since], bool]:
    return lambda pod, _: holds(str(_env(pod).get(name, "")))


def _started(pod: Object) -> float:
    return datetime.strptime(pod["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def _restarted(pod: Object, since: Since) -> bool:
    # a rotation restarts them as well, and is another remedy; the API writes whole seconds
    again = bool(pod["metadata"]["annotations"].get(_RESTARTED_AT)) and since.key_changed is None
    return again and _started(pod) >= int(since.chosen)


def _rotated(pod: Object, since: Since) -> bool:
    return since.key_changed is not None and _started(pod) >= int(since.key_changed)


def _rolled_back(pod: Object, since: Since) -> bool:
    image = since.before["spec"]["containers"][0]["image"]
    return pod["spec"]["containers"][0]["image"] == image and _env(pod) == _env(since.before)


DEEDS: Mapping[str, Callable[[Object, Since], bool]] = {
    "rate_limit_queue": _set("RATE_LIMIT_MODE", "queue".__eq__),
    "limit_concurrency": _set("MAX_CONCURRENT_REQUESTS", lambda held: held.isdecimal() and int(held) <= _FEW_REQUESTS),
    "fallback": _set("MISTRAL_FALLBACK", "true".__eq__),
    "raise_timeout": _set("MISTRAL_TIMEOUT", lambda held: held.isdecimal() and int(held) >= _LONG_MS),
    "restart": _restarted,
    "rotate_key": _rotated,
    "rollback": _rolled_back,
}
