"""A room in a world in which everything leaks, and the search for secrets in all that comes out of it.

What is looked through: each call of Slack's API (each version of each card and view), what forms were answered with,
the log, the database's rows and its very bytes, what the bot wrote beside the templates in the cluster, the kubectl
lines, the command line's JSON.
"""

import asyncio
import base64
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import select

from bot.configuration import load
from bot.domain.policy import ApprovalRule, Mitigations, Policy
from bot.domain.runs import Run
from bot.domain.scopes import SCOPES
from bot.errors import BotError
from bot.logs import RedactingFormatter
from bot.sandbox import kubernetes
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import ClusterSpec, load_scenarios
from bot.sandbox.slack import BOT_TOKEN, SIGNING_SECRET
from bot.serve import wired
from bot.store.columns import metadata
from bot.store.engine import make_engine
from bot.store.sql import SqlStore
from bot.web.routes import application
from bot.worlds import prober
from tests.databases import store_at
from tests.flows.rooms import ROBIN, Room
from tests.flows.test_incident_answers import ADA, Served
from tests.kube_proxy import KubeProxy
from tests.planted import MARK, PLANTED, P

# Mistral's keys look like nothing in particular: that they are not told is no pattern's doing.
OLD, NEW, TYPED, REFUSED = (
    f"{begin}7Yb2Kd9Qw4Zt6Rn8Vx1Lm3H5" for begin in ("oLd0hXqA", "nEw0sPcU", "tYp0vGjE", "bAd0fTmI")
)
KEYS = (OLD, NEW, TYPED, REFUSED)
# half a key is no less a secret
PARTS = [part for key in KEYS for part in (key[:16], base64.b64encode(key.encode()).decode()[:20])]
FORBIDDEN = [MARK, base64.b64encode(P.encode()).decode()[:20], BOT_TOKEN, SIGNING_SECRET, kubernetes.TOKEN, *PARTS]
SAID = " and ".join(PLANTED.values())
# what was cut short swallows all that comes after it, so it stands last
REASONS = [f"{OLD} was told, {' and '.join(list(PLANTED.values())[at::8])}" for at in range(8)]
TITLE = f"It fails with token={P} again"
POLICY = Mitigations(
    approvers=(ApprovalRule(groups=frozenset({"S0ONCALL"})),),
    key_by_form=True,
    per_hour=100,
    look_every=timedelta(milliseconds=50),
    verify_every=timedelta(milliseconds=20),
    verify_within=timedelta(milliseconds=300),
)


def template(release: int) -> dict[str, Any]:
    """A pod template with secrets wherever people put them; two releases differ in each of them."""
    secret = f"{P}{release}"
    telling = ("DB_PASSWORD", "SENTRY_AUTH", "SIGNING_KEY", "HOOK_TOKEN")
    # telling by what stands in them alone
    untelling = {f"PLAIN_{at}": f"{text} {release}" for at, text in enumerate(PLANTED.values())}
    env = [{"name": name, "value": secret} for name in telling]
    env += [{"name": name, "value": text} for name, text in untelling.items()]
    env += [{"name": "BACKEND", "value": f"{OLD}{release}"}, {"name": "RELEASE", "value": str(release)}]
    headers = [{"name": "Authorization", "value": f"Bearer {secret}"}, {"name": "X-Api-Key", "value": secret}]
    return {
        "metadata": {
            "labels": {"deploy-token": secret, "sync": f"ghp_{secret}", "release": str(release)},
            "annotations": {"vault/token": secret, "hooks": f"{SAID} {release}", "backend": f"{OLD}{release}"},
        },
        "spec": {
            "containers": [
                {
                    "name": "app",
                    "env": env,
                    "args": ["--password", secret, f"--token={secret}", "-c", f"run --api-key {secret} {SAID}"],
                    "livenessProbe": {"httpGet": {"path": f"/?api_key={secret}", "port": 80, "httpHeaders": headers}},
                    "lifecycle": {"preStop": {"exec": {"command": ["curl", "-H", f"Authorization: Bearer {secret}"]}}},
                }
            ],
            "initContainers": [
                {"name": "init", "image": "init:1", "env": [{"name": "MIGRATE_PASSWORD", "value": secret}]}
            ],
            "volumes": [{"name": "v", "csi": {"driver": "d", "volumeAttributes": {"clientSecret": secret}}}],
        },
    }


