"""What a hostile look at mitigations has found: a warning that was missing, and changes that came too late."""

import asyncio
import gc
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.changes import template_hash
from bot.domain.ledger import revertible
from bot.domain.policy import Mitigations
from bot.domain.runs import Outcome, Run, State
from bot.domain.workload import template
from bot.errors import BadAnswer, LoginExpired, StoreError, Unreachable
from bot.handlers.applying import Applier
from bot.handlers.moved import RUN
from bot.handlers.rotation import Rotation
from tests.fakes import NOW, FakeClock, FakeHttp
from tests.handlers.test_driving import RATE_LIMITED, WorldOf, world_of
from tests.handlers.test_rotation import NEW
from tests.handlers.test_rotation_interrupted import Rotated, ours
from tests.mitigated import ADA
from tests.runs import ENV, a_plan, a_run

__all__ = ["world_of"]


async def test_what_the_previews_own_triage_speaks_against_is_said_to_whoever_approves(world_of: WorldOf) -> None:
    world = await world_of(RATE_LIMITED)
    run = await world.ask("restart")
    assert run.plan is not None
    assert run.plan.cause == "rate_limited"
    assert "restart must not be used for that" in run.plan.warnings[-1]
    fits = await world.ask("rate_limit_queue")
    assert fits.plan is not None
    assert fits.plan.warnings == ()


async def test_a_cluster_that_comes_back_too_late_is_not_changed_any_more() -> None:
    held = Rotated()
    (service,), clock = held.cluster.objects["Deployment"], FakeClock()
    held.cluster.forbidden = frozenset()
    held.cluster.error = Unreachable("the cluster cannot be reached")
    change = replace(ENV, container=service["spec"]["template"]["spec"]["containers"][0]["name"])
    plan = a_plan(uid=service["metadata"]["uid"], pin=template_hash(template(service)), changes=(change,))
    run = a_run(state=State.APPLYING, plan=plan, start_by=NOW + timedelta(minutes=2))

    async def until_it_is_late(_: float) -> None:
        clock.advance(121)
        held.cluster.error = None

    applier = Applier(
        prober=replace(held.prober, clock=clock), policy=Mitigations(), rotation=Rotation(), pause=until_it_is_late
    )
    ended = (await applier.apply(run, ours)).run
    assert held.cluster.patches == []
    assert ended.outcome is Outcome.INTERRUPTED
    assert "could not begin in time, and nothing was changed" in ended.said


