"""Plays the node of a control plane without kubelets: binds pods, reports them Ready, and serves their logs.

usage: kubelet.py URL TOKEN RUN, where RUN holds serving.crt, kubelet.crt and kubelet.key (see cluster.sh). Each
container logs the lines of RUN/<container>.log. A pod whose image is tagged ``broken`` goes into CrashLoopBackOff, one
tagged ``unready`` runs and is never ready, and one tagged ``flapping`` is ready and not in turns, restarting each time.
Prints ``node ready`` once it is.
"""

import asyncio
import json
import ssl
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

NODE = "local-node"
# How long a pod takes from being bound to being ready, in seconds.
START_S = 0.2
FLAP_S = 0.1


class Node:
    """One node, over the API server at the session's base URL."""

    def __init__(self, session: aiohttp.ClientSession, logs: Path) -> None:
        self._session = session
        self._logs = logs
        self._seen: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self, port: int) -> None:
        """Registers the node with the port on which the API server finds its logs."""
        await self._send("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": "5000"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        }
        await self._send("PATCH", f"/api/v1/nodes/{NODE}/status", {"status": status})

    async def run(self) -> None:
        """Follows the pods until it is cancelled; a watch that the server ends is begun again."""
        while True:
            async with self._session.get("/api/v1/pods", params={"watch": "true"}) as events:
                async for line in events.content:
                    self._follow(json.loads(line))

    def _follow(self, event: dict[str, Any]) -> None:
        pod = event["object"]
        if event["type"] not in ("ADDED", "MODIFIED"):
            return
        if pod["metadata"].get("deletionTimestamp"):
            self._spawn(self._remove(pod))
        elif pod["metadata"]["uid"] not in self._seen:
            self._seen.add(pod["metadata"]["uid"])
            self._spawn(self._start(pod))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self, pod: dict[str, Any]) -> None:
        path, name = _path(pod), pod["metadata"]["name"]
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        await self._send("POST", f"{path}/binding", {"metadata": {"name": name}, "target": target})
        await asyncio.sleep(START_S)
        tags = {held["image"].rpartition(":")[2] for held in pod["spec"]["containers"]}
        crashing, restarts = "broken" in tags, 7 if "broken" in tags else 0
        ready = not tags & {"broken", "unready"}
        while await self._report(pod, ready=ready, crashing=crashing, restarts=restarts) and "flapping" in tags:
            await asyncio.sleep(FLAP_S)
            ready, crashing, restarts = not ready, ready, restarts + 1

    async def _report(self, pod: dict[str, Any], *, ready: bool, crashing: bool, restarts: int) -> bool:
        """Whether the pod is still there."""
        now, told = _now(), "True" if ready else "False"
        containers = [_container(held, now, ready, crashing, restarts) for held in pod["spec"]["containers"]]
        status = {
            "phase": "Running",
            "hostIP": "127.0.0.1",
            "podIP": "127.0.0.1",
            "startTime": now,
            "conditions": [
                {"type": kind, "status": told, "lastTransitionTime": now} for kind in ("ContainersReady", "Ready")
            ],
            "containerStatuses": containers,
        }
        return await self._send("PATCH", f"{_path(pod)}/status", {"status": status}) < 400

    async def _remove(self, pod: dict[str, Any]) -> None:
        await self._send("DELETE", _path(pod), {"gracePeriodSeconds": 0})

    async def _send(self, method: str, path: str, body: dict[str, Any]) -> int:
        kind = "strategic-merge-patch+json" if method == "PATCH" else "json"
        headers = {"Content-Type": f"application/{kind}"}
        async with self._session.request(method, path, data=json.dumps(body), headers=headers) as answer:
            # a pod that has gone meanwhile, or was bound before, is no fault
            if answer.status >= 400 and answer.status not in (404, 409):
                print(method, path, answer.status, await answer.text(), file=sys.stderr, flush=True)
            return answer.status

    async def log(self, request: web.Request) -> web.Response:
        """``/containerLogs/…`` as the API server asks for it on behalf of ``pods/log``."""
        path = self._logs / f"{request.match_info['container']}.log"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if tail := request.query.get("tailLines"):
            lines = lines[-int(tail) :]
        if request.query.get("timestamps") == "true":
            at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
            lines = [f"{at} {line}" for line in lines]
        return web.Response(text="".join(f"{line}\n" for line in lines))


def _path(pod: dict[str, Any]) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _container(held: dict[str, Any], now: str, ready: bool, crashing: bool, restarts: int) -> dict[str, Any]:
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": now}}
    return {
        "name": held["name"],
        "image": held["image"],
        "imageID": "local",
        "ready": ready,
        "started": not crashing,
        "restartCount": restarts,
        "state": waiting if crashing else {"running": {"startedAt": now}},
        "lastState": ended if restarts else {},
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def main(url: str, token: str, run: Path) -> None:
    trust = ssl.create_default_context(cafile=str(run / "serving.crt"))
    trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
    mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    mine.load_cert_chain(run / "kubelet.crt", run / "kubelet.key")
    async with aiohttp.ClientSession(
        url,
        headers={"Authorization": f"Bearer {token}"},
        connector=aiohttp.TCPConnector(ssl=trust),
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=2**22,
    ) as session:
        node = Node(session, run)
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", node.log)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=mine).start()
        await node.join(runner.addresses[0][1])
        print("node ready", flush=True)
        await node.run()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