@dataclass
class Upstreams:
    """Mistral and the service, which quote whatever key they are asked with, and secrets beside it."""

    taken: set[str] = field(default_factory=lambda: {OLD, NEW, TYPED})
    sick: bool = False
    refused: list[str] = field(default_factory=list)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/health", self.health)
        return app

    async def models(self, request: web.Request) -> web.Response:
        key = request.headers["Authorization"].removeprefix("Bearer ")
        quoted = {"x-ratelimit-limit-req-minute": f"360 {key}"}
        if key in self.taken:
            listed = [{"id": f"mistral-small-latest {key}"}]
            return web.json_response({"object": "list", "data": listed}, headers=quoted)
        self.refused.append(key)
        body = {"detail": f"Invalid API Key {key}; {SAID}", "type": key, "code": f"token={P}"}
        return web.json_response(body, status=401, headers=quoted)

    async def health(self, _: web.Request) -> web.Response:
        said = f"the key {OLD} is refused, {SAID}" if self.sick else "ok"
        return web.json_response({"services": {"mistral": {"status": said}}})


@dataclass(frozen=True)
class Leaky(Room):
    """A room in a world in which everything leaks, and all that came out of it."""

    proxy: KubeProxy
    upstreams: Upstreams
    environ: dict[str, str]
    records: list[logging.LogRecord]
    formatter: logging.Formatter
    answers: list[Any] = field(default_factory=list)
    reasons: Iterator[str] = field(default_factory=lambda: cycle(REASONS))

    async def asked(self, remedy: str, **arguments: str) -> Run:
        """By its form, with a secret in the reason; the run when its preview is there, or why it is not."""
        await self.slack.command(f"mitigate {remedy}", user=ROBIN)
        told = {"reason": next(self.reasons), **{f"argument_{name}": value for name, value in arguments.items()}}
        view = await self.open_form(ROBIN)
        self.answers.append(await self.slack.submit(view, {block: {"value": value} for block, value in told.items()}))
        await self.settle()
        return (await self.runs())[-1]

    async def acted(self, run: Run, act: str, user: str = ADA, text: str = "") -> Run:
        """One click on the run's card, with the form behind it, if any."""
        # kept within sight of people: the card's newest version
        card = next(one for one in self.slack.messages if run.id in one.all_text and not one.only_for)
        if act in ("approve", "kubectl"):
            await self.click(card, act, user)
        else:
            self.answers.append(await self.because(card, act, text or next(self.reasons), user))
        return await self.bot.mitigations.one(run.id)

    async def done(self, remedy: str, **arguments: str) -> Run:
        return await self.acted(await self.asked(remedy, **arguments), "approve")

    async def everything(self) -> AsyncIterator[tuple[str, str]]:
        """(where, text) of all that came out."""
        for call in self.slack.calls:
            yield f"a call of {call.method}", json.dumps(call.arguments, default=str)
        for message in self.slack.messages:
            yield "a message", f"{message.all_text} {message.metadata}"
        for view in (*self.slack.modals(), *self.slack.homes.values()):
            yield "a view", json.dumps(view.body)
        for answer in self.answers:
            yield "an answer to a form", str(answer)
        for record in self.records:
            yield "the log", self.formatter.format(record)
        async for told in self.database():
            yield told
        for patch in self.proxy.made:
            yield "an annotation", json.dumps(patch["metadata"])
        for run in await self.runs():
            yield "a run", repr(run)
            with suppress(BotError):
                for line in await self.bot.mitigations.commands(run.target, run.remedy, run):
                    yield "a kubectl line", line
        for command in ("incidents", "deliveries"):
            yield "the command line", await self._printed(sys.executable, "-m", "bot", command, "--output", "json")

    async def database(self) -> AsyncIterator[tuple[str, str]]:
        engine = make_engine(self.environ["DATABASE_URL"])
        async with engine.connect() as connection:
            for table in metadata.sorted_tables:
                for row in await connection.execute(select(table)):
                    yield f"the table {table.name}", str(row)
        await engine.dispose()
        path = Path(self.environ["DATABASE_URL"].partition("///")[2])
        for one in sorted(path.parent.glob(f"{path.name}*")):
            # by another process: this one would lose SQLite's locks with the file that it closes
            yield "the database's file", await self._printed("cat", str(one))

    async def _printed(self, *command: str) -> str:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, env=self.environ, stdout=pipe, stderr=pipe)
        out, err = await process.communicate()
        assert process.returncode == 0, err
        return (out + err).decode("latin-1")

    async def leaks(self) -> dict[str, str]:
        """By the place, what is told there that should not be, with some text around it."""
        found = {}
        async for where, text in self.everything():
            for secret in FORBIDDEN:
                at = text.lower().find(secret.lower())
                if at >= 0:
                    found[where] = text[max(0, at - 120) : at + 40]
        return found


