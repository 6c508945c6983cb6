"""What stands between the bot and a Kubernetes API: tells a test of each patch, which may hold it or cut its answer."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bot.sandbox.kubernetes import TOKEN, kubeconfig
from bot.sandbox.launcher import Sandbox

_DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/mistral-service"
_KEPT = ("Authorization", "Content-Type", "Accept")

Hook = Callable[[dict[str, Any]], Awaitable[None]]


class Cut(Exception):
    """Raised by a hook: whoever asked has no answer."""


async def _goes_on(_: dict[str, Any]) -> None:
    pass


@dataclass
class KubeProxy:
    """``before`` and ``after`` are awaited with each patch that is no dry run, when it has come and when it was made.

    A hook that raises one of aiohttp's HTTP errors answers with it, and the patch is not made.
    ``made`` are the patches that the API has made, ``refused`` those that it has not.
    """

    api: str
    session: aiohttp.ClientSession
    url: str = ""
    before: Hook = field(default=_goes_on)
    after: Hook = field(default=_goes_on)
    made: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    async def started(cls, sandbox: Sandbox) -> "KubeProxy":
        """Before ``sandbox``, and closed with it but for :meth:`close`."""
        proxy = cls(sandbox.urls["kubernetes"], aiohttp.ClientSession())
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", proxy._forwarded)
        proxy.url = await sandbox.serve(application)
        return proxy

    async def close(self) -> None:
        await self.session.close()

    def kubeconfig(self, folder: Path) -> str:
        """The path of a kubeconfig that leads here."""
        path = folder / "kubeconfig"
        path.write_text(kubeconfig(self.url))
        return str(path)

    def hooked(self, hook: Hook, *, before: bool) -> None:
        """``hook`` alone, before or after each patch is made."""
        self.before, self.after = (hook, _goes_on) if before else (_goes_on, hook)

    async def deployment(self) -> dict[str, Any]:
        async with self.session.get(self.api + _DEPLOYMENT, headers=_bearer()) as answer:
            held: dict[str, Any] = await answer.json()
            return held

    async def by_hand(self, patch: dict[str, Any]) -> None:
        """Patches the deployment as somebody with kubectl does, which is told nobody."""
        headers = {**_bearer(), "Content-Type": "application/strategic-merge-patch+json"}
        async with self.session.patch(self.api + _DEPLOYMENT, json=patch, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def _forwarded(self, request: web.Request) -> web.Response:
        body, headers = await request.read(), {name: text for name, text in request.headers.items() if name in _KEPT}
        patch = json.loads(body) if request.method == "PATCH" and "dryRun" not in request.query else None
        try:
            if patch is not None:
                await self.before(patch)
            async with self.session.request(
                request.method, self.api + request.path_qs, data=body or None, headers=headers
            ) as answer:
                given = web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)
            if patch is not None and given.status == 200:
                self.made.append(patch)
                await self.after(patch)
            elif patch is not None:
                self.refused.append(patch)
        except Cut:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from None
        return given


def variables(deployment: dict[str, Any]) -> dict[str, str]:
    """The plain variables of the service's container."""
    held = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return {one["name"]: one["value"] for one in held if "value" in one}


def _bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"}
