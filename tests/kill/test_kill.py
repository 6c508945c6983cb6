"""Killed with SIGKILL at any point and started again: every fact and every message is there exactly once."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import chain, count
from pathlib import Path

import pytest

from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from tests.databases import KINDS, copy_of
from tests.kill.stage import Stage
from tests.kill.story import ACTS, LOOK_UP, REQUESTS, At

SEED = 20261124
PARTS = 4
# an act has a few points more in one run than in another
MORE = 30
DENSE = 300
# at the effect's own point, at the next, when its answer may have come, and when it has
AROUND = (0, 1, 3, 8)
SAMPLE = 50
STORIES = 6
StageOf = Callable[[str], Awaitable[Stage]]


@pytest.fixture
async def stage_of(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[StageOf]:
    """Gives a stage with a database of the kind that is named."""
    sandbox = Sandbox(load_scenarios()["all is well"])
    sandbox.slack.workspace.scopes = set(SCOPES)
    await sandbox.start()
    stages: list[Stage] = []

    async def made(kind: str) -> Stage:
        stages.append(await Stage.made(sandbox, copy_of(kind, tmp_path, request), tmp_path))
        return stages[-1]

    yield made
    for stage in stages:
        await stage.store.close()
    await sandbox.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_no_two_effects_lie_between_two_points(stage_of: StageOf, kind: str) -> None:
    told = [one for one in await (await stage_of(kind)).played(lambda _: None) if one is not None]
    assert len(told) == len(ACTS)
    assert sum(one.points for one in told) >= 1000
    assert sum(one.effects for one in told) >= 100
    assert max(one.at_once for one in told) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kill_at_some_points_loses_nothing_and_doubles_nothing(stage_of: StageOf, kind: str) -> None:
    stage, seeded, kills = await stage_of(kind), random.Random(SEED), 0  # noqa: S311 - to be the same in every run
    told = await stage.played(lambda _: None)
    points = [one.points for one in told if one is not None]
    while kills < SAMPLE // len(KINDS):
        chosen = [seeded.randint(1, most) for most in points]
        kills += (await stage.played(lambda index: chosen[index])).count(None)  # noqa: B023 - called at once


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(PARTS))
async def test_a_kill_at_any_point_loses_nothing_and_doubles_nothing(stage_of: StageOf, part: int) -> None:
    """Each story has a kill in every act: in the first at its first point, and so on until no act has as many.

    It ends with the last act that may have as many. Of the few acts that have very many every sixth one is taken.
    """
    stage, kills = await stage_of("SQLite"), 0
    usual = [one.points for one in await stage.played(lambda _: None) if one is not None]
    for point in chain(range(1 + part, DENSE, PARTS), count(DENSE + 6 * part, 6 * PARTS)):
        acts = max((1 + index for index, most in enumerate(usual) if most + MORE >= point), default=1)
        killed = (await stage.played(lambda _: point, acts=acts)).count(None)  # noqa: B023 - called at once
        if not killed:
            break
        kills += killed
    assert kills >= 200


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("near", AROUND)
async def test_a_kill_around_any_effect_loses_nothing_and_doubles_nothing(stage_of: StageOf, near: int) -> None:
    """Just before each effect of each act, as it begins and after: between two effects nothing else changes."""
    stage, kills = await stage_of("PostgreSQL"), 0
    for effect in count(1):
        at = At(effect, near)
        killed = (await stage.played(lambda _: at)).count(None)  # noqa: B023 - called at once
        if not killed:
            break
        kills += killed
    assert kills >= 50


async def test_three_replicas_that_are_all_told_the_same_do_it_once(stage_of: StageOf) -> None:
    stage, seeded = await stage_of("PostgreSQL"), random.Random(SEED)  # noqa: S311 - to be the same in every run
    for _ in range(STORIES):
        await stage.played_by_three(seeded, all_told=True, fatal=None)


async def test_three_replicas_told_at_random_do_it_once_though_one_is_killed(stage_of: StageOf) -> None:
    stage, seeded, kills = await stage_of("PostgreSQL"), random.Random(SEED), 0  # noqa: S311 - as above
    for _ in range(STORIES):
        fatal = seeded.randrange(len(ACTS)), seeded.randint(1, 60)
        kills += await stage.played_by_three(seeded, all_told=False, fatal=fatal)
    assert kills


@pytest.mark.parametrize("without", [LOOK_UP, REQUESTS])
async def test_what_is_done_twice_is_found(stage_of: StageOf, without: str) -> None:
    """The harness fails where it must: here the bot does not look before it sends again, or what it has done."""
    with pytest.raises(AssertionError, match="cards" if without == LOOK_UP else "incidents"):
        await killed_as_it_declares(await stage_of("SQLite"), without)


async def killed_as_it_declares(stage: Stage, without: str) -> None:
    for point in count(1, 7):
        (declared, *_) = await stage.played({0: point}.get, without=without)
        if declared is not None:
            break
