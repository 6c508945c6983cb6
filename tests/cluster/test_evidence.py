"""A bundle of a real cluster and a real Prometheus holds what kubectl and Prometheus say, less what is masked."""

import asyncio
import json
import subprocess
import tarfile
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.clients.bundle_check import check
from bot.clients.kubernetes import KubernetesCluster
from bot.collectors import collector
from bot.configuration import load
from bot.domain.collecting import Collection, Why
from bot.handlers.collecting import Collector
from bot.ports import Cluster, Written
from bot.worlds import prober
from tests.cluster.plane import Admin, ControlPlane
from tests.cluster_contract import KEY, Api
from tests.corpus import MARKS
from tests.prometheus_server import openmetrics, serving

PLANTED = f"INFO calling with Authorization: Bearer {MARKS[0]}\n"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    series = {
        "mistral_errors": [('code="429",pod="a"', lambda _: 0.5), ('code="500",pod="b"', lambda age: age / 7200)],
        "mistral_requests": [('pod="a"', lambda _: 5.0), ('pod="b"', lambda _: 5.0)],
    }
    with serving(tmp_path_factory.mktemp("prometheus"), openmetrics(series, time.time())) as url:
        yield url


@dataclass(frozen=True)
class Site:
    """A cluster, perhaps a Prometheus, and what collects."""

    collector: Collector
    folder: Path
    kubeconfig: Path

    async def collected(self) -> tuple[Written, dict[str, bytes]]:
        wanted = Collection(
            id=uuid.uuid4().hex,
            incident=None,
            target="default",
            channel="",
            why=Why.ASKED,
            asked_by="test",
            requested_at=datetime.now(UTC),
            since=timedelta(hours=1),
        )

        async def tell(*_: object) -> None:
            pass

        written = await self.collector.collect(wanted, None, tell)
        assert check(self.folder / written.name).faults == ()
        with tarfile.open(self.folder / written.name) as held:
            return written, {
                one.name.partition("/")[2]: file.read()
                for one in held.getmembers()
                if (file := held.extractfile(one)) is not None
            }

    async def kubectl(self, *arguments: str) -> str:
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
        return done.stdout


@pytest.fixture
async def site(
    api: Api, admin: Admin, control_plane: ControlPlane, prometheus: str, tmp_path: Path
) -> AsyncIterator[Site]:
    about = {"kind": "Deployment", "namespace": "default", "name": "mistral-service"}
    event = {"metadata": {"name": "scaled"}, "involvedObject": about, "reason": "ScalingReplicaSet", "message": "up"}
    await admin.create("/api/v1/namespaces/default/events", event)
    async with site_of(control_plane, prometheus, tmp_path, "admin-token") as held:
        yield held


@asynccontextmanager
async def site_of(control_plane: ControlPlane, prometheus: str, folder: Path, token: str) -> AsyncIterator[Site]:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": control_plane.url,
                    "certificate-authority": str(control_plane.run / "serving.crt"),
                },
            }
        ],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "default"}}],
        "current-context": "c",
    }
    config = folder / f"{token}.kubeconfig"
    await asyncio.to_thread(config.write_text, json.dumps(document))
    settings = load({"KUBECONFIG": str(config), "PROMETHEUS_URL": prometheus, "EVIDENCE_DIR": str(folder / "evidence")})
    async with prober(settings) as asks:
        yield Site(collector(settings, asks), folder / "evidence", config)


def documents(text: bytes | str) -> list[dict[str, Any]]:
    return [held for held in yaml.safe_load_all(text) if held]


def without_managed_fields(held: dict[str, Any]) -> dict[str, Any]:
    return {**held, "metadata": {key: one for key, one in held["metadata"].items() if key != "managedFields"}}


async def test_objects_and_logs_are_what_kubectl_gives(site: Site) -> None:
    written, held = await site.collected()
    assert all("latency" in one.what for one in written.manifest.missing)
    told = json.loads(await site.kubectl("get", "deployment", "mistral-service", "-o", "json"))
    assert yaml.safe_load(held["kubernetes/deployment.yaml"]) == without_managed_fields(told)
    for kind in ("replicasets", "pods", "events", "networkpolicies"):
        selector = ("-l", "app=mistral-service") if kind in ("replicasets", "pods") else ()
        listed = json.loads(await site.kubectl("get", kind, *selector, "-o", "json"))["items"]
        held_ones = {one["metadata"]["uid"]: one for one in documents(held[f"kubernetes/{kind}.yaml"])}
        theirs = {one["metadata"]["uid"]: without_managed_fields(one) for one in listed}
        assert set(held_ones) == set(theirs)
        assert held_ones or kind == "networkpolicies"
        for uid, one in held_ones.items():
            # what moves by itself is compared by nobody
            assert {**one, "status": None} == {**theirs[uid], "status": None}
    pods = json.loads(await site.kubectl("get", "pods", "-l", "app=mistral-service", "-o", "json"))["items"]
    assert len(pods) == 3
    for pod in pods:
        name = pod["metadata"]["name"]
        log = await site.kubectl("logs", name, "-c", "app", "--since=1h")
        # the node that is played here stamps each line anew
        ours = [line.partition(" ")[2] for line in held[f"logs/{name}/app.log"].decode().splitlines()]
        assert ours == log.splitlines()


