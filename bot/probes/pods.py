"""The service's pods: how many are ready, what the others wait for, what ended lately."""

import asyncio
from dataclasses import dataclass

from bot.domain.signals import Finding, Pods, ProbeName, Verdict
from bot.ports import ProbeRun
from bot.probes._cluster import cluster_of, deployment, pod_facts

# Every pod waits for these at first; one that goes on doing so is below desired after two minutes.
_STARTING = {"ContainerCreating", "PodInitializing"}


@dataclass(frozen=True)
class PodsProbe:
    name: ProbeName = ProbeName.PODS
    answers_when_late: bool = False

    async def check(self, run: ProbeRun) -> Finding:
        cluster_of(run)
        wanted, facts = await asyncio.gather(deployment(run), pod_facts(run))
        pods = facts.pods(wanted)
        stuck = pods.waiting.keys() - _STARTING
        bad = pods.below_desired or bool(stuck) or bool(pods.terminated.get("OOMKilled"))
        limited = f"; only the first {facts.read} were read" if facts.read >= run.limits.pods else ""
        return Finding(
            probe=self.name,
            verdict=Verdict.BAD if bad else Verdict.OK,
            summary=_summary(pods) + limited,
            signal=pods,
        )


def _summary(pods: Pods) -> str:
    parts = [f"{pods.ready} of {pods.desired} ready"]
    parts += [f"{count} {reason}" for reason, count in pods.waiting.items()]
    parts += [f"{count} {reason} in the last 30 min" for reason, count in pods.terminated.items()]
    if pods.restarts:
        parts.append(f"{pods.restarts} restarts")
    return ", ".join(parts)


PROBE = PodsProbe()
