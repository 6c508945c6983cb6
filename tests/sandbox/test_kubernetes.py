"""The sandbox's Kubernetes API, held to the same contract as a real API server, and to what scenarios say."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from bot.clients.kubernetes import KubernetesCluster
from bot.domain.changes import RESTARTED_AT, AnnotationChange, RevisionChange, changed
from bot.domain.rollout import last_rollout_s
from bot.domain.workload import REVISION, template
from bot.errors import Forbidden, LoginExpired, NotFound, Unreachable
from bot.sandbox.kubernetes import TOKEN, application
from bot.sandbox.scenario import ClusterSpec, Expect, Scenario
from bot.sandbox.world import World
from tests.cluster_contract import *  # noqa: F403 - the contract's tests run here
from tests.cluster_contract import KEY, SELECTOR, Api, patcher, read, to_template, watched
from tests.clusters import cluster_at, serve
from tests.fakes import unhurried
from tests.rollout_contract import *  # noqa: F403 - and these

RESTART = AnnotationChange(name=RESTARTED_AT, before=None, after="2026-07-01T12:00:00Z")


def world(spec: ClusterSpec | None, rollout_s: float = 0.4, monotonic: Callable[[], float] = time.monotonic) -> World:
    scenario = Scenario(name="a test's", cluster=spec, expect=Expect(cause="healthy", severity="P4"))
    return World(scenario=scenario, service_key=KEY, rollout_s=rollout_s, monotonic=monotonic)


def looks() -> Callable[[], float]:
    """A clock that goes on by 0.01 s with each look at it: a machine that stands still has missed nothing."""
    count = itertools.count()
    return lambda: next(count) * 0.01


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    spec = ClusterSpec(revision=2, rollout_minutes_ago=20, logs=("ERROR mistral call failed: 401 Unauthorized",))
    limited = ClusterSpec(revision=2, forbidden=("pods", "secrets"))
    async with (
        serve(application(world(spec, rollout_s=0.9))) as url,
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
async def test_a_cluster_that_fails_says_how(
    fail: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhurried(monkeypatch)  # too late for the login is another error
    here = world(ClusterSpec(fail=fail))
    async with (
        serve(application(here)) as url,
        cluster_at(url, tmp_path / "config", timeout_s=1 if fail == "timeout" else 30) as cluster,
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


async def test_a_verb_alone_may_be_forbidden(tmp_path: Path) -> None:
    here = world(ClusterSpec(forbidden=("patch deployments",)))
    async with serve(application(here)) as url, cluster_at(url, tmp_path / "config") as cluster:
        await cluster.get("Deployment", "mistral-service")
        with pytest.raises(Forbidden, match=r"^forbidden: patch deployments/mistral-service in default$"):
            await cluster.patch("Deployment", "mistral-service", {"spec": {}})
        assert await cluster.may("get", "deployments", group="apps", name="mistral-service")
        assert not await cluster.may("patch", "deployments", group="apps", name="mistral-service")


async def test_what_the_sandbox_has_not_is_an_error(tmp_path: Path) -> None:
    async with serve(application(world(ClusterSpec()))) as url, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with session.get(f"{url}/api/v1/namespaces/default/configmaps", headers=headers) as answer:
            assert (answer.status, (await answer.json())["kind"]) == (404, "Status")
        async with session.delete(f"{url}/api/v1/namespaces/default/pods/x", headers=headers) as answer:
            assert answer.status == 405
        async with session.get(f"{url}/version") as answer:
            assert answer.status == 401


async def restarted(cluster: KubernetesCluster, **spec: object) -> None:
    held = await cluster.get("Deployment", "mistral-service")
    patch = to_template(held, changed(template(held), [RESTART], {}))
    patch["spec"] |= spec
    await cluster.patch("Deployment", "mistral-service", patch)


async def rolled_back(cluster: KubernetesCluster, revision: int) -> None:
    deployment, sets, _ = await read(cluster)
    by_name = {held["metadata"]["name"]: held for held in sets}
    (name,) = [name for name, held in by_name.items() if held["metadata"]["annotations"][REVISION] == str(revision)]
    change = RevisionChange(before=0, before_set="", after=revision, after_set=name)
    wanted = changed(template(deployment), [change], by_name)
    await cluster.patch("Deployment", "mistral-service", to_template(deployment, wanted))


async def test_a_slow_rollout_is_seen_pod_by_pod(tmp_path: Path) -> None:
    here = world(ClusterSpec(), rollout_s=3.0, monotonic=looks())
    async with serve(application(here)) as url, cluster_at(url, tmp_path / "config") as cluster:
        assert last_rollout_s(*await read(cluster)) == 40
        await restarted(cluster)
        seen = await watched(cluster, lambda found: found.done)
    steps = [f"{count} of 3 replicas" for count in range(4)]
    said = [found.said for found in seen if found.said in steps]
    assert list(dict.fromkeys(said)) == steps
    assert said == sorted(said), "upwards"


async def test_a_restart_of_what_crashes_fails_and_leaves_the_pods_that_run(tmp_path: Path) -> None:
    here = world(ClusterSpec(ready=2, waiting="CrashLoopBackOff", revision=5))
    async with serve(application(here)) as url, cluster_at(url, tmp_path / "config") as cluster:
        await restarted(cluster)
        seen = await watched(cluster, lambda found: bool(found.failed))
        assert seen[-1].failed.endswith("is in CrashLoopBackOff.")
        ready = [pod["status"]["containerStatuses"][0]["ready"] async for pod in cluster.list("Pod")]
        assert sorted(ready) == [False, False, True, True]
        # the pods that it starts are being created, and do not crash
        await rolled_back(cluster, 4)
        seen = await watched(cluster, lambda found: found.done or bool(found.failed))
    assert (seen[-1].done, seen[-1].failed) == (True, "")


async def test_a_rollout_without_progress_times_out_and_its_rollback_is_not_taken_for_it(tmp_path: Path) -> None:
    here = world(ClusterSpec(ready=2, revision=5), rollout_s=3.0, monotonic=looks())
    async with serve(application(here)) as url, cluster_at(url, tmp_path / "config") as cluster:
        await restarted(cluster, progressDeadlineSeconds=1)
        seen = await watched(cluster, lambda found: bool(found.failed))
        assert seen[-1].failed == "The rollout made no progress for 1 s."
        await rolled_back(cluster, 4)
        reasons: list[str] = []
        async with asyncio.timeout(10):
            while reasons[-1:] != ["NewReplicaSetAvailable"]:
                held = await cluster.get("Deployment", "mistral-service")
                seen = await watched(cluster, lambda _: True)
                assert seen[-1].failed == ""
                (reason,) = [one["reason"] for one in held["status"]["conditions"] if one["type"] == "Progressing"]
                reasons += [reason] if reason not in reasons else []
                await asyncio.sleep(0.01)
    assert reasons == ["ProgressDeadlineExceeded", "ReplicaSetUpdated", "NewReplicaSetAvailable"]


async def test_a_status_that_somebody_patches_is_not_taken(tmp_path: Path) -> None:
    async with serve(application(world(ClusterSpec()))) as url, cluster_at(url, tmp_path / "config") as cluster:
        before = await cluster.get("Deployment", "mistral-service")
        assert await cluster.patch("Deployment", "mistral-service", {"status": {"readyReplicas": 0}}) == before
