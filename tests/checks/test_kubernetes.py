"""The doctor on the cluster: each permission that a triage or a remedy needs, and the deployment itself."""

import asyncio
from pathlib import Path

import pytest

from bot.checks.kubernetes import CHECK
from bot.ports import CheckResult
from bot.sandbox.kubernetes import application, kubeconfig
from bot.sandbox.scenario import ClusterSpec, Expect, Scenario
from bot.sandbox.world import World
from tests.clusters import serve
from tests.doctors import examined, lines

PERMISSIONS = [
    "list pods",
    "get pods/log",
    "get deployments mistral-service",
    "list replicasets",
    "list networkpolicies",
    "get secrets mistral-secrets",
]
REMEDIES = {"patch deployments mistral-service": "every remedy", "patch secrets mistral-secrets": "rotate_key"}
ALL = "approvers: [{users: [U012AB3CD]}]"
THERE = (True, "deployment mistral-service: is there in default")


async def asked(spec: ClusterSpec, folder: Path, approvers: str = ALL, **environ: str) -> list[CheckResult]:
    world = World(scenario=Scenario(name="a test's", cluster=spec, expect=Expect(cause="healthy", severity="P4")))
    async with serve(application(world)) as url:
        config = folder / "config"
        await asyncio.to_thread(config.write_text, kubeconfig(url))
        file = folder / "bot.yaml"
        await asyncio.to_thread(file.write_text, approvers)
        return list(await examined(CHECK, {"KUBECONFIG": str(config), "MISTRAL_BOT_CONFIG": str(file), **environ}))


async def test_every_permission_is_told_and_the_deployment_is_there(tmp_path: Path) -> None:
    told = lines(await asked(ClusterSpec(), tmp_path))
    of_triage = [(True, f"{one}: allowed in default") for one in PERMISSIONS]
    of_remedies = [(True, f"{one}: allowed in default, for {remedy}") for one, remedy in REMEDIES.items()]
    events = (True, "list events: allowed in default, for the events in bundles of evidence")
    assert told == [*of_triage, *of_remedies, events, THERE]


async def test_events_are_only_missed_in_a_bundle(tmp_path: Path) -> None:
    told = lines(await asked(ClusterSpec(forbidden=("events",)), tmp_path))
    assert (True, "list events: forbidden in default, for the events in bundles of evidence") in told
    assert all(ok for ok, _ in told)


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        ("pods", ["list pods", "get pods/log"]),
        ("pods/log", ["get pods/log"]),
        ("deployments", ["get deployments mistral-service"]),
        ("replicasets", ["list replicasets"]),
        ("networkpolicies", ["list networkpolicies"]),
        ("secrets", ["get secrets mistral-secrets"]),
    ],
)
async def test_a_permission_that_is_missing_is_named(kind: str, lost: list[str], tmp_path: Path) -> None:
    results = await asked(ClusterSpec(forbidden=(kind,)), tmp_path, approvers="{}")
    bad = [result for result in results if not result.ok]
    assert [result.what for result in bad] == lost
    assert {result.mend for result in bad} == {"Add it to the bot's Role in the namespace default."}
    assert {result.detail for result in bad} == {"forbidden in default"}


@pytest.mark.parametrize(
    ("lost", "what", "mend"),
    [
        (
            "patch deployments",
            "patch deployments mistral-service: forbidden in default, for every remedy",
            "Add it to the bot's Role in the namespace default; without it no remedy can be applied.",
        ),
        (
            "patch secrets",
            "patch secrets mistral-secrets: forbidden in default, for rotate_key",
            "Add it to the bot's Role in the namespace default; without it rotate_key cannot be applied.",
        ),
    ],
)
async def test_a_permission_that_remedies_lack_says_which(lost: str, what: str, mend: str, tmp_path: Path) -> None:
    (bad,) = [one for one in await asked(ClusterSpec(forbidden=(lost,)), tmp_path) if not one.ok]
    assert (f"{bad.what}: {bad.detail}", bad.mend) == (what, mend)


@pytest.mark.parametrize(
    ("approvers", "needed"),
    [
        ("{}", []),
        ("approvers: [{users: [U012AB3CD], remedies: [restart]}]", ["patch deployments mistral-service"]),
        ("approvers: [{users: [U012AB3CD], remedies: [rotate_key]}]", list(REMEDIES)),
    ],
    ids=["nobody", "restart", "rotate_key"],
)
async def test_what_nobody_may_approve_needs_no_permission(approvers: str, needed: list[str], tmp_path: Path) -> None:
    spec = ClusterSpec(forbidden=("patch deployments", "patch secrets"))
    results = await asked(spec, tmp_path, approvers=approvers)
    assert [one.what for one in results if not one.ok] == needed
    spared = [one.detail for one in results if one.ok and "forbidden" in one.detail]
    assert len(spared) == len(REMEDIES) - len(needed)
    assert all(one.endswith(", which nobody may approve as `approvers` stands") for one in spared)


async def test_a_deployment_of_another_name_names_the_setting(tmp_path: Path) -> None:
    *permissions, last = await asked(ClusterSpec(), tmp_path, KUBE_DEPLOYMENT="mistral-servce")
    assert all(one.ok for one in permissions)
    assert (last.ok, last.what) == (False, "deployment mistral-servce")
    assert "not found" in last.detail
    assert "KUBE_DEPLOYMENT" in last.mend


@pytest.mark.parametrize(
    ("spec", "detail"),
    [
        (ClusterSpec(fail="401"), "the cluster does not know us any more: log in to the cluster again"),
        (ClusterSpec(fail="down"), "cannot be reached"),
    ],
    ids=["expired", "down"],
)
async def test_a_cluster_that_does_not_answer_is_told_once(spec: ClusterSpec, detail: str, tmp_path: Path) -> None:
    (result,) = await asked(spec, tmp_path)
    assert (result.what, result.ok) == ("cluster", False)
    assert detail in result.detail
    assert result.mend == "Check KUBECONFIG and KUBE_CONTEXT, and log in to the cluster again."


async def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    (result,) = await asked(ClusterSpec(), tmp_path, KUBECONFIG=str(tmp_path / "absent"))
    assert result.detail == f"the kubeconfig {tmp_path / 'absent'} is not there"


async def test_without_a_cluster_it_is_not_configured() -> None:
    assert await examined(CHECK, {}) == ()
