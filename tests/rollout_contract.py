"""What the bot's mitigations rely on in a Kubernetes API: patches by the port, and rollouts as they are watched.

Part of the contract in ``cluster_contract``, with the same fixture ``api``.
"""

import pytest

from bot.domain.changes import AnnotationChange, changed
from bot.domain.rollout import last_rollout_s, newest_set, status
from bot.domain.workload import HASH_LABEL, template
from bot.errors import Changed, Forbidden, NotFound
from tests.cluster_contract import SELECTOR, Api, read, set_to, settled, text, to_template, variables, watched


async def test_a_patch_by_the_port_answers_what_is_then_there(api: Api) -> None:
    before = await settled(api.cluster)
    patch = to_template(before, changed(template(before), [set_to("RATE_LIMIT_MODE", "queue")], {}))
    preview = await api.cluster.patch("Deployment", "mistral-service", patch, dry_run=True)
    assert text(await api.cluster.get("Deployment", "mistral-service")) == text(before)
    assert preview["metadata"]["generation"] == before["metadata"]["generation"] + 1
    answer = await api.cluster.patch("Deployment", "mistral-service", patch)
    assert answer["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    after = await settled(api.cluster)
    assert text(preview) == text(answer) == text(after)
    assert variables(after) == variables(before) | {"RATE_LIMIT_MODE": "queue"}


async def test_a_patch_of_what_has_changed_since_changes_nothing(api: Api) -> None:
    before = await settled(api.cluster)
    patch = to_template(before, changed(template(before), [set_to("RATE_LIMIT_MODE", "queue")], {}))
    await api.cluster.patch("Deployment", "mistral-service", {"metadata": {"annotations": {"note": "here"}}})
    for dry_run in (True, False):
        with pytest.raises(Changed, match=r"^deployments/mistral-service in default has changed since it was read$"):
            await api.cluster.patch("Deployment", "mistral-service", patch, dry_run=dry_run)
    assert text(await api.cluster.get("Deployment", "mistral-service")) == text(before)


async def test_a_patch_that_is_not_allowed_or_finds_nothing_is_told(api: Api) -> None:
    for dry_run in (True, False):
        with pytest.raises(Forbidden, match=r"^forbidden: patch secrets/mistral-secrets in default$"):
            await api.limited.patch("Secret", "mistral-secrets", {"data": {}}, dry_run=dry_run)
        with pytest.raises(NotFound, match='"absent" not found'):
            await api.cluster.patch("Deployment", "absent", {"spec": {}}, dry_run=dry_run)


async def test_a_dry_run_leaves_an_empty_value_out_as_what_is_stored_does(api: Api) -> None:
    before = await settled(api.cluster)
    patch = to_template(before, changed(template(before), [set_to("RATE_LIMIT_MODE", "")], {}))
    preview = await api.cluster.patch("Deployment", "mistral-service", patch, dry_run=True)
    await api.cluster.patch("Deployment", "mistral-service", patch)
    assert text(await settled(api.cluster)) == text(preview)
    env = template(preview)["spec"]["containers"][0]["env"]
    assert {"name": "RATE_LIMIT_MODE"} in env


async def test_a_rollout_is_seen_to_advance_pod_by_pod_until_it_is_done(api: Api) -> None:
    before = await settled(api.cluster)
    old = newest_set(*(await read(api.cluster))[:2])
    change = AnnotationChange(name="kubectl.kubernetes.io/restartedAt", before=None, after="2026-07-01T12:00:00Z")
    patch = to_template(before, changed(template(before), [change], {}))
    patched = await api.cluster.patch("Deployment", "mistral-service", patch)
    assert not status(patched, [], []).done
    seen = await watched(api.cluster, lambda found: found.done)
    assert [found.failed for found in seen] == [""] * len(seen)
    ready = [found.ready for found in seen if found.updated]
    assert ready == sorted(ready)
    assert {1, 2} & set(ready)
    assert seen[-1].said == "3 of 3 replicas"
    deployment, sets, pods = await read(api.cluster)
    new = newest_set(deployment, sets)
    assert new["metadata"]["name"] != old["metadata"]["name"]
    assert {pod["metadata"]["labels"][HASH_LABEL] for pod in pods} == {new["metadata"]["labels"][HASH_LABEL]}
    took = last_rollout_s(deployment, sets, pods)
    assert took is not None
    assert 0 <= took < 20


async def test_a_status_that_changes_changes_the_version_too(api: Api) -> None:
    before = await settled(api.cluster)
    patch = to_template(before, changed(template(before), [set_to("RATE_LIMIT_MODE", "queue")], {}))
    answer = await api.cluster.patch("Deployment", "mistral-service", patch)
    after = await settled(api.cluster)
    assert after["metadata"]["resourceVersion"] != answer["metadata"]["resourceVersion"]
    assert text(after) == text(answer)
    conditions = {held["type"]: (held["status"], held["reason"]) for held in after["status"]["conditions"]}
    assert conditions == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }


async def test_a_paused_deployment_rolls_nothing_out_until_it_is_resumed(api: Api) -> None:
    before = await settled(api.cluster)
    sets = {held["metadata"]["name"] async for held in api.cluster.list("ReplicaSet", selector=SELECTOR)}
    patch = to_template(before, changed(template(before), [set_to("RATE_LIMIT_MODE", "queue")], {}))
    patch["spec"]["paused"] = True
    await api.cluster.patch("Deployment", "mistral-service", patch)
    seen = await watched(api.cluster, lambda found: found.paused)
    assert not any(found.done or found.failed for found in seen)
    assert {held["metadata"]["name"] async for held in api.cluster.list("ReplicaSet", selector=SELECTOR)} == sets
    await api.cluster.patch("Deployment", "mistral-service", {"spec": {"paused": None}})
    await watched(api.cluster, lambda found: found.done)
    assert len([held async for held in api.cluster.list("ReplicaSet", selector=SELECTOR)]) == len(sets) + 1


async def test_a_deployment_without_pods_is_done_at_once_and_comes_back(api: Api) -> None:
    before = await settled(api.cluster)
    await api.cluster.patch("Deployment", "mistral-service", {"spec": {"replicas": 0}})
    await watched(api.cluster, lambda found: found.done)
    scaled = await api.cluster.get("Deployment", "mistral-service")
    patch = to_template(scaled, changed(template(before), [set_to("RATE_LIMIT_MODE", "queue")], {}))
    await api.cluster.patch("Deployment", "mistral-service", patch)
    seen = await watched(api.cluster, lambda found: found.done)
    assert (seen[-1].said, seen[-1].desired) == ("no pod runs: the deployment is scaled to zero", 0)
    assert [pod async for pod in api.cluster.list("Pod", selector=SELECTOR)] == []
    await api.cluster.patch("Deployment", "mistral-service", {"spec": {"replicas": 3}})
    assert variables(await settled(api.cluster))["RATE_LIMIT_MODE"] == "queue"
