"""Killed with SIGKILL at any step and started again: every fact and every message is there exactly once."""

import asyncio
import multiprocessing
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bot.domain.timeline import fault
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from tests.databases import KINDS, copy_of, store_at
from tests.kill.story import play

SAMPLE = 50
SEEDED = random.Random(20261124)  # noqa: S311 - to be the same in every run
# every step in `make test-kill`, a sample in `make test`
STEP = int(os.environ.get("KILL_EVERY", "0"))
TIMELINE = Counter(
    {
        "declared": 1,
        "status": 2,  # identified, resolved
        "update": 1,
        "update missed": 1,
        "escalated": 1,
        "role": 1,
        "resolved": 1,
    }
)
POSTS = Counter(
    {
        "card": 1,
        "is IDENTIFIED": 1,
        "an update is due": 1,
        "was due at": 1,
        "Nobody has taken command": 1,
        "is commander of": 1,
        "is resolved": 1,
    }
)
Fresh = Callable[[str], tuple[dict[str, str], str]]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.kill.story"])


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    held = Sandbox(load_scenarios()["all is well"])
    await held.start()
    yield held
    await held.close()


async def played(environ: dict[str, str], die_at: int | None, *, alone: bool = True) -> int | None:
    """The number of steps; None: it was killed."""
    told = _context.SimpleQueue()
    process = _context.Process(target=play, args=(environ, die_at, alone, told))
    process.start()
    await asyncio.to_thread(process.join, 60)
    try:
        if process.exitcode == 0:
            return int(told.get())
        assert process.exitcode == -9, f"the process ended with {process.exitcode}"
        return None
    finally:
        process.close()
        told.close()


def posts(sandbox: Sandbox) -> Counter[str]:
    """How often each kind of message stands in the workspace."""
    found: Counter[str] = Counter()
    for message in sandbox.slack.workspace.messages:
        if message.only_for is None:
            kinds = [kind for kind in POSTS if kind in message.all_text] or ["card"]
            found["card" if "*Incident commander*" in message.all_text else kinds[0]] += 1
    return found


async def assert_once(sandbox: Sandbox, url: str, where: str) -> None:
    store = store_at(url)
    try:
        (incident,) = await store.listed(open_only=False, limit=10)
        entries = await store.timeline(incident.id)
        waiting = await store.waiting()
    finally:
        await store.close()
    assert fault(entries, count=incident.entries, last_hash=incident.last_hash) is None, where
    assert Counter(entry.event.kind.value for entry in entries) == TIMELINE, where
    assert posts(sandbox) == POSTS, where
    assert waiting == {}, where


@pytest.fixture
def fresh(sandbox: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Fresh:
    """Makes an empty world: the bot's environment and its database's URL."""

    def made(kind: str) -> tuple[dict[str, str], str]:
        url = copy_of(kind, tmp_path, request)
        sandbox.slack.workspace.messages.clear()
        for channel in sandbox.slack.workspace.channels.values():
            channel.pins.clear()
        return {**sandbox.environment(), "DATABASE_URL": url, "KUBECONFIG": "", "PROMETHEUS_URL": ""}, url

    return made


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_kill_at_any_step_loses_nothing_and_doubles_nothing(sandbox: Sandbox, kind: str, fresh: Fresh) -> None:
    environ, url = fresh(kind)
    steps = await played(environ, None)
    assert steps is not None
    await assert_once(sandbox, url, "not killed at all")
    points = range(1, steps, STEP) if STEP else SEEDED.sample(range(1, steps), SAMPLE // len(KINDS))
    for point in sorted(points):
        environ, url = fresh(kind)
        assert await played(environ, point) is None
        assert await played(environ, None) is not None
        await assert_once(sandbox, url, f"killed at step {point} of {steps}")


@pytest.mark.timeout(600)
async def test_three_replicas_that_are_all_told_the_same_do_it_once(sandbox: Sandbox, fresh: Fresh) -> None:
    for _ in range(3):
        environ, url = fresh("PostgreSQL")
        ended = await asyncio.gather(*(played(environ, None, alone=False) for _ in range(3)))
        assert None not in ended
        await played(environ, None)
        await assert_once(sandbox, url, "three replicas")
    for point in SEEDED.sample(range(50, 800), 3):
        environ, url = fresh("PostgreSQL")
        ended = await asyncio.gather(*(played(environ, at, alone=False) for at in (None, point, None)))
        assert ended.count(None) <= 1
        await played(environ, None)
        await assert_once(sandbox, url, f"one of three replicas killed at step {point}")
