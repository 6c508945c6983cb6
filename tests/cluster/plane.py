"""A real control plane that runs as long as it is needed, with a node that is played by kubelet.py."""

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

_HERE = Path(__file__).parent
_SCRIPT = str(_HERE / "cluster.sh")
APPS = "/apis/apps/v1/namespaces/default"
CORE = "/api/v1/namespaces/default"
# of cluster.sh
ADMIN_TOKEN = "admin-token"


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """Where it is, and the folder with its certificates, logs and ``admin.kubeconfig``."""

    url: str
    run: Path


@contextlib.contextmanager
def running(run: Path) -> Iterator[ControlPlane]:
    """One of its own, whose files lie in ``run``."""
    (run / "app.log").write_text("".join(f"ERROR mistral call failed: 401 (call {n})\n" for n in range(40)))
    kubelet: subprocess.Popen[str] | None = None
    try:
        # what it starts outlives it, so its output must not be a pipe that the servers hold open
        with (run / "url").open("w") as out:
            subprocess.run([_SCRIPT, "start", str(run)], check=True, stdout=out, timeout=240)
        url = (run / "url").read_text().strip()
        program = [sys.executable, str(_HERE / "kubelet.py"), url, ADMIN_TOKEN, str(run)]
        kubelet = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        assert kubelet.stdout is not None
        assert kubelet.stdout.readline() == "node ready\n"
        yield ControlPlane(url=url, run=run)
    finally:
        if kubelet is not None:
            kubelet.kill()
            kubelet.communicate()
        subprocess.run([_SCRIPT, "stop", str(run)], check=False)


def missing() -> str:
    """What is not there that it needs, as a sentence; empty: all is there."""
    cache = Path(os.environ.get("MISTRAL_BOT_CACHE", "/var/cache/mistral-bot"), "kubernetes-1.20.2-3")
    lacks = [name for name in ("kube-apiserver", "kube-controller-manager") if not (cache / name).exists()]
    if not lacks and not any(Path(folder, "etcd").exists() for folder in os.get_exec_path()):
        lacks.append("etcd (Debian package etcd-server)")
    if not lacks:
        return ""
    return f"not there: {', '.join(lacks)}; run `make test-cluster` as root on Debian 12, which builds them"


class Admin:
    """An administrator's plain HTTP, against which the contract's world is set up."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str) -> dict[str, Any]:
        async with self._session.get(path) as answer:
            held = await answer.json()
            assert isinstance(held, dict)
            return held

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
        for path in (f"{APPS}/deployments", f"{APPS}/replicasets", f"{CORE}/pods", f"{CORE}/events"):
            async with self._session.delete(path, params={"gracePeriodSeconds": "0"}) as answer:
                assert answer.status == 200, await answer.text()
        async with self._session.delete(f"{CORE}/secrets/mistral-secrets") as answer:
            assert answer.status in (200, 404)
        async with asyncio.timeout(10):
            while await self._count(f"{CORE}/pods") + await self._count(f"{APPS}/replicasets"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def _count(self, path: str) -> int:
        return len((await self.get(path))["items"])


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


@contextlib.asynccontextmanager
async def administrator(plane: ControlPlane) -> AsyncIterator[Admin]:
    trust = ssl.create_default_context(cafile=str(plane.run / "serving.crt"))
    async with aiohttp.ClientSession(
        plane.url,
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
        connector=aiohttp.TCPConnector(ssl=trust),
    ) as session:
        yield Admin(session)