async def test_whoever_lost_the_run_while_it_read_the_cluster_sends_nothing(
    world_of: WorldOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await world_of()
    run = await world.ask("restart")
    await world.bot.mitigations.approve(run.id, ADA, frozenset(), "click:1")
    read, store, taken = world.cluster.get, world.bot.store, list[Run]()

    async def slowly(kind: str, name: str) -> dict[str, Any]:
        found = await read(kind, name)
        if not taken:
            # this process stood still, and another has it now
            later = world.bot.driver.clock.now() + timedelta(minutes=1)
            taken.extend(await store.claim_runs(later, limit=1, lease_s=60))
        return found

    monkeypatch.setattr(world.cluster, "get", slowly)
    await world.bot.driver.claim()
    await world.bot.driver.idle()
    assert [one.state for one in taken] == [State.APPLYING]
    assert await world.changes() == 0


async def test_a_process_that_stood_still_for_longer_than_its_lease_goes_on_with_its_own_run(
    world_of: WorldOf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = await world_of()
    run = await world.ask("restart")
    read, driver, reads = world.cluster.get, world.bot.driver, 0

    async def slowly(kind: str, name: str) -> dict[str, Any]:
        nonlocal reads
        reads += 1
        if reads <= 3:
            await driver.claim()
        return await read(kind, name)

    monkeypatch.setattr("bot.handlers.driving._LEASE_S", 0.0)
    monkeypatch.setattr(world.cluster, "get", slowly)
    await world.bot.mitigations.approve(run.id, ADA, frozenset(), "click:1")
    await driver.claim()
    await driver.idle()
    done = await world.bot.mitigations.one(run.id)
    assert (done.outcome, done.fence, await world.changes()) == (Outcome.FIXED, run.fence + 1, 1)
    assert reads > 3
    assert "another process" not in caplog.text


async def test_a_run_that_is_lost_as_the_database_fails_it_leaves_nothing_behind(
    world_of: WorldOf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = await world_of()
    run, failed = await world.ask("restart"), asyncio.Event()

    async def fails(_: str, __: str) -> dict[str, Any]:
        failed.set()
        raise StoreError("The database cannot be used just now.")

    async def lost(*asked: Any, **more: Any) -> bool:
        await failed.wait()
        for _ in range(100):
            await asyncio.sleep(0)  # until the work has ended by it
        return False

    monkeypatch.setattr("bot.handlers.driving._RENEW_S", 0.0)
    monkeypatch.setattr(world.cluster, "get", fails)
    await world.bot.mitigations.approve(run.id, ADA, frozenset(), "click:1")
    monkeypatch.setattr(world.bot.store, "renew_run", lost)
    await world.bot.driver.claim()
    await world.bot.driver.idle()
    gc.collect()
    assert "is another process's now" in caplog.text
    assert "never retrieved" not in caplog.text


async def test_an_old_key_that_is_back_is_not_said_to_be_in_use_by_pods_that_have_the_new_one(
    world_of: WorldOf,
) -> None:
    held, world = Rotated(), await world_of()
    run, asks = held.run, held.prober.run_of("default", "mitigation")
    assert run.plan is not None
    await Rotation().write(run, run.plan, asks, {RUN: run.id})
    (service,) = held.cluster.objects["Deployment"]
    stuck = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    service["status"] = {"observedGeneration": service["metadata"].get("generation", 0), "conditions": [stuck]}
    verifier = replace(world.bot.driver.verifier, prober=held.prober, rotation=Rotation())

    async def shown(one: Run, _: str) -> Run:
        return one

    ended = (await verifier.watch(replace(run, state=State.WATCHING, applied_at=NOW), shown)).run
    assert ended.outcome is Outcome.FAILED
    assert "The old key was put back." in ended.said
    assert "`/mistral mitigate restart`" in ended.said


async def test_a_key_that_nobody_came_to_use_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.handlers.rotation._AFTERWARDS_S", 0.0)
    asks, rotation = Rotated().prober.run_of("default", "mitigation"), Rotation()
    await rotation.enter(a_run(remedy="rotate_key", start_by=NOW), asks, NEW)
    async with asyncio.timeout(30):
        while rotation.entered:  # noqa: ASYNC110 - a timer takes it out
            await asyncio.sleep(0.001)


async def test_a_key_that_cannot_be_checked_is_not_said_to_be_refused() -> None:
    held = Rotated()
    run, asks = held.run, replace(held.prober.run_of("default", "mitigation"), http=FakeHttp())
    assert run.plan is not None
    with pytest.raises(BadAnswer, match="cannot be told whether Mistral takes the new key"):
        await Rotation().write(run, run.plan, asks, {RUN: run.id})
    assert held.cluster.patches == []


async def test_what_people_took_back_by_hand_counts_as_reverted_once_the_bot_is_asked_to(world_of: WorldOf) -> None:
    world = await world_of()
    run = await world.done("fallback")
    await world.set_by_hand("MISTRAL_FALLBACK", "false")
    back = await world.settled(await world.bot.mitigations.revert(run.id, ADA, "it is over", "view:r"))
    assert back.state is State.CANCELLED
    assert "counts as reverted" in back.said
    assert (await world.bot.mitigations.one(run.id)).reverted_by == back.id
    assert list(await world.bot.store.in_place(10)) == []


async def test_a_change_that_may_have_been_made_is_in_place_until_somebody_has_looked() -> None:
    held, clock = Rotated(), FakeClock()
    (service,) = held.cluster.objects["Deployment"]
    held.cluster.forbidden = frozenset()
    change = replace(ENV, container=service["spec"]["template"]["spec"]["containers"][0]["name"])
    plan = a_plan(uid=service["metadata"]["uid"], pin=template_hash(template(service)), changes=(change,))
    run = a_run(state=State.APPLYING, plan=plan, start_by=NOW + timedelta(minutes=2))

    async def lost(_: Run) -> None:
        held.cluster.error = Unreachable("the cluster cannot be reached")

    async def a_minute(_: float) -> None:
        clock.advance(60)

    applier = Applier(
        prober=replace(held.prober, clock=clock), policy=Mitigations(), rotation=Rotation(), pause=a_minute
    )
    ended = (await applier.apply(run, lost)).run
    assert ended.outcome is Outcome.INTERRUPTED
    assert "Nobody knows" in ended.said
    assert ended.in_place
    assert revertible(ended)
    assert ended.remind_at is not None


async def test_a_cluster_that_stumbles_after_a_lost_answer_is_not_said_to_be_unchanged() -> None:
    held, clock = Rotated(), FakeClock()
    (service,) = held.cluster.objects["Deployment"]
    held.cluster.forbidden = frozenset()
    change = replace(ENV, container=service["spec"]["template"]["spec"]["containers"][0]["name"])
    plan = a_plan(uid=service["metadata"]["uid"], pin=template_hash(template(service)), changes=(change,))
    run = a_run(state=State.APPLYING, plan=plan, start_by=NOW + timedelta(minutes=2))
    # an answer that is lost, one that makes no sense, one that refuses a login, and then all is well
    troubles = [LoginExpired("expired"), BadAnswer("the cluster answered 503 to get deployments/mistral-service"), None]

    async def lost(_: Run) -> None:
        if troubles:
            held.cluster.error = Unreachable("the cluster cannot be reached")

    async def next_trouble(_: float) -> None:
        held.cluster.error = troubles.pop()

    troubles.reverse()
    applier = Applier(
        prober=replace(held.prober, clock=clock), policy=Mitigations(), rotation=Rotation(), pause=next_trouble
    )
    after = (await applier.apply(run, lost)).run
    assert after.state is State.WATCHING, after.said
    assert len(held.cluster.patches) == 1


async def test_whoever_takes_over_a_rotation_and_cannot_read_the_secret_does_not_say_that_nothing_was_changed() -> None:
    rotated = Rotated()
    assert rotated.run.plan is not None
    asks = rotated.prober.run_of("default", "mitigation")
    await Rotation().write(rotated.run, rotated.run.plan, asks, {RUN: rotated.run.id})  # and it died
    rotated.cluster.error = BadAnswer("the cluster answered 503 to get secrets/mistral-secrets")
    ended = (await rotated.applied()).run
    assert ended.outcome is Outcome.INTERRUPTED
    assert "Nobody knows whether the change was made" in ended.said
    assert f"the old one under api-key.before-{rotated.run.id[:8]}" in ended.said


async def test_a_fault_whose_probe_is_gone_is_not_said_to_be_fixed(world_of: WorldOf) -> None:
    world = await world_of()
    limits = replace(world.bot.driver.policy, successes=1, verify_within=timedelta(0))
    verifier = replace(world.bot.driver.verifier, policy=limits)
    run = a_run(state=State.VERIFYING, plan=a_plan(found_by=("gone",)), applied_at=NOW)

    async def shown(one: Run, _: str) -> Run:
        return one

    assert (await verifier.verify(run, shown)).run.outcome is Outcome.NO_EFFECT
