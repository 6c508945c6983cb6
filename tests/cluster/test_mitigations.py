"""Mitigations on a real deployment: the preview is what is stored, the way back is exact, and kubectl agrees."""

import asyncio
import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bot.clients.kubernetes import KubernetesCluster
from bot.domain.changes import (
    RESTARTED_AT,
    AnnotationChange,
    Change,
    EnvChange,
    KeyChange,
    RevisionChange,
    changed,
    inverse,
    template_hash,
)
from bot.domain.rollout import status
from bot.domain.workload import REVISION, template
from bot.errors import BadAnswer, Changed
from bot.mitigations import load
from tests.cluster.conftest import of_image
from tests.cluster.plane import APPS, Admin, ControlPlane, service
from tests.cluster_contract import KEY, STRATEGIC, Api, read, set_to, settled, text, to_template, watched
from tests.needed import fail_or_skip

Kubectl = Callable[[str], str]
PLANTED = "planted-5d20e9c7"
FROM_SECRET = {"name": "MISTRAL_API_KEY", "valueFrom": {"secretKeyRef": {"name": "mistral-secrets", "key": "api-key"}}}
SIDECAR = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "registry.example.com/side:1"}]}}}}
ROLLBACK = (RevisionChange(before=2, before_set="", after=1, after_set=""),)


@pytest.fixture
def kubectl(control_plane: ControlPlane) -> Kubectl:
    """Runs a line as a person would paste it."""
    if shutil.which("kubectl") is None:
        fail_or_skip("not there: kubectl (Debian package kubernetes-client)")

    def run(line: str) -> str:
        environ = os.environ | {"KUBECONFIG": str(control_plane.run / "admin.kubeconfig")}
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], env=environ, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run


async def by_name(cluster: KubernetesCluster) -> dict[str, dict[str, Any]]:
    _, sets, _ = await read(cluster)
    return {held["metadata"]["name"]: held for held in sets}


async def resolved(cluster: KubernetesCluster, changes: Sequence[Change]) -> tuple[Change, ...]:
    """With the names of the ReplicaSets that the revisions have."""
    names = {held["metadata"]["annotations"][REVISION]: name for name, held in (await by_name(cluster)).items()}
    return tuple(
        RevisionChange(
            before=one.before, before_set=names[str(one.before)], after=one.after, after_set=names[str(one.after)]
        )
        if isinstance(one, RevisionChange)
        else one
        for one in changes
    )


async def previewed(cluster: KubernetesCluster, changes: Sequence[Change]) -> str:
    held = await cluster.get("Deployment", "mistral-service")
    patch = to_template(held, changed(template(held), changes, await by_name(cluster)))
    return text(await cluster.patch("Deployment", "mistral-service", patch, dry_run=True))


async def patched(cluster: KubernetesCluster, changes: Sequence[Change], **annotations: str) -> dict[str, Any]:
    """The deployment with the changes made; read again where its status has changed meanwhile."""
    async with asyncio.timeout(20):
        while True:
            held = await cluster.get("Deployment", "mistral-service")
            patch = to_template(held, changed(template(held), changes, await by_name(cluster)))
            patch["metadata"]["annotations"] = annotations
            try:
                return await cluster.patch("Deployment", "mistral-service", patch)
            except Changed:
                continue


async def made(cluster: KubernetesCluster, changes: Sequence[Change], **annotations: str) -> str:
    """The template that is stored when the changes have rolled out."""
    await patched(cluster, changes, **annotations)
    return text(await settled(cluster))


CHANGES: dict[str, tuple[Change, ...]] = {
    "a variable that is there": (set_to("RATE_LIMIT_MODE", "queue", {"name": "RATE_LIMIT_MODE", "value": "reject"}),),
    "a new variable": (set_to("MISTRAL_FALLBACK", "true"),),
    "a value that shells and templates would read": (set_to("MISTRAL_FALLBACK", "a 'b' \"c\" $(HOME) {{d}} \\ é"),),
    "an empty value": (set_to("MISTRAL_FALLBACK", ""),),
    "a container without variables": (
        EnvChange(
            container="side", name="MISTRAL_FALLBACK", before=None, after={"name": "MISTRAL_FALLBACK", "value": "1"}
        ),
    ),
    "in place of a Secret's entry": (set_to("MISTRAL_API_KEY", "none", FROM_SECRET),),
    "two at once": (
        set_to("RATE_LIMIT_MODE", "queue", {"name": "RATE_LIMIT_MODE", "value": "reject"}),
        set_to("MAX_CONCURRENT_REQUESTS", "5"),
    ),
    "a restart": (AnnotationChange(name=RESTARTED_AT, before=None, after="2026-07-01T12:00:00Z"),),
    "a rollback": ROLLBACK,
}


