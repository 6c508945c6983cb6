"""Facts from Kubernetes objects: what a rollout changed, where the key comes from, how the pods are."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.signals import Pods, Rollout
from bot.domain.workload import KeyReference, PodFacts, key_reference, newest_rollout, uses_proxy
from tests.fakes import NOW
from tests.objects import Object, ago, container, deployment, ended, pod, replica_set, taken, variable, waiting

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda held: st.lists(held, max_size=3) | st.dictionaries(st.text(max_size=5), held, max_size=3),
    max_leaves=5,
)


def changes(old: list[Object], new: list[Object]) -> tuple[str, ...]:
    sets = [replica_set("1", *old), replica_set("2", *new, replicas=3)]
    return newest_rollout(deployment(), sets).changes


def facts(*pods: Object) -> PodFacts:
    held = PodFacts(NOW)
    for one in pods:
        held.add(one)
    return held


def seen(*pods: Object, replicas: int = 3, status: Object | None = None) -> Pods:
    return facts(*pods).pods(deployment(replicas=replicas, status=status))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ([container(image="a:1")], [container(image="a:2")], ("image of app: a:1 → a:2",)),
        (
            [container("app", variable("MODEL", "small"))],
            [container("app", variable("MODEL", "large"))],
            ("MODEL: small → large",),
        ),
        ([container()], [container("app", variable("NEW", "1"))], ("NEW: unset → 1",)),
        ([container("app", variable("OLD", ""))], [container()], ("OLD: empty → unset",)),
        (
            [container("app", taken("KEY", "s", "a"))],
            [container("app", taken("KEY", "s", "b"))],
            ("KEY: from Secret s, key a → from Secret s, key b",),
        ),
        (
            [container("app", {"name": "M", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "a"}}})],
            [container("app", {"name": "M", "valueFrom": {"configMapKeyRef": {"name": "d", "key": "a"}}})],
            ("M: from ConfigMap c, key a → from ConfigMap d, key a",),
        ),
        (
            [container("app", {"name": "M", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})],
            [container("app", {"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}})],
            ("M: from field metadata.name → from field limits.cpu",),
        ),
        (
            [container(envFrom=[{"configMapRef": {"name": "c"}}])],
            [container(envFrom=[{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}, "prefix": "P_"}])],
            ("envFrom: ConfigMap c → ConfigMap c, Secret s as P_*",),
        ),
        ([container("app", variable("A", "1"))], [container("app", variable("A", "1"))], ()),
    ],
    ids=["image", "value", "new", "gone", "secret", "config map", "field", "envFrom", "none"],
)
def test_a_rollout_tells_what_it_changed(old: list[Object], new: list[Object], told: tuple[str, ...]) -> None:
    assert changes(old, new) == told


def test_the_same_variable_in_two_containers_hides_no_change() -> None:
    old = [container("app", variable("MODEL", "small")), container("sidecar", variable("MODEL", "small"))]
    new = [container("app", variable("MODEL", "large")), container("sidecar", variable("MODEL", "small"))]
    assert changes(old, new) == ("MODEL of app: small → large",)


def test_a_container_that_is_new_is_told_beside_the_old_one() -> None:
    old, new = [container("app", variable("A", "1"))], [container("app", variable("A", "1")), container("proxy")]
    assert changes(old, new) == ("image of proxy: unset → service:1",)


@pytest.mark.parametrize(
    "name", ["MISTRAL_API_KEY", "DB_PASSWORD", "PGPASS", "AUTH", "SLACK_TOKEN", "CONNECTION_STRING", "credentials"]
)
def test_a_secret_is_masked_and_its_change_is_told_all_the_same(name: str) -> None:
    old = [container("app", variable(name, "planted-1"))]
    assert changes(old, [container("app", variable(name, "planted-2"))]) == (f"{name}: changed (***)",)
    assert changes(old, [container("app", taken(name, "s", "k"))]) == (f"{name}: *** → from Secret s, key k",)


def test_a_secret_within_an_innocent_value_is_masked() -> None:
    old = [container("app", variable("DATABASE_URL", "postgres://u:planted@old/db"))]
    (told,) = changes(old, [container("app", variable("DATABASE_URL", "postgres://u:planted@new/db"))])
    assert "planted" not in told
    assert "@new/db" in told


def test_long_values_that_differ_at_their_end_are_told_as_changed() -> None:
    old, new = (container("app", variable("PROMPT", "x" * 200 + end)) for end in "ab")
    assert changes([old], [new]) == (f"PROMPT: changed ({'x' * 79}…)",)


def test_at_most_twenty_changes_are_told() -> None:
    assert len(changes([container()], [container("app", *(variable(f"V{n}", "1") for n in range(100)))])) == 20


@pytest.mark.parametrize(
    ("sets", "revision"),
    [
        ([], None),
        ([replica_set("1", replicas=3)], None),
        ([replica_set("4", replicas=3)], 4),
        ([replica_set("9"), replica_set("10", replicas=1), replica_set("11")], 10),
        ([replica_set("2", replicas=3), replica_set("3", replicas=1)], 3),
        ([replica_set("2", replicas=3), replica_set("x", replicas=1), replica_set("²", replicas=1)], 2),
        ([replica_set("2", replicas=3), replica_set("9" * 5000, replicas=1), replica_set(None, replicas=1)], 2),
    ],
    ids=["none", "the first", "the only", "by number", "half way", "no number", "no sane number"],
)
def test_the_newest_rollout_is_the_highest_revision_above_one_with_replicas(
    sets: list[Object], revision: int | None
) -> None:
    found = newest_rollout(deployment(), sets)
    assert found.revision == revision
    assert (found.created is None) == (revision is None)


def test_the_replica_set_of_another_deployment_does_not_count() -> None:
    other = replica_set("8", replicas=3)
    other["metadata"]["ownerReferences"] = [{"name": "worker", "uid": "d-2"}]
    assert newest_rollout(deployment(), [other]) == Rollout()
    del other["metadata"]["ownerReferences"]
    assert newest_rollout(deployment(), [other]).revision == 8


WHOLE = KeyReference("mistral-secrets", None)
USUAL = KeyReference("mistral-secrets", "api-key")
KEY = taken("MISTRAL_API_KEY", "mistral-secrets", "api-key")
WEBHOOK = taken("WEBHOOK", "mistral-secrets", "webhook")
PROJECTED = [{"projected": {"sources": [{"secret": {"name": "mistral-secrets"}}]}}]


@pytest.mark.parametrize(
    ("wanted", "reference"),
    [
        (deployment(container("app", KEY)), USUAL),
        (deployment(container("app", taken("TOKEN", "mistral-secrets", "api-key"))), USUAL),
        (deployment(container("app", WEBHOOK, KEY)), USUAL),
        (deployment(container("app", WEBHOOK)), None),
        (deployment(container("app", taken("API_KEY", "mistral-secrets", "k"))), KeyReference("mistral-secrets", "k")),
        (
            deployment(container("app", WEBHOOK, taken("MISTRAL_API_KEY", "other", "k"))),
            KeyReference("other", "k"),
        ),
        (deployment(container("app", taken("MISTRAL_KEY", "other", "k", optional=True))), KeyReference("other", "k")),
        (deployment(container("app", taken("DB_PASSWORD", "db", "password"))), None),
        (deployment(container("app", variable("MISTRAL_API_KEY", "literal"))), None),
        (deployment(container(envFrom=[{"secretRef": {"name": "mistral-secrets"}}])), WHOLE),
        (deployment(volumes=[{"secret": {"secretName": "mistral-secrets"}}]), WHOLE),
        (deployment(volumes=PROJECTED), WHOLE),
        (deployment(initContainers=[container("init", KEY)]), USUAL),
        (deployment(), None),
    ],
    ids=[
        *("usual", "usual entry", "beside a webhook", "a webhook alone", "another entry", "another Secret", "optional"),
        *("a database's", "literal", "envFrom", "volume", "projected", "init container", "none"),
    ],
)
def test_the_key_is_taken_from_where_the_template_says(wanted: Object, reference: KeyReference | None) -> None:
    assert key_reference(wanted, "mistral-secrets", "api-key") == reference


@pytest.mark.parametrize(("name", "uses"), [("HTTPS_PROXY", True), ("https_proxy", True), ("HTTP_PROXY", False)])
def test_a_proxy_in_the_template_is_seen(name: str, *, uses: bool) -> None:
    assert uses_proxy(deployment(container("app", variable(name, "http://proxy:3128")))) is uses


def test_waiting_reasons_count_pods_and_not_containers() -> None:
    both = pod("a", waiting("CrashLoopBackOff", 6), waiting("CrashLoopBackOff", 4), ready=False)
    found = seen(both, pod("b", waiting("ImagePullBackOff"), ready=False), pod("c"))
    assert found.waiting == {"CrashLoopBackOff": 1, "ImagePullBackOff": 1}
    assert (found.ready, found.restarts, found.below_desired) == (1, 10, True)


@pytest.mark.parametrize(("minutes", "counts"), [(1, True), (30, True), (30.5, False), (600, False)])
def test_a_termination_counts_for_thirty_minutes(minutes: float, *, counts: bool) -> None:
    assert seen(pod("a", ended("OOMKilled", minutes))).terminated == ({"OOMKilled": 1} if counts else {})


@pytest.mark.parametrize(("minutes", "below"), [(0.5, False), (1.9, False), (2, True), (600, True)])
def test_below_desired_counts_after_two_minutes(minutes: float, *, below: bool) -> None:
    late = pod("c", ready=False, since=minutes, started=minutes)
    assert seen(pod("a"), pod("b"), late).below_desired is below


@pytest.mark.parametrize(
    ("conditions", "below"),
    [
        ([{"type": "Available", "status": "False", "lastTransitionTime": ago(3)}], True),
        ([{"type": "Available", "status": "False", "lastTransitionTime": ago(1)}], False),
        ([{"type": "ReplicaFailure", "status": "True", "lastTransitionTime": ago(3)}], True),
        ([{"type": "Available", "status": "True", "lastTransitionTime": ago(900)}], False),
        ([], False),
    ],
    ids=["unavailable", "just now", "quota", "available", "not told"],
)
def test_a_pod_that_was_never_made_is_missed_from_when_the_deployment_says(
    conditions: list[Object], *, below: bool
) -> None:
    assert seen(pod("a"), pod("b"), status={"conditions": conditions}).below_desired is below


@pytest.mark.parametrize(
    ("states", "phase", "ready"),
    [
        ([{"name": "app", "ready": True}], "Running", 1),
        ([{"name": "app", "ready": True}, {"name": "proxy", "ready": False}], "Running", 0),
        ([], "Running", 1),
        ([], "Pending", 0),
    ],
    ids=["containers ready", "one of them not", "only running", "pending"],
)
def test_a_pod_without_conditions_is_as_ready_as_its_containers(states: list[Object], phase: str, ready: int) -> None:
    bare = pod("a", *states, phase=phase)
    del bare["status"]["conditions"]
    assert seen(bare, replicas=1).ready == ready


def test_more_ready_pods_than_desired_or_none_desired_are_not_below() -> None:
    assert not seen(pod("a"), pod("b", ready=False), replicas=1).below_desired
    assert not seen(replicas=0).below_desired


def test_pods_that_end_or_were_evicted_long_ago_are_no_pods_of_the_service() -> None:
    leaving = pod("a", waiting("CrashLoopBackOff"), ready=False)
    leaving["metadata"]["deletionTimestamp"] = ago(1)
    evicted = pod("b", ended("OOMKilled", 5), ready=False, phase="Failed")
    held = facts(leaving, evicted, pod("c", phase="Succeeded"), pod("d"), pod("e", ready=False, since=1))
    found = held.pods(deployment(replicas=2))
    assert (held.seen, found.ready, found.below_desired, found.waiting) == (2, 1, False, {})
    assert found.terminated == {"OOMKilled": 1}
    assert [name for name, _ in held.names] == ["d", "e"]


def test_the_oldest_and_the_newest_start_are_known() -> None:
    found = seen(pod("a", started=90), pod("b", started=5))
    assert found.oldest_start is not None
    assert found.newest_start is not None
    assert (NOW - found.oldest_start).total_seconds() == 90 * 60
    assert (NOW - found.newest_start).total_seconds() == 5 * 60


MALFORMED: list[Any] = [
    {},
    {"metadata": None, "spec": None, "status": None},
    {"metadata": [], "spec": "x", "status": 3},
    {"metadata": {"name": 5, "annotations": []}, "spec": {"replicas": "three", "template": []}, "status": []},
    {"spec": {"template": {"spec": {"containers": {"name": "app"}, "volumes": "x", "initContainers": [None]}}}},
    {"spec": {"template": {"spec": {"containers": [1, {"env": {"a": 1}, "envFrom": [0]}, {"env": [{}, 1, None]}]}}}},
    {"spec": {"containers": [{}]}, "status": {"containerStatuses": [{"state": [], "restartCount": "many"}]}},
    {"status": {"conditions": ["Ready", {"type": "Ready"}], "startTime": "yesterday", "containerStatuses": "none"}},
    {"status": {"startTime": "2026-07-01T11:00:00", "containerStatuses": [{"lastState": {"terminated": {}}}]}},
]


@pytest.mark.parametrize("held", MALFORMED, ids=range(len(MALFORMED)))
def test_an_object_that_makes_no_sense_raises_nothing(held: Any) -> None:
    assert newest_rollout(held, [held, replica_set("2", replicas=1)]).revision in (None, 2)
    assert key_reference(held, "mistral-secrets", "api-key") is None
    assert not uses_proxy(held)
    found = facts(held, pod("a")).pods(held)
    assert (found.ready, found.desired, found.restarts) == (1, 1, 0)


@given(JUNK, st.sampled_from(["metadata", "spec", "status", "template", "containers", "env", "conditions"]))
def test_whatever_stands_in_one_place_raises_nothing(junk: Any, place: str) -> None:
    for whole in (replica_set("2", container("app", KEY), replicas=1), pod("a", ended("Error", 1))):
        held = deepcopy(whole)
        _put(held, place, junk)
        newest_rollout(held, [held, whole])
        key_reference(held, "mistral-secrets", "api-key")
        assert facts(held).seen <= 1


def _put(held: Any, place: str, junk: Any) -> None:
    for one in list(held.values()) if isinstance(held, dict) else held if isinstance(held, list) else ():
        _put(one, place, junk)
    if isinstance(held, dict) and place in held:
        held[place] = junk
