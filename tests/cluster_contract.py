"""What the bot relies on in a Kubernetes API: one suite, held by the sandbox's API and by a real API server.

A module that runs it imports the tests and provides the fixture ``api``: an :class:`Api` whose deployment has just
rolled out its second revision, with three ready pods that log.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from bot.clients.kubernetes import KubernetesCluster
from bot.domain.changes import EnvChange, merge_patch
from bot.domain.rollout import RolloutStatus, last_rollout_s, status
from bot.domain.workload import template
from bot.errors import Forbidden, LoginExpired, NotFound

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
SELECTOR = "app=mistral-service"
KEY = "contract-key-18c2e5d09b"


@dataclass(frozen=True, kw_only=True)
class Api:
    """One API under test: as the bot reads it, and as an administrator changes it."""

    cluster: KubernetesCluster
    limited: KubernetesCluster
    """As somebody who may not read pods, logs and secrets."""
    unknown: KubernetesCluster
    """With a token that the API does not know."""
    patch: Callable[[str, str, Any], Awaitable[tuple[int, dict[str, Any]]]]
    """(path after the namespace with its query, content type, patch) -> status and body."""


def patcher(url: str, namespace: str, token: str, session: aiohttp.ClientSession) -> Any:
    """``Api.patch`` over plain HTTP."""

    async def patch(path: str, content_type: str, body: Any) -> tuple[int, dict[str, Any]]:
        group = "api/v1" if path.startswith("secrets") else "apis/apps/v1"
        async with session.patch(
            f"{url}/{group}/namespaces/{namespace}/{path}",
            json=body,
            headers={"Authorization": f"Bearer {token}", "Content-Type": content_type},
        ) as answer:
            return answer.status, await answer.json()

    return patch


async def settled(cluster: KubernetesCluster) -> dict[str, Any]:
    """The deployment once its newest template runs in three ready pods and the pods of the one before are gone."""
    async with asyncio.timeout(20):
        while True:
            deployment = await cluster.get("Deployment", "mistral-service")
            status = deployment.get("status", {})
            counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
            seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
            if seen and counts == [3, 3, 3] and len([pod async for pod in cluster.list("Pod", selector=SELECTOR)]) == 3:
                return deployment
            await asyncio.sleep(0.05)


async def read(cluster: KubernetesCluster) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """The deployment, its ReplicaSets and its pods, in the order in which a rollout is judged."""
    deployment = await cluster.get("Deployment", "mistral-service")
    sets = [held async for held in cluster.list("ReplicaSet", selector=SELECTOR)]
    return deployment, sets, [pod async for pod in cluster.list("Pod", selector=SELECTOR)]


async def watched(
    cluster: KubernetesCluster, until: Callable[[RolloutStatus], bool], timeout_s: float = 20
) -> list[RolloutStatus]:
    """What a rollout looked like until the last one fits; each look that differs from the one before."""
    seen: list[RolloutStatus] = []
    async with asyncio.timeout(timeout_s):
        while True:
            found = status(*await read(cluster))
            if found not in seen[-1:]:
                seen.append(found)
            if until(found):
                return seen
            await asyncio.sleep(0.02)


def text(deployment: dict[str, Any]) -> str:
    """The pod template to the byte."""
    return json.dumps(template(deployment), sort_keys=True)


def set_to(name: str, value: str | None, before: dict[str, Any] | None = None) -> EnvChange:
    after = None if value is None else {"name": name, "value": value}
    return EnvChange(container="app", name=name, before=before, after=after)


def to_template(deployment: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The patch that makes ``wanted`` the pod template of the deployment as it was read."""
    metadata = {"resourceVersion": deployment["metadata"]["resourceVersion"]}
    return {"metadata": metadata, "spec": {"template": merge_patch(template(deployment), wanted)}}


async def _revisions(cluster: KubernetesCluster) -> dict[int, dict[str, Any]]:
    sets = [item async for item in cluster.list("ReplicaSet", selector=SELECTOR)]
    return {int(item["metadata"]["annotations"]["deployment.kubernetes.io/revision"]): item for item in sets}


