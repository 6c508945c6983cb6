"""How a rollout stands, as the API's objects tell: done, under way, stuck; how long the last took; who manages it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.rollout import RolloutStatus, last_rollout_s, managed_by, newest_set, status, strategy
from tests.domain.test_workload import JUNK
from tests.objects import Object, ago, container, deployment, pod, replica_set, waiting

NEW, OLD = "new5d9", "old7f2"


def condition(kind: str, reason: str, message: str = "", minutes: float = 1) -> Object:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastUpdateTime": ago(minutes)}


def rolling(
    updated: int, available: int, *conditions: Object, replicas: int = 3, total: int = 3, observed: int = 2, **spec: Any
) -> Object:
    """A deployment of the image ``service:2``, generation 2."""
    held = deployment(container(image="service:2"), replicas=replicas)
    held["metadata"] |= {"generation": 2}
    held["spec"] |= spec
    counts = {"replicas": total, "updatedReplicas": updated, "availableReplicas": available}
    # the API leaves a count of zero out
    held["status"] = {name: count for name, count in counts.items() if count}
    held["status"] |= {"observedGeneration": observed, "conditions": list(conditions)}
    return held


def of_image(image: str, hashed: str, ready: int = 0, minutes: float = 5, **annotations: str) -> Object:
    held = replica_set("1", container(image=image), replicas=3, minutes=minutes)
    held["metadata"]["name"] = f"mistral-service-{hashed}"
    held["metadata"]["labels"]["pod-template-hash"] = hashed
    held["metadata"]["annotations"] |= annotations
    held["spec"]["template"]["metadata"]["labels"] = {"app": "mistral-service", "pod-template-hash": hashed}
    return held | {"status": {"readyReplicas": ready}}


def sets(ready: int = 0) -> list[Object]:
    return [of_image("service:1", OLD, 3, minutes=900), of_image("service:2", NEW, ready)]


def pod_of(hashed: str, *states: Object, **more: Any) -> Object:
    held = pod(f"pod-of-{hashed}", *states, **more)
    held["metadata"]["labels"]["pod-template-hash"] = hashed
    return held


@pytest.mark.parametrize(
    ("held", "ready", "done", "said"),
    [
        (rolling(0, 3, observed=1), 0, False, "the cluster has not begun yet"),
        (rolling(3, 3, observed=1), 3, False, "the cluster has not begun yet"),
        (rolling(1, 3, total=4), 0, False, "0 of 3 replicas"),
        (rolling(2, 3, total=4), 1, False, "1 of 3 replicas"),
        (rolling(3, 3, total=4), 2, False, "2 of 3 replicas"),
        (rolling(3, 3, total=4), 3, False, "3 of 3 replicas, the old ones are ending"),
        (rolling(3, 2), 2, False, "2 of 3 replicas"),
        (rolling(3, 3), 3, True, "3 of 3 replicas"),
        (rolling(0, 0, replicas=0, total=0), 0, True, "no pod runs: the deployment is scaled to zero"),
        (rolling(0, 0, replicas=0, total=2), 0, False, "the pods are ending"),
        (
            rolling(0, 3, paused=True),
            0,
            False,
            "paused: `kubectl rollout resume deployment/mistral-service` lets it go on",
        ),
        (rolling(3, 3, paused=True), 3, True, "3 of 3 replicas"),
    ],
)
def test_it_is_done_when_kubectl_says_so(held: Object, ready: int, done: bool, said: str) -> None:
    found = status(held, sets(ready), [])
    assert (found.done, found.failed, found.said) == (done, "", said)
    assert found.paused == said.startswith("paused")
    assert found.desired == held["spec"]["replicas"]


def test_a_rollout_that_has_not_begun_has_updated_no_pod() -> None:
    assert status(rolling(3, 3, observed=1), sets(3), []).updated == 0
    assert status(rolling(2, 3), sets(1), []) == RolloutStatus(
        done=False, failed="", paused=False, updated=2, ready=1, desired=3, said="1 of 3 replicas"
    )


def timed_out(hashed: str) -> Object:
    message = f'ReplicaSet "mistral-service-{hashed}" has timed out progressing.'
    return condition("Progressing", "ProgressDeadlineExceeded", message)


def test_a_rollout_without_progress_has_failed() -> None:
    found = status(rolling(1, 3, timed_out(NEW), progressDeadlineSeconds=60), sets(), [])
    assert (found.done, found.failed) == (False, "The rollout made no progress for 60 s.")


def test_the_time_out_of_the_release_before_is_not_that_of_its_rollback() -> None:
    assert status(rolling(0, 2, timed_out(OLD), total=4), sets(), []).failed == ""
    assert status(rolling(3, 3, timed_out(OLD)), sets(3), []).done
    assert status(rolling(0, 2, timed_out(NEW), total=4, observed=1), sets(), []).failed == ""


def test_a_time_out_that_names_nobody_counts() -> None:
    held = rolling(1, 3, condition("Progressing", "ProgressDeadlineExceeded", "Deployment has timed out progressing."))
    assert status(held, sets(), []).failed


@pytest.mark.parametrize(
    "reason", ["CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError"]
)
def test_a_new_pod_that_does_not_start_fails_the_rollout_early(reason: str) -> None:
    found = status(rolling(1, 3, total=4), sets(), [pod_of(NEW, waiting(reason), ready=False)])
    assert (found.done, found.failed) == (False, f"A new pod does not start: pod-of-{NEW} is in {reason}.")


def test_an_init_container_that_does_not_start_fails_it_too() -> None:
    stuck = pod_of(NEW, ready=False)
    stuck["status"]["initContainerStatuses"] = [waiting("CrashLoopBackOff")]
    assert status(rolling(1, 3, total=4), sets(), [stuck]).failed


@pytest.mark.parametrize(
    ("held", "stuck"),
    [
        (rolling(1, 3, total=4), pod_of(OLD, waiting("CrashLoopBackOff"), ready=False)),
        (rolling(1, 3, total=4), pod_of(NEW, waiting("ContainerCreating"), ready=False)),
        (rolling(1, 3, total=4, observed=1), pod_of(NEW, waiting("CrashLoopBackOff"), ready=False)),
        (rolling(1, 3, total=4), pod("alien", waiting("CrashLoopBackOff"), ready=False)),
        (rolling(3, 3), pod_of(NEW, waiting("CrashLoopBackOff"), ready=False)),
    ],
    ids=["of the old", "starting", "not begun", "not ours", "done"],
)
def test_a_pod_that_does_not_tell_of_the_new_template_fails_nothing(held: Object, stuck: Object) -> None:
    assert status(held, sets(), [stuck]).failed == ""


def test_a_new_pod_that_is_being_deleted_fails_nothing() -> None:
    stuck = pod_of(NEW, waiting("CrashLoopBackOff"), ready=False)
    stuck["metadata"]["deletionTimestamp"] = ago(0)
    assert status(rolling(1, 3, total=4), sets(), [stuck]).failed == ""


def test_before_the_new_replica_set_is_there_no_pod_is_new() -> None:
    found = status(rolling(0, 3), [of_image("service:1", OLD, 3)], [pod_of(OLD, waiting("CrashLoopBackOff"))])
    assert (found.failed, found.ready) == ("", 0)


def test_the_newest_set_is_the_one_of_the_template_and_of_this_deployment() -> None:
    alien = of_image("service:2", "alien")
    alien["metadata"]["ownerReferences"][0]["uid"] = "d-2"
    assert newest_set(rolling(3, 3), [alien, *sets()])["metadata"]["name"] == f"mistral-service-{NEW}"
    assert newest_set(rolling(3, 3), [alien]) == {}


def test_the_last_rollout_took_from_its_replica_set_to_the_condition() -> None:
    held = rolling(3, 3, condition("Progressing", "NewReplicaSetAvailable", minutes=3))
    assert last_rollout_s(held, sets(3), []) == 120


def test_a_template_that_came_back_is_timed_from_its_first_pod() -> None:
    held = rolling(3, 3, condition("Progressing", "NewReplicaSetAvailable", minutes=3))
    back = [of_image("service:2", NEW, 3, 900, **{"deployment.kubernetes.io/revision-history": "1"})]
    pods = [pod_of(NEW, started=4), pod_of(NEW, started=5), pod_of(OLD, started=90)]
    assert last_rollout_s(held, back, pods) == 120
    assert last_rollout_s(held, back, [pod_of(NEW, started=1)]) is None
    assert last_rollout_s(held, back, []) is None


@pytest.mark.parametrize(
    "held",
    [
        rolling(3, 3),
        rolling(1, 3, condition("Progressing", "ReplicaSetUpdated")),
        rolling(1, 3, timed_out(NEW)),
        rolling(3, 3, condition("Progressing", "NewReplicaSetAvailable", minutes=30)),
        rolling(3, 3, condition("Progressing", "NewReplicaSetAvailable") | {"lastUpdateTime": None}),
    ],
    ids=["no condition", "under way", "timed out", "older than its set", "no time"],
)
def test_how_long_it_took_is_unknown_where_the_api_does_not_tell(held: Object) -> None:
    assert last_rollout_s(held, sets(), []) is None


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (None, "RollingUpdate, at most 25% more, 25% fewer"),
        (
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "RollingUpdate, at most 1 more, 0 fewer",
        ),
        ({"type": "Recreate"}, "Recreate, all pods end before new ones start"),
    ],
)
def test_the_strategy_is_told_in_words(held: Object | None, said: str) -> None:
    deployed = rolling(3, 3)
    deployed["spec"] |= {} if held is None else {"strategy": held}
    assert strategy(deployed) == said


def marked(labels: Object | None = None, annotations: Object | None = None) -> str | None:
    held = rolling(3, 3)
    held["metadata"] |= {"labels": labels or {}, "annotations": annotations or {}}
    return managed_by(held)


@pytest.mark.parametrize(
    ("labels", "annotations", "begin"),
    [
        ({"argocd.argoproj.io/instance": "shop"}, {}, "Argo CD manages this deployment (application shop): "),
        ({}, {"argocd.argoproj.io/instance": "shop"}, "Argo CD manages this deployment (application shop): "),
        (
            {"app.kubernetes.io/managed-by": "Helm"},
            {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:prod/mistral-service"},
            "Argo CD manages this deployment (application shop): ",
        ),
        (
            {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"},
            {},
            "Flux manages this deployment (kustomization apps) and undoes the change",
        ),
        (
            {"helm.toolkit.fluxcd.io/name": "shop", "app.kubernetes.io/managed-by": "Helm"},
            {"meta.helm.sh/release-name": "shop"},
            "Flux manages this deployment (Helm release shop): ",
        ),
        (
            {"app.kubernetes.io/managed-by": "Helm"},
            {"meta.helm.sh/release-name": "shop"},
            "Helm manages this deployment (release shop): ",
        ),
    ],
    ids=["Argo's label", "Argo's annotation", "Argo tracks", "kustomization", "Flux and Helm", "Helm"],
)
def test_whoever_would_undo_a_change_is_named(labels: Object, annotations: Object, begin: str) -> None:
    said = marked(labels, annotations)
    assert said is not None
    assert said.startswith(begin)


@pytest.mark.parametrize(
    ("labels", "annotations"),
    [
        ({}, {}),
        ({"app.kubernetes.io/managed-by": "Helm"}, {}),
        ({"app.kubernetes.io/managed-by": "kubectl"}, {"meta.helm.sh/release-name": "shop"}),
        ({"app.kubernetes.io/instance": "shop"}, {}),
        (
            {"kustomize.toolkit.fluxcd.io/name": "apps"},
            {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"},
        ),
    ],
    ids=["nobody", "no release", "not Helm", "an instance", "Flux was told not to"],
)
def test_where_nobody_is_known_to_undo_a_change_nothing_is_said(labels: Object, annotations: Object) -> None:
    assert marked(labels, annotations) is None


@given(held=st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), JUNK), others=st.lists(JUNK, max_size=3))
def test_objects_that_make_no_sense_raise_nothing(held: Any, others: list[Any]) -> None:
    found = status(held, others, others)
    assert not (found.done and found.failed)
    strategy(held)
    managed_by(held)
    assert last_rollout_s(held, others, others) is None
