"""A Kubernetes API over plain HTTP with what the bot uses: reads, lists in pages, logs, access reviews, patches."""

import asyncio
import base64
import binascii
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from bot.sandbox.kubernetes_objects import NAMESPACE, Object
from bot.sandbox.kubernetes_selector import selects
from bot.sandbox.kubernetes_state import PATCHES, ClusterState, Conflict
from bot.sandbox.world import World

TOKEN = "sandbox-cluster-token-71d0c4"  # noqa: S105 - opens nothing outside this process
USER = "system:serviceaccount:default:mistral-bot"
# group/version -> resource -> kind
_GROUPS = {
    "v1": {"pods": "Pod", "secrets": "Secret", "events": "Event"},
    "apps/v1": {"deployments": "Deployment", "replicasets": "ReplicaSet"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "authorization.k8s.io/v1": {"selfsubjectaccessreviews": "SelfSubjectAccessReview"},
}
_GROUP_OF = {resource: group for group, resources in _GROUPS.items() for resource in resources}
_STATE = web.AppKey("state", ClusterState)
_WORLD = web.AppKey("world", World)


def kubeconfig(url: str) -> str:
    """A kubeconfig for the sandbox's API at ``url``, as YAML text."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": url.rstrip("/")}}],
        "users": [{"name": "mistral-bot", "user": {"token": TOKEN}}],
        "contexts": [
            {"name": "sandbox", "context": {"cluster": "sandbox", "user": "mistral-bot", "namespace": NAMESPACE}}
        ],
        "current-context": "sandbox",
    }
    return json.dumps(document, indent=2)


def application(world: World) -> web.Application:
    """The API of ``world``'s cluster; it wants the bearer token ``TOKEN``."""
    app = web.Application(middlewares=[_enter])
    app[_WORLD], app[_STATE] = world, ClusterState(world)
    world.cluster = app[_STATE]
    app.router.add_get("/version", _version)
    app.router.add_get("/api", _versions)
    app.router.add_get("/apis", _groups)
    app.router.add_post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", _review)
    app.router.add_get("/api/v1/namespaces/{namespace}/pods/{name}/log", _log)
    for prefix in ("/api/{version:v1}", "/apis/{group}/{version}"):
        app.router.add_get(prefix, _resources)
        app.router.add_get(prefix + "/namespaces/{namespace}/{resource}", _list)
        app.router.add_get(prefix + "/namespaces/{namespace}/{resource}/{name}", _get)
        app.router.add_patch(prefix + "/namespaces/{namespace}/{resource}/{name}", _patch)
    return app


@web.middleware
async def _enter(request: web.Request, handler: Any) -> web.StreamResponse:
    world = request.app[_WORLD]
    world.seen("kubernetes", request.method, request.path)
    fail = world.scenario.cluster.fail if world.scenario.cluster else None
    if fail == "down":
        _cut(request)
    if fail == "timeout":
        # until the client has had enough, so that nothing is left over when the sandbox ends
        while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        _cut(request)
    # as the API server does: the scheme in any case, which the vendor's in-cluster login uses
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if fail == "401" or (scheme.lower(), token) != ("bearer", TOKEN):
        return _status(401, "Unauthorized", "Unauthorized")
    request.app[_STATE].refresh()
    try:
        answer: web.StreamResponse = await handler(request)
    except web.HTTPNotFound:
        return _status(404, "NotFound", "the server could not find the requested resource")
    except web.HTTPMethodNotAllowed as error:
        return _status(405, "MethodNotAllowed", f"the sandbox's cluster has no {error.method} here")
    return answer


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError


async def _version(_: web.Request) -> web.Response:
    return web.json_response({"major": "1", "minor": "32", "gitVersion": "v1.32.0-sandbox"})


async def _versions(_: web.Request) -> web.Response:
    return web.json_response({"kind": "APIVersions", "versions": ["v1"]})


async def _groups(_: web.Request) -> web.Response:
    listed = []
    for group in _GROUPS:
        if "/" in group:
            version = {"groupVersion": group, "version": group.split("/")[1]}
            listed.append({"name": group.split("/")[0], "versions": [version], "preferredVersion": version})
    return web.json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})


