"""What keeps an approved mitigation from beginning or going on, and what people are told of it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bot.domain import acts
from bot.domain.runs import Outcome, Run, State
from bot.store.sql import SqlStore
from tests.handlers.test_driving import SandboxWorld, WorldOf, world_of
from tests.mitigated import ADA, QUICK, ROBIN

__all__ = ["world_of"]


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (State.APPROVED, None),
        (State.APPLYING, Outcome.INTERRUPTED),
        (State.WATCHING, Outcome.INTERRUPTED),
        (State.VERIFYING, Outcome.INTERRUPTED),
    ],
)
async def test_a_target_that_is_lost_on_the_way_ends_it_with_a_sentence(
    world_of: WorldOf, monkeypatch: pytest.MonkeyPatch, state: State, outcome: Outcome | None
) -> None:
    world, moved, begun = await world_of(), SqlStore.move_run, SqlStore.begin_run
    run = await world.ask("rate_limit_queue")

    def lost(after: Run | None) -> None:
        if after is not None and after.state is state:
            vars(world.asks)["worlds"].pop("default", None)

    async def moving(self: SqlStore, *given: Any, **more: Any) -> Run:
        lost(after := await moved(self, *given, **more))
        return after

    async def beginning(self: SqlStore, *given: Any, **more: Any) -> Run | None:
        lost(after := await begun(self, *given, **more))
        return after

    monkeypatch.setattr(SqlStore, "move_run", moving)
    monkeypatch.setattr(SqlStore, "begin_run", beginning)
    ended = await world.approve(run)
    assert (ended.state, ended.outcome) == (State.ENDED if outcome else State.CANCELLED, outcome)
    assert ended.said == (
        "The target “default” is not configured any more (it was default/mistral-service): "
        "put it back under that name, or use kubectl."
    )
    assert "KeyError" not in " ".join(await world.timeline())


async def resolve(world: SandboxWorld) -> None:
    await world.bot.incidents.act(world.incident, lambda one, now: acts.resolve(one, (), "it is over", ADA, now))


async def test_what_was_approved_does_not_begin_once_its_incident_is_over(world_of: WorldOf) -> None:
    world = await world_of()
    run = await world.ask("restart")
    await world.bot.mitigations.approve(run.id, ADA, frozenset(), "click:1")
    await resolve(world)
    ended = await world.settled(run)
    assert (ended.state, ended.said) == (
        State.CANCELLED,
        "INC-1 is resolved, so it is not begun; `/mistral reopen 1` opens it again.",
    )
    assert await world.changes() == 0


async def test_a_key_is_not_waited_for_once_the_incident_is_over(world_of: WorldOf) -> None:
    world = await world_of(policy=replace(QUICK, key_by_form=True))
    run = await world.approve(await world.ask("rotate_key"))
    assert (run.state, run.key_by_form) == (State.APPROVED, True), run.said
    await resolve(world)
    for _ in range(600):  # whoever was put off waits for a second
        if (run := await world.settled(run)).state is not State.APPROVED:
            break
        await asyncio.sleep(0.05)
    assert run.state is State.CANCELLED


async def test_what_has_moved_is_not_proposed_again_once_its_incident_is_over(
    world_of: WorldOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, begun = await world_of(), SqlStore.begin_run
    run = await world.ask("rate_limit_queue")

    async def beginning(self: SqlStore, *given: Any, **more: Any) -> Run | None:
        after = await begun(self, *given, **more)
        await resolve(world)
        await world.set_by_hand("MISTRAL_TIMEOUT", "1")
        return after

    monkeypatch.setattr(SqlStore, "begin_run", beginning)
    ended = await world.approve(run)
    assert (ended.state, ended.outcome) == (State.ENDED, Outcome.FAILED)
    assert ended.said == (
        "Nothing was changed. The deployment was changed by somebody else since the preview. "
        "INC-1 is resolved, so it is not proposed again."
    )
    assert len(await world.runs()) == 1
    assert await world.changes() == 1  # the one by hand


async def test_nothing_is_proposed_for_an_incident_that_ends_during_the_preview(
    world_of: WorldOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, claimed = await world_of(), SqlStore.claim_runs

    async def claiming(self: SqlStore, *given: Any, **more: Any) -> Any:
        if found := await claimed(self, *given, **more):
            await resolve(world)
        return found

    monkeypatch.setattr(SqlStore, "claim_runs", claiming)
    run = await world.ask("fallback")
    assert (run.state, run.said) == (State.CANCELLED, "INC-1 is resolved; `/mistral reopen 1` opens it again.")


async def test_a_revert_goes_on_though_its_incident_is_over(world_of: WorldOf) -> None:
    world = await world_of()
    run = await world.done("fallback")
    await resolve(world)
    back = await world.settled(await world.bot.mitigations.revert(run.id, ROBIN, "the provider is back", "view:r"))
    ended = await world.approve(back)
    assert (ended.state, ended.outcome) == (State.ENDED, Outcome.DONE), ended.said
