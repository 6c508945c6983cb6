"""Killed at any step of a mitigation, or stopped for long: the cluster is changed once, and all of it is told once."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from bot.domain.runs import WORKED_ON, Outcome, State
from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox
from bot.store.tables import runs
from tests.databases import KINDS, copy_of
from tests.kill.remedy import ACTS, LOOK, LOOK_AND_PINS
from tests.kill.remedy_stage import SCENARIO, RemedyStage
from tests.kill.stage import Killed, Stopped
from tests.kill.story import At
from tests.kube_proxy import variables

SEED = 20261125
PARTS = len(KINDS)
STORIES = 4
STOPS = 6
# after how many points at most an effect has been answered
NEAR = 6
APPROVES = 2
BY_HAND = {
    "spec": {
        "template": {
            "spec": {"containers": [{"name": "app", "env": [{"name": "MISTRAL_FALLBACK", "value": "perhaps"}]}]}
        }
    }
}
LONG_AGO = datetime.fromtimestamp(0, UTC)
StageOf = Callable[[str], Awaitable[RemedyStage]]


@pytest.fixture
async def stage_of(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[StageOf]:
    """Gives a stage with a database of the kind that is named."""
    sandbox = Sandbox(SCENARIO)
    sandbox.slack.workspace.scopes = set(SCOPES)
    await sandbox.start()
    stages: list[RemedyStage] = []

    async def made(kind: str) -> RemedyStage:
        stages.append(await RemedyStage.made(sandbox, copy_of(kind, tmp_path, request), tmp_path))
        return stages[-1]

    yield made
    for stage in stages:
        await stage.close()
    await sandbox.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kill_at_some_points_changes_nothing_twice_and_loses_nothing(stage_of: StageOf, kind: str) -> None:
    stage, seeded, kills = await stage_of(kind), random.Random(SEED), 0  # noqa: S311 - to be the same in every run
    told = [one for one in await stage.played() if one is not None]
    assert len(told) == len(ACTS)
    assert sum(one.points for one in told) >= 1000
    assert sum(one.effects for one in told) >= 100
    assert max(one.at_once for one in told) == 1, "no two effects lie between two points"
    for _ in range(STORIES):
        chosen = [seeded.randint(1, one.points * 2 // 3) for one in told]  # it has not as many each time
        kills += (await stage.played(lambda index: chosen[index] if index else None)).count(None)  # noqa: B023
    assert kills >= STORIES * (len(ACTS) - 2)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
async def test_a_kill_at_any_effect_changes_nothing_twice_and_loses_nothing(stage_of: StageOf, part: int) -> None:
    """Each story has a kill in every act: near its first effect, then its second, until no act has as many.

    Every second one on PostgreSQL: what is sent to the cluster, and when, is the same on both.
    """
    stage, seeded, kills = await stage_of(KINDS[part]), random.Random(SEED + part), 0  # noqa: S311 - as above
    undisturbed = [one.effects for one in await stage.played() if one is not None]
    for effect in count(1 + part, PARTS):
        near = [At(effect, seeded.randint(0, NEAR)) for _ in ACTS]
        killed = (await stage.played(lambda index: near[index] if index else None)).count(None)  # noqa: B023
        if not killed:
            break
        kills += killed
    # an act has not as many effects each time: how often it looks, and finds something to write, is the clock's
    assert kills >= 0.8 * sum(len(range(1 + part, many + 1, PARTS)) for many in undisturbed[1:])
    assert kills >= 50


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_kill_around_each_change_of_the_cluster_changes_it_once(
    stage_of: StageOf, kind: str, before: bool
) -> None:
    stage = await stage_of(kind)
    stage.proxy.hooked(stage.kills_once(before=before), before=before)
    assert (await stage.played()).count(None) == 3  # four changes: the last act has two
    assert not stage.proxy.refused


@pytest.mark.parametrize(
    ("without", "found"),
    [(LOOK, r"State.SUPERSEDED"), (LOOK_AND_PINS, r"'patches': \(\['(\w+)', '\1'\]")],
)
async def test_a_change_that_is_made_or_told_twice_is_found(stage_of: StageOf, without: str, found: str) -> None:
    """The harness fails where it must: here whoever takes over does not look whether the change was made."""
    stage = await stage_of("SQLite")
    stage.proxy.hooked(stage.kills_once(before=False), before=False)
    with pytest.raises(AssertionError, match=found):
        await stage.played(without=without)


async def test_what_was_not_sent_in_time_is_said_once_and_changes_nothing(stage_of: StageOf) -> None:
    stage = await stage_of("SQLite")
    number = await killed_as_it_sends(stage, before=True)
    await late(stage)
    await stage.act(APPROVES, number)
    wrong = await stage.wrong(APPROVES, number)
    run = (await stage.store.runs(number))[0]
    assert (run.state, run.outcome, run.applied_at) == (State.ENDED, Outcome.INTERRUPTED, None)
    assert wrong["told as over"][0] == [("fallback", "interrupted")]
    assert wrong["cards"][0] == ["interrupted"]
    assert (wrong["generation"][0], stage.proxy.made) == (1, [])
    assert not {"chain", "waiting", "messages"} & set(wrong)


async def test_what_was_sent_in_time_goes_on_however_late_somebody_takes_over(stage_of: StageOf) -> None:
    stage = await stage_of("SQLite")
    number = await killed_as_it_sends(stage, before=False)
    await late(stage)
    await stage.act(APPROVES, number)
    assert not await stage.wrong(APPROVES, number)


async def test_what_people_changed_while_nobody_watched_is_left_as_it_is(stage_of: StageOf) -> None:
    stage = await stage_of("SQLite")
    number = await killed_as_it_sends(stage, before=False)
    await stage.proxy.by_hand(BY_HAND)
    await stage.act(APPROVES, number)
    run = (await stage.store.runs(number))[0]
    assert (run.state, run.outcome) == (State.ENDED, Outcome.INTERRUPTED)
    assert "changed by somebody else" in run.said
    deployment = await stage.proxy.deployment()
    assert variables(deployment)["MISTRAL_FALLBACK"] == "perhaps"
    assert (deployment["metadata"]["generation"], len(stage.proxy.made)) == (3, 1)


async def killed_as_it_sends(stage: RemedyStage, *, before: bool) -> int:
    """The story until the first change, and a new process that has been told nothing yet; the incident's number."""
    number = await stage.begun(APPROVES)
    stage.proxy.hooked(stage.kills_once(before=before), before=before)
    with pytest.raises(Killed):
        await stage.playing.act(APPROVES, number)
    stage.playing = stage.player()
    return number


