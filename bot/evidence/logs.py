"""The logs of every container of every pod, as streams; and of the one before it, where a container was restarted."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.domain.objects import each, within
from bot.errors import NotFound, UpstreamError
from bot.ports import Bundle, Cluster, Collecting

# So many containers are read at once: each has a file of its own open, and what is read waits to be packed.
_STREAMS = 4
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True)
class _Wanted:
    pod: str
    container: str
    previous: bool

    @property
    def path(self) -> str:
        return f"logs/{self.pod}/{self.container}{'.previous' if self.previous else ''}.log"


@dataclass(frozen=True)
class Logs:
    name: str = "logs"
    order: int = 1

    async def collect(self, asked: Collecting, bundle: Bundle) -> None:
        if asked.cluster is None:
            return  # the objects have said so
        pods = [pod async for pod in asked.cluster.list("Pod", selector=asked.target.kubernetes.selector)]
        if not pods:
            bundle.miss("logs", f"no pod matches {asked.target.kubernetes.selector} (KUBE_SELECTOR)")
        turns = asyncio.Semaphore(_STREAMS)
        async with asyncio.TaskGroup() as group:
            for wanted in (one for pod in pods for one in _of(pod)):
                group.create_task(_read(asked, asked.cluster, wanted, bundle, turns))


def _of(pod: Mapping[str, Any]) -> list[_Wanted]:
    """Its containers, and those before them where one was restarted."""
    name = str(within(pod, "metadata").get("name"))
    restarted = {
        str(status.get("name"))
        for statuses in _STATUSES
        for status in each(pod, "status", statuses)
        if status.get("restartCount") or within(status, "lastState", "terminated")
    }
    found = []
    for kind in _CONTAINERS:
        for container in each(pod, "spec", kind):
            called = str(container.get("name"))
            found.append(_Wanted(name, called, previous=False))
            if called in restarted:
                found.append(_Wanted(name, called, previous=True))
    return found


async def _read(asked: Collecting, cluster: Cluster, wanted: _Wanted, bundle: Bundle, turns: asyncio.Semaphore) -> None:
    which = f"logs of {wanted.pod}, container {wanted.container}{' before it was restarted' if wanted.previous else ''}"
    async with turns:
        chunks = cluster.log_chunks(
            wanted.pod,
            wanted.container,
            since_s=max(1, round(asked.since.total_seconds())),
            tail_lines=None,
            previous=wanted.previous,
        )
        try:
            first = await anext(chunks, b"")
        except NotFound:
            bundle.miss(which, "it has gone, or has not begun")
            return
        except UpstreamError as error:
            bundle.miss(which, str(error))
            return
        source = f"kubernetes: pods/{wanted.pod}/log, container {wanted.container}"
        await bundle.add(wanted.path, _whole(first, chunks), source=source + (", previous" if wanted.previous else ""))


async def _whole(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk


SOURCE = Logs()