@pytest.mark.parametrize("name", CHANGES)
async def test_the_preview_is_what_is_stored_and_the_way_back_is_exact(name: str, api: Api) -> None:
    if name == "a container without variables":
        assert (await api.patch("deployments/mistral-service", STRATEGIC, SIDECAR))[0] == 200
    before = text(await settled(api.cluster))
    changes = await resolved(api.cluster, CHANGES[name])
    preview = await previewed(api.cluster, changes)
    assert text(await api.cluster.get("Deployment", "mistral-service")) == before
    assert preview != before
    assert await made(api.cluster, changes) == preview
    back = inverse(changes)
    assert await previewed(api.cluster, back) == before
    assert await made(api.cluster, back) == before


@pytest.mark.parametrize("name", CHANGES)
async def test_kubectl_makes_the_same_of_the_lines_to_paste(name: str, api: Api, kubectl: Kubectl) -> None:
    if name == "a container without variables":
        assert (await api.patch("deployments/mistral-service", STRATEGIC, SIDECAR))[0] == 200
    before = text(await settled(api.cluster))
    changes = await resolved(api.cluster, CHANGES[name])
    preview = await previewed(api.cluster, changes)
    await asyncio.to_thread(kubectl, "\n".join(lines(changes)))
    held = await settled(api.cluster)
    if name == "a restart":
        # at another time
        assert template(held)["metadata"]["annotations"].keys() == {RESTARTED_AT}
        return
    assert text(held) == preview
    await asyncio.to_thread(kubectl, "\n".join(lines(inverse(changes))))
    assert text(await settled(api.cluster)) == before


def lines(changes: Sequence[Change]) -> Sequence[str]:
    return load({})["rollback"].commands("default", "mistral-service", changes)


async def test_kubectl_undoes_what_the_bot_did_and_its_history_says_who_did_it(api: Api, kubectl: Kubectl) -> None:
    before = text(await settled(api.cluster))
    note = {"kubernetes.io/change-cause": "mistral-bot: rate_limit_queue of incident 7", "mistral-bot/run": "r-1"}
    await made(api.cluster, CHANGES["a variable that is there"], **note)
    history = await asyncio.to_thread(kubectl, "kubectl rollout history deployment/mistral-service")
    assert [line.split(maxsplit=1) for line in history.splitlines()[1:] if line] == [
        ["REVISION", "CHANGE-CAUSE"],
        ["1", "<none>"],
        ["2", "<none>"],
        ["3", "mistral-bot: rate_limit_queue of incident 7"],
    ]
    await asyncio.to_thread(kubectl, "kubectl rollout undo deployment/mistral-service")
    assert text(await settled(api.cluster)) == before


async def test_the_bots_rollback_is_kubectls_undo(api: Api, kubectl: Kubectl) -> None:
    await settled(api.cluster)
    changes = await resolved(api.cluster, ROLLBACK)
    preview = await previewed(api.cluster, changes)
    await asyncio.to_thread(kubectl, "kubectl rollout undo deployment/mistral-service")
    assert text(await settled(api.cluster)) == preview
    assert sorted(revisions(await by_name(api.cluster))) == [2, 3]
    await asyncio.to_thread(kubectl, "kubectl rollout undo deployment/mistral-service")
    await settled(api.cluster)
    again = await resolved(api.cluster, (RevisionChange(before=4, before_set="", after=3, after_set=""),))
    assert await made(api.cluster, again) == preview
    assert sorted(revisions(await by_name(api.cluster))) == [4, 5]


def revisions(sets: dict[str, dict[str, Any]]) -> list[int]:
    return [int(held["metadata"]["annotations"][REVISION]) for held in sets.values()]


