"""A real control plane for the session, with a node that is played by kubelet.py, and the contract's world in it."""

import asyncio
import base64
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster_contract import KEY, STRATEGIC, Api, patcher, settled
from tests.clusters import cluster_at
from tests.needed import fail_or_skip

_HERE = Path(__file__).parent
_SCRIPT = str(_HERE / "cluster.sh")
APPS = "/apis/apps/v1/namespaces/default"
_RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """Where it is, and the folder with its certificates, logs and ``admin.kubeconfig``."""

    url: str
    run: Path


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    _require_programs()
    run = tmp_path_factory.mktemp("control-plane")
    (run / "app.log").write_text("".join(f"ERROR mistral call failed: 401 (call {n})\n" for n in range(40)))
    kubelet: subprocess.Popen[str] | None = None
    try:
        # what it starts outlives it, so its output must not be a pipe that the servers hold open
        with (run / "url").open("w") as out:
            subprocess.run([_SCRIPT, "start", str(run)], check=True, stdout=out, timeout=90)
        url = (run / "url").read_text().strip()
        program = [sys.executable, str(_HERE / "kubelet.py"), url, "admin-token", str(run)]
        kubelet = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        assert kubelet.stdout is not None
        assert kubelet.stdout.readline() == "node ready\n"
        yield ControlPlane(url=url, run=run)
    finally:
        if kubelet is not None:
            kubelet.kill()
            kubelet.communicate()
        subprocess.run([_SCRIPT, "stop", str(run)], check=False)


def _require_programs() -> None:
    cache = Path(os.environ.get("MISTRAL_BOT_CACHE", "/var/cache/mistral-bot"), "kubernetes-1.20.2-3")
    missing = [name for name in ("kube-apiserver", "kube-controller-manager") if not (cache / name).exists()]
    if not missing and not any(Path(folder, "etcd").exists() for folder in os.get_exec_path()):
        missing.append("etcd (Debian package etcd-server)")
    if not missing:
        return
    line = f"not there: {', '.join(missing)}; run `make test-cluster` as root on Debian 12, which builds them"
    fail_or_skip(line)


class Admin:
    """An administrator's plain HTTP, against which the contract's world is set up."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def create(self, path: str, body: dict[str, Any]) -> None:
        async with self._session.post(path, json=body) as answer:
            assert answer.status in (201, 409), await answer.text()

    async def delete(self, path: str) -> None:
        """With what belongs to it, as ``kubectl delete`` does."""
        async with self._session.delete(path, params={"propagationPolicy": "Background"}) as answer:
            assert answer.status == 200, await answer.text()

    async def gone(self, path: str) -> None:
        """Deletes what may not be there."""
        async with self._session.delete(path) as answer:
            assert answer.status in (200, 404), await answer.text()

    async def clear(self) -> None:
        core = "/api/v1/namespaces/default"
        for path in (f"{APPS}/deployments", f"{APPS}/replicasets", f"{core}/pods", f"{core}/events"):
            async with self._session.delete(path, params={"gracePeriodSeconds": "0"}) as answer:
                assert answer.status == 200, await answer.text()
        async with self._session.delete("/api/v1/namespaces/default/secrets/mistral-secrets") as answer:
            assert answer.status in (200, 404)
        async with asyncio.timeout(10):
            while await self._count("/api/v1/namespaces/default/pods") + await self._count(f"{APPS}/replicasets"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def _count(self, path: str) -> int:
        async with self._session.get(path) as answer:
            return len((await answer.json())["items"])


def service(image: str) -> dict[str, Any]:
    """The deployment of the contract's world."""
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


def of_image(tag: str) -> dict[str, Any]:
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
    await admin.create(f"{APPS}/deployments", service("registry.example.com/mistral-service:1.0.0"))
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
        assert (await patch("deployments/mistral-service", STRATEGIC, of_image("2.0.0")))[0] == 200
        await settled(cluster)
        yield Api(cluster=cluster, limited=limited, unknown=unknown, patch=patch)
