"""What the probes of the cluster share: each object is read once in a triage, whoever asks first."""

from typing import Any

from bot.domain.workload import PodFacts
from bot.errors import NotConfigured
from bot.ports import Cluster, ProbeRun


def cluster_of(run: ProbeRun) -> Cluster:
    """The cluster; raises NotConfigured where there is none."""
    if run.cluster is None:
        raise NotConfigured("not configured: set KUBECONFIG, or run in the cluster")
    return run.cluster


async def deployment(run: ProbeRun) -> dict[str, Any]:
    """The service's Deployment."""
    cluster = cluster_of(run)
    name = run.target.kubernetes.deployment
    held: dict[str, Any] = await run.once("deployment", lambda: cluster.get("Deployment", name))
    return held


async def pod_facts(run: ProbeRun) -> PodFacts:
    """The facts about the pods of the selector."""
    cluster = cluster_of(run)

    async def read() -> PodFacts:
        facts = PodFacts(run.clock.now())
        async for pod in cluster.list("Pod", selector=run.target.kubernetes.selector):
            facts.add(pod)
        return facts

    held: PodFacts = await run.once("pods", read)
    return held
