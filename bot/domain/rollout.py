"""How a Deployment's rollout stands, and who else would change it, from objects as the API gives them; pure.

The objects need not be of one moment: what says done is in the deployment alone, what says failed must fit it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bot.domain.objects import Object, each, moment, whole, within
from bot.domain.workload import HASH_LABEL, condition, reason_of, template

# A pod that waits for one of these does not get over it by itself, or not soon.
STUCK = frozenset({"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError"})
_HISTORY = "deployment.kubernetes.io/revision-history"
_NAMED_SET = re.compile(r'^ReplicaSet "([^"]*)"')


@dataclass(frozen=True, kw_only=True)
class RolloutStatus:
    """``failed`` is a sentence, empty while it may still come right; ``said`` is how far it is, for people."""

    done: bool
    failed: str
    paused: bool
    updated: int
    """Pods of the new template."""
    ready: int
    """Those of them that are ready."""
    desired: int
    said: str


def status(deployment: Object, replica_sets: Iterable[Object], pods: Iterable[Object]) -> RolloutStatus:
    """As ``kubectl rollout status`` decides, and sooner where a pod of the new template is stuck."""
    metadata, spec, now = (within(deployment, part) for part in ("metadata", "spec", "status"))
    desired = whole(spec.get("replicas"), 1)
    new = newest_set(deployment, replica_sets)
    running, updated, available = (whole(now.get(f"{name}eplicas"), 0) for name in ("r", "updatedR", "availableR"))
    ready = min(whole(within(new, "status").get("readyReplicas"), 0), desired)
    seen = whole(now.get("observedGeneration"), 0) >= whole(metadata.get("generation"), 0)
    done = seen and updated >= desired and running <= updated and available >= updated
    failed = _timed_out(deployment, new) if seen else ""
    if not failed and seen and not done:
        failed = _stuck(new, pods)
    paused = not done and spec.get("paused") is True
    if not seen:
        said = "the cluster has not begun yet"
    elif paused:
        said = f"paused: `kubectl rollout resume deployment/{metadata.get('name')}` lets it go on"
    elif desired == 0:
        said = "no pod runs: the deployment is scaled to zero" if done else "the pods are ending"
    else:
        said = f"{desired if done else ready} of {desired} replicas"
        # what a new template has not replaced yet
        said += ", the old ones are ending" if not done and ready >= desired else ""
    return RolloutStatus(
        done=done and not failed,
        failed=failed,
        paused=paused,
        updated=updated if seen else 0,
        ready=ready,
        desired=desired,
        said=said,
    )


def newest_set(deployment: Object, replica_sets: Iterable[Object]) -> Object:
    """The ReplicaSet of the deployment's present template; empty where there is none yet.

    By the template, as the controller finds it: just after a change the highest revision is still the old one's.
    """
    uid, wanted = within(deployment, "metadata").get("uid"), _without_hash(template(deployment))
    fitting = [
        held
        for held in replica_sets
        if any(owner.get("uid") == uid for owner in each(held, "metadata", "ownerReferences"))
        and _without_hash(template(held)) == wanted
    ]
    return min(fitting, key=lambda held: str(within(held, "metadata").get("creationTimestamp")), default={})


def _without_hash(pod_template: Object) -> Object:
    metadata = within(pod_template, "metadata")
    labels = {name: value for name, value in within(metadata, "labels").items() if name != HASH_LABEL}
    # a template may have a creationTimestamp of null, which older API servers write
    rest = {name: value for name, value in metadata.items() if name != "labels" and value is not None}
    return {**pod_template, "metadata": {**rest, "labels": labels}}


def _timed_out(deployment: Object, new: Object) -> str:
    progressing = condition(within(deployment, "status"), "Progressing")
    if progressing.get("reason") != "ProgressDeadlineExceeded":
        return ""
    # After a rollback of what timed out the condition is still the old one's until the first new pod counts, and
    # `kubectl rollout status` takes that for a failure; the message names whose it is.
    named = _NAMED_SET.match(str(progressing.get("message")))
    if named and named[1] != within(new, "metadata").get("name"):
        return ""
    limit = whole(within(deployment, "spec").get("progressDeadlineSeconds"), 600)
    return f"The rollout made no progress for {limit} s."


def _stuck(new: Object, pods: Iterable[Object]) -> str:
    wanted = within(new, "metadata", "labels").get(HASH_LABEL)
    for pod in pods:
        metadata, held = within(pod, "metadata"), within(pod, "status")
        if wanted is None or within(metadata, "labels").get(HASH_LABEL) != wanted or metadata.get("deletionTimestamp"):
            continue
        for state in [*each(held, "initContainerStatuses"), *each(held, "containerStatuses")]:
            reason = reason_of(state, "state", "waiting")
            if reason in STUCK:
                return f"A new pod does not start: {metadata.get('name')} is in {reason}."
    return ""


def last_rollout_s(deployment: Object, replica_sets: Iterable[Object], pods: Iterable[Object]) -> float | None:
    """How long the last rollout took, in seconds; None where the API does not tell (any more)."""
    progressing = condition(within(deployment, "status"), "Progressing")
    if progressing.get("reason") != "NewReplicaSetAvailable":
        return None
    ended = moment(progressing.get("lastUpdateTime"))
    new = newest_set(deployment, replica_sets)
    began = _began(new, pods)
    if ended is None or began is None or ended < began:
        return None
    return (ended - began).total_seconds()


def _began(new: Object, pods: Iterable[Object]) -> datetime | None:
    metadata = within(new, "metadata")
    if _HISTORY not in within(metadata, "annotations"):
        return moment(metadata.get("creationTimestamp"))
    # a template that came back has its old ReplicaSet, which is older than the rollout; its first pod is not
    ours = [pod for pod in pods if _hash(pod) is not None and _hash(pod) == _hash(new)]
    created = [at for pod in ours if (at := moment(within(pod, "metadata").get("creationTimestamp")))]
    return min(created, default=None)


def _hash(held: Object) -> object:
    return within(held, "metadata", "labels").get(HASH_LABEL)


def strategy(deployment: Object) -> str:
    """How pods are replaced, in words."""
    held = within(deployment, "spec", "strategy")
    kind = str(held.get("type", "RollingUpdate"))
    if kind == "Recreate":
        return "Recreate, all pods end before new ones start"
    if kind != "RollingUpdate":
        return kind
    bounds = within(held, "rollingUpdate")
    more, fewer = (bounds.get(name, "25%") for name in ("maxSurge", "maxUnavailable"))
    return f"RollingUpdate, at most {more} more, {fewer} fewer"


def managed_by(deployment: Object) -> str | None:
    """A warning that somebody else will undo a change of this deployment; None where nobody is known to."""
    metadata = within(deployment, "metadata")
    labels, annotations = within(metadata, "labels"), within(metadata, "annotations")
    marks = {**labels, **annotations}
    tracked = str(annotations.get("argocd.argoproj.io/tracking-id", "")).partition(":")[0]
    if application := marks.get("argocd.argoproj.io/instance") or tracked:
        return (
            f"Argo CD manages this deployment (application {application}): the change shows as drift there, and is "
            "undone where self-heal is on. Make it in Git too, or switch the automatic sync off until then."
        )
    kustomization = marks.get("kustomize.toolkit.fluxcd.io/name")
    if kustomization and marks.get("kustomize.toolkit.fluxcd.io/reconcile") != "disabled":
        return (
            f"Flux manages this deployment (kustomization {kustomization}) and undoes the change at its next "
            f"reconciliation. Make it in Git too, or first `flux suspend kustomization {kustomization}`."
        )
    if release := marks.get("helm.toolkit.fluxcd.io/name"):
        return (
            f"Flux manages this deployment (Helm release {release}): the change is drift, and is undone at the next "
            "upgrade or where drift detection is on. Make it in Git too, or first "
            f"`flux suspend helmrelease {release}`."
        )
    release = annotations.get("meta.helm.sh/release-name")
    if release and labels.get("app.kubernetes.io/managed-by") == "Helm":
        return (
            f"Helm manages this deployment (release {release}): the change is drift, and the next `helm upgrade` may "
            "undo it. Make it in the release's values too."
        )
    return None
