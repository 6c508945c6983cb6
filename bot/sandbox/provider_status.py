"""The provider's status page as the sandbox plays it, in one of its three forms; the others are not there."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from bot.sandbox.answers import HTML, fail
from bot.sandbox.scenario import ProviderStatusSpec
from bot.sandbox.world import World

_BEGAN = "2026-07-01T12:00:00Z"


def application(world: World) -> web.Application:
    """The server; ``fail`` may be a status too, or ``challenge`` for a page that asks for a browser."""

    async def page(request: web.Request) -> web.StreamResponse:
        world.seen("provider_status", request.method, request.path)
        spec = world.provider_status
        if spec.fail is not None and spec.fail.isdigit():
            return web.json_response({"error": spec.fail}, status=int(spec.fail))
        if spec.fail == "challenge":
            return web.Response(status=403, text=HTML, content_type="text/html")
        if spec.fail is not None:
            return await fail(request, spec.fail)
        form = _FORMS.get(spec.kind, {}).get(request.path)
        if form is None:
            return web.Response(status=404, text=HTML, content_type="text/html")
        return web.json_response(form(spec))

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    return app


def _incident(number: int, held: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"incident-{number}",
        "name": held.get("name", ""),
        "status": held.get("status", "investigating"),
        "impact": held.get("impact", "minor"),
        "created_at": _BEGAN,
        "resolved_at": None,
        "components": [{"id": name.lower(), "name": name} for name in held.get("components", ())],
    }


def _incidents(spec: ProviderStatusSpec) -> list[dict[str, Any]]:
    return [_incident(number, held) for number, held in enumerate(spec.incidents, 1)]


def _status(spec: ProviderStatusSpec) -> dict[str, Any]:
    described = "All Systems Operational" if spec.indicator == "none" else "Some systems are affected"
    return {"page": {"name": "Mistral AI"}, "status": {"indicator": spec.indicator, "description": described}}


def _rootly_incidents(spec: ProviderStatusSpec) -> dict[str, Any]:
    return {"incidents": _incidents(spec)}


def _statuspage(spec: ProviderStatusSpec) -> dict[str, Any]:
    return {**_status(spec), "components": [], "incidents": _incidents(spec), "scheduled_maintenances": []}


def _instatus(spec: ProviderStatusSpec) -> dict[str, Any]:
    page = {"name": "Mistral AI", "status": "UP" if spec.indicator == "none" else "HASISSUES"}
    if not spec.incidents:
        return {"page": page}
    active = [{**held, "status": held["status"].upper(), "started": _BEGAN} for held in _incidents(spec)]
    return {"page": page, "activeIncidents": active}


_Form = Callable[[ProviderStatusSpec], dict[str, Any]]
_FORMS: Mapping[str, Mapping[str, _Form]] = {
    "rootly": {"/api/v1/status.json": _status, "/api/v1/incidents.json": _rootly_incidents},
    "statuspage": {"/api/v2/summary.json": _statuspage},
    "instatus": {"/summary.json": _instatus},
}
