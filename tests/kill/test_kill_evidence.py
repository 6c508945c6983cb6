"""Killed at any step of collecting or publishing: one bundle, whole, under its name; one card, file and postmortem."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bot.clients.bundle_check import check
from bot.domain.scopes import SCOPES
from bot.domain.timeline import fault
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.store.sql import SqlStore
from tests.databases import KINDS, copy_of, store_at
from tests.kill.aftermath import ACTS, play
from tests.kill.stage import Killed, Player, emptied
from tests.kill.story import At, Told

SEED = 20261126
STORIES = 12
# just before an effect, and when its answer may or may not have come
NEAR = (("SQLite", 0), ("PostgreSQL", 1))


class Stage:
    """``environ``: what the bot is given; ``store``: the same database, looked at from outside."""

    def __init__(self, sandbox: Sandbox, url: str, folder: Path) -> None:
        self.sandbox, self.store, self.folder = sandbox, store_at(url), folder
        config = folder / "bot.yaml"
        config.write_text(json.dumps({"postmortem": {"folder": str(folder / "postmortems")}}))
        more = {"MISTRAL_BOT_CONFIG": str(config), "EVIDENCE_DIR": str(folder / "evidence"), "PROMETHEUS_URL": ""}
        self.environ = {**sandbox.environment(), **more, "DATABASE_URL": url}

    async def played(self, die_at: Callable[[int], int | At | None] = lambda _: None) -> list[Told | None]:
        """Plays the story, and looks after each act; what was told of each, None where the process was killed."""
        await self._clear()
        told, number, player = list[Told | None](), 0, self._player()
        for index in range(len(ACTS)):
            point = die_at(index)
            try:
                told.append(await player.act(index, number, point))
            except Killed:
                told.append(None)
                player = self._player()
                await player.act(index, number)
            number = number or (await self.store.listed(open_only=False, limit=1))[0].id
            wrong = await self._wrong(index, number)
            assert not wrong, f"{wrong} after act {index}, killed at {point}"
        await player.end()
        return told

    def _player(self) -> Player:
        return Player(self.environ, entry=play)

    async def _clear(self) -> None:
        await emptied(self.store, self.sandbox.slack.workspace)
        for place in ("evidence", "postmortems"):
            for path in await asyncio.to_thread(_files, self.folder / place):
                path.unlink()

    async def _wrong(self, index: int, number: int) -> dict[str, Any]:
        """What is not as it must be: ``{what: (as it is, as it must be)}``."""
        act, slack = ACTS[index], self.sandbox.slack.workspace
        incident, entries = await self.store.incident(number), await self.store.timeline(number)
        assert incident is not None
        bundles = sorted((self.folder / "evidence").glob("evidence-*"))
        names = [name for one in slack.messages for name in one.file_names]
        pages = sorted((self.folder / "postmortems").glob("*.md"))
        kinds = [one.event.kind.value for one in entries if one.event.kind.value in ("evidence", "postmortem")]
        cards = [one for one in slack.messages if " Evidence for *INC-" in one.text]
        announced = [one for one in slack.messages if "is published, version" in one.text]
        papers = [one for one in slack.messages if ":memo: The postmortem of" in one.text and one not in announced]
        seen_and_meant = {
            "bundles": (len(bundles), act.bundles),
            "whole": ([check(one).faults for one in bundles], [()] * act.bundles),
            "cards": (["*is collected*" in one.text for one in cards], [True] * act.bundles),
            "uploads": (sorted(one for one in names if one.endswith(".gz")), [one.name for one in bundles]),
            "postmortem's card": (len(papers), int(index > 0)),
            "announced": (len(announced), act.published),
            "files": (
                [one for one in names if one.endswith(".md")],
                [f"{incident.name}-postmortem-v1.md"] * act.published,
            ),
            "folder": ([one.read_text().count("It failed.") for one in pages], [1] * act.published),
            "notes": (kinds, list(act.notes)),
            "chain": (fault(entries, count=incident.entries, last_hash=incident.last_hash), None),
            "waiting": (dict(await self.store.waiting()), {}),
        }
        return {what: pair for what, pair in seen_and_meant.items() if pair[0] != pair[1]}


def _files(folder: Path) -> list[Path]:
    return list(folder.glob("*"))


StageOf = Callable[[str], Awaitable[Stage]]


@pytest.fixture
async def stage_of(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[StageOf]:
    sandbox = Sandbox(replace(load_scenarios()["all is well"], prometheus=None))
    sandbox.slack.workspace.scopes = set(SCOPES)
    await sandbox.start()
    stores: list[SqlStore] = []

    async def made(kind: str) -> Stage:
        stage = Stage(sandbox, copy_of(kind, tmp_path, request), tmp_path)
        stores.append(stage.store)
        return stage

    yield made
    for store in stores:
        await store.close()
    await sandbox.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kill_at_some_points_leaves_one_of_each(stage_of: StageOf, kind: str) -> None:
    stage, seeded, kills = await stage_of(kind), random.Random(SEED), 0  # noqa: S311 - the same in every run
    told = [one for one in await stage.played() if one is not None]
    assert len(told) == len(ACTS)
    assert sum(one.effects for one in told) >= 30
    for _ in range(STORIES):
        chosen = [seeded.randint(1, one.points * 2 // 3) for one in told]
        kills += (await stage.played(lambda index: chosen[index])).count(None)  # noqa: B023 - called at once
    assert kills >= STORIES * 2


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "near"), NEAR)
async def test_a_kill_around_any_effect_leaves_one_of_each(stage_of: StageOf, kind: str, near: int) -> None:
    stage, kills = await stage_of(kind), 0
    for effect in count(1):
        at = At(effect, near)
        killed = (await stage.played(lambda _: at)).count(None)  # noqa: B023 - called at once
        if not killed:
            break
        kills += killed
    assert kills >= 20
