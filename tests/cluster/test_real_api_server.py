"""A real API server with real rollouts, held to the contract that the sandbox's API is held to."""

import asyncio
from pathlib import Path

import pytest

from bot.clients.kubernetes import KubernetesCluster
from bot.errors import Unreachable
from bot.settings import Limits
from tests.cluster.conftest import of_image
from tests.cluster.plane import ControlPlane
from tests.cluster_contract import *  # noqa: F403 - the contract's tests run here
from tests.cluster_contract import SELECTOR, STRATEGIC, Api
from tests.clusters import cluster_at
from tests.rollout_contract import *  # noqa: F403 - and these


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
    assert (await api.patch("deployments/mistral-service", STRATEGIC, of_image("broken")))[0] == 200
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