def _env(variable: str, value: str) -> dict[str, Any]:
    container = {"name": "app", "env": [{"name": variable, "value": value}]}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


def variables(deployment: dict[str, Any]) -> dict[str, Any]:
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in env}


async def test_three_ready_pods_are_listed_with_state_and_start(api: Api) -> None:
    pods = [pod async for pod in api.cluster.list("Pod", selector=SELECTOR)]
    assert len(pods) == 3
    for pod in pods:
        status = pod["status"]["containerStatuses"][0]
        assert status["ready"] is True
        assert "running" in status["state"]
        assert datetime.fromisoformat(pod["status"]["startTime"]) <= datetime.now(UTC)
        ready = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")
        assert ready["status"] == "True"


async def test_a_selector_that_nothing_has_selects_nothing(api: Api) -> None:
    assert [pod async for pod in api.cluster.list("Pod", selector="app=another")] == []


async def test_each_revision_is_a_replica_set_and_only_the_newest_has_replicas(api: Api) -> None:
    await settled(api.cluster)
    revisions = await _revisions(api.cluster)
    assert {revision: item["spec"]["replicas"] for revision, item in revisions.items()} == {1: 0, 2: 3}
    newest = revisions[2]
    assert "pod-template-hash" in newest["spec"]["template"]["metadata"]["labels"]
    assert datetime.fromisoformat(newest["metadata"]["creationTimestamp"]) <= datetime.now(UTC)
    assert (
        newest["spec"]["template"]["spec"]["containers"][0]["image"]
        != (revisions[1]["spec"]["template"]["spec"]["containers"][0]["image"])
    )


async def test_the_template_references_the_secret_and_the_secret_holds_the_key(api: Api) -> None:
    reference = variables(await api.cluster.get("Deployment", "mistral-service"))["MISTRAL_API_KEY"]["secretKeyRef"]
    assert reference == {"name": "mistral-secrets", "key": "api-key"}
    secret = await api.cluster.get("Secret", reference["name"])
    assert base64.b64decode(secret["data"][reference["key"]]).decode() == KEY


async def test_what_is_not_there_is_not_found(api: Api) -> None:
    with pytest.raises(NotFound, match='"absent" not found'):
        await api.cluster.get("Secret", "absent")


async def test_log_lines_lead_with_their_time_and_no_more_than_the_tail_come(api: Api) -> None:
    pod = await anext(api.cluster.list("Pod", selector=SELECTOR))
    name = pod["metadata"]["name"]
    text = b"".join([c async for c in api.cluster.log_chunks(name, "app", since_s=300, tail_lines=4)]).decode()
    lines = text.splitlines()
    assert len(lines) == 4
    for line in lines:
        at, said = line.split(" ", 1)
        assert datetime.now(UTC) - datetime.fromisoformat(at) < timedelta(minutes=5)
        assert said.startswith("ERROR mistral call failed")


async def test_logs_of_a_pod_that_is_not_there_are_not_found(api: Api) -> None:
    with pytest.raises(NotFound, match='"absent" not found'):
        [c async for c in api.cluster.log_chunks("absent", "app", since_s=300, tail_lines=4)]


async def test_a_missing_permission_is_named(api: Api) -> None:
    with pytest.raises(Forbidden, match=r"^forbidden: list pods in default$"):
        [pod async for pod in api.limited.list("Pod", selector=SELECTOR)]
    with pytest.raises(Forbidden, match=r"^forbidden: get secrets/mistral-secrets in default$"):
        await api.limited.get("Secret", "mistral-secrets")
    with pytest.raises(Forbidden, match=r"^forbidden: get pods/log in default$"):
        [c async for c in api.limited.log_chunks("any", "app", since_s=300, tail_lines=4)]


async def test_an_unknown_token_asks_for_a_new_login(api: Api) -> None:
    with pytest.raises(LoginExpired, match="log in to the cluster again"):
        await api.unknown.get("Deployment", "mistral-service")


