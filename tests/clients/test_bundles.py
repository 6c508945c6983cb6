"""A bundle on disk: whole under its name or not there, nothing outside it, nothing over its limits, nothing secret."""

import asyncio
import io
import json
import os
import random
import tarfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from bot.clients.bundle_check import check
from bot.clients.bundles import BundleFile, Facts, safe_name, sweep
from bot.domain.collecting import Manifest, Why
from bot.errors import BotError, Unreachable
from bot.ports import Written
from bot.settings import EvidenceSettings
from tests.corpus import CORPUS, MARKS
from tests.fakes import NOW, FakeClock

NAME = "evidence-INC-7-20261125T101500Z-0011aabb.tar.gz"
FACTS = Facts(
    incident="INC-7",
    title="Completions fail",
    target="default",
    why=Why.ASKED,
    begun=NOW,
    since=timedelta(hours=1),
    entries=3,
    last_hash="ab" * 32,
)


def index(_: Manifest) -> bytes:
    return b"<!doctype html><title>Evidence</title>"


OWN = "own-key-of-the-bot"


async def begun(folder: Path, **limits: int) -> BundleFile:
    bundle = BundleFile(folder, NAME, EvidenceSettings(**limits), FakeClock(), secrets=[OWN])  # type: ignore[arg-type]
    await bundle.begin()
    return bundle


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def there(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def unpacked(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as held:
        return {
            one.name.partition("/")[2]: file.read()
            for one in held.getmembers()
            if (file := held.extractfile(one)) is not None
        }


async def test_a_bundle_holds_what_was_added_and_says_so(tmp_path: Path) -> None:
    bundle = await begun(tmp_path)
    await bundle.add("logs/pod/app.log", in_pieces(b"one\n", b"two\n"), source="kubernetes: pods/pod/log")
    await bundle.add("charts/a.png", b"\x89PNG password=not-text-at-all", source="drawn", text=False)
    bundle.miss("events", "forbidden: list events in default")
    assert not [name for name in there(tmp_path) if name.startswith("evidence-")]
    written = await bundle.finish(FACTS, index)
    held = unpacked(tmp_path / NAME)
    assert held["logs/pod/app.log"] == b"one\ntwo\n"
    assert held["charts/a.png"].endswith(b"not-text-at-all")
    manifest = json.loads(held["manifest.json"])
    assert [one["name"] for one in manifest["files"]] == ["logs/pod/app.log", "charts/a.png", "index.html"]
    assert manifest["missing"] == [{"what": "events", "why": "forbidden: list events in default"}]
    assert manifest["timeline"] == {"entries": 3, "last_hash": "ab" * 32}
    assert (written.size, there(tmp_path)) == ((tmp_path / NAME).stat().st_size, [NAME])
    assert check(tmp_path / NAME).faults == ()


async def test_no_secret_is_anywhere_in_a_bundle_and_each_is_counted(tmp_path: Path) -> None:
    bundle = await begun(tmp_path)
    text = "\n".join((*CORPUS[::-1], f"and {OWN}")).encode()
    await bundle.add(
        "kubernetes/pods.yaml", in_pieces(*(text[at : at + 13] for at in range(0, len(text), 13))), source="x"
    )
    written = await bundle.finish(FACTS, index)
    for content in unpacked(tmp_path / NAME).values():
        assert not [mark for mark in (*MARKS, OWN) if mark.encode() in content]
    assert sum(written.manifest.redacted.values()) >= len(CORPUS)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("/etc/passwd", "etc/passwd"),
        ("../../x", "x"),
        ("logs/../../x.log", "logs/x.log"),
        ("logs/a\x00b\nc", "logs/a_b_c"),
        ("logs/a\\..\\b", "logs/a_.._b"),
        ("logs/" + "p" * 500, "logs/" + "p" * 120),
        ("logs/pod\u202egnp.exe", "logs/pod_gnp.exe"),
        ("..", "unnamed"),
        ("manifest.json", "manifest.json.2"),
    ],
)
async def test_a_name_leads_nowhere_but_into_the_bundle(tmp_path: Path, asked: str, kept: str) -> None:
    bundle = await begun(tmp_path)
    await bundle.add(asked, b"x", source="x")
    await bundle.finish(FACTS, index)
    assert kept in unpacked(tmp_path / NAME)
    assert check(tmp_path / NAME).faults == ()


