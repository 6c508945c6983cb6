"""A real control plane for the session, and the contract's world in it."""

import base64
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.plane import ADMIN_TOKEN, APPS, CORE, Admin, ControlPlane, administrator, missing, running, service
from tests.cluster_contract import KEY, STRATEGIC, Api, patcher, settled
from tests.clusters import cluster_at
from tests.needed import fail_or_skip

_RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    if lacks := missing():
        fail_or_skip(lacks)
    with running(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


def of_image(tag: str) -> dict[str, Any]:
    container = {"name": "app", "image": f"registry.example.com/mistral-service:{tag}"}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


@pytest.fixture
async def admin(control_plane: ControlPlane) -> AsyncIterator[Admin]:
    async with administrator(control_plane) as admin:
        yield admin


@pytest.fixture
async def api(control_plane: ControlPlane, admin: Admin, tmp_path: Path) -> AsyncIterator[Api]:
    await admin.clear()
    secret = {"metadata": {"name": "mistral-secrets"}, "data": {"api-key": base64.b64encode(KEY.encode()).decode()}}
    await admin.create(f"{CORE}/secrets", secret)
    rules = [{"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": ["get", "list"]}]
    await admin.create(f"{_RBAC}/roles", {"metadata": {"name": "limited"}, "rules": rules})
    binding = {
        "metadata": {"name": "limited"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "limited"},
        "subjects": [{"kind": "User", "name": "limited", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await admin.create(f"{_RBAC}/rolebindings", binding)
    await admin.create(f"{APPS}/deployments", service("registry.example.com/mistral-service:1.0.0"))
    url, trust = control_plane.url, {"certificate-authority": str(control_plane.run / "serving.crt")}
    async with (
        cluster_at(url, tmp_path / "admin", token=ADMIN_TOKEN, of_cluster=trust) as cluster,
        cluster_at(url, tmp_path / "limited", token="limited-token", of_cluster=trust) as limited,
        cluster_at(url, tmp_path / "unknown", token="not-this-one", of_cluster=trust) as unknown,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=trust["certificate-authority"]))
        ) as session,
    ):
        patch = patcher(url, "default", ADMIN_TOKEN, session)
        await settled(cluster)
        assert (await patch("deployments/mistral-service", STRATEGIC, of_image("2.0.0")))[0] == 200
        await settled(cluster)
        yield Api(cluster=cluster, limited=limited, unknown=unknown, patch=patch)
