"""The company's service as the sandbox plays it: any path is its health endpoint."""

from typing import Any

from aiohttp import web

from bot.sandbox.answers import answer
from bot.sandbox.world import World


def application(world: World) -> web.Application:
    """The server; a scenario without a service answers as if all were well."""

    async def health(request: web.Request) -> web.StreamResponse:
        world.seen("service", request.method, request.path)
        return await answer(request, world.service, _well)

    app = web.Application()
    app.router.add_get("/{path:.*}", health)
    return app


def _well() -> dict[str, Any]:
    return {"status": "ok", "services": {"mistral": {"status": "ok"}}}
