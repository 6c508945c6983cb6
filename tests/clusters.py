"""Kubernetes clients for tests: an aiohttp application on loopback, and a client with a kubeconfig for it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from bot.clients.kubernetes import KubernetesCluster
from bot.sandbox.kubernetes import TOKEN, kubeconfig
from bot.settings import Kubernetes, Limits, Network


@asynccontextmanager
async def serve(app: web.Application) -> AsyncIterator[str]:
    """The application's URL, on a free port of loopback."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def settings(config: Path | str, *, context: str | None = None, namespace: str = "default") -> Kubernetes:
    return Kubernetes(
        kubeconfig=str(config),
        in_cluster=False,
        context=context,
        namespace=namespace,
        deployment="mistral-service",
        selector="app=mistral-service",
        secret="mistral-secrets",
        secret_key="api-key",
    )


@asynccontextmanager
async def cluster_at(
    url: str,
    config: Path,
    *,
    token: str = TOKEN,
    limits: Limits | None = None,
    timeout_s: float = 30.0,
    of_cluster: Mapping[str, Any] | None = None,
    network: Network | None = None,
) -> AsyncIterator[KubernetesCluster]:
    """A client of the API at ``url``; ``config`` is where its kubeconfig is written, with ``of_cluster`` added."""
    document = json.loads(kubeconfig(url))
    document["users"][0]["user"]["token"] = token
    document["clusters"][0]["cluster"] |= of_cluster or {}
    await asyncio.to_thread(config.write_text, json.dumps(document))
    cluster = KubernetesCluster(settings(config), limits or Limits(), network or Network(), timeout_s=timeout_s)
    try:
        yield cluster
    finally:
        await cluster.close()
