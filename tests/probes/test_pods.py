"""The pods probe: two thousand of them, what they wait for, and what is said where they may not be read."""

import tracemalloc
from typing import Any

import pytest

from bot.domain.signals import Pods, Verdict
from bot.errors import NotFound
from bot.probes.pods import PROBE
from bot.settings import Limits
from tests.fakes import FakeCluster, probe_run
from tests.objects import Object, deployment, ended, pod, waiting


async def checked(*pods: Object, replicas: int = 3, **limits: int) -> tuple[Verdict, str, Pods]:
    cluster = FakeCluster(objects={"Deployment": [deployment(replicas=replicas)], "Pod": pods})
    finding = await PROBE.check(probe_run(cluster=cluster, limits=Limits(**limits)))
    assert isinstance(finding.signal, Pods)
    return finding.verdict, finding.summary, finding.signal


@pytest.mark.parametrize(
    ("pods", "verdict", "summary"),
    [
        ([pod("a"), pod("b"), pod("c")], "ok", "3 of 3 ready"),
        (
            [pod("a"), pod("b"), pod("c", waiting("CrashLoopBackOff", 6), ready=False)],
            "bad",
            "2 of 3 ready, 1 CrashLoopBackOff, 6 restarts",
        ),
        ([pod("a", waiting("ImagePullBackOff"), ready=False, since=1)], "bad", "0 of 3 ready, 1 ImagePullBackOff"),
        (
            [pod("a"), pod("b"), pod("c", waiting("ContainerCreating"), ready=False, since=1)],
            "ok",
            "2 of 3 ready, 1 ContainerCreating",
        ),
        (
            [pod("a"), pod("b"), pod("c", waiting("ContainerCreating"), ready=False, since=3)],
            "bad",
            "2 of 3 ready, 1 ContainerCreating",
        ),
        (
            [pod("a", ended("OOMKilled", 5)), pod("b"), pod("c")],
            "bad",
            "3 of 3 ready, 1 OOMKilled in the last 30 min, 1 restarts",
        ),
        (
            [pod("a", ended("Completed", 5)), pod("b"), pod("c")],
            "ok",
            "3 of 3 ready, 1 Completed in the last 30 min, 1 restarts",
        ),
    ],
    ids=["well", "crashing", "no image", "starting", "starting for long", "out of memory", "ended"],
)
async def test_the_pods_are_told_in_one_line(pods: list[Object], verdict: str, summary: str) -> None:
    assert (await checked(*pods))[:2] == (verdict, summary)


async def test_two_thousand_pods_cost_next_to_nothing() -> None:
    padding = "x" * 10_000

    class Endless(list[Any]):
        """Makes each pod as it is read, as the client's pages do."""

        def __iter__(self) -> Any:
            for number in range(2_000):
                one = pod(f"pod-{number}", ready=number >= 10, since=5)
                yield {**one, "annotations": f"{padding}{number}"}

    cluster = FakeCluster(objects={"Deployment": [deployment(replicas=2_000)], "Pod": Endless()})
    run = probe_run(cluster=cluster)
    tracemalloc.start()
    finding = await PROBE.check(run)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert finding.summary == "1990 of 2000 ready"
    assert finding.verdict is Verdict.BAD
    assert peak < 3_000_000, "20 MB of pods went through it"


async def test_that_only_some_pods_were_read_is_said() -> None:
    pods = [pod(f"pod-{number}") for number in range(5)]
    pods[0]["status"]["phase"] = "Succeeded"
    assert (await checked(*pods, replicas=9, pods=5))[1] == "4 of 9 ready; only the first 5 were read"
    assert (await checked(*pods, replicas=4, pods=6))[1] == "4 of 4 ready"


async def test_the_pods_of_another_selector_do_not_count() -> None:
    other = pod("other", waiting("CrashLoopBackOff"), ready=False)
    other["metadata"]["labels"] = {"app": "worker"}
    assert (await checked(pod("a"), other, replicas=1))[:2] == ("ok", "1 of 1 ready")


async def test_without_the_deployment_nobody_knows_how_many_there_should_be() -> None:
    with pytest.raises(NotFound, match="mistral-service"):
        await PROBE.check(probe_run(cluster=FakeCluster(objects={"Pod": [pod("a")]})))