async def late(stage: RemedyStage) -> None:
    """It is much later than it may begin."""
    async with stage.store.engine.begin() as connection:
        await connection.execute(update(runs).values(start_by=LONG_AGO))


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_whoever_is_stopped_as_it_sends_and_outlives_its_lease_changes_nothing_more(
    stage_of: StageOf, before: bool
) -> None:
    """Its patch is on its way while another process takes the run over, and arrives when that one has ended it."""
    stage = await stage_of("PostgreSQL")
    number = await stage.begun(APPROVES)
    first, arrived, let_go = stage.playing, asyncio.Event(), asyncio.Event()

    async def hold(_: dict[str, Any]) -> None:
        if not arrived.is_set():
            arrived.set()
            await let_go.wait()

    stage.proxy.hooked(hold, before=before)
    acting = asyncio.create_task(first.act(APPROVES, number))
    async with asyncio.timeout(30):
        await arrived.wait()
        while await stage.store.waiting():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        first.signal(signal.SIGSTOP)
        await stage.player().act(APPROVES, number)
        assert not await stage.wrong(APPROVES, number)
        let_go.set()
        first.signal(signal.SIGCONT)
        await acting
    assert not await stage.wrong(APPROVES, number)
    assert len(stage.proxy.refused) == (1 if before else 0)


async def test_whoever_is_stopped_anywhere_and_outlives_its_lease_changes_nothing_more(stage_of: StageOf) -> None:
    stage, seeded, taken_over = await stage_of("PostgreSQL"), random.Random(SEED), 0  # noqa: S311 - as above
    while taken_over < STOPS:
        number = await stage.begun(APPROVES)
        first = stage.playing
        with pytest.raises(Stopped):
            await first.act(APPROVES, number, At(0, seeded.randint(20, 500), signal.SIGSTOP))
        sending = await stage.store.waiting()
        if not await in_transaction(stage):
            # else the database lets nobody else write just now
            taken_over += 1
            await stage.player().act(APPROVES, number)
            assert not besides_slack(await stage.wrong(APPROVES, number), sending)
        first.signal(signal.SIGCONT)
        await first.told()
        assert not besides_slack(await stage.wrong(APPROVES, number), sending)


async def test_whoever_is_stopped_as_it_writes_holds_nobody_up_for_long(stage_of: StageOf) -> None:
    """The database ends its transaction, which a machine that lost its power would leave open for hours."""
    stage = await stage_of("PostgreSQL")
    for effect in count(6):
        number = await stage.begun(APPROVES)
        first = stage.playing
        with pytest.raises(Stopped):
            await first.act(APPROVES, number, At(effect, 0, signal.SIGSTOP))
        sending, run = await stage.store.waiting(), (await stage.store.runs(number))[0]
        if run.state in WORKED_ON and not sending.get("sending") and await in_transaction(stage):
            break
    await stage.player(alone=False).act(APPROVES, number, heard=False)
    assert not besides_slack(await stage.wrong(APPROVES, number), sending)
    first.signal(signal.SIGCONT)
    await first.told()
    assert not besides_slack(await stage.wrong(APPROVES, number), sending)


def besides_slack(wrong: dict[str, Any], sending: Mapping[str, int]) -> dict[str, Any]:
    """What was on its way to Slack may come twice: Slack does not know that somebody else has sent it meanwhile."""
    in_slack = {"cards", "told as over", "messages", "cards of incidents"} if sending.get("sending") else set()
    return {what: pair for what, pair in wrong.items() if what not in in_slack}


async def in_transaction(stage: RemedyStage) -> bool:
    """Whether a process that stands still holds what it has written but not committed."""
    open_ones = text(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
    )
    async with stage.store.engine.connect() as connection:
        return bool((await connection.execute(open_ones)).scalar_one())
