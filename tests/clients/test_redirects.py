"""An upstream that points elsewhere: what is asked there, if anything, carries no credentials."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.clients.prometheus import PrometheusMetrics
from bot.configuration import load
from bot.errors import BotError
from bot.ports import File, MessageRef, Reply
from bot.render import Renderer
from bot.settings import Network
from bot.slack.client import web_client
from bot.slack.messenger import SlackMessenger
from bot.slack.uploads import upload
from tests.clusters import cluster_at

SECRET = "planted-credential-77c1d2"


@contextlib.asynccontextmanager
async def redirecting(status: int) -> AsyncIterator[tuple[str, list[str]]]:
    """(a server that points to another, all that the other has heard)"""
    heard: list[str] = []

    async def listen(request: web.Request) -> web.Response:
        heard.append(f"{request.method} {request.path_qs} {dict(request.headers)} {await request.text()}")
        return web.json_response({"ok": True})

    other, first = web.Application(), web.Application()
    other.router.add_route("*", "/{path:.*}", listen)
    async with TestServer(other) as elsewhere:
        there = str(elsewhere.make_url("/there"))

        async def point(_: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": there})

        first.router.add_route("*", "/{path:.*}", point)
        async with TestServer(first) as server:
            yield str(server.make_url("")).rstrip("/"), heard


@pytest.mark.parametrize("status", [302, 307, 308])
async def test_slack_prometheus_and_the_cluster(status: int, tmp_path: Path) -> None:
    async with redirecting(status) as (url, heard):
        settings = load({"SLACK_API_URL": f"{url}/api/", "SLACK_BOT_TOKEN": SECRET, "PROMETHEUS_TOKEN": SECRET})
        slack = SlackMessenger(client=web_client(settings), renderer=Renderer(), network=Network(), patience_s=0)
        with contextlib.suppress(BotError):
            await slack.hello()
        target = load({"PROMETHEUS_URL": url, "PROMETHEUS_TOKEN": SECRET}).target("default")
        with contextlib.suppress(BotError):
            await PrometheusMetrics(target.prometheus, Network(), 100_000).query("up", timeout_s=2)
        async with cluster_at(url, tmp_path / "config", token=SECRET) as cluster:
            with contextlib.suppress(BotError):
                await cluster.get("Secret", "mistral-secrets")
        assert SECRET not in str(heard)


@pytest.mark.parametrize("status", [302, 307, 308])
async def test_an_answer_by_response_url_goes_nowhere_else(status: int) -> None:
    async with redirecting(status) as (url, heard):
        slack = SlackMessenger(client=web_client(load({})), renderer=Renderer(), network=Network(), patience_s=0)
        with pytest.raises(BotError):
            await slack.respond(f"{url}/response", Reply(template="sentence", context={"sentence": "x"}))
        assert heard == []


@pytest.mark.parametrize("status", [302, 307, 308])
async def test_a_files_bytes_go_nowhere_else(status: int) -> None:
    async with redirecting(status) as (url, heard):

        async def call(method: Callable[..., Any], **_: Any) -> Any:
            return {"upload_url": f"{url}/upload", "file_id": "F1"}

        file = File(name="bundle.txt", title="a bundle", content=b"what is in it")
        with pytest.raises(BotError):
            await upload(web_client(load({})), call, Network(), MessageRef(channel="C1", ts="1"), file)
        assert heard == []
