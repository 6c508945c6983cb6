"""The process that reads the login: what it hands over, what it says where it cannot, and what is left of it."""

import asyncio
import base64
import json
import logging
import ssl
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from bot.clients import login
from bot.clients.kubernetes import KubernetesCluster
from bot.errors import LoginExpired, Unreachable, UpstreamError
from bot.sandbox.kubernetes import TOKEN, application, kubeconfig
from bot.settings import Kubernetes, Limits, Network
from tests.clients.test_kubeconfig import credential, logging_in, read, world
from tests.clusters import cluster_at, serve, settings

# Imports all of the bot, reads something of the cluster, and prints what is there then of the vendor's.
_READS = """
import asyncio, sys
import bot.serve
from bot.clients.kubernetes import KubernetesCluster
from bot.settings import Limits, Network
from tests.clusters import settings

async def main():
    cluster = KubernetesCluster(settings(sys.argv[1]), Limits(), Network())
    print((await cluster.get("Deployment", "mistral-service"))["metadata"]["name"])
    await cluster.close()

asyncio.run(main())
print([name for name in ("kubernetes", "pydantic", "oauthlib") if name in sys.modules])
"""


@pytest.fixture(autouse=True)
def logins_are_read_here() -> None:
    """Not here."""


async def test_a_kubeconfig_is_read_and_the_cluster_answers(tmp_path: Path) -> None:
    async with serve(application(world())) as url, cluster_at(url, tmp_path / "config") as cluster:
        assert await read(cluster) == "mistral-service"


async def test_many_who_ask_at_once_wait_for_one_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, reads = list[Kubernetes](), login.read

    async def counted(wanted: Kubernetes) -> login.Credentials:
        asked.append(wanted)
        return await reads(wanted)

    monkeypatch.setattr(login, "read", counted)
    async with serve(application(world())) as url, cluster_at(url, tmp_path / "config") as cluster:
        assert await asyncio.gather(*(read(cluster) for _ in range(5))) == ["mistral-service"] * 5
    assert len(asked) == 1


async def test_whoever_has_no_more_time_leaves_the_login_to_the_others(tmp_path: Path) -> None:
    async with serve(application(world())) as url, cluster_at(url, tmp_path / "config") as cluster:
        hurried = asyncio.create_task(read(cluster))
        await asyncio.sleep(0)
        other = asyncio.create_task(read(cluster))
        await asyncio.sleep(0)
        hurried.cancel()
        assert await other == "mistral-service"


async def test_a_kubeconfig_that_leads_elsewhere_by_now_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "_LOGIN_AGE_S", 0.0)
    config = tmp_path / "config"
    async with serve(application(world())) as url, cluster_at("http://127.0.0.1:1", config) as cluster:
        with pytest.raises(Unreachable):
            await read(cluster)
        await asyncio.to_thread(config.write_text, "clusters: [")
        with pytest.raises(Unreachable):  # it may be the network alone: the login that was there is kept
            await read(cluster)
        await asyncio.to_thread(config.write_text, kubeconfig(url))
        assert await read(cluster) == "mistral-service"


async def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match=rf"^the kubeconfig {tmp_path}/none is not there$") as raised:
        await login.log_in(settings(f"{tmp_path}/none"))
    assert type(raised.value) is UpstreamError


async def test_a_login_command_that_fails_is_a_login_that_expired(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with logging_in(tmp_path, "http://127.0.0.1:1", "echo planted-7f31 >&2; exit 3") as cluster:
        with (
            caplog.at_level(logging.WARNING),
            pytest.raises(LoginExpired, match=r"^the login command sh of context sandbox failed: log in to the c"),
        ):
            await read(cluster)
    assert "the login to the cluster: " in caplog.text, "why is in the log"


async def test_a_token_of_a_login_command_comes_over(tmp_path: Path) -> None:
    script = f"printf '%s' '{credential(TOKEN)}'"
    async with serve(application(world())) as url, logging_in(tmp_path, url, script) as cluster:
        assert await read(cluster) == "mistral-service"


async def test_a_clients_own_certificate_comes_over_and_is_left_in_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary := tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    runner = web.AppRunner(application(world()), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    own = authority.issue_cert("mistral-bot@example.com")
    document = json.loads(kubeconfig(f"https://127.0.0.1:{runner.addresses[0][1]}"))
    document["clusters"][0]["cluster"]["certificate-authority-data"] = _packed(authority.cert_pem.bytes())
    document["users"][0]["user"] |= {
        "client-certificate-data": _packed(b"".join(one.bytes() for one in own.cert_chain_pems)),
        "client-key-data": _packed(own.private_key_pem.bytes()),
    }
    config = tmp_path / "config"
    await asyncio.to_thread(config.write_text, json.dumps(document))
    cluster = KubernetesCluster(settings(config), Limits(), Network())
    try:
        assert await read(cluster) == "mistral-service"
    finally:
        await cluster.close()
        await runner.cleanup()
    assert list(temporary.iterdir()) == []


def _packed(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def test_a_login_command_that_waits_for_somebody_is_not_waited_for_and_ends(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"echo $$ > {pid}; while true; do sleep 0.02; done"
    async with logging_in(tmp_path, "http://127.0.0.1:1", script, timeout_s=4.0) as cluster:
        with pytest.raises(LoginExpired, match=r"^the login to the cluster took longer than 4 s: log in to the cl"):
            await read(cluster)
        await _gone(int(await asyncio.to_thread(pid.read_text)))


async def test_closing_ends_a_login_that_is_under_way(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"echo $$ > {pid}.new; mv {pid}.new {pid}; while true; do sleep 0.02; done"
    async with logging_in(tmp_path, "http://127.0.0.1:1", script) as cluster:
        asking = asyncio.create_task(read(cluster))
        await _until(pid.exists)
    with pytest.raises(asyncio.CancelledError):
        await asking
    await _gone(int(await asyncio.to_thread(pid.read_text)))


async def test_a_process_that_fails_otherwise_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "_MODULE", "bot.clients.no_such_module")
    with pytest.raises(UpstreamError, match=r"^the kubeconfig somewhere could not be read: the process that reads it "):
        await login.log_in(settings("somewhere"))


async def test_a_process_that_cannot_be_started_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(UpstreamError, match=r"^no process could be started to read the kubeconfig somewhere \(No such"):
        await login.log_in(settings("somewhere"))


async def test_the_bot_does_not_hold_the_vendors_library(tmp_path: Path) -> None:
    """It would be a sixth of all that it holds."""
    async with serve(application(world())) as url:
        config = tmp_path / "config"
        await asyncio.to_thread(config.write_text, kubeconfig(url))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _READS, str(config)), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
    assert out.split() == [b"mistral-service", b"[]"]


async def _gone(pid: int) -> None:
    await _until(lambda: not Path(f"/proc/{pid}").exists())


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(done):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
