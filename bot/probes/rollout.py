"""The newest rollout: when it was, and what it changed."""

import asyncio
from dataclasses import dataclass

from bot.domain.objects import Object
from bot.domain.signals import Finding, ProbeName, Verdict
from bot.domain.workload import newest_rollout
from bot.ports import Cluster, ProbeRun
from bot.probes._cluster import cluster_of, deployment


@dataclass(frozen=True)
class RolloutProbe:
    name: ProbeName = ProbeName.ROLLOUT
    answers_when_late: bool = False

    async def check(self, run: ProbeRun) -> Finding:
        cluster = cluster_of(run)
        wanted, sets = await asyncio.gather(deployment(run), _replica_sets(cluster, run))
        rollout = newest_rollout(wanted, sets)
        if rollout.revision is None:
            summary = "no rollout since the first"
        else:
            minutes = None if rollout.created is None else (run.clock.now() - rollout.created).total_seconds() / 60
            age = "at an unknown time" if minutes is None else f"{_age(minutes)} ago"
            changed = f": {'; '.join(rollout.changes[:3])}" if rollout.changes else ""
            more = f" and {len(rollout.changes) - 3} more changes" if len(rollout.changes) > 3 else ""
            summary = f"revision {rollout.revision}, {age}{changed}{more}"
        return Finding(probe=self.name, verdict=Verdict.OK, summary=summary, signal=rollout)


async def _replica_sets(cluster: Cluster, run: ProbeRun) -> list[Object]:
    selector = run.target.kubernetes.selector
    return [held async for held in cluster.list("ReplicaSet", selector=selector)]


def _age(minutes: float) -> str:
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 2880 else f"{minutes / 1440:.0f} days"


PROBE = RolloutProbe()
