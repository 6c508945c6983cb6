"""The deployment and what is around it, as YAML: ReplicaSets, pods, policies, events, and the Secret's metadata."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from bot.domain.workload import KeyReference, key_reference
from bot.errors import UpstreamError
from bot.evidence._shown import as_yaml, without_noise, without_values
from bot.ports import Bundle, Cluster, Collecting

# Kind -> (API, resource): what a list says of itself alone, and not of each object in it.
_LISTED = {
    "ReplicaSet": ("apps/v1", "replicasets"),
    "Pod": ("v1", "pods"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "Event": ("v1", "events"),
}


@dataclass(frozen=True)
class Objects:
    name: str = "objects"
    order: int = 1

    async def collect(self, asked: Collecting, bundle: Bundle) -> None:
        if asked.cluster is None:
            bundle.miss("the cluster's objects and logs", "Kubernetes is not configured: set KUBECONFIG")
            return
        settings, cluster = asked.target.kubernetes, asked.cluster
        deployment = await self._one(cluster, bundle, "Deployment", settings.deployment)
        for kind, selector in (
            ("ReplicaSet", settings.selector),
            ("Pod", settings.selector),
            ("NetworkPolicy", None),
            ("Event", None),
        ):
            listed = _listed(cluster, kind, selector)
            resource = _LISTED[kind][1]
            await _told(bundle, resource, f"kubernetes/{resource}.yaml", listed)
        reference = None if deployment is None else key_reference(deployment, settings.secret, settings.secret_key)
        await self._secret(cluster, bundle, reference or KeyReference(settings.secret, settings.secret_key))

    async def _one(self, cluster: Cluster, bundle: Bundle, kind: str, name: str) -> dict[str, Any] | None:
        try:
            held = await cluster.get(kind, name)
        except UpstreamError as error:
            bundle.miss(f"{kind.lower()} {name}", str(error))
            return None
        path = f"kubernetes/{kind.lower()}.yaml"
        await bundle.add(path, as_yaml(without_noise(held)), source=f"kubernetes: {kind.lower()}s/{name}")
        return held

    async def _secret(self, cluster: Cluster, bundle: Bundle, reference: KeyReference) -> None:
        try:
            held = await cluster.get("Secret", reference.secret)
        except UpstreamError as error:
            bundle.miss(f"metadata of the secret {reference.secret}", str(error))
            return
        source = f"kubernetes: secrets/{reference.secret}, its metadata alone"
        await bundle.add("kubernetes/secret-metadata.yaml", as_yaml(without_values(held)), source=source)


async def _listed(cluster: Cluster, kind: str, selector: str | None) -> AsyncIterator[bytes]:
    """A YAML document each, a page of them at a time in memory."""
    async for held in cluster.list(kind, selector=selector):
        yield b"---\n" + as_yaml({"apiVersion": _LISTED[kind][0], "kind": kind, **without_noise(held)})


async def _told(bundle: Bundle, what: str, path: str, content: AsyncIterator[bytes]) -> None:
    """Adds what is listed; where nothing at all could be, there is no empty file either."""
    try:
        first = await anext(content, b"")
    except UpstreamError as error:
        bundle.miss(what, str(error))
        return

    async def all_of_it() -> AsyncIterator[bytes]:
        yield first
        async for piece in content:
            yield piece

    await bundle.add(path, all_of_it(), source=f"kubernetes: {what}")


SOURCE = Objects()
