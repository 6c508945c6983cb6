"""What a hostile look at mitigations has found: warnings that were missing, late changes, and keys that outlived use."""

from tests.handlers.test_driving import RATE_LIMITED, WorldOf, world_of

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