async def test_two_files_of_one_name_are_two_files(tmp_path: Path) -> None:
    bundle = await begun(tmp_path)
    for content in (b"1", b"2", b"3"):
        await bundle.add("logs/Pod/a.log" if content != b"2" else "logs/pod/a.log", content, source="x")
    await bundle.finish(FACTS, index)
    held = unpacked(tmp_path / NAME)
    assert sorted(held[name] for name in held if "log" in name) == [b"1", b"2", b"3"]


async def test_what_is_over_a_limit_is_left_out_and_said(tmp_path: Path) -> None:
    bundle = await begun(tmp_path, file_bytes=1_000_000, bundle_bytes=2_500_000)
    for name in "abcd":
        await bundle.add(name, in_pieces(*[b"x y\n" * 100_000] * 5), source="x")
    written = await bundle.finish(FACTS, index)
    sizes = {one.name: (one.size, one.cut) for one in written.manifest.files}
    assert sizes["a"][0] == sizes["b"][0] == 1_000_000
    assert "longer than a file may be" in sizes["a"][1]
    assert sizes["c"][0] == 500_000
    assert "longer than the bundle may be" in sizes["c"][1]
    assert sizes["d"][0] == 0
    assert check(tmp_path / NAME).faults == ()


async def test_what_came_before_a_source_failed_is_kept(tmp_path: Path) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"the beginning\n"
        raise Unreachable("the connection broke")

    bundle = await begun(tmp_path)
    await bundle.add("a.log", breaks(), source="x")
    written = await bundle.finish(FACTS, index)
    assert written.manifest.files[0].cut == "the connection broke"
    assert unpacked(tmp_path / NAME)["a.log"] == b"the beginning\n"


async def test_what_came_before_the_time_was_over_is_kept(tmp_path: Path) -> None:
    came = asyncio.Event()

    async def hangs() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        came.set()
        await asyncio.Event().wait()

    bundle = await begun(tmp_path)
    adding = asyncio.create_task(bundle.add("a.log", hangs(), source="x"))
    await asyncio.wait_for(came.wait(), 30)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    written = await bundle.finish(FACTS, index)
    assert (written.manifest.files[0].size, written.manifest.files[0].cut) == (300_000, "the time was over")


async def test_a_bundle_that_is_abandoned_leaves_nothing(tmp_path: Path) -> None:
    bundle = await begun(tmp_path)
    await bundle.add("a", b"x" * 100_000, source="x")
    await bundle.abandon()
    assert there(tmp_path) == []


async def test_a_bundle_that_a_full_disk_ended_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(held: int, mode: str) -> BinaryIO:
        os.close(held)
        return cast(BinaryIO, Path("/dev/full").open(mode))

    monkeypatch.setattr("bot.clients.bundles.os.fdopen", full)
    bundle = await begun(tmp_path)
    with pytest.raises(BotError, match="cannot be written"):
        await bundle.add("a", os.urandom(200_000), source="x", text=False)
    await bundle.abandon()
    assert there(tmp_path) == []


async def test_many_at_once_keep_their_own_content(tmp_path: Path) -> None:
    bundle = await begun(tmp_path)

    async def some(number: int) -> AsyncIterator[bytes]:
        for line in range(50):
            yield f"{number} {line}\n".encode()
            await asyncio.sleep(0)

    await asyncio.gather(*(bundle.add(f"logs/{number}.log", some(number), source="x") for number in range(30)))
    await bundle.finish(FACTS, index)
    held = unpacked(tmp_path / NAME)
    assert all(
        held[f"logs/{number}.log"] == b"".join(f"{number} {line}\n".encode() for line in range(50))
        for number in range(30)
    )


async def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BotError, match="cannot be written"):
        await begun(tmp_path / "file" / "below")


def test_what_was_kept_long_enough_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    for name in (NAME, ".evidence-1.tmp", "notes.txt", "evidence-mine.zip"):
        (tmp_path / name).write_bytes(b"x")
    assert sweep(tmp_path, keep=timedelta(days=30), now=now + timedelta(minutes=5)) == []
    assert len(list(tmp_path.iterdir())) == 4
    assert sweep(tmp_path, keep=timedelta(days=30), now=now + timedelta(days=29)) == []
    assert sweep(tmp_path, keep=timedelta(days=30), now=now + timedelta(days=31)) == [NAME]
    assert {one.name for one in tmp_path.iterdir()} == {"notes.txt", "evidence-mine.zip"}