async def test_no_value_of_the_secret_is_in_a_bundle(site: Site, control_plane: ControlPlane) -> None:
    log = control_plane.run / "app.log"
    before = log.read_text()
    log.write_text(before + PLANTED + f"the key {KEY} was refused\n")
    try:
        _, held = await site.collected()
    finally:
        log.write_text(before)
    metadata = yaml.safe_load(held["kubernetes/secret-metadata.yaml"])
    assert metadata["metadata"]["name"] == "mistral-secrets"
    assert [one["name"] for one in metadata["keys"]] == ["api-key"]
    for name, content in held.items():
        for secret in (KEY, MARKS[0]):
            assert secret.encode() not in content, name
    assert any(b"Authorization: Bearer MASKED" in content for content in held.values())


async def test_metrics_are_what_prometheus_gives_for_the_same_window(site: Site, prometheus: str) -> None:
    _, held = await site.collected()
    for name in ("errors", "requests", "error-rate-by-code", "request-rate-by-pod"):
        ours = json.loads(held[f"metrics/{name}.json"])
        query = {
            "query": ours["query"],
            "start": datetime.fromisoformat(ours["start"]).timestamp(),
            "end": datetime.fromisoformat(ours["end"]).timestamp(),
            "step": ours["step_s"],
        }
        url = f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(query)}"
        answer = await asyncio.to_thread(_answer, url)
        theirs = json.loads(answer)["data"]["result"]
        assert ours["result"], name
        assert _points(ours["result"]) == _points(theirs)
    assert held["charts/share-of-errors.png"].startswith(b"\x89PNG")


def _answer(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - the test's own server
        held: bytes = answer.read()
        return held


def _points(result: list[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    return {
        json.dumps(series["metric"], sort_keys=True): [(round(at, 3), float(value)) for at, value in series["values"]]
        for series in result
    }


async def test_a_kind_that_may_not_be_read_is_named_and_the_rest_is_there(
    api: Api, control_plane: ControlPlane, prometheus: str, tmp_path: Path
) -> None:
    async with site_of(control_plane, prometheus, tmp_path, "limited-token") as site:
        written, held = await site.collected()
    why = {one.what: one.why for one in written.manifest.missing}
    assert "forbidden: list pods" in why["pods"]
    assert "forbidden: list events" in why["events"]
    assert "forbidden: get secrets" in why["metadata of the secret mistral-secrets"]
    assert {"kubernetes/deployment.yaml", "kubernetes/replicasets.yaml", "metrics/errors.json"} <= set(held)


async def test_prometheus_that_is_down_is_named_and_the_rest_is_there(
    api: Api, control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with site_of(control_plane, "http://127.0.0.1:9", tmp_path, "admin-token") as site:
        written, held = await site.collected()
    assert [one.why for one in written.manifest.missing if one.what == "metrics: errors"]
    assert sum(name.startswith("logs/") for name in held) == 3
    assert not any(name.startswith(("metrics/", "charts/")) for name in held)


async def test_a_pod_that_disappears_in_the_middle_keeps_what_came(site: Site) -> None:
    """It is deleted when its log has begun to come; the others are whole."""
    gone: list[str] = []

    @dataclass(frozen=True)
    class Losing:
        real: KubernetesCluster
        kubectl: Any

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        async def log_chunks(self, pod: str, container: str, **more: Any) -> AsyncIterator[bytes]:
            if not gone:
                gone.append(pod)
                await self.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=true")
            async for chunk in self.real.log_chunks(pod, container, **more):
                yield chunk

    worlds = site.collector.prober.worlds
    cluster: Cluster = Losing(worlds["default"].cluster, site.kubectl)  # type: ignore[arg-type]
    losing = replace(site.collector.prober, worlds={"default": replace(worlds["default"], cluster=cluster)})
    site = replace(site, collector=replace(site.collector, prober=losing))
    written, held = await site.collected()
    (missing,) = [one for one in written.manifest.missing if one.what.startswith("logs of")]
    assert gone[0] in missing.what
    assert sum(name.startswith("logs/") for name in held) == 2


async def test_a_log_that_grows_while_it_is_read_comes_to_an_end(site: Site, control_plane: ControlPlane) -> None:
    log = control_plane.run / "app.log"
    before = log.read_text()
    growing = True

    async def grow() -> None:
        while growing:
            with log.open("a") as held:
                held.write("INFO one more line\n" * 100)
            await asyncio.sleep(0.005)

    task = asyncio.create_task(grow())
    try:
        async with asyncio.timeout(60):
            _, held = await site.collected()
    finally:
        growing = False
        await task
        log.write_text(before)
    assert all(content for name, content in held.items() if name.startswith("logs/"))