async def test_a_key_goes_from_secret_to_secret_by_kubectl(api: Api, admin: Admin, kubectl: Kubectl) -> None:
    data = {"key": base64.b64encode(PLANTED.encode()).decode()}
    path = "/api/v1/namespaces/default/secrets"
    await admin.create(path, {"metadata": {"name": "new-key"}, "data": data})
    try:
        change = KeyChange(
            secret="mistral-secrets", entry="api-key", source="new-key", source_entry="key", source_version="1"
        )
        told = lines([change])
        assert PLANTED not in repr(told)
        said = await asyncio.to_thread(kubectl, told[0])
        assert PLANTED not in said
    finally:
        await admin.delete(f"{path}/new-key")
    held = await api.cluster.get("Secret", "mistral-secrets")
    assert held["data"] == {"api-key": data["key"]}


async def test_what_the_bot_changes_is_its_own_in_the_managed_fields(api: Api) -> None:
    await made(api.cluster, CHANGES["a new variable"])
    managed = (await api.cluster.get("Deployment", "mistral-service"))["metadata"]["managedFields"]
    (ours,) = [held for held in managed if held["manager"] == "mistral-bot"]
    assert ours["operation"] == "Update"
    assert "f:template" in ours["fieldsV1"]["f:spec"]


async def test_somebody_elses_edit_between_preview_and_approval_is_not_written_over(api: Api, kubectl: Kubectl) -> None:
    seen = await settled(api.cluster)
    patch = to_template(seen, changed(template(seen), CHANGES["a new variable"], {}))
    await api.cluster.patch("Deployment", "mistral-service", patch, dry_run=True)
    await asyncio.to_thread(kubectl, "kubectl set env deployment/mistral-service RATE_LIMIT_MODE=edited")
    with pytest.raises(Changed):
        await api.cluster.patch("Deployment", "mistral-service", patch)
    held = await settled(api.cluster)
    assert template_hash(template(held)) != template_hash(template(seen))
    env = {one["name"]: one.get("value") for one in template(held)["spec"]["containers"][0]["env"]}
    assert env == {"MISTRAL_API_KEY": None, "RATE_LIMIT_MODE": "edited"}


async def test_a_deployment_of_the_same_name_that_was_made_anew_is_another(api: Api, admin: Admin) -> None:
    seen = await settled(api.cluster)
    patch = to_template(seen, changed(template(seen), CHANGES["a new variable"], {}))
    await admin.delete(f"{APPS}/deployments/mistral-service")
    await admin.create(f"{APPS}/deployments", service("registry.example.com/mistral-service:2.0.0"))
    with pytest.raises(Changed):
        await api.cluster.patch("Deployment", "mistral-service", patch)
    again = await settled(api.cluster)
    assert text(again) == text(seen)
    assert again["metadata"]["uid"] != seen["metadata"]["uid"]


async def test_a_release_that_is_never_ready_times_out_and_its_rollback_is_not_taken_for_it(api: Api) -> None:
    first = await previewed(api.cluster, await resolved(api.cluster, ROLLBACK))
    patch = of_image("unready")
    patch["spec"]["progressDeadlineSeconds"] = 1
    assert (await api.patch("deployments/mistral-service", STRATEGIC, patch))[0] == 200
    seen = await watched(api.cluster, lambda found: bool(found.failed))
    assert seen[-1].failed == "The rollout made no progress for 1 s."
    # the rollback itself may take longer
    await api.cluster.patch("Deployment", "mistral-service", {"spec": {"progressDeadlineSeconds": 600}})
    # to a revision that has no pods: until it has some, the API says of the rollback what it said of the release
    back = await resolved(api.cluster, (RevisionChange(before=3, before_set="", after=1, after_set=""),))
    await patched(api.cluster, back)
    seen = await watched(api.cluster, lambda found: found.done or bool(found.failed))
    assert (seen[-1].done, seen[-1].failed) == (True, "")
    assert text(await settled(api.cluster)) == first


async def test_a_release_that_crashes_has_failed_long_before_its_deadline(api: Api) -> None:
    before = await settled(api.cluster)
    assert (await api.patch("deployments/mistral-service", STRATEGIC, of_image("broken")))[0] == 200
    seen = await watched(api.cluster, lambda found: bool(found.failed), timeout_s=10)
    assert seen[-1].failed.endswith("is in CrashLoopBackOff.")
    deployment, sets, pods = await read(api.cluster)
    assert deployment["spec"]["progressDeadlineSeconds"] == 600
    crashed = [pod for pod in pods if pod["status"].get("containerStatuses", [{}])[0].get("restartCount")]
    # once it is taken back, the pods of the release do not count
    back = await resolved(api.cluster, (RevisionChange(before=3, before_set="", after=2, after_set=""),))
    taken_back = await patched(api.cluster, back)
    taken_back["status"]["observedGeneration"] = taken_back["metadata"]["generation"]
    assert crashed
    assert not status(taken_back, sets, crashed).failed
    seen = await watched(api.cluster, lambda found: found.done or bool(found.failed))
    assert (seen[-1].done, seen[-1].failed) == (True, "")
    assert text(await settled(api.cluster)) == text(before)