async def whole(folder: Path) -> Written:
    bundle = await begun(folder)
    await bundle.add("logs/a.log", b"the log\n" * 1000, source="x")
    return await bundle.finish(FACTS, index)


def repacked(path: Path, change: Callable[[str, bytes], tuple[str, bytes] | None], *more: tarfile.TarInfo) -> None:
    held = unpacked(path)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in held.items():
            made = change(name, content)
            if made is not None:
                info = tarfile.TarInfo(f"top/{made[0]}")
                info.size = len(made[1])
                archive.addfile(info, io.BytesIO(made[1]))
        for info in more:
            archive.addfile(info)


def link(name: str, to: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, to
    return info


@pytest.mark.parametrize(
    ("change", "more", "fault"),
    [
        (lambda name, held: (name, held + b"!" if "log" in name else held), (), "was changed"),
        (lambda name, held: None if "log" in name else (name, held), (), "is missing"),
        (lambda name, held: None if name == "manifest.json" else (name, held), (), "no manifest"),
        (lambda name, held: (name, b"{}" if name == "manifest.json" else held), (), "not one of ours"),
        (lambda name, held: (name, b"[" * 100_000 if name == "manifest.json" else held), (), "not one of ours"),
        (lambda name, held: (name, held), (tarfile.TarInfo("top/extra"),), "not in the manifest"),
        (lambda name, held: (name, held), (tarfile.TarInfo("top/../../evil"),), "not a file of a bundle"),
        (lambda name, held: (name, held), (link("top/l", "/etc/passwd"),), "not a file of a bundle"),
        (lambda name, held: (name, held), (tarfile.TarInfo("other/x"),), "not a file of a bundle"),
    ],
)
async def test_a_bundle_that_was_changed_is_found(
    tmp_path: Path,
    change: Callable[[str, bytes], tuple[str, bytes] | None],
    more: tuple[tarfile.TarInfo, ...],
    fault: str,
) -> None:
    await whole(tmp_path)
    repacked(tmp_path / NAME, change, *more)
    assert any(fault in one for one in check(tmp_path / NAME).faults)


def faulty(path: Path) -> bool:
    try:
        return bool(check(path).faults)
    except BotError:
        return True


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
async def test_a_bundle_that_is_cut_off_is_found(tmp_path: Path, share: float) -> None:
    await whole(tmp_path)
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[: int(len(content) * share)])
    assert faulty(tmp_path / NAME)


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b" + b"\x00" * 100])
def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.tar.gz"
    path.write_bytes(content)
    with pytest.raises(BotError, match="cannot be read as a bundle"):
        check(path)
    with pytest.raises(BotError, match="there is no file"):
        check(tmp_path / "nothing")


def test_a_safe_name_is_its_own_safe_name() -> None:
    for name in ("logs/pod-1/app.log", "incident/triages/001.json", "a..b", ".hidden"):
        assert safe_name(safe_name(name)) == safe_name(name)


@pytest.mark.parametrize("seed", range(12))
async def test_whenever_it_is_cut_off_the_bundle_is_whole(tmp_path: Path, seed: int) -> None:
    """Nobody is cancelled in the middle of packing, nor leaves a thread alone with a file."""
    seeded = random.Random(seed)  # noqa: S311 - the same in every run

    async def some(size: int) -> AsyncIterator[bytes]:
        for _ in range(size):
            yield b"one line of a log, and api_key=" + MARKS[0].encode() + b"\n" * 5_000
            await asyncio.sleep(0)

    bundle = await begun(tmp_path)
    adding = [
        asyncio.create_task(bundle.add(f"logs/{number}.log", some(seeded.randint(1, 120)), source="x"))
        for number in range(6)
    ]
    await asyncio.sleep(seeded.random() * 0.1)
    for task in adding:
        task.cancel()
    await asyncio.sleep(0)
    for task in adding:
        task.cancel()  # once more, while it still keeps what came
    await asyncio.gather(*adding, return_exceptions=True)
    written = await bundle.finish(FACTS, index)
    assert check(tmp_path / NAME).faults == ()
    assert len(written.manifest.files) >= 1
    assert not any(MARKS[0].encode() in content for content in unpacked(tmp_path / NAME).values())
