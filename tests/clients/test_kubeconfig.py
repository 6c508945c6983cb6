"""Logins to a cluster: a pod's own account over TLS, several kubeconfigs, a login anew, proxies; over real sockets."""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from bot.clients import login
from bot.clients.kubernetes import KubernetesCluster
from bot.errors import LoginExpired, Unreachable, UpstreamError
from bot.sandbox.kubernetes import TOKEN, application, kubeconfig
from bot.sandbox.scenario import ClusterSpec, Expect, Scenario
from bot.sandbox.world import World
from bot.settings import Limits, Network
from tests.clusters import cluster_at, serve, settings
from tests.upstreams import connected

OWN = replace(settings(""), kubeconfig=None, in_cluster=True)


def world() -> World:
    scenario = Scenario(name="a test's", cluster=ClusterSpec(), expect=Expect(cause="healthy", severity="P4"))
    return World(scenario=scenario)


async def read(cluster: KubernetesCluster) -> str:
    """The name of the deployment, once it has been read."""
    held = await cluster.get("Deployment", "mistral-service")
    return str(held["metadata"]["name"])


@asynccontextmanager
async def closing(cluster: KubernetesCluster) -> AsyncIterator[KubernetesCluster]:
    try:
        yield cluster
    finally:
        await cluster.close()


@dataclass
class Account:
    """A pod's own account: where its files are, and the API server that knows it."""

    token: Path
    ca: Path
    world: World

    def cluster(self) -> KubernetesCluster:
        return KubernetesCluster(OWN, Limits(), Network(), timeout_s=5.0)


@pytest.fixture
async def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Account]:
    from kubernetes.aio.config import incluster_config

    authority, held = trustme.CA(), Account(tmp_path / "token", tmp_path / "ca.crt", world())
    held.token.write_text(TOKEN)
    authority.cert_pem.write_to_path(held.ca)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "kubernetes.default").configure_cert(context)
    runner = web.AppRunner(application(held.world), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(held.token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(held.ca))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(runner.addresses[0][1]))
    yield held
    await runner.cleanup()


@pytest.mark.parametrize("end", ["", "\n"], ids=["as mounted", "with a line's end"])
async def test_a_pod_reads_with_its_own_account(end: str, account: Account) -> None:
    account.token.write_text(TOKEN + end)
    async with closing(account.cluster()) as cluster:
        assert await read(cluster) == "mistral-service"
        assert await cluster.may("list", "pods") is True


async def test_a_server_that_the_pods_ca_does_not_vouch_for_is_not_trusted(account: Account) -> None:
    trustme.CA().cert_pem.write_to_path(account.ca)
    async with closing(account.cluster()) as cluster:
        with pytest.raises(Unreachable, match=r"its certificate is not trusted, or TLS failed$"):
            await read(cluster)
    assert not account.world.requests, "the token must not have been sent"


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("token", None, "the pod's own account cannot be read: does its service account mount a token "),
        ("token", "", "the pod's own account cannot be read: "),
        ("ca", None, "the pod's own account cannot be read: "),
        ("ca", "", "the pod's own account cannot be read: "),
        ("ca", "no certificate", "the certificates that the pod's own account names cannot be used"),
        ("token", "planted-7f31\nx", "the token for the cluster holds control characters: log in to the cluster again"),
    ],
    ids=["no token", "empty token", "no CA", "empty CA", "malformed CA", "malformed token"],
)
async def test_an_account_that_cannot_be_used_says_why(
    file: str, content: str | None, sentence: str, account: Account
) -> None:
    path = account.token if file == "token" else account.ca
    path.unlink()
    if content is not None:
        path.write_text(content)
    async with closing(account.cluster()) as cluster:
        with pytest.raises(UpstreamError) as raised:
            await read(cluster)
    assert str(raised.value).startswith(sentence)
    assert "planted" not in repr((raised.value, raised.value.__cause__))


async def test_a_token_that_was_rotated_is_read_after_a_401(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "_LOGIN_AGE_S", -1)
    account.token.write_text("the-one-before")
    async with closing(account.cluster()) as cluster:
        with pytest.raises(LoginExpired):
            await read(cluster)
        account.token.write_text(TOKEN)
        assert await read(cluster) == "mistral-service"
    assert len(account.world.requests) == 4, "each 401 was answered by one login anew"


async def test_a_new_login_in_the_kubeconfig_is_seen_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "_LOGIN_AGE_S", -1)
    config = tmp_path / "config"
    async with serve(application(world())) as url, cluster_at(url, config, token="expired") as cluster:
        with pytest.raises(LoginExpired):
            await read(cluster)
        await asyncio.to_thread(config.write_text, kubeconfig(url))
        assert await read(cluster) == "mistral-service"


async def test_a_login_that_is_fresh_is_not_made_anew(tmp_path: Path) -> None:
    here = world()
    async with serve(application(here)) as url, cluster_at(url, tmp_path / "config", token="expired") as cluster:
        for _ in range(3):
            with pytest.raises(LoginExpired):
                await read(cluster)
    assert len(here.requests) == 3, "a revoked token would otherwise run the login command each time"


def one_of_two(name: str, url: str, **more: Any) -> str:
    """A kubeconfig with one context, called ``name`` as its cluster is; the user is in the other file."""
    document = {
        "clusters": [{"name": name, "cluster": {"server": url}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "somebody"}}],
        **more,
    }
    return json.dumps(document)


