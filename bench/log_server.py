"""The sandbox's Kubernetes API with many pods and much in their logs, in a process of its own.

usage: python -m bench.log_server PODS BYTES_OF_EACH_LOG. It prints its kubeconfig as one line, and ends with stdin. It
speaks TLS, since kubectl gives its token to nothing else.
"""

import asyncio
import base64
import json
import ssl
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import trustme
from aiohttp import web

from bot.sandbox import kubernetes
from bot.sandbox.scenario import ClusterSpec, Expect, Scenario
from bot.sandbox.world import World

_LINE = "{at} {level} request {number} to https://api.mistral.ai/v1/chat/completions took {ms} ms, status {status}\n"


def log(size: int) -> list[bytes]:
    """At least ``size`` bytes of lines of one second ago, one of a hundred an error, the last one too."""
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    lines, held, number = [], 0, 0
    while held < size or number % 100:
        number += 1
        failed = number % 100 == 0
        line = _LINE.format(
            at=at,
            level="ERROR" if failed else "INFO",
            number=number,
            ms=200 + number % 700,
            status=429 if failed else 200,
        ).encode()
        lines.append(line)
        held += len(line)
    return lines


def application(pods: int, pod_bytes: int) -> web.Application:
    cluster = ClusterSpec(desired=pods, ready=pods)
    world = World(scenario=Scenario(name="logs", cluster=cluster, expect=Expect(cause="", severity="")))
    app = kubernetes.application(world)
    lines, tails = log(pod_bytes), dict[int, bytes]()

    @web.middleware
    async def logs(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not request.path.endswith("/log"):
            return await handler(request)
        tail = int(request.query.get("tailLines", str(len(lines))))
        if tail not in tails:
            tails[tail] = b"".join(lines[-tail:])
        return web.Response(body=tails[tail])

    app.middlewares.append(logs)
    return app


async def main(pods: int, pod_bytes: int) -> None:
    runner = web.AppRunner(application(pods, pod_bytes), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    config = json.loads(kubernetes.kubeconfig(f"https://127.0.0.1:{runner.addresses[0][1]}"))
    pem = authority.cert_pem.bytes()
    config["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(pem).decode()
    print(json.dumps(config), flush=True)
    try:
        await asyncio.to_thread(sys.stdin.read)  # until whoever started it is done
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
