"""The cluster client against the sandbox's API and against servers that misbehave, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from aiohttp import web

from bot.clients.kubernetes import KubernetesCluster
from bot.errors import BadAnswer, BotError, Forbidden, LoginExpired, NotFound, Unreachable, UpstreamError
from bot.sandbox.kubernetes import TOKEN, application, kubeconfig
from bot.sandbox.scenario import ClusterSpec, Expect, Scenario
from bot.sandbox.world import World
from bot.settings import Limits, Network
from tests.clusters import cluster_at, serve, settings
from tests.fakes import unhurried

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def world(spec: ClusterSpec) -> World:
    return World(scenario=Scenario(name="a test's", cluster=spec, expect=Expect(cause="healthy", severity="P4")))


def answering(body: bytes, status: int = 200, **headers: str) -> web.Application:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", handle)
    return app


async def refused(config: Path, context: str | None = None) -> BotError:
    cluster = KubernetesCluster(settings(config, context=context), Limits(), Network(), timeout_s=30)
    try:
        with pytest.raises(UpstreamError) as raised:
            await cluster.get("Deployment", "mistral-service")
        return raised.value
    finally:
        await cluster.close()


async def test_two_thousand_pods_come_in_pages(tmp_path: Path) -> None:
    here = world(ClusterSpec(desired=2_000, ready=2_000))
    async with serve(application(here)) as url, cluster_at(url, tmp_path / "config") as cluster:
        names = {pod["metadata"]["name"] async for pod in cluster.list("Pod", selector="app=mistral-service")}
    assert len(names) == 2_000
    assert len(here.requests) == 8


async def test_a_list_stops_at_the_limit_of_pods(tmp_path: Path) -> None:
    here, limits = world(ClusterSpec(desired=90, ready=90)), Limits(pods=45, page_objects=20)
    async with serve(application(here)) as url, cluster_at(url, tmp_path / "config", limits=limits) as cluster:
        assert len([pod async for pod in cluster.list("Pod")]) == 45
    assert len(here.requests) == 3


async def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(await refused(tmp_path / "absent")) == f"the kubeconfig {tmp_path / 'absent'} is not there"


@pytest.mark.parametrize(
    "text",
    ["clusters: [", "just words", "contexts: {a: 1}", "users: [{name: x, user: {token: planted-7f31}]", "\x00"],
    ids=["yaml", "words", "map", "token", "nul"],
)
async def test_a_malformed_kubeconfig_is_named_and_not_quoted(text: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(text)
    error = await refused(config)
    assert str(error).startswith(f"the kubeconfig {config} is malformed: ")
    assert "planted" not in repr((error, error.__cause__))


async def test_an_unknown_context_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(kubeconfig("http://127.0.0.1:1"))
    assert str(await refused(config, "prod")) == f"the kubeconfig {config} has no context 'prod'; it has: sandbox"


async def test_a_login_command_that_fails_asks_for_a_new_login(tmp_path: Path) -> None:
    document = json.loads(kubeconfig("http://127.0.0.1:1"))
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/false", "interactiveMode": "Never"}
    document["users"][0]["user"] = {"exec": command}
    config = tmp_path / "config"
    config.write_text(json.dumps(document))
    error = await refused(config)
    assert isinstance(error, LoginExpired)
    assert str(error) == "the login command false of context sandbox failed: log in to the cluster again"


async def test_an_expired_token_asks_for_a_new_login_and_is_not_told(tmp_path: Path) -> None:
    async with (
        serve(application(world(ClusterSpec()))) as url,
        cluster_at(url, tmp_path / "config", token="expired-55e0") as cluster,
    ):
        with pytest.raises(LoginExpired, match="log in to the cluster again") as raised:
            await cluster.get("Deployment", "mistral-service")
    assert "expired-55e0" not in repr((raised.value, raised.value.__cause__))
    assert TOKEN not in repr(cluster)


async def test_a_server_that_refuses_is_unreachable(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(kubeconfig("http://127.0.0.1:1"))
    error = await refused(config)
    assert isinstance(error, Unreachable)
    assert str(error).startswith("the cluster at 127.0.0.1:1 cannot be reached: ")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>sign in</html>", b"\xff\xfe", b"[1]", b"[" * 100_000, b'{"items": 3}', b'{"items": [1]}'],
    ids=["empty", "html", "utf-8", "list", "deep", "number", "no objects"],
)
async def test_a_list_that_makes_no_sense_is_a_bad_answer(body: bytes, tmp_path: Path) -> None:
    async with serve(answering(body)) as url, cluster_at(url, tmp_path / "config") as cluster:
        with pytest.raises(BadAnswer) as raised:
            [pod async for pod in cluster.list("Pod")]
    assert raised.value.__cause__ is None


async def test_an_answer_of_fifty_megabytes_is_not_read(tmp_path: Path) -> None:
    limits = Limits(response_bytes=100_000)
    async with (
        serve(answering(b" " * 50_000_000)) as url,
        cluster_at(url, tmp_path / "config", limits=limits) as cluster,
    ):
        with pytest.raises(BadAnswer, match="larger than 100000 bytes"):
            await cluster.get("Pod", "any")


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with (
        serve(answering(b"{}", 302, Location="/elsewhere")) as url,
        cluster_at(url, tmp_path / "config") as cluster,
    ):
        with pytest.raises(BadAnswer, match="answered 302"):
            await cluster.get("Pod", "any")


def streaming(*pieces: bytes, then: str, gone: list[str] | None = None) -> web.Application:
    """Sends ``pieces`` of a log, then cuts the connection, hangs or ends well; ``gone`` notes that the client left."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if then == "cut" and request.transport is not None:
            request.transport.close()
        while then == "hang" and request.transport is not None:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)
        if gone is not None:
            gone.append(request.path)
        return response

    app = web.Application()
    app.router.add_get("/{anything:.*}", handle)
    return app