async def test_several_kubeconfigs_are_one_and_the_first_says_which_context(tmp_path: Path) -> None:
    one, two, absent = tmp_path / "one", tmp_path / "two", tmp_path / "absent"
    users = [{"name": "somebody", "user": {"token": TOKEN}}]
    async with serve(application(world())) as url:
        one.write_text(one_of_two("near", url, **{"current-context": "near"}))
        two.write_text(one_of_two("far", "http://127.0.0.1:1", users=users, **{"current-context": "far"}))
        named = os.pathsep.join(map(str, (absent, one, two)))
        async with closing(KubernetesCluster(settings(named), Limits(), Network())) as cluster:
            assert await read(cluster) == "mistral-service"
        async with closing(KubernetesCluster(settings(named, context="far"), Limits(), Network())) as cluster:
            with pytest.raises(Unreachable, match=r"at 127\.0\.0\.1:1 "):
                await read(cluster)


async def test_of_several_kubeconfigs_the_malformed_one_is_named(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(kubeconfig("http://127.0.0.1:1"))
    two.write_text("clusters: [")
    async with closing(KubernetesCluster(settings(f"{one}{os.pathsep}{two}"), Limits(), Network())) as cluster:
        with pytest.raises(UpstreamError, match=rf"^the kubeconfig {two} is malformed: it is not valid YAML"):
            await read(cluster)


@pytest.mark.parametrize(
    ("of_cluster", "why"),
    [
        ({"server": "127.0.0.1:6443"}, "the server of context sandbox is not an http:// or https:// URL"),
        ({"server": "http://[::1"}, "the server of context sandbox is not an http:// or https:// URL"),
        ({"server": 5}, "the entries of context sandbox cannot be used"),
        ({"proxy-url": "socks5://127.0.0.1:1"}, "the proxy-url of context sandbox is not an http:// or https:// URL"),
        ({"proxy-url": 5}, "the proxy-url of context sandbox is not an http:// or https:// URL"),
        (
            {"server": "https://127.0.0.1:1", "tls-server-name": 5},
            "the tls-server-name of context sandbox is not a text",
        ),
        ({"server": "https://127.0.0.1:1", "certificate-authority": "/no/such"}, "the entries of context sandbox"),
    ],
    ids=["no scheme", "no host", "number", "socks", "proxy number", "name number", "no such CA"],
)
async def test_a_cluster_entry_that_cannot_be_used_is_told(
    of_cluster: dict[str, Any], why: str, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    async with cluster_at("http://127.0.0.1:1", config, of_cluster=of_cluster) as cluster:
        with pytest.raises(UpstreamError) as raised:
            await read(cluster)
    assert str(raised.value).startswith(f"the kubeconfig {config} is malformed: {why}")


async def test_a_certificate_for_another_name_is_taken_where_the_kubeconfig_says_so(
    account: Account, tmp_path: Path
) -> None:
    url = f"https://localhost:{os.environ['KUBERNETES_SERVICE_PORT']}"
    trusting = {"certificate-authority": str(account.ca)}
    async with cluster_at(url, tmp_path / "config", of_cluster=trusting) as cluster:
        with pytest.raises(Unreachable, match="certificate"):
            await read(cluster)
    named = {**trusting, "tls-server-name": "kubernetes.default"}
    async with cluster_at(url, tmp_path / "config", of_cluster=named) as cluster:
        assert await read(cluster) == "mistral-service"


@asynccontextmanager
async def proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy's URL, and the requests that it was asked to pass on; it answers each with an empty object."""
    asked: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.decode().splitlines()[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    async with connected(handle) as port:
        yield f"http://127.0.0.1:{port}", asked


ASKED = "GET http://cluster.invalid/api/v1/namespaces/default/pods/any HTTP/1.1"


async def test_a_proxy_of_the_kubeconfig_or_else_of_the_settings_is_used(tmp_path: Path) -> None:
    url, config = "http://cluster.invalid", tmp_path / "config"
    async with proxy() as (near, asked):
        async with cluster_at(url, config, of_cluster={"proxy-url": near}) as cluster:
            assert await cluster.get("Pod", "any") == {}
        async with cluster_at(url, config, network=Network(http_proxy=near)) as cluster:
            assert await cluster.get("Pod", "any") == {}
    assert asked == [ASKED, ASKED]


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "127.0.0.0/8", "*"])
async def test_a_cluster_that_needs_no_proxy_is_asked_directly(no_proxy: str, tmp_path: Path) -> None:
    network = Network(http_proxy="http://127.0.0.1:1", no_proxy=no_proxy)
    async with serve(application(world())) as url, cluster_at(url, tmp_path / "config", network=network) as cluster:
        assert await read(cluster) == "mistral-service"


async def test_a_login_command_gives_the_token(tmp_path: Path) -> None:
    async with (
        serve(application(world())) as url,
        logging_in(tmp_path, url, f"printf '%s' '{credential(TOKEN)}'") as c,
    ):
        assert await read(c) == "mistral-service"


def credential(token: str) -> str:
    kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    return json.dumps({**kind, "status": {"token": token}})


@asynccontextmanager
async def logging_in(folder: Path, url: str, script: str, timeout_s: float = 5.0) -> AsyncIterator[KubernetesCluster]:
    """A client whose login command is a shell script."""
    document = json.loads(kubeconfig(url))
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/sh",
        "args": ["-c", script],
        "interactiveMode": "Never",
    }
    document["users"][0]["user"] = {"exec": command}
    config = folder / "config"
    await asyncio.to_thread(config.write_text, json.dumps(document))
    async with closing(KubernetesCluster(settings(config), Limits(), Network(), timeout_s=timeout_s)) as cluster:
        yield cluster
