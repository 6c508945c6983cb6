"""A stand-in for Statuspage's REST API v1, as far as https://developer.statuspage.io describes what is used of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY, PAGE = "planted-statuspage-key-0123456789", "kctbh9vrtdwd"


@dataclass
class Statuspage:
    """``lose``: numbers (from 0) of the requests that are carried out and whose answer is cut.

    ``refuse``: what a request is answered instead of being carried out. ``open``: while it is not set, all hang.
    """

    components: list[dict[str, Any]] = field(default_factory=list)
    incidents: list[dict[str, Any]] = field(default_factory=list)
    lose: set[int] = field(default_factory=set)
    refuse: Callable[[web.Request], web.Response | None] = lambda _: None
    asked: list[str] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def application(self) -> web.Application:
        routes = web.Application(middlewares=[self._counted])
        base = f"/v1/pages/{PAGE}"
        routes.router.add_get(f"{base}/components", self._components)
        routes.router.add_patch(f"{base}/components/{{id}}", self._component)
        routes.router.add_get(f"{base}/incidents", self._listed)
        routes.router.add_post(f"{base}/incidents", self._create)
        routes.router.add_get(f"{base}/incidents/{{id}}", self._one)
        routes.router.add_patch(f"{base}/incidents/{{id}}", self._update)
        routes.router.add_put(f"{base}/incidents/{{id}}/postmortem", self._draft)
        routes.router.add_put(f"{base}/incidents/{{id}}/postmortem/publish", self._publish)
        return routes

    def add_component(self, name: str) -> None:
        self.components.append(
            {"id": f"c{len(self.components):011}", "name": name, "status": "operational", "group": False}
        )

    def state_of(self, name: str) -> str:
        return next(str(one["status"]) for one in self.components if one["name"] == name)

    @web.middleware
    async def _counted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        number = len(self.asked)
        self.asked.append(f"{request.method} {request.path.partition(PAGE)[2]}")
        await self.open.wait()
        if request.headers.get("Authorization") != f"OAuth {KEY}":
            return web.json_response({"error": "Could not authenticate"}, status=401)
        refused = self.refuse(request)
        if refused is not None:
            return refused
        answer: web.StreamResponse = await handler(request)
        if number in self.lose:
            assert request.transport is not None
            request.transport.abort()
        return answer

    async def _components(self, request: web.Request) -> web.Response:
        if "page" not in request.query:
            # all at once: once a minute, and that was before
            return web.json_response({}, status=429, headers={"Retry-After": "60"})
        many, page = int(request.query["per_page"]), int(request.query["page"])
        return web.json_response(self.components[many * (page - 1) : many * page])

    async def _component(self, request: web.Request) -> web.Response:
        (one,) = [one for one in self.components if one["id"] == request.match_info["id"]]
        one["status"] = (await request.json())["component"]["status"]
        return web.json_response(one)

    async def _listed(self, request: web.Request) -> web.Response:
        return web.json_response(self.incidents[: int(request.query["limit"])])

    async def _create(self, request: web.Request) -> web.Response:
        number = len(self.incidents)
        held: dict[str, Any] = {
            "id": f"i{number:011}",
            "shortlink": f"https://stspg.io/{number:06}",
            "incident_updates": [],
            "metadata": {},
        }
        self.incidents.insert(0, held)
        return self._changed(held, (await request.json())["incident"], 201)

    async def _update(self, request: web.Request) -> web.Response:
        return self._changed(self._called(request), (await request.json())["incident"], 200)

    async def _one(self, request: web.Request) -> web.Response:
        return web.json_response(self._called(request))

    async def _draft(self, request: web.Request) -> web.Response:
        held = self._called(request)
        held.setdefault("postmortem", {"body": None, "published_at": None})
        held["postmortem"]["body_draft"] = (await request.json())["postmortem"]["body_draft"]
        return web.json_response(held["postmortem"])

    async def _publish(self, request: web.Request) -> web.Response:
        held = self._called(request)
        assert held["status"] == "resolved", "only what is over has one"
        told = held["postmortem"]
        told |= {"body": told["body_draft"], "published_at": "2026-07-01T12:00:00Z"}
        held["notified"] = held.get("notified", 0) + 1
        return web.json_response(told)

    def _called(self, request: web.Request) -> dict[str, Any]:
        found = [one for one in self.incidents if one["id"] == request.match_info["id"]]
        if not found:
            raise web.HTTPNotFound(text='{"error": "not found"}', content_type="application/json")
        return found[0]

    def _changed(self, held: dict[str, Any], told: dict[str, Any], status: int) -> web.Response:
        ids = {one["id"] for one in self.components}
        if unknown := set(told.get("components", {})) - ids:
            return web.json_response({"error": [f"unknown component {one}" for one in sorted(unknown)]}, status=422)
        held |= {name: told[name] for name in ("name", "status", "metadata", "impact_override") if name in told}
        if "body" in told:
            held["incident_updates"].insert(0, {"status": told["status"], "body": told["body"]})
        for one in self.components:
            one["status"] = told.get("components", {}).get(one["id"], one["status"])
        return web.json_response(held, status=status)


@asynccontextmanager
async def statuspage(*components: str) -> AsyncIterator[Statuspage]:
    held = Statuspage()
    held.open.set()
    for name in components:
        held.add_component(name)
    runner = web.AppRunner(held.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    held.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield held
    await runner.cleanup()