async def test_a_deployment_whose_status_never_rests_is_patched_once_it_is_read_again(api: Api) -> None:
    assert (await api.patch("deployments/mistral-service", STRATEGIC, of_image("flapping")))[0] == 200
    await watched(api.cluster, lambda found: found.updated == 3)
    seen = await api.cluster.get("Deployment", "mistral-service")
    change = set_to("RATE_LIMIT_MODE", "queue", {"name": "RATE_LIMIT_MODE", "value": "reject"})
    versions = {seen["metadata"]["resourceVersion"]}
    async with asyncio.timeout(20):
        while len(versions) < 4:
            held = await api.cluster.get("Deployment", "mistral-service")
            versions.add(held["metadata"]["resourceVersion"])
            await asyncio.sleep(0.02)
    assert template_hash(template(held)) == template_hash(template(seen))
    wanted = changed(template(seen), [change], {})
    with pytest.raises(Changed):
        await api.cluster.patch("Deployment", "mistral-service", to_template(seen, wanted))
    async with asyncio.timeout(10):
        while True:
            held = await api.cluster.get("Deployment", "mistral-service")
            assert template_hash(template(held)) == template_hash(template(seen))
            try:
                stored = await api.cluster.patch("Deployment", "mistral-service", to_template(held, wanted))
            except Changed:
                continue
            break
    assert text(stored) == json.dumps(wanted, sort_keys=True)


@pytest.mark.parametrize("dry_run", [True, False], ids=["dry run", "for real"])
async def test_what_the_server_refuses_is_told_without_the_values(api: Api, dry_run: bool) -> None:
    before = await settled(api.cluster)

    async def refused(kind: str, name: str, patch: dict[str, Any]) -> str:
        with pytest.raises(BadAnswer) as raised:
            await api.cluster.patch(kind, name, patch, dry_run=dry_run)
        assert PLANTED not in repr((raised.value, raised.value.__cause__))
        assert KEY not in repr((raised.value, raised.value.__cause__))
        return str(raised.value)

    async def env_refused(*env: dict[str, Any]) -> str:
        container = template(before)["spec"]["containers"][0] | {"env": list(env)}
        return await refused(
            "Deployment", "mistral-service", {"spec": {"template": {"spec": {"containers": [container]}}}}
        )

    where = "to patch deployments/mistral-service in default"
    said = await refused("Deployment", "mistral-service", {"spec": {"replicas": -1}})
    assert said.startswith(
        f"the cluster answered 422 {where}: spec.replicas: Invalid value: must be greater than or equal"
    )
    said = await env_refused({"name": f"{PLANTED} =", "value": "1"})
    assert said.startswith(
        f"the cluster answered 422 {where}: spec.template.spec.containers[0].env[0].name: Invalid value"
    )
    said = await env_refused({"name": "DATABASE", "value": PLANTED}, {"name": "LIMIT", "value": 5})
    assert said.startswith(f"the cluster answered 422 {where}: patch: Invalid value: v1.Deployment.Spec: ")
    said = await refused("Deployment", "mistral-service", {"spec": {"selector": {"matchLabels": {"app": PLANTED}}}})
    assert said.startswith(f"the cluster answered 422 {where}: ")
    said = await refused("Secret", "mistral-secrets", {"data": {"api-key": f"{PLANTED}?"}})
    assert said == "the cluster answered 422 to patch secrets/mistral-secrets in default: patch: FieldValueInvalid"
    assert text(await api.cluster.get("Deployment", "mistral-service")) == text(before)


async def test_a_secret_that_is_immutable_says_so(api: Api) -> None:
    await api.cluster.patch("Secret", "mistral-secrets", {"immutable": True})
    with pytest.raises(BadAnswer, match="data: Forbidden: field is immutable when `immutable` is set"):
        await api.cluster.patch("Secret", "mistral-secrets", {"data": {"api-key": base64.b64encode(b"x").decode()}})