async def test_access_reviews_say_what_is_allowed(api: Api) -> None:
    assert await api.cluster.may("list", "pods") is True
    assert await api.cluster.may("get", "pods", subresource="log") is True
    assert await api.limited.may("list", "pods") is False
    assert await api.limited.may("get", "pods", subresource="log") is False
    assert await api.limited.may("get", "secrets", name="mistral-secrets") is False
    assert await api.limited.may("get", "deployments", group="apps", name="mistral-service") is True


async def test_a_variable_set_by_strategic_merge_keeps_the_others_and_rolls_out(api: Api) -> None:
    before = await settled(api.cluster)
    old_pods = {pod["metadata"]["name"] async for pod in api.cluster.list("Pod", selector=SELECTOR)}
    status, answer = await api.patch("deployments/mistral-service", STRATEGIC, _env("RATE_LIMIT_MODE", "queue"))
    assert status == 200
    assert answer["metadata"]["generation"] == before["metadata"]["generation"] + 1
    after = await settled(api.cluster)
    assert variables(after) == variables(before) | {"RATE_LIMIT_MODE": "queue"}
    revisions = await _revisions(api.cluster)
    assert max(revisions) == 3
    assert revisions[3]["spec"]["replicas"] == 3
    assert not old_pods & {pod["metadata"]["name"] async for pod in api.cluster.list("Pod", selector=SELECTOR)}


async def test_a_template_that_comes_back_keeps_its_replica_set_with_a_new_revision(api: Api) -> None:
    await settled(api.cluster)
    first = (await _revisions(api.cluster))[1]
    image = first["spec"]["template"]["spec"]["containers"][0]["image"]
    container = {"name": "app", "image": image}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    status, _ = await api.patch("deployments/mistral-service", STRATEGIC, patch)
    assert status == 200
    await settled(api.cluster)
    revisions = await _revisions(api.cluster)
    assert sorted(revisions) == [2, 3]
    assert revisions[3]["metadata"]["name"] == first["metadata"]["name"]
    took = last_rollout_s(*await read(api.cluster))
    assert took is not None
    assert 0 <= took < 20


async def test_a_dry_run_answers_the_change_and_makes_none(api: Api) -> None:
    before = await settled(api.cluster)
    path = "deployments/mistral-service?dryRun=All"
    status, answer = await api.patch(path, STRATEGIC, _env("RATE_LIMIT_MODE", "queue"))
    assert status == 200
    assert variables(answer)["RATE_LIMIT_MODE"] == "queue"
    assert variables(await api.cluster.get("Deployment", "mistral-service")) == variables(before)


async def test_a_patch_of_a_version_that_is_gone_conflicts(api: Api) -> None:
    version = (await api.cluster.get("Secret", "mistral-secrets"))["metadata"]["resourceVersion"]

    async def write(key: str) -> int:
        data = {"api-key": base64.b64encode(key.encode()).decode()}
        patch = {"metadata": {"resourceVersion": version}, "data": data}
        return (await api.patch("secrets/mistral-secrets", MERGE, patch))[0]

    assert await write("first") == 200
    assert await write("second") == 409
    held = (await api.cluster.get("Secret", "mistral-secrets"))["data"]["api-key"]
    assert base64.b64decode(held) == b"first"


async def test_a_merge_patch_replaces_lists_and_null_deletes(api: Api) -> None:
    patch = {"metadata": {"annotations": {"note": "here"}}}
    assert (await api.patch("deployments/mistral-service", MERGE, patch))[0] == 200
    assert (await api.cluster.get("Deployment", "mistral-service"))["metadata"]["annotations"]["note"] == "here"
    patch = {"metadata": {"annotations": {"note": None}}}  # type: ignore[dict-item]
    assert (await api.patch("deployments/mistral-service", MERGE, patch))[0] == 200
    assert "note" not in (await api.cluster.get("Deployment", "mistral-service"))["metadata"]["annotations"]
