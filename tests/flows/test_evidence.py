"""Evidence in the running bot: by itself, by command, with a card that is updated in place and the file beneath it."""

import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from bot.clients.bundle_check import check
from bot.domain.collecting import State
from bot.domain.policy import Policy
from bot.sandbox.slack import Message
from bot.sandbox.slack.faults import CUT, LOST, Fault, server_error
from bot.settings import EvidenceSettings
from bot.store.tables import deliveries
from tests.databases import copy_of
from tests.flows.desk import HERE, ROBIN, Desk, desk_at
from tests.flows.test_incidents import cards


@dataclass(frozen=True)
class Scene:
    desk: Desk
    folder: Path

    async def collected(self) -> None:
        """What waits is collected, and told."""
        await self.desk.bot.tasks.drain(5)
        while await self.desk.bot.evidence.collect_one():
            pass
        await self.desk.send()
        await self.later()

    async def later(self) -> None:
        """What is to be tried again later is tried now: the file waits for its card."""
        async with self.desk.bot.store.engine.begin() as connection:  # type: ignore[attr-defined]
            await connection.execute(update(deliveries).values(due_at=self.desk.bot.deliveries.clock.now()))
        await self.desk.send()

    def cards(self) -> list[Message]:
        return [one for one in self.desk.slack.messages if " Evidence" in one.text]

    def uploads(self) -> list[Message]:
        return [one for one in self.desk.slack.messages if one.files]

    def bundles(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@pytest.fixture
async def scene(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with scene_at(copy_of("SQLite", tmp_path, request), tmp_path / "evidence") as held:
        yield held


@asynccontextmanager
async def scene_at(url: str, folder: Path, **more: Any) -> AsyncIterator[Scene]:
    """Without Prometheus: charts are drawn elsewhere, and take a second."""
    async with desk_at(url, Policy(), evidence_dir=folder, **more) as desk:
        for world in desk.bot.evidence.collector.prober.worlds.values():  # type: ignore[attr-defined]
            object.__setattr__(world, "metrics", None)
        yield Scene(desk, folder)


async def test_a_p1_is_collected_when_it_is_declared_and_again_when_it_is_resolved(scene: Scene) -> None:
    await scene.desk.declared(severity="P1")
    await scene.collected()
    (card,), (upload,), (bundle,) = scene.cards(), scene.uploads(), scene.bundles()
    found = check(bundle)
    assert (found.faults, found.incident) == ((), "INC-1")
    assert "*is collected*" in card.text
    assert bundle.name in card.all_text
    assert upload.thread_ts == card.thread_ts == cards(scene.desk.slack)[0].ts
    assert upload.file_names == [bundle.name]
    assert scene.desk.slack.files[upload.files[0]] == bundle.read_bytes()
    view = await scene.desk.opened("resolve 1")
    await scene.desk.slack.submit(view, {"reason": {"value": "it is over"}})
    await scene.collected()
    assert (len(scene.cards()), len(scene.uploads()), len(scene.bundles())) == (2, 2, 2)
    told = [one.event.text for one in await scene.desk.bot.store.timeline(1) if one.event.kind == "evidence"]
    assert told == [
        f"evidence collected: {one.name}" for one in sorted(scene.bundles(), key=lambda b: b.stat().st_mtime)
    ]


async def test_a_p3_is_collected_when_somebody_asks_or_it_is_raised(scene: Scene) -> None:
    await scene.desk.declared(severity="P3")
    await scene.collected()
    assert not scene.cards()
    await scene.desk.slack.command("evidence 2h", user=ROBIN)
    await scene.collected()
    (bundle,) = scene.bundles()
    with tarfile.open(bundle) as held:
        names = {name.partition("/")[2] for name in held.getnames()}
    assert {"manifest.json", "index.html", "incident/timeline.json", "kubernetes/deployment.yaml"} <= names
    assert [one.since.total_seconds() for one in await scene.desk.bot.store.collections(1)] == [7200]
    await scene.desk.slack.command("severity 1 P2", user=ROBIN)
    await scene.collected()
    assert len(scene.bundles()) == 2


async def test_without_an_incident_a_target_is_collected_where_somebody_asked(scene: Scene) -> None:
    await scene.desk.slack.command("evidence", user=ROBIN, channel="C0GENERAL")
    await scene.collected()
    (card,), (bundle,) = scene.cards(), scene.bundles()
    assert (card.channel, check(bundle).incident) == ("C0GENERAL", None)
    assert scene.uploads()[0].thread_ts == card.ts


async def test_whoever_asks_twice_is_told_that_it_is_under_way(scene: Scene) -> None:
    await scene.desk.declared(severity="P3")
    for _ in range(2):
        await scene.desk.slack.command("evidence", user=ROBIN)
        await scene.desk.bot.tasks.drain(5)
    await scene.desk.whispered("is being collected already", ROBIN)
    assert len(await scene.desk.bot.store.collections(1)) == 1


@pytest.mark.parametrize("words", ["evidence everything", "evidence 9h9", "evidence 77 1h"])
async def test_what_is_not_understood_is_said_and_collects_nothing(scene: Scene, words: str) -> None:
    await scene.desk.slack.command(words, user=ROBIN)
    await scene.collected()
    assert not scene.folder.exists()
    assert [one for one in scene.desk.slack.messages if one.only_for == ROBIN]


@pytest.mark.parametrize("fault", [server_error(), LOST, CUT], ids=["500", "lost", "cut"])
@pytest.mark.parametrize("step", ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"])
async def test_a_file_is_uploaded_once_whatever_is_lost_on_the_way(scene: Scene, step: str, fault: Fault) -> None:
    await scene.desk.declared(severity="P1")
    await scene.desk.send()
    scene.desk.sandbox.slack.faults.add(step, fault)
    await scene.collected()
    later = scene.desk.bot.deliveries
    for _ in range(3):
        await later.store.revive()
        await scene.later()
    assert len(scene.uploads()) == 1
    assert (await scene.desk.bot.store.waiting()) == {}


async def test_a_bundle_that_is_too_large_stays_on_disk_and_the_card_says_where(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url, limits = copy_of("SQLite", tmp_path, request), EvidenceSettings(upload_bytes=10)
    async with scene_at(url, tmp_path / "evidence", evidence=limits) as scene:
        await scene.desk.declared(severity="P1")
        await scene.collected()
        assert not scene.uploads()
        assert scene.bundles()[0].name in scene.cards()[0].all_text


async def test_a_folder_that_cannot_be_written_is_said_on_the_card(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "evidence"
    folder.write_text("a file")
    async with scene_at(copy_of("SQLite", tmp_path, request), folder) as scene:
        await scene.desk.declared(severity="P1")
        await scene.collected()
        (card,) = scene.cards()
        assert "could not be collected" in card.text
        assert "cannot be written" in card.text
        assert [one.state for one in await scene.desk.bot.store.collections(1)] == [State.FAILED]
        assert card.channel == HERE
