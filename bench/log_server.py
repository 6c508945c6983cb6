"""The sandbox's Kubernetes API with a hundred pods of 10 MB of logs each; prints its URL. A process of its own."""

import asyncio
import sys
from datetime import UTC, datetime

from aiohttp import web

from bot.sandbox import kubernetes
from bot.sandbox.scenario import ClusterSpec, Expect, Scenario, World

PODS, POD_BYTES = 100, 10_000_000
_LINE = "{at} {level} request {number} to https://api.mistral.ai/v1/chat/completions took {ms} ms, status {status}\n"


def log() -> list[bytes]:
    """10 MB of lines of one second ago, one of a hundred an error."""
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    lines, held, number = [], 0, 0
    while held < POD_BYTES:
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


def application() -> web.Application:
    cluster = ClusterSpec(desired=PODS, ready=PODS)
    world = World(scenario=Scenario(name="logs", cluster=cluster, expect=Expect(cause="", severity="")))
    app = kubernetes.application(world)
    lines, tails = log(), dict[int, bytes]()

    @web.middleware
    async def logs(request: web.Request, handler: "web.Handler") -> web.StreamResponse:
        if not request.path.endswith("/log"):
            return await handler(request)
        tail = int(request.query.get("tailLines", str(len(lines))))
        if tail not in tails:
            tails[tail] = b"".join(lines[-tail:])
        return web.Response(body=tails[tail])

    app.middlewares.append(logs)
    return app


async def main() -> None:
    runner = web.AppRunner(application(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    try:
        await asyncio.to_thread(sys.stdin.read)  # until whoever started it is done
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
