"""What is measured and laid beside each other: the bot, the bare app, a cluster's API; and what Slack sends them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from bench.processes import bot, end, module
from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox, free_port
from bot.sandbox.scenario import Scenario, load_scenarios
from bot.sandbox.slack import BOT_TOKEN, SIGNING_SECRET
from bot.sandbox.slack.delivery import signed

ROUTE = "/slack/events"


@contextlib.asynccontextmanager
async def bare_app(*, ready: bool = True) -> AsyncIterator[tuple[int, int]]:
    """(pid, port) of it, once it is ``ready``."""
    port = free_port()
    environ = {"SLACK_SIGNING_SECRET": SIGNING_SECRET, "SLACK_BOT_TOKEN": BOT_TOKEN}
    async with module("bare", str(port), environ=environ, says=False) as (process, _):
        if ready:
            await acknowledged(port)
        yield process.pid, port


def all_is_well(
    environ: Mapping[str, str] | None = None, *, http_mode: bool = False
) -> contextlib.AbstractAsyncContextManager[Sandbox]:
    """A world in which all is well; ``environ``: more settings of the bot's."""
    return world(load_scenarios()["all is well"], environ, http_mode=http_mode)


@contextlib.asynccontextmanager
async def world(
    scenario: Scenario, environ: Mapping[str, str] | None = None, *, http_mode: bool = False
) -> AsyncIterator[Sandbox]:
    """As ``scenario`` says; ``environ``: more settings of the bot's."""
    sandbox = Sandbox(scenario, http_mode=http_mode, environ=environ)
    sandbox.slack.workspace.scopes = set(SCOPES)
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.close()


# above what can come: how fast it can be is measured, not how much of that it lets in
_CONFIG = "http: {slack_per_second: 1000000, pages_per_second: 1000000}\n"


@contextlib.asynccontextmanager
async def http_sandbox(environ: Mapping[str, str] | None = None, *, more: str = "") -> AsyncIterator[Sandbox]:
    """All being well, for a bot in HTTP mode; ``more``: of its YAML file."""
    async with all_is_well(environ, http_mode=True) as sandbox:
        config = sandbox.folder / "bot.yaml"
        await asyncio.to_thread(config.write_text, _CONFIG + more)
        sandbox.configure({"MISTRAL_BOT_CONFIG": str(config)})
        yield sandbox


@contextlib.asynccontextmanager
async def the_bot(sandbox: Sandbox, *, ready: bool = True) -> AsyncIterator[tuple[int, int]]:
    """(pid, port) of it, once it is ``ready``; in HTTP mode if ``sandbox`` is."""
    environ = sandbox.environment()
    process = await bot("run", environ=environ)
    try:
        if sandbox.http_mode:
            sandbox.slack.request_url = f"{sandbox.bot_url}{ROUTE}"
        elif ready:
            await sandbox.slack.wait_connected(60)
        if ready:
            await sandbox.ready()
        yield process.pid, int(environ["PORT"])
    finally:
        await end(process)


@contextlib.asynccontextmanager
async def cluster(folder: Path, pods: int, pod_bytes: int = 0) -> AsyncIterator[Path]:
    """The kubeconfig, written to ``folder``, of a cluster of so many pods with a log of so many bytes each."""
    async with module("log_server", str(pods), str(pod_bytes)) as (_, told):
        kubeconfig = folder / f"{pods}-pods.kubeconfig"
        await asyncio.to_thread(kubeconfig.write_text, told)
        yield kubeconfig


def event(text: str = "the deploy of this morning looks good") -> bytes:
    """A message that somebody writes in a channel, which is most of what Slack sends: nothing follows it."""
    told = {"type": "message", "channel": "C0INCIDENTS", "user": "U0REQUESTER", "text": text, "ts": "1.2"}
    by = [{"team_id": "T1", "user_id": "U0BOT", "is_bot": True}]
    held = {"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": told, "authorizations": by}
    return _posted(json.dumps(held), "application/json")


def commands(sandbox: Sandbox, count: int) -> Iterator[bytes]:
    """``/mistral help``, whose answer each goes to a ``response_url`` of its own."""
    for _ in range(count):
        yield _posted(urlencode(sandbox.slack.workspace.slash("help")), "application/x-www-form-urlencoded")


def _posted(body: str, content_type: str) -> bytes:
    headers = {
        "Host": "127.0.0.1",
        "Content-Type": content_type,
        "Content-Length": str(len(body.encode())),
        **signed(body),
    }
    lines = [f"POST {ROUTE} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


async def acknowledged(port: int, within_s: float = 30.0) -> None:
    """Once a message has been; tries again each millisecond while nobody listens."""
    head, _, body = event().decode().partition("\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    url = f"http://127.0.0.1:{port}{ROUTE}"
    async with asyncio.timeout(within_s), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.post(url, data=body, headers=headers) as answer:
                    assert answer.status == 200, await answer.text()
                    return
            await asyncio.sleep(0.001)
