"""The sandbox's Kubernetes API, held to the same contract as a real API server, and to what scenarios say."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bot.errors import LoginExpired, NotFound, Unreachable
from bot.sandbox.kubernetes import TOKEN, application
from bot.sandbox.scenario import ClusterSpec, Expect, Scenario, World
from tests.cluster_contract import *  # noqa: F403 - the contract's tests run here
from tests.cluster_contract import KEY, SELECTOR, Api, patcher
from tests.clusters import cluster_at, serve


def world(spec: ClusterSpec | None) -> World:
    scenario = Scenario(name="a test's", cluster=spec, expect=Expect(cause="healthy", severity="P4"))
    return World(scenario=scenario, service_key=KEY)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    spec = ClusterSpec(revision=2, rollout_minutes_ago=20, logs=("ERROR mistral call failed: 401 Unauthorized",))
    limited = ClusterSpec(revision=2, forbidden=("pods", "secrets"))
    async with (
        serve(application(world(spec))) as url,
        serve(application(world(limited))) as limited_url,
        cluster_at(url, tmp_path / "full") as cluster,
        cluster_at(limited_url, tmp_path / "limited") as less,
        cluster_at(url, tmp_path / "unknown", token="not-this-one") as unknown,
        aiohttp.ClientSession() as session,
    ):
        patch = patcher(url, "default", TOKEN, session)
        yield Api(cluster=cluster, limited=less, unknown=unknown, patch=patch)


async def test_a_scenario_change_takes_effect_at_the_next_request(tmp_path: Path) -> None:
    here = world(ClusterSpec(desired=3, ready=2, waiting="CrashLoopBackOff", terminated="OOMKilled", revision=5))
    async with serve(application(here)) as url, cluster_at(url, tmp_path / "config") as cluster:
        pods = [pod["status"]["containerStatuses"][0] async for pod in cluster.list("Pod", selector=SELECTOR)]
        assert [pod["ready"] for pod in pods] == [True, True, False]
        assert pods[2]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert pods[0]["lastState"]["terminated"]["reason"] == "OOMKilled"
        here.scenario = world(ClusterSpec(desired=1, ready=1)).scenario
        assert len([pod async for pod in cluster.list("Pod")]) == 1
        here.scenario = world(ClusterSpec(secret="missing")).scenario
        with pytest.raises(NotFound):
            await cluster.get("Secret", "mistral-secrets")


@pytest.mark.parametrize(
    ("fail", "error"), [("down", Unreachable), ("timeout", Unreachable), ("401", LoginExpired)], ids=str
)
async def test_a_cluster_that_fails_says_how(fail: str, error: type[Exception], tmp_path: Path) -> None:
    here = world(ClusterSpec(fail=fail))
    async with (
        serve(application(here)) as url,
        cluster_at(url, tmp_path / "config", timeout_s=0.3) as cluster,
    ):
        with pytest.raises(error):
            await cluster.get("Deployment", "mistral-service")


async def test_thirty_lines_of_the_last_five_minutes_are_spread_over_the_pods(tmp_path: Path) -> None:
    here = world(ClusterSpec(logs=("ERROR one", "ERROR two")))
    async with serve(application(here)) as url, cluster_at(url, tmp_path / "config") as cluster:
        lines: list[bytes] = []
        async for pod in cluster.list("Pod"):
            name = pod["metadata"]["name"]
            chunks = [c async for c in cluster.log_chunks(name, "app", since_s=300, tail_lines=100)]
            assert len(b"".join(chunks).splitlines()) == 10
            lines += b"".join(chunks).splitlines()
    assert sorted({line.split(b" ", 1)[1] for line in lines}) == [b"ERROR one", b"ERROR two"]


async def test_a_policy_that_allows_only_53_has_that_port_over_udp_and_tcp(tmp_path: Path) -> None:
    here = world(ClusterSpec(egress="allows only 53"))
    async with serve(application(here)) as url, cluster_at(url, tmp_path / "config") as cluster:
        policy = await anext(cluster.list("NetworkPolicy"))
    assert policy["spec"]["egress"] == [{"ports": [{"port": 53, "protocol": p} for p in ("UDP", "TCP")]}]


async def test_a_rollback_heals_a_release_that_does_not_start(tmp_path: Path) -> None:
    here = world(ClusterSpec(ready=1, waiting="CrashLoopBackOff", revision=5, rollout_minutes_ago=8))
    async with (
        serve(application(here)) as url,
        cluster_at(url, tmp_path / "config") as cluster,
        aiohttp.ClientSession() as session,
    ):
        sets = [item async for item in cluster.list("ReplicaSet")]
        before = next(s for s in sets if s["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "4")
        image = before["spec"]["template"]["spec"]["containers"][0]["image"]
        body = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}
        patch = patcher(url, "default", TOKEN, session)
        assert (await patch("deployments/mistral-service", STRATEGIC, body))[0] == 200  # noqa: F405
        after = await settled(cluster)  # noqa: F405
    assert after["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "6"


async def test_what_the_sandbox_has_not_is_an_error(tmp_path: Path) -> None:
    async with serve(application(world(ClusterSpec()))) as url, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with session.get(f"{url}/api/v1/namespaces/default/configmaps", headers=headers) as answer:
            assert (answer.status, (await answer.json())["kind"]) == (404, "Status")
        async with session.delete(f"{url}/api/v1/namespaces/default/pods/x", headers=headers) as answer:
            assert answer.status == 405
        async with session.get(f"{url}/version") as answer:
            assert answer.status == 401
