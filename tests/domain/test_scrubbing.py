"""Secrets in a stream, cut anywhere: none survives, ordinary text stays byte for byte, and memory is bounded."""

import random
import tracemalloc

import pytest

from bot.domain import scrubbing
from bot.domain.redaction import EMAIL, OWN
from bot.domain.scrubbing import Scrubber
from tests.corpus import CORPUS, KINDS, MARKS, ORDINARY

SIZES = [*range(1, 65), 100, 777, 4096, 70_000]


def scrubbed(data: bytes, sizes: "list[int] | int", **options: bool) -> tuple[bytes, Scrubber]:
    scrubber, out, at, turn = Scrubber(["the-bots-own-key-1"], **options), bytearray(), 0, 0
    while at < len(data):
        size = sizes if isinstance(sizes, int) else sizes[turn % len(sizes)]
        out += scrubber.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    return bytes(out + scrubber.end()), scrubber


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked through at once is so little that every secret lies across its border somewhere."""
    monkeypatch.setattr(scrubbing, "_BLOCK", 96)


def test_the_corpus_is_large_enough_and_has_every_kind() -> None:
    assert len(CORPUS) >= 60
    assert len(KINDS) >= 25
    found = {kind for text in CORPUS for kind in scrubbed(text.encode(), 7)[1].counts}
    assert KINDS - found == set()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("size", SIZES)
def test_no_planted_secret_survives_whatever_the_pieces(size: int) -> None:
    # a key without an end swallows what comes after it
    whole = sorted(CORPUS, key=lambda text: "PRIVATE KEY" in text and "-END" not in text)
    data = "\n".join(f"2026-11-25T09:00:00Z line {number}\n{text}" for number, text in enumerate(whole)).encode()
    out, scrubber = scrubbed(data, size)
    assert [mark for mark in MARKS if mark.encode() in out] == []
    assert out.count(b"2026-11-25T09:00:00Z line ") == len(CORPUS), "what is around them stays"
    assert scrubber.counts.total() >= len(CORPUS)


@pytest.mark.usefixtures("small")
def test_each_secret_alone_is_masked_in_pieces_of_any_size() -> None:
    seeded = random.Random(6)  # noqa: S311 - the same in every run
    for text in CORPUS:
        for _ in range(20):
            sizes = [seeded.randint(1, 40) for _ in range(10)]
            out, _ = scrubbed(f"before {text} after\nthe next line".encode(), sizes)
            assert [mark for mark in MARKS if mark.encode() in out] == [], text


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_ordinary_text_stays_byte_for_byte(size: int) -> None:
    data = "\n".join(ORDINARY).encode() + b"\nnot UTF-8: \xff\xfe\x80 and \xc3\xa4 across\n"
    out, scrubber = scrubbed(data, size)
    assert out == data
    assert not scrubber.counts


def test_the_bots_own_secrets_are_masked_across_pieces() -> None:
    out, scrubber = scrubbed(b"x the-bots-own-key-1 y " * 20_000, 7_777)
    assert b"own-key" not in out
    assert scrubber.counts == {OWN: 20_000}


def test_addresses_are_masked_where_that_is_wanted() -> None:
    data = b"mail from somebody@example.com to another.one@mail.example.org\n"
    assert scrubbed(data, 5)[0] == data
    out, scrubber = scrubbed(data, 5, emails=True)
    assert b"@" not in out
    assert scrubber.counts[EMAIL] == 2


@pytest.mark.parametrize(
    "piece",
    [b"a" * 65_536, b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 65_000, b"x" * 65_535 + b"\n", b'"' * 65_536],
    ids=["no line ends", "keys that never end", "long lines", "quotes"],
)
def test_memory_is_bounded_whatever_comes(piece: bytes) -> None:
    scrubber = Scrubber()
    tracemalloc.start()
    for _ in range(400):
        scrubber.feed(piece)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * scrubbing._HELD, f"{most / 1e6:.1f} MB"
