"""Whether the NetworkPolicies leave the pods a way to Mistral's API and to name resolution."""

import asyncio
import socket
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from bot.domain.netpolicy import egress
from bot.domain.signals import Finding, ProbeName, Verdict
from bot.domain.workload import template, uses_proxy
from bot.ports import Cluster, ProbeRun
from bot.probes._cluster import cluster_of, deployment


@dataclass(frozen=True)
class EgressProbe:
    name: ProbeName = ProbeName.EGRESS
    answers_when_late: bool = False

    async def check(self, run: ProbeRun) -> Finding:
        cluster = cluster_of(run)
        wanted, policies, addresses = await asyncio.gather(
            deployment(run), _policies(cluster), _addresses(run.target.mistral.api_url)
        )
        labels = (template(wanted).get("metadata") or {}).get("labels") or {}
        found = egress(policies, labels, addresses)
        if found.policies and uses_proxy(wanted):
            found = replace(found, closes_443=None)
        closed = [port for port, shut in (("443", found.closes_443), ("53", found.closes_53)) if shut]
        names = ", ".join(found.policies[:3])
        if closed:
            summary = f"closes {' and '.join(closed)} ({names})"
        elif not found.policies:
            summary = "no NetworkPolicy holds the pods back"
        else:
            summary = f"443 cannot be told ({names})" if found.closes_443 is None else f"open for 443 and 53 ({names})"
        verdict = Verdict.BAD if closed else Verdict.OK
        return Finding(probe=self.name, verdict=verdict, summary=summary, signal=found)


async def _policies(cluster: Cluster) -> list[dict[str, object]]:
    return [policy async for policy in cluster.list("NetworkPolicy")]


async def _addresses(url: str) -> list[str] | None:
    """The addresses of the host of ``url``; None where its name does not resolve."""
    parts = urlsplit(url)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, HTTPS_PORT, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    return sorted({str(address[4][0]) for address in found})


HTTPS_PORT = 443
PROBE = EgressProbe()