async def _resources(request: web.Request) -> web.Response:
    group = _group(request)
    if group not in _GROUPS:
        raise web.HTTPNotFound
    listed = [
        {"name": resource, "kind": kind, "namespaced": kind != "SelfSubjectAccessReview", "verbs": ["get", "list"]}
        for resource, kind in _GROUPS[group].items()
    ]
    return web.json_response(
        {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": listed}
    )


async def _list(request: web.Request) -> web.Response:
    resource = _resource(request)
    if (refused := _refused(request, "list", resource)) is not None:
        return refused
    state = request.app[_STATE]
    found = [
        item
        for item in state.held[resource].values()
        if request.match_info["namespace"] == NAMESPACE
        and selects(request.query.get("labelSelector", ""), item["metadata"].get("labels") or {})
    ]
    try:
        limit = int(request.query.get("limit", "0"))
        start = int(base64.b64decode(request.query.get("continue", ""), validate=True) or b"0")
    except (ValueError, binascii.Error):
        return _status(400, "BadRequest", "continue key is not valid")
    end = start + limit if limit else len(found)
    metadata: Object = {"resourceVersion": "1"}
    if end < len(found):
        metadata |= {
            "continue": base64.b64encode(str(end).encode()).decode(),
            "remainingItemCount": len(found) - end,
        }
    kind = _GROUPS[_group(request)][resource]
    # the list says what its items are, and they do not
    items = [{name: part for name, part in item.items() if name not in ("kind", "apiVersion")} for item in found]
    return web.json_response(
        {"kind": f"{kind}List", "apiVersion": _group(request), "metadata": metadata, "items": items[start:end]}
    )


async def _get(request: web.Request) -> web.Response:
    resource, name = _resource(request), request.match_info["name"]
    if (refused := _refused(request, "get", resource)) is not None:
        return refused
    item = request.app[_STATE].held[resource].get(name)
    if item is None or request.match_info["namespace"] != NAMESPACE:
        return _absent(resource, name)
    return web.json_response(item)


async def _patch(request: web.Request) -> web.Response:
    resource, name = _resource(request), request.match_info["name"]
    if (refused := _refused(request, "patch", resource)) is not None:
        return refused
    if request.content_type not in PATCHES:
        return _status(415, "UnsupportedMediaType", f"the sandbox's cluster takes {', '.join(PATCHES)}")
    state = request.app[_STATE]
    if request.match_info["namespace"] != NAMESPACE or name not in state.held[resource]:
        return _absent(resource, name)
    try:
        patch = await request.json()
    except ValueError:
        patch = None
    if not isinstance(patch, dict):
        return _status(400, "BadRequest", "the patch is not a JSON object")
    dry_run = request.query.get("dryRun") == "All"
    try:
        patched = state.patch(resource, name, patch, request.content_type, dry_run=dry_run)
    except Conflict:
        said = "the object has been modified; please apply your changes to the latest version and try again"
        return _status(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {said}')
    return web.json_response(patched)


async def _log(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if (refused := _refused(request, "get", "pods/log")) is not None:
        return refused
    state, container = request.app[_STATE], request.query.get("container")
    pod = state.held["pods"].get(name)
    if pod is None or request.match_info["namespace"] != NAMESPACE:
        return _absent("pods", name)
    status = pod["status"]["containerStatuses"][0]
    if container not in (None, status["name"]):
        return _status(400, "BadRequest", f"container {container} is not valid for pod {name}")
    waiting = status["state"].get("waiting", {}).get("reason")
    if waiting and not status["restartCount"]:
        said = f'container "{status["name"]}" in pod "{name}" is waiting to start: {waiting}'
        return _status(400, "BadRequest", said)
    lines = state.log(name)
    if since := request.query.get("sinceSeconds"):
        oldest = datetime.now(UTC) - timedelta(seconds=int(since))
        lines = [(at, line) for at, line in lines if at >= oldest]
    if tail := request.query.get("tailLines"):
        lines = lines[-int(tail) :] if int(tail) else []
    stamped = request.query.get("timestamps") == "true"
    text = "".join(f"{at:%Y-%m-%dT%H:%M:%S.%f}000Z {line}\n" if stamped else f"{line}\n" for at, line in lines)
    return web.Response(text=text)


async def _review(request: web.Request) -> web.Response:
    review = await request.json()
    wanted = review["spec"]["resourceAttributes"]
    resource, subresource = wanted.get("resource", ""), wanted.get("subresource")
    named = {resource, f"{wanted.get('verb')} {resource}", f"{resource}/{subresource}" if subresource else resource}
    allowed = wanted.get("namespace") == NAMESPACE and not named & set(request.app[_STATE].spec.forbidden)
    return web.json_response(review | {"status": {"allowed": allowed}}, status=201)


def _group(request: web.Request) -> str:
    group, version = request.match_info.get("group"), request.match_info["version"]
    return f"{group}/{version}" if group else version


def _resource(request: web.Request) -> str:
    resource = request.match_info["resource"]
    if _GROUP_OF.get(resource) != _group(request) or resource not in request.app[_STATE].held:
        raise web.HTTPNotFound
    return resource


def _refused(request: web.Request, verb: str, resource: str) -> web.Response | None:
    """The 403 of RBAC where the scenario forbids the kind; a forbidden kind takes its subresources along."""
    forbidden = request.app[_STATE].spec.forbidden
    plain = resource.split("/")[0]
    if not {resource, plain, f"{verb} {resource}"} & set(forbidden):
        return None
    group = _GROUP_OF[plain].split("/")[0] if "/" in _GROUP_OF[plain] else ""
    named = f' "{name}"' if (name := request.match_info.get("name")) else ""
    return _status(
        403,
        "Forbidden",
        f'{plain}{named} is forbidden: User "{USER}" cannot {verb} resource "{resource}" in API group "{group}" '
        f'in the namespace "{request.match_info["namespace"]}"',
    )


def _absent(resource: str, name: str) -> web.Response:
    group = _GROUP_OF[resource].split("/")[0] if "/" in _GROUP_OF[resource] else ""
    return _status(404, "NotFound", f'{resource}{"." + group if group else ""} "{name}" not found')


def _status(code: int, reason: str, message: str) -> web.Response:
    document = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return web.json_response(document, status=code)
