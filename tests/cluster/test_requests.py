"""The sandbox's Kubernetes API against a real API server, request by request, for everything that the bot asks of one.

The bot does all that it does with a cluster through a recorder, once before each; what it asked and what came back is
laid side by side. What the sandbox leaves out does no harm where the bot gets along without it, which the contracts
show; what it makes up, or writes in another form, would.
"""

import asyncio
import json
import re
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.sandbox.kubernetes import kubeconfig
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import ClusterSpec, Scenario, load_scenarios
from tests.cluster.plane import Admin, ControlPlane
from tests.cluster.test_driven import BAD, GOOD, _let_in, _with_keys
from tests.cluster_contract import STRATEGIC, Api, settled
from tests.databases import copy_of
from tests.mitigated import world_in
from tests.role import rules

# what is made of a name anew each time
_NAMES = re.compile(r"mistral-service-[a-z0-9]+(-[a-z0-9]+)?")
_KEPT = ("Authorization", "Content-Type", "Accept")
# maps whose keys are people's own
_MAPS = frozenset({"labels", "annotations", "matchLabels", "data", "limits", "requests"})
# what the sandbox's containers have as well
_MORE = {
    "containers": [
        {
            "name": "app",
            "ports": [{"containerPort": 8080}],
            "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        }
    ]
}
# what a kubelet writes, whose part kubelet.py plays: its containers are there at once
_KUBELETS = {(".items[].status.containerStatuses[].state.waiting.reason", "str")}
_REMEDIES: Mapping[str, Mapping[str, str]] = {
    "fallback": {},
    "restart": {},
    "rollback": {},
    "rotate_key": {"secret": "mistral-secrets-new"},
}


@dataclass
class Exchange:
    """One kind of request; ``parts``: what stood in the answers, each path with the type of its value."""

    statuses: set[int] = field(default_factory=set)
    parts: set[tuple[str, str]] = field(default_factory=set)


Recorded = dict[tuple[str, str, str], Exchange]
"""By method, path and the names of the query's arguments."""


def parts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, held in value.items():
            inner = "*" if path.rpartition(".")[2] in _MAPS else key
            if key != "managedFields":
                yield from parts(held, f"{path}.{inner}")
    elif isinstance(value, list):
        for held in value:
            yield from parts(held, f"{path}[]")
    elif value is not None:
        yield path, "number" if type(value) in (int, float) else type(value).__name__


@asynccontextmanager
async def recorded(sandbox: Sandbox, api: str, trust: ssl.SSLContext | None) -> AsyncIterator[tuple[str, Recorded]]:
    """The URL of a server that passes everything on to ``api``, and what went through it."""
    held: Recorded = {}
    connector = aiohttp.TCPConnector(ssl=trust) if trust else aiohttp.TCPConnector()
    # unpacks what it receives: an API server packs what is longer than 128 kB
    async with aiohttp.ClientSession(connector=connector) as session:

        async def forward(request: web.Request) -> web.Response:
            headers = {name: text for name, text in request.headers.items() if name in _KEPT}
            body = await request.read()
            async with session.request(request.method, api + request.path_qs, data=body, headers=headers) as answer:
                said = await answer.read()
            key = (request.method, _NAMES.sub("POD", request.path), ",".join(sorted(request.query)))
            exchange = held.setdefault(key, Exchange())
            exchange.statuses.add(answer.status)
            if answer.content_type == "application/json":
                exchange.parts |= set(parts(json.loads(said)))
            return web.Response(body=said, status=answer.status, content_type=answer.content_type)

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", forward)
        yield await sandbox.serve(application), held


async def commands(environ: Mapping[str, str]) -> None:
    """What the command line does with a cluster."""
    for words in (("triage", "--output", "json"), ("doctor",), ("evidence",)):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", *words), env=dict(environ), stdout=asyncio.subprocess.DEVNULL
        )
        await process.wait()


