"""Mitigations from the request to the end on a real API server, as a user that may do exactly what the README says."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from bot.domain.runs import Outcome, Run, State
from bot.handlers.moved import RUN
from bot.sandbox.kubernetes import kubeconfig
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.store.sql import SqlStore
from bot.store.tables import runs
from tests.cluster.plane import APPS, Admin, ControlPlane
from tests.cluster_contract import STRATEGIC, Api, settled
from tests.databases import copy_of
from tests.mitigated import ADA, ROBIN, World, world_in
from tests.role import rules

_RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
# as long as a real one, so that nothing else is it by chance
GOOD, BAD = "planted-good-key-93b1f07c2d", "planted-bad-key-5e88a1d94c"


@dataclass(kw_only=True)
class RealWorld(World):
    api: Api
    admin: Admin
    sandbox: Sandbox

    async def secret(self, name: str) -> dict[str, str]:
        held = (await self.api.cluster.get("Secret", name))["data"]
        return {entry: base64.b64decode(value).decode() for entry, value in held.items()}

    async def template(self) -> str:
        return json.dumps((await settled(self.api.cluster))["spec"]["template"], sort_keys=True)

    async def reverted(self, run: Run) -> Run:
        back = await self.settled(await self.bot.mitigations.revert(run.id, ROBIN, "over", f"view:{run.id}"))
        return await self.approve(back)


WorldOf = Callable[..., Awaitable[RealWorld]]


@pytest.fixture
async def world_of(
    api: Api, admin: Admin, control_plane: ControlPlane, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[WorldOf]:
    async with AsyncExitStack() as stack:

        async def made(*, without: int | None = None, key: str = GOOD) -> RealWorld:
            sandbox = Sandbox(load_scenarios()["all is well"])
            sandbox.world.service_key = GOOD
            await sandbox.start()
            stack.push_async_callback(sandbox.close)
            logs = control_plane.run / "app.log"
            stack.callback(logs.write_text, await asyncio.to_thread(logs.read_text))
            await asyncio.to_thread(logs.write_text, "INFO all is well\n" * 40)
            await _let_in(admin, [rule for place, rule in enumerate(rules()) if place != without])
            await _with_keys(api, admin, key)
            config = json.loads(kubeconfig(control_plane.url))
            config["users"][0]["user"]["token"] = "bot-token"
            config["clusters"][0]["cluster"]["certificate-authority"] = str(control_plane.run / "serving.crt")
            path = tmp_path / "bot.kubeconfig"
            await asyncio.to_thread(path.write_text, json.dumps(config))
            environ = sandbox.environment() | {"KUBECONFIG": str(path), "MISTRAL_API_KEY": GOOD}
            held = await stack.enter_async_context(
                world_in(environ, copy_of("SQLite", tmp_path, request), counted=without is None)
            )
            return RealWorld(**vars(held), api=api, admin=admin, sandbox=sandbox)

        yield made


async def _let_in(admin: Admin, held: list[dict[str, Any]]) -> None:
    for kind in ("rolebindings", "roles"):
        await admin.gone(f"{_RBAC}/{kind}/mistral-bot")
    await admin.create(f"{_RBAC}/roles", {"metadata": {"name": "mistral-bot"}, "rules": held})
    subject = {"kind": "User", "name": "bot", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "mistral-bot"}
    binding = {"metadata": {"name": "mistral-bot"}, "roleRef": reference, "subjects": [subject]}
    await admin.create(f"{_RBAC}/rolebindings", binding)


async def _with_keys(api: Api, admin: Admin, key: str) -> None:
    data = {"api-key": base64.b64encode(key.encode()).decode()}
    status, _ = await api.patch("secrets/mistral-secrets", STRATEGIC, {"data": data})
    assert status == 200
    await admin.gone("/api/v1/namespaces/default/secrets/mistral-secrets-new")
    data = {"api-key": base64.b64encode(GOOD.encode()).decode()}
    await admin.create(
        "/api/v1/namespaces/default/secrets", {"metadata": {"name": "mistral-secrets-new"}, "data": data}
    )


REMEDIES: dict[str, dict[str, str]] = {
    "rate_limit_queue": {},
    "limit_concurrency": {"value": "7"},
    "fallback": {},
    "raise_timeout": {"value": "90000"},
    "restart": {},
    "rollback": {},
}


@pytest.mark.parametrize("remedy", REMEDIES)
async def test_a_remedy_does_what_its_preview_shows_and_its_revert_leaves_no_trace(
    remedy: str, world_of: WorldOf
) -> None:
    world = await world_of()
    before = await world.template()
    run = await world.ask(remedy, **REMEDIES[remedy])
    assert run.state is State.PROPOSED, run.said
    ended = await world.approve(run)
    assert (ended.state, ended.outcome) == (State.ENDED, Outcome.FIXED), ended.said
    assert await world.changes() == 1
    held = await world.deployment()
    assert held["metadata"]["annotations"][RUN] == run.id
    assert held["metadata"]["annotations"]["mistral-bot/approved-by"] == ADA
    assert {"mistral-bot"} <= {one["manager"] for one in held["metadata"]["managedFields"]}
    assert await world.template() != before
    back = await world.reverted(ended)
    assert back.outcome is Outcome.DONE, back.said
    assert await world.template() == before


async def test_a_key_goes_from_secret_to_secret_and_the_pods_are_restarted(world_of: WorldOf) -> None:
    world = await world_of(key=BAD)
    pods = {one["metadata"]["name"] async for one in world.api.cluster.list("Pod", selector="app=mistral-service")}
    run = await world.ask("rotate_key", secret="mistral-secrets-new")
    assert run.state is State.PROPOSED, run.said
    ended = await world.approve(run)
    assert ended.outcome is Outcome.FIXED, ended.said
    assert await world.secret("mistral-secrets") == {"api-key": GOOD}
    await settled(world.api.cluster)
    after = {one["metadata"]["name"] async for one in world.api.cluster.list("Pod", selector="app=mistral-service")}
    assert not pods & after
    kept = [str(one) for one in await world.runs()] + [str(one) for one in await world.bot.store.timeline(1)]
    kept += [json.dumps(await world.deployment()), json.dumps(await _annotations(world))]
    assert not any(key in text for key in (GOOD, BAD) for text in kept)


async def _annotations(world: RealWorld) -> Any:
    return (await world.api.cluster.get("Secret", "mistral-secrets"))["metadata"]


async def test_a_source_that_holds_the_key_in_use_is_refused(world_of: WorldOf) -> None:
    world = await world_of(key=GOOD)
    run = await world.ask("rotate_key", secret="mistral-secrets-new")
    assert run.state is State.CANCELLED
    assert "key that is in use" in run.said


async def test_a_new_key_that_is_refused_is_not_written(world_of: WorldOf) -> None:
    world = await world_of(key=BAD)
    data = {"api-key": base64.b64encode(b"planted-other-bad-key-77").decode()}
    assert (await world.api.patch("secrets/mistral-secrets-new", STRATEGIC, {"data": data}))[0] == 200
    run = await world.ask("rotate_key", secret="mistral-secrets-new")
    assert run.state is State.CANCELLED
    assert "Mistral refuses the new key" in run.said
    assert await world.secret("mistral-secrets") == {"api-key": BAD}


# (the rule's verb and resource) -> (the remedy that fails without it, what it says)
NEEDED = {
    ("list", "pods", ""): ("restart", "list pods"),
    ("list", "replicasets", ""): ("rollback", "list replicasets"),
    ("get", "deployments", "mistral-service"): ("restart", "get deployments/mistral-service"),
    ("patch", "deployments", "mistral-service"): ("fallback", "patch deployments/mistral-service"),
    ("get", "secrets", "mistral-secrets"): ("rotate_key", "get secrets/mistral-secrets"),
    ("patch", "secrets", "mistral-secrets"): ("rotate_key", "patch secrets/mistral-secrets"),
    ("get", "secrets", "mistral-secrets-new"): ("rotate_key", "get secrets/mistral-secrets-new"),
}
# a triage or a bundle reads these; no remedy needs them
FOR_TRIAGE = {("get", "pods/log", ""), ("list", "networkpolicies", ""), ("list", "events", "")}


def _key(rule: dict[str, Any]) -> tuple[str, str, str]:
    return rule["verbs"][0], rule["resources"][0], rule.get("resourceNames", [""])[0]


def test_every_rule_of_the_role_is_accounted_for() -> None:
    assert {_key(rule) for rule in rules()} == NEEDED.keys() | FOR_TRIAGE
    assert all(len(rule["verbs"]) == len(rule["resources"]) == 1 for rule in rules())


@pytest.mark.parametrize("missing", NEEDED, ids=" ".join)
async def test_without_one_rule_a_remedy_says_which_is_missing(
    missing: tuple[str, str, str], world_of: WorldOf
) -> None:
    remedy, said = NEEDED[missing]
    place = [_key(rule) for rule in rules()].index(missing)
    world = await world_of(without=place, key=BAD)
    arguments = {"secret": "mistral-secrets-new"} if remedy == "rotate_key" else {}
    run = await world.ask(remedy, **arguments)
    if run.state is State.PROPOSED:
        run = await world.approve(run)
    assert run.applied_at is None
    assert f"orbidden: {said} in default. Ask whoever administers the cluster" in run.said
    assert await world.secret("mistral-secrets") == {"api-key": BAD}


async def _image(world: RealWorld, tag: str) -> None:
    container = {"name": "app", "image": f"registry.example.com/mistral-service:{tag}"}
    await _patch(world, {"spec": {"template": {"spec": {"containers": [container]}}}})


async def _revision(world: RealWorld, tag: str) -> str:
    sets = [one async for one in world.api.cluster.list("ReplicaSet", selector="app=mistral-service")]
    of_tag = (one for one in sets if one["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f":{tag}"))
    return str(next(of_tag)["metadata"]["annotations"]["deployment.kubernetes.io/revision"])


async def _patch(world: RealWorld, patch: dict[str, Any]) -> None:
    assert (await world.api.patch("deployments/mistral-service", STRATEGIC, patch))[0] == 200


async def test_an_edit_between_preview_and_approval_is_kept_and_the_remedy_proposed_again(world_of: WorldOf) -> None:
    world = await world_of()
    run = await world.ask("fallback")
    await _image(world, "3.0.0")
    await settled(world.api.cluster)
    assert (await world.approve(run)).state is State.SUPERSEDED
    again = (await world.runs())[-1]
    assert again.state is State.PROPOSED
    assert (await world.approve(again)).outcome is Outcome.FIXED
    container = (await world.deployment())["spec"]["template"]["spec"]["containers"][0]
    assert container["image"].endswith(":3.0.0")
    assert {"name": "MISTRAL_FALLBACK", "value": "true"} in container["env"]


async def test_a_deployment_that_is_made_anew_is_not_what_was_approved(world_of: WorldOf) -> None:
    world = await world_of()
    run = await world.ask("restart")
    made = await world.deployment()
    await world.admin.delete(f"{APPS}/deployments/mistral-service")
    metadata = {"name": "mistral-service", "labels": made["metadata"]["labels"]}
    spec = {name: made["spec"][name] for name in ("replicas", "selector", "template")}
    await world.admin.create(f"{APPS}/deployments", {"metadata": metadata, "spec": spec})
    ended = await world.approve(run)
    assert ended.state is State.SUPERSEDED
    assert "deleted and made anew" in ended.said
    assert RUN not in (await world.deployment())["metadata"].get("annotations", {})


async def test_a_paused_deployment_is_refused_with_what_to_do(world_of: WorldOf) -> None:
    world = await world_of()
    run = await world.ask("fallback")
    await _patch(world, {"spec": {"paused": True}})
    ended = await world.approve(run)
    assert ended.state is State.SUPERSEDED
    again = (await world.runs())[-1]
    assert again.state is State.CANCELLED
    assert "rollout resume deployment/mistral-service" in again.said
    await _patch(world, {"spec": {"paused": False}})


async def test_a_deployment_without_replicas_is_changed_and_the_preview_says_that_nothing_runs(
    world_of: WorldOf,
) -> None:
    world = await world_of()
    await _patch(world, {"spec": {"replicas": 0}})
    run = await world.ask("fallback")
    assert run.plan is not None
    assert "scaled to zero" in run.plan.warnings[0]
    ended = await world.approve(run)
    assert ended.applied_at is not None
    assert (ended.state, ended.open) == (State.ENDED, False)
    env = (await world.deployment())["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "MISTRAL_FALLBACK", "value": "true"} in env


async def test_a_crashing_deployment_is_patched_and_what_does_not_come_up_is_taken_back(world_of: WorldOf) -> None:
    world = await world_of()
    await _image(world, "broken")
    async with asyncio.timeout(15):
        while (await world.deployment())["status"].get("unavailableReplicas", 0) == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    before = json.dumps((await world.deployment())["spec"]["template"], sort_keys=True)
    run = await world.done("fallback")
    assert (run.outcome, run.applied_at is not None) == (Outcome.FAILED, True), run.said
    assert "CrashLoopBackOff" in run.said
    back = (await world.runs())[-1]
    assert (back.automatic, back.state) == (True, State.ENDED)
    assert json.dumps((await world.deployment())["spec"]["template"], sort_keys=True) == before
    # the revision before is the bot's own attempt now, as it would be for kubectl: the good one is named
    rollback = await world.done("rollback", revision=await _revision(world, "2.0.0"))
    assert rollback.outcome is Outcome.FIXED, rollback.said


async def test_a_rollout_that_is_never_ready_fails_by_the_deployments_own_deadline(world_of: WorldOf) -> None:
    world = await world_of()
    await _patch(world, {"spec": {"progressDeadlineSeconds": 2}})
    await _image(world, "unready")
    run = await world.done("fallback")
    assert run.outcome is Outcome.FAILED, run.said
    assert "fallback: failed" in " ".join(await world.timeline())


async def test_what_somebody_undid_while_the_bot_was_down_is_not_applied_again(
    world_of: WorldOf, control_plane: ControlPlane
) -> None:
    world = await world_of()
    before = await world.template()
    run = await world.done("fallback")
    await _forgotten(world, run)
    environ = os.environ | {"KUBECONFIG": str(control_plane.run / "admin.kubeconfig")}
    undo = ("kubectl", "rollout", "undo", "deployment/mistral-service")
    assert await (await asyncio.create_subprocess_exec(*undo, env=environ)).wait() == 0
    assert await world.template() == before
    ended = await world.settled(run)
    assert (ended.state, ended.outcome) == (State.ENDED, Outcome.INTERRUPTED), ended.said
    assert "undone it since" in ended.said
    assert await world.template() == before


async def _forgotten(world: RealWorld, run: Run) -> None:
    """As if the bot had died after the patch, before it could write down that the API server took it."""
    back = update(runs).where(runs.c.id == run.id).values(state="applying", outcome=None, applied_at=None)
    store = world.bot.store
    assert isinstance(store, SqlStore)
    async with store.engine.begin() as connection:
        await connection.execute(back)
