"""Mitigations carried out for real: a real store, and the sandbox's Kubernetes API and upstreams over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.correlation import ids
from bot.domain import acts
from bot.domain.causes import Severity
from bot.domain.incident import Refusal
from bot.domain.policy import Mitigations
from bot.domain.runs import REVERT, Outcome, Run, State
from bot.domain.timeline import fault
from bot.handlers.moved import RUN
from bot.measures import REGISTRY
from bot.sandbox.kubernetes import TOKEN
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import AnswerSpec, load_scenarios
from bot.store.sql import SqlStore
from tests.databases import KINDS, copy_of
from tests.mitigated import ADA, QUICK, ROBIN, World, world_in

WELL, RATE_LIMITED, BROKEN = "all is well", "rate limited under the usual traffic", "a release that does not start"


@dataclass(kw_only=True)
class SandboxWorld(World):
    sandbox: Sandbox

    async def by_hand(self, patch: dict[str, Any]) -> None:
        """As kubectl does it."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/strategic-merge-patch+json"}
        url = f"{self.sandbox.urls['kubernetes']}/apis/apps/v1/namespaces/default/deployments/mistral-service"
        async with aiohttp.ClientSession() as session, session.patch(url, json=patch, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def set_by_hand(self, name: str, value: str) -> None:
        container = {"name": "app", "env": [{"name": name, "value": value}]}
        await self.by_hand({"spec": {"template": {"spec": {"containers": [container]}}}})

    def becomes(self, **parts: Any) -> None:
        """Another state of the upstreams; the cluster stays as it has become."""
        for name, value in parts.items():
            object.__setattr__(self.sandbox.world.scenario, name, value)


WorldOf = Callable[..., Awaitable[SandboxWorld]]


@pytest.fixture
async def world_of(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[WorldOf]:
    # a probe that a machine which stands still cuts off knows nothing, and what it looks at counts as not well
    config = tmp_path / "bot.yaml"
    config.write_text("timeouts: {deadline: 60, default: 30, canary: 30}")
    async with AsyncExitStack() as stack:

        async def made(scenario: str = WELL, policy: Mitigations = QUICK, kind: str = "SQLite") -> SandboxWorld:
            sandbox = Sandbox(load_scenarios()[scenario])
            await sandbox.start()
            stack.push_async_callback(sandbox.close)
            environ = {**sandbox.environment(), "MISTRAL_BOT_CONFIG": str(config)}
            held = await stack.enter_async_context(world_in(environ, copy_of(kind, tmp_path, request), policy))
            return SandboxWorld(**vars(held), sandbox=sandbox)

        yield made


async def test_what_drives_a_run_says_which_in_the_log_and_counts_how_it_ended(
    world_of: WorldOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, seen, moved = await world_of(), [], SqlStore.move_run

    async def noted(self: SqlStore, before: Run, *given: Any, **more: Any) -> Run:
        seen.append(dict(ids()) if before.state is State.VERIFYING else {})
        return await moved(self, before, *given, **more)

    monkeypatch.setattr(SqlStore, "move_run", noted)
    counted = {"remedy": "rate_limit_queue", "outcome": "fixed"}
    before = REGISTRY.get_sample_value("mistral_bot_mitigations_total", counted) or 0
    run = await world.approve(await world.ask("rate_limit_queue"))
    assert run.outcome is Outcome.FIXED
    assert REGISTRY.get_sample_value("mistral_bot_mitigations_total", counted) == before + 1
    told = [held for held in seen if held]
    assert told
    assert all((held["run"], held["incident"]) == (run.id, str(run.incident)) for held in told)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_remedy_is_previewed_approved_applied_watched_and_verified(world_of: WorldOf, kind: str) -> None:
    world = await world_of(kind=kind)
    run = await world.ask("rate_limit_queue")
    assert run.state is State.PROPOSED
    assert run.plan is not None
    assert run.plan.diff == (
        "- spec.containers[app].env[RATE_LIMIT_MODE]: reject",
        "+ spec.containers[app].env[RATE_LIMIT_MODE]: queue",
    )
    assert await world.changes() == 0
    ended = await world.approve(run)
    assert (ended.state, ended.outcome) == (State.ENDED, Outcome.FIXED), ended.said
    assert (await world.env())["RATE_LIMIT_MODE"] == "queue"
    assert await world.changes() == 1
    annotations = (await world.deployment())["metadata"]["annotations"]
    assert annotations[RUN] == run.id
    assert annotations["mistral-bot/approved-by"] == ADA
    entries = await world.bot.store.timeline(world.incident)
    incident = await world.bot.incidents.one(world.incident)
    assert fault(entries, count=incident.entries, last_hash=incident.last_hash) is None
    told = [entry.event.text for entry in entries if entry.event.data.get("run") == run.id]
    assert [text.split(":")[0].split(".")[0] for text in told] == [
        "rate_limit_queue asked for",
        *(f"rate_limit_queue {did}" for did in ("proposed", "approved", "begins", "applied", "rolled out")),
        "rate_limit_queue",
    ]
    applied = next(entry.event for entry in entries if entry.event.text == "rate_limit_queue applied")
    assert applied.data["values"] == [{"name": "RATE_LIMIT_MODE of app", "old": "reject", "new": "queue"}]


async def test_a_target_that_was_changed_by_hand_is_proposed_again_with_a_new_preview(world_of: WorldOf) -> None:
    world = await world_of()
    run = await world.ask("rate_limit_queue")
    await world.set_by_hand("MISTRAL_TIMEOUT", "1")
    ended = await world.approve(run)
    assert ended.state is State.SUPERSEDED
    assert await world.changes() == 1  # the one by hand
    again = (await world.runs())[-1]
    assert (again.state, again.approvals) == (State.PROPOSED, ()), again.said
    assert (await world.approve(again)).outcome is Outcome.FIXED
    assert (await world.env())["RATE_LIMIT_MODE"] == "queue"


async def test_what_is_temporary_is_in_place_until_it_is_reverted(world_of: WorldOf) -> None:
    world = await world_of()
    before = (await world.deployment())["spec"]["template"]
    run = await world.done("fallback")
    assert [one.id for one in await world.bot.store.in_place(10)] == [run.id]
    back = await world.settled(await world.bot.mitigations.revert(run.id, ROBIN, "the provider is back", "view:r"))
    ended = await world.approve(back)
    assert (ended.state, ended.outcome) == (State.ENDED, Outcome.DONE), ended.said
    assert (await world.deployment())["spec"]["template"] == before
    assert list(await world.bot.store.in_place(10)) == []
    assert (await world.bot.mitigations.one(run.id)).reverted_by == back.id
    with pytest.raises(Refusal, match="reverted already"):
        await world.bot.mitigations.revert(run.id, ROBIN, "once more", "view:again")


async def test_what_does_not_come_up_fails_early_and_is_taken_back_by_the_bot(world_of: WorldOf) -> None:
    world = await world_of(BROKEN)
    before = (await world.deployment())["spec"]["template"]
    run = await world.done("fallback")
    assert run.outcome is Outcome.FAILED
    assert "CrashLoopBackOff" in run.said
    back = (await world.runs())[-1]
    assert (back.remedy, back.automatic, back.state) == (REVERT, True, State.ENDED)
    assert (await world.deployment())["spec"]["template"] == before
    assert await world.changes() == 2


async def test_what_makes_it_worse_is_taken_back_by_the_bot(world_of: WorldOf) -> None:
    world = await world_of()
    run = await world.ask("limit_concurrency", value="1")
    world.becomes(service=AnswerSpec(status=503))
    ended = await world.approve(run)
    assert ended.outcome is Outcome.WORSE, ended.said
    assert "health" in ended.said
    back = (await world.runs())[-1]
    assert (back.automatic, back.outcome) == (True, Outcome.DONE), back.said
    assert (await world.env())["MAX_CONCURRENT_REQUESTS"] == "50"


async def test_a_revert_of_what_somebody_has_changed_since_is_offered_to_people(world_of: WorldOf) -> None:
    world = await world_of()
    run = await world.ask("limit_concurrency", value="1")
    world.becomes(service=AnswerSpec(status=503))
    await world.bot.mitigations.approve(run.id, ADA, frozenset(), "click:1")
    await world.bot.driver.claim()
    async with asyncio.timeout(60):
        while (await world.bot.mitigations.one(run.id)).state is not State.VERIFYING:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await world.set_by_hand("MISTRAL_TIMEOUT", "1")
    ended = await world.settled(run)
    assert ended.outcome is Outcome.WORSE, ended.said
    back = (await world.runs())[-1]
    assert (back.remedy, back.automatic, back.state, back.approvals) == (REVERT, False, State.PROPOSED, ())
    assert (await world.approve(back)).outcome is Outcome.DONE
    env = await world.env()
    assert (env["MAX_CONCURRENT_REQUESTS"], env["MISTRAL_TIMEOUT"]) == ("50", "1")


async def test_what_has_no_effect_says_what_is_still_wrong(world_of: WorldOf) -> None:
    world = await world_of(RATE_LIMITED, replace(QUICK, verify_within=timedelta(seconds=0.5)))
    run = await world.done("rate_limit_queue")
    assert run.outcome is Outcome.NO_EFFECT
    assert "prometheus" in run.said
    assert [one.id for one in await world.bot.store.in_place(10)] == [run.id]


@pytest.mark.parametrize(
    ("scenario", "outcome", "pauses"),
    [
        ("rate limited under the usual traffic", Outcome.NO_EFFECT, 0),
        # what looks well is looked at as often as ever
        (WELL, Outcome.FIXED, QUICK.successes - 1),
    ],
)
async def test_whoever_takes_a_verification_over_does_not_begin_its_time_anew(
    world_of: WorldOf, scenario: str, outcome: Outcome, pauses: int
) -> None:
    world = await world_of(scenario)
    run = await world.done("fallback")
    assert run.outcome is outcome
    assert run.applied_at is not None
    late = run.applied_at - QUICK.rollout_within - QUICK.verify_within
    looks = 0

    async def pause(_: float) -> None:
        nonlocal looks
        looks += 1

    async def show(held: Run, _: str) -> Run:
        return held

    verifier = replace(world.bot.driver.verifier, pause=pause)
    change = await verifier.verify(replace(run, state=State.VERIFYING, applied_at=late), show)
    assert (change.run.outcome, looks) == (outcome, pauses)


async def test_a_fallback_without_effect_says_what_else_there_is(world_of: WorldOf) -> None:
    world = await world_of(policy=replace(QUICK, verify_within=timedelta(0)))
    world.becomes(service=AnswerSpec(status=503))
    run = await world.done("fallback")
    assert run.outcome is Outcome.NO_EFFECT, run.said
    assert "cached answers or a clear error page" in run.said


async def test_a_frozen_bot_changes_nothing_whatever_was_approved(world_of: WorldOf) -> None:
    world = await world_of()
    run = await world.ask("restart")
    assert await world.bot.mitigations.freeze(ROBIN, "a deploy is going on") is True
    assert await world.bot.mitigations.freeze(ROBIN, "again") is False
    ended = await world.approve(run)
    assert ended.state is State.CANCELLED
    assert "frozen" in ended.said
    with pytest.raises(Refusal, match="frozen by <@U0REQUESTER>: a deploy is going on"):
        await world.ask("restart")
    assert await world.changes() == 0
    await world.bot.mitigations.unfreeze(ROBIN)
    assert (await world.done("restart")).outcome is Outcome.FIXED


async def test_the_hours_limit_holds_for_remedies_and_not_for_the_way_back(world_of: WorldOf) -> None:
    world = await world_of(policy=replace(QUICK, per_hour=1))
    first = await world.done("fallback")
    assert (await world.done("restart")).state is State.CANCELLED
    back = await world.settled(await world.bot.mitigations.revert(first.id, ROBIN, "it is over", "view:r"))
    assert (await world.approve(back)).outcome is Outcome.DONE


async def test_a_cluster_that_cannot_be_reached_is_said_and_the_commands_are_there(world_of: WorldOf) -> None:
    world = await world_of()
    cluster = world.sandbox.world.scenario.cluster
    assert cluster is not None
    world.becomes(cluster=replace(cluster, fail="down"))
    run = await world.ask("fallback")
    assert run.state is State.CANCELLED
    assert "cannot be reached" in run.said
    lines = await world.bot.mitigations.commands("default", "fallback", run)
    assert "kubectl -n default set env deployment/mistral-service MISTRAL_FALLBACK=true" in lines
    off = await world.ask("fallback", value="off")
    lines = await world.bot.mitigations.commands("default", "fallback", off)
    assert "kubectl -n default set env deployment/mistral-service MISTRAL_FALLBACK=false" in lines


async def test_the_usual_commands_of_a_rotation_name_the_secret_of_the_settings(world_of: WorldOf) -> None:
    handler = (await world_of()).bot.mitigations
    place = replace(handler.targets["default"].kubernetes, secret="keys", secret_key="token")
    elsewhere = replace(handler, targets={"default": replace(handler.targets["default"], kubernetes=place)})
    first, *_ = await elsewhere.commands("default", "rotate_key")
    assert ' token "$NEW" | kubectl -n default patch secret keys ' in first


async def test_a_run_that_waits_too_long_to_begin_expires(world_of: WorldOf) -> None:
    world = await world_of(policy=replace(QUICK, start_within=timedelta(0)))
    run = await world.done("restart")
    assert run.state is State.EXPIRED
    assert await world.changes() == 0


async def test_a_rollback_goes_to_the_revision_before(world_of: WorldOf) -> None:
    world = await world_of("a release that sends what Mistral refuses")
    run = await world.ask("rollback")
    assert run.plan is not None
    assert run.plan.shown == (("revision", "5", "4"),)
    ended: Run = await world.approve(run)
    assert ended.applied_at is not None
    image = (await world.deployment())["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.endswith(":1.4.0")


async def test_an_incident_that_has_become_worse_needs_the_second_person(world_of: WorldOf) -> None:
    world = await world_of("a release that sends what Mistral refuses")
    run = await world.ask("rollback")
    await world.bot.incidents.act(
        world.incident, lambda one, now: acts.set_severity(one, Severity.P1, ADA, now, world.settings.policy)
    )
    with pytest.raises(Refusal, match="somebody else has to approve"):
        await world.approve(run, ROBIN)
    assert (await world.approve(run, ADA)).applied_at is not None


async def test_nothing_is_approved_on_an_incident_that_is_over(world_of: WorldOf) -> None:
    world = await world_of()
    run = await world.ask("fallback")
    await world.bot.incidents.act(world.incident, lambda one, now: acts.resolve(one, (), "it is over", ADA, now))
    with pytest.raises(Refusal, match="INC-1 is resolved"):
        await world.approve(run)
    assert await world.changes() == 0
