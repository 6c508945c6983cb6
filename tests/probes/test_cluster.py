"""What every probe of the cluster says where it may not look, over the wire: the sentence names the permission."""

from pathlib import Path

import pytest

from bot.errors import Forbidden, LoginExpired, NotConfigured, Unreachable, UpstreamError
from bot.ports import Probe
from bot.probes import egress, logs, pods, rollout, secret
from bot.sandbox.kubernetes import application
from bot.sandbox.scenario import ClusterSpec, Expect, Scenario
from bot.sandbox.world import World
from tests.clusters import cluster_at, serve
from tests.fakes import probe_run, unhurried

PROBES: list[Probe] = [pods.PROBE, rollout.PROBE, logs.PROBE, secret.PROBE, egress.PROBE]


async def refused(probe: Probe, spec: ClusterSpec, config: Path) -> UpstreamError:
    world = World(scenario=Scenario(name="a test's", cluster=spec, expect=Expect(cause="healthy", severity="P4")))
    timeout_s = 1 if spec.fail == "timeout" else 30
    async with serve(application(world)) as url, cluster_at(url, config, timeout_s=timeout_s) as cluster:
        with pytest.raises(UpstreamError) as raised:
            await probe.check(probe_run(cluster=cluster))
    return raised.value


@pytest.mark.parametrize(
    ("probe", "kind", "sentence"),
    [
        (pods.PROBE, "pods", "forbidden: list pods in default"),
        (pods.PROBE, "deployments", "forbidden: get deployments/mistral-service in default"),
        (rollout.PROBE, "replicasets", "forbidden: list replicasets in default"),
        (logs.PROBE, "pods/log", "forbidden: get pods/log in default"),
        (secret.PROBE, "secrets", "forbidden: get secrets/mistral-secrets in default"),
        (egress.PROBE, "networkpolicies", "forbidden: list networkpolicies in default"),
    ],
)
async def test_a_forbidden_read_names_the_permission(probe: Probe, kind: str, sentence: str, tmp_path: Path) -> None:
    error = await refused(probe, ClusterSpec(forbidden=(kind,)), tmp_path / "config")
    assert isinstance(error, Forbidden)
    assert str(error) == sentence


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
async def test_an_expired_login_asks_for_a_new_one(probe: Probe, tmp_path: Path) -> None:
    error = await refused(probe, ClusterSpec(fail="401"), tmp_path / "config")
    assert isinstance(error, LoginExpired)
    assert str(error) == "the cluster does not know us any more: log in to the cluster again"


@pytest.mark.parametrize("fail", ["down", "timeout"])
async def test_a_cluster_that_does_not_answer_is_unreachable(
    fail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhurried(monkeypatch)  # too late for the login is another error
    error = await refused(pods.PROBE, ClusterSpec(fail=fail), tmp_path / "config")
    assert isinstance(error, Unreachable)
    assert str(error).startswith("the cluster at 127.0.0.1:")


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
async def test_without_a_cluster_a_probe_is_not_configured(probe: Probe) -> None:
    with pytest.raises(NotConfigured, match=r"^not configured: set KUBECONFIG, or run in the cluster$"):
        await probe.check(probe_run(cluster=None))
