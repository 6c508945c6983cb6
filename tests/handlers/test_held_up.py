"""What keeps an approved mitigation from beginning or going on, and what people are told of it."""

from typing import Any

import pytest

from bot.domain.runs import Outcome, Run, State
from bot.store.sql import SqlStore
from tests.handlers.test_driving import WorldOf, world_of

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