@pytest.mark.parametrize(
    ("then", "sentence"), [("cut", "the connection broke"), ("hang", "no answer in time"), ("end", "")]
)
async def test_what_came_of_a_log_before_it_broke_off_is_handed_out(
    then: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhurried(monkeypatch)
    received, said = b"", ""
    async with (
        serve(streaming(b"one\n", b"tw", then=then)) as url,
        cluster_at(url, tmp_path / "config", timeout_s=1 if then == "hang" else 30) as cluster,
    ):
        try:
            async for chunk in cluster.log_chunks("any", "app", since_s=300, tail_lines=100):
                received += chunk
        except Unreachable as error:
            said = str(error).rpartition(": ")[2]
    assert (received, said) == (b"one\ntw", sentence)


async def test_a_log_that_nobody_reads_to_its_end_is_closed(tmp_path: Path) -> None:
    gone: list[str] = []
    async with (
        serve(streaming(b"one\n", then="hang", gone=gone)) as url,
        cluster_at(url, tmp_path / "config") as cluster,
    ):
        chunks = cluster.log_chunks("any", "app", since_s=300, tail_lines=100)
        assert isinstance(chunks, AsyncGenerator)
        async with aclosing(chunks):
            assert await anext(chunks) == b"one\n"
        async with asyncio.timeout(30):
            while gone == []:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("status", "body", "error", "sentence"),
    [
        (403, b"{}", Forbidden, "forbidden: get pods/log in default"),
        (400, b'{"kind": "Status", "message": "waiting to start"}', NotFound, "waiting to start"),
        (404, b"<html>", NotFound, "not found: get pods/log in default"),
        (
            500,
            b'{"kind": "Status", "message": "a\\u001b[31m\\nb"}',
            BadAnswer,
            "answered 500 to get pods/log in default",
        ),
    ],
    ids=["forbidden", "not begun", "gone", "broken"],
)
async def test_a_log_that_is_refused_says_why(
    status: int, body: bytes, error: type[BotError], sentence: str, tmp_path: Path
) -> None:
    async with serve(answering(body, status)) as url, cluster_at(url, tmp_path / "config") as cluster:
        with pytest.raises(error) as raised:
            await anext(cluster.log_chunks("any", "app", since_s=300, tail_lines=100))
    assert sentence in str(raised.value)
    assert str(raised.value).isprintable()
