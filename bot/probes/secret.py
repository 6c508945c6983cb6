"""The Secret with Mistral's key, as the pod template references it. Its value is used for the probe and never shown."""

import asyncio
from dataclasses import dataclass
from typing import Any

from bot.domain.objects import Object, within
from bot.domain.signals import Finding, ProbeName, SecretState, Verdict
from bot.domain.workload import KeyReference, key_entry, key_reference, secret_key
from bot.errors import NotFound, UpstreamError
from bot.ports import Cluster, ProbeRun, ServiceKey
from bot.probes._cluster import cluster_of, deployment
from bot.settings import Target
from bot.variables import Secret


@dataclass(frozen=True)
class SecretProbe:
    name: ProbeName = ProbeName.SECRET
    answers_when_late: bool = False

    async def check(self, run: ProbeRun) -> Finding:
        cluster, settings = cluster_of(run), run.target.kubernetes
        reference = key_reference(await deployment(run), settings.secret, settings.secret_key)
        wanted = reference or KeyReference(settings.secret, settings.secret_key)
        try:
            held: Object | None = await cluster.get("Secret", wanted.secret)
        except NotFound:
            if reference is None:
                raise
            held = None
        data = within(held, "data")
        key = key_entry(wanted, data, settings.secret_key)
        exists, has_key = held is not None, key in data
        state = SecretState(
            name=wanted.secret, key=key, referenced=reference is not None, exists=exists, has_key=has_key
        )
        missing = "" if has_key else f" has no key {key}" if exists else " is missing"
        taken = "the pods take it from there" if state.referenced else "the pod template does not reference it"
        return Finding(
            probe=self.name,
            verdict=Verdict.OK if has_key else Verdict.BAD,
            summary=f"Secret {wanted.secret}{missing or f' has the key {key}'}; {taken}",
            signal=state,
        )


async def read_service_key(target: Target, cluster: Cluster | None, fallback: Secret | None) -> ServiceKey | None:
    """The key that the service uses: the Secret's where it may be read, else ``fallback``, else None."""
    if cluster is not None:
        value = await _from_cluster(target, cluster)
        if value:
            return ServiceKey(value=value, source="secret")
    return None if fallback is None else ServiceKey(value=fallback.reveal(), source="environment")


async def _from_cluster(target: Target, cluster: Cluster) -> str | None:
    """Reads the usual Secret beside the deployment, and another only if the pod template names it."""
    settings = target.kubernetes
    usual, wanted = await asyncio.gather(
        _or_none(cluster, "Secret", settings.secret), _or_none(cluster, "Deployment", settings.deployment)
    )
    reference = None if wanted is None else key_reference(wanted, settings.secret, settings.secret_key)
    reference = reference or KeyReference(settings.secret, settings.secret_key)
    held = usual if reference.secret == settings.secret else await _or_none(cluster, "Secret", reference.secret)
    return secret_key(held, key_entry(reference, within(held, "data"), settings.secret_key))


async def _or_none(cluster: Cluster, kind: str, name: str) -> dict[str, Any] | None:
    try:
        return await cluster.get(kind, name)
    except UpstreamError:
        return None  # the probes of the cluster tell why


PROBE = SecretProbe()