async def leaks_of(served: Served) -> dict[str, str]:
    """The same of any bot: what its Slack was told, and what its database has."""
    found = {}
    async for where, text in _told(served):
        at = text.lower().find(MARK)
        if at >= 0:
            found[where] = text[max(0, at - 120) : at + 40]
    return found


async def _told(served: Served) -> AsyncIterator[tuple[str, str]]:
    for call in served.slack.calls:
        yield f"a call of {call.method}", str(call.arguments)
    for message in served.slack.messages:
        yield "a message", f"{message.all_text} {message.metadata}"
    store = served.bot.store
    assert isinstance(store, SqlStore)
    async with store.engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in await connection.execute(select(table)):
                yield f"the table {table.name}", str(row)


class _Kept(logging.Handler):
    """Every record: ``caplog`` has those of one phase of a test alone."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


async def rolled_out(proxy: KubeProxy) -> None:
    async with asyncio.timeout(20):
        while True:
            held = await proxy.deployment()
            status = held["status"]
            if (
                status["observedGeneration"] == held["metadata"]["generation"]
                and status.get("updatedReplicas") == status.get("readyReplicas") == status["replicas"] == 3
            ):
                return
            await asyncio.sleep(0.02)


@contextmanager
def logged() -> Iterator[list[logging.LogRecord]]:
    """More than the bot's log ever has: that is from WARNING, and from INFO of the bot's own."""
    kept, root, ours = _Kept(), logging.getLogger(), logging.getLogger("bot")
    before = root.level, ours.level
    root.addHandler(kept)
    root.setLevel(logging.INFO)
    ours.setLevel(logging.DEBUG)
    yield kept.records
    root.setLevel(before[0])
    ours.setLevel(before[1])
    root.removeHandler(kept)


@asynccontextmanager
async def leaky_room(folder: Path, url: str, policy: Mitigations) -> AsyncIterator[Leaky]:
    """With its database at ``url``; the deployment has had two releases, and an incident is open."""
    cluster = ClusterSpec(
        revision=4,
        spare_keys={"next": NEW, "worthless": REFUSED},
        logs=tuple(f"ERROR mistral call failed: 401 {text}" for text in (*PLANTED.values(), f"no key {OLD}")),
    )
    sandbox = Sandbox(replace(load_scenarios()["all is well"], cluster=cluster, prometheus=None), http_mode=True)
    sandbox.slack.workspace.scopes = set(SCOPES)
    sandbox.world.service_key, sandbox.world.rollout_s = OLD, 0.05
    await sandbox.start()
    proxy, store = await KubeProxy.started(sandbox), store_at(url)
    upstreams = Upstreams()
    try:
        served = await sandbox.serve(upstreams.application())
        environ = {
            **sandbox.environment(),
            "KUBECONFIG": proxy.kubeconfig(folder),
            "MISTRAL_API_URL": served,
            "MISTRAL_CANARY_MODELS": "",
            "MISTRAL_STATUS_URL": "",
            "SERVICE_HEALTH_URL": f"{served}/health",
            "DATABASE_URL": url,
        }
        settings = replace(load(environ), policy=Policy(mitigations=policy))
        with logged() as records:
            async with prober(settings) as asks:
                bot = wired(settings, asks, store, pace_s=0)
                sandbox.slack.request_url = (
                    await sandbox.serve(application(bot.readiness, bot.slack.app)) + "/slack/events"
                )
                room = Leaky(bot, sandbox, proxy, upstreams, environ, records, RedactingFormatter(settings))
                for release in (1, 2):
                    await proxy.by_hand({"spec": {"template": template(release)}})
                    await rolled_out(proxy)
                await room.declared(title=TITLE, impact=REASONS[0].removeprefix(OLD), severity="P3")
                yield room
                await bot.tasks.drain(10)
    finally:
        await store.close()
        await proxy.close()
        await sandbox.close()


async def secret_of(room: Leaky, name: str = "mistral-secrets") -> dict[str, str]:
    headers = {"Authorization": f"Bearer {kubernetes.TOKEN}"}
    async with room.proxy.session.get(
        f"{room.proxy.api}/api/v1/namespaces/default/secrets/{name}", headers=headers
    ) as it:
        return {entry: base64.b64decode(held).decode() for entry, held in (await it.json())["data"].items()}
