"""A real API server with real rollouts, held to the contract that the sandbox's API is held to."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.clients.kubernetes import KubernetesCluster
from bot.errors import Unreachable
from bot.settings import Limits
from tests.cluster.conftest import ControlPlane
from tests.cluster_contract import *  # noqa: F403 - the contract's tests run here
from tests.cluster_contract import KEY, SELECTOR, STRATEGIC, Api, patcher, settled
from tests.clusters import cluster_at

_APPS = "/apis/apps/v1/namespaces/default"
_RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"


class Admin:
    """An administrator's plain HTTP, against which the contract's world is set up."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def create(self, path: str, body: dict[str, Any]) -> None:
        async with self._session.post(path, json=body) as answer:
            assert answer.status in (201, 409), await answer.text()

    async def clear(self) -> None:
        for path in (f"{_APPS}/deployments", f"{_APPS}/replicasets", "/api/v1/namespaces/default/pods"):
            async with self._session.delete(path, params={"gracePeriodSeconds": "0"}) as answer:
                assert answer.status == 200, await answer.text()
        async with self._session.delete("/api/v1/namespaces/default/secrets/mistral-secrets") as answer:
            assert answer.status in (200, 404)
        async with asyncio.timeout(10):
            while await self._count("/api/v1/namespaces/default/pods") + await self._count(f"{_APPS}/replicasets"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def _count(self, path: str) -> int:
        async with self._session.get(path) as answer:
            return len((await answer.json())["items"])


def _deployment(image: str) -> dict[str, Any]:
    reference = {"name": "mistral-secrets", "key": "api-key"}
    env = [
        {"name": "MISTRAL_API_KEY", "valueFrom": {"secretKeyRef": reference}},
        {"name": "RATE_LIMIT_MODE", "value": "reject"},
    ]
    labels = {"app": "mistral-service"}
    container = {"name": "app", "image": image, "env": env}
    return {
        "metadata": {"name": "mistral-service", "labels": labels},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def _image(tag: str) -> dict[str, Any]:
    container = {"name": "app", "image": f"registry.example.com/mistral-service:{tag}"}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


@pytest.fixture
async def admin(control_plane: ControlPlane) -> AsyncIterator[Admin]:
    trust = ssl.create_default_context(cafile=str(control_plane.run / "serving.crt"))
    async with aiohttp.ClientSession(
        control_plane.url,
        headers={"Authorization": "Bearer admin-token"},
        connector=aiohttp.TCPConnector(ssl=trust),
    ) as session:
        yield Admin(session)


@pytest.fixture
async def api(control_plane: ControlPlane, admin: Admin, tmp_path: Path) -> AsyncIterator[Api]:
    await admin.clear()
    secret = {"metadata": {"name": "mistral-secrets"}, "data": {"api-key": base64.b64encode(KEY.encode()).decode()}}
    await admin.create("/api/v1/namespaces/default/secrets", secret)
    rules = [{"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": ["get", "list"]}]
    await admin.create(f"{_RBAC}/roles", {"metadata": {"name": "limited"}, "rules": rules})
    binding = {
        "metadata": {"name": "limited"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "limited"},
        "subjects": [{"kind": "User", "name": "limited", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await admin.create(f"{_RBAC}/rolebindings", binding)
    await admin.create(f"{_APPS}/deployments", _deployment("registry.example.com/mistral-service:1.0.0"))
    url, trust = control_plane.url, {"certificate-authority": str(control_plane.run / "serving.crt")}
    async with (
        cluster_at(url, tmp_path / "admin", token="admin-token", of_cluster=trust) as cluster,
        cluster_at(url, tmp_path / "limited", token="limited-token", of_cluster=trust) as limited,
        cluster_at(url, tmp_path / "unknown", token="not-this-one", of_cluster=trust) as unknown,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=trust["certificate-authority"]))
        ) as session,
    ):
        patch = patcher(url, "default", "admin-token", session)
        await settled(cluster)
        assert (await patch("deployments/mistral-service", STRATEGIC, _image("2.0.0")))[0] == 200
        await settled(cluster)
        yield Api(cluster=cluster, limited=limited, unknown=unknown, patch=patch)


async def test_a_certificate_that_nobody_vouches_for_is_refused(control_plane: ControlPlane, tmp_path: Path) -> None:
    async with cluster_at(control_plane.url, tmp_path / "config", token="admin-token") as cluster:
        with pytest.raises(Unreachable, match="certificate is not trusted"):
            await cluster.get("Deployment", "mistral-service")


async def test_a_kubeconfig_that_says_insecure_is_believed(
    api: Api, control_plane: ControlPlane, tmp_path: Path
) -> None:
    skip = {"insecure-skip-tls-verify": True}
    async with cluster_at(control_plane.url, tmp_path / "config", token="admin-token", of_cluster=skip) as cluster:
        assert (await cluster.get("Deployment", "mistral-service"))["kind"] == "Deployment"


async def test_pages_of_the_real_api_come_together(api: Api, control_plane: ControlPlane, tmp_path: Path) -> None:
    trust = {"certificate-authority": str(control_plane.run / "serving.crt")}
    small = Limits(page_objects=1)
    async with cluster_at(
        control_plane.url, tmp_path / "config", token="admin-token", limits=small, of_cluster=trust
    ) as cluster:
        names = {pod["metadata"]["name"] async for pod in cluster.list("Pod", selector=SELECTOR)}
    assert names == {pod["metadata"]["name"] async for pod in api.cluster.list("Pod", selector=SELECTOR)}
    assert len(names) == 3


async def test_a_release_that_does_not_start_waits_in_a_crash_loop(api: Api) -> None:
    assert (await api.patch("deployments/mistral-service", STRATEGIC, _image("broken")))[0] == 200
    async with asyncio.timeout(15):
        while "CrashLoopBackOff" not in await _waiting(api.cluster):  # noqa: ASYNC110 - the API tells by being asked
            await asyncio.sleep(0.05)
    deployment = await api.cluster.get("Deployment", "mistral-service")
    assert deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert deployment["status"]["unavailableReplicas"] >= 1


async def _waiting(cluster: KubernetesCluster) -> set[str]:
    pods = [pod async for pod in cluster.list("Pod", selector=SELECTOR)]
    statuses = [status for pod in pods for status in pod["status"].get("containerStatuses", [])]
    return {status["state"].get("waiting", {}).get("reason", "") for status in statuses}