async def everything(environ: Mapping[str, str], folder: Path, request: pytest.FixtureRequest) -> None:
    """Triage, doctor and evidence, every kind of remedy, and its way back."""
    await commands({**environ, "EVIDENCE_DIR": str(folder / "evidence"), "DATABASE_URL": _sqlite(folder)})
    async with world_in(dict(environ), copy_of("SQLite", folder, request)) as world:
        for remedy, arguments in _REMEDIES.items():
            run = await world.ask(remedy, **arguments)
            ended = await world.approve(run)
            assert ended.applied_at is not None, f"{remedy}: {ended.said}"
        runs = await world.runs()
        back = await world.settled(await world.bot.mitigations.revert(runs[0].id, "U0REQUESTER", "over", "view:back"))
        await world.approve(back)


def _sqlite(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder}/commands.db"


def _world() -> Scenario:
    """As like the real one of the fixtures as can be, with a key that waits."""
    cluster = ClusterSpec(revision=2, spare_keys={"mistral-secrets-new": GOOD}, changes={"image": "x:2.0.0"})
    return replace(load_scenarios()["all is well"], cluster=cluster)


async def _in_the_sandbox(folder: Path, request: pytest.FixtureRequest) -> Recorded:
    sandbox = Sandbox(_world())
    await sandbox.start()
    # as in the real one, the Secret holds a key that has had its day
    sandbox.world.service_key = BAD
    assert sandbox.world.cluster is not None
    sandbox.world.cluster.refresh()
    sandbox.world.service_key = GOOD
    try:
        async with recorded(sandbox, sandbox.urls["kubernetes"], None) as (url, held):
            path = folder / "kubeconfig"
            path.write_text(kubeconfig(url))
            await everything(sandbox.environment() | {"KUBECONFIG": str(path)}, folder, request)
            return held
    finally:
        await sandbox.close()


async def _for_real(
    api: Api, admin: Admin, control_plane: ControlPlane, folder: Path, request: pytest.FixtureRequest
) -> Recorded:
    sandbox = Sandbox(_world())
    sandbox.world.service_key = GOOD
    await _let_in(admin, rules())
    await _with_keys(api, admin, BAD)
    status, _ = await api.patch("deployments/mistral-service", STRATEGIC, {"spec": {"template": {"spec": _MORE}}})
    assert status == 200
    await settled(api.cluster)
    await sandbox.start()
    trust = ssl.create_default_context(cafile=str(control_plane.run / "serving.crt"))
    try:
        async with recorded(sandbox, control_plane.url, trust) as (url, held):
            config = json.loads(kubeconfig(url))
            config["users"][0]["user"]["token"] = "bot-token"
            path = folder / "kubeconfig"
            path.write_text(json.dumps(config))
            environ = sandbox.environment() | {"KUBECONFIG": str(path), "MISTRAL_API_KEY": GOOD}
            await everything(environ, folder, request)
            return held
    finally:
        await sandbox.close()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    here, there = tmp_path / "played", tmp_path / "real"
    here.mkdir()
    there.mkdir()
    return here, there


async def test_the_sandbox_answers_each_request_of_the_bots_as_a_real_api_server_does(
    api: Api,
    admin: Admin,
    control_plane: ControlPlane,
    folders: tuple[Path, Path],
    request: pytest.FixtureRequest,
) -> None:
    here, there = folders
    played = await _in_the_sandbox(here, request)
    real = await _for_real(api, admin, control_plane, there, request)
    assert {method for method, _, _ in real} == {"GET", "POST", "PATCH"}
    assert len(real) > 12
    assert set(played) == set(real)
    assert {key: one.statuses for key, one in played.items()} == {key: one.statuses for key, one in real.items()}
    made_up = {key: sorted(more) for key, one in played.items() if (more := one.parts - real[key].parts - _KUBELETS)}
    assert not made_up, "\n".join(f"{key}: {one}" for key, one in made_up.items())
