"""The timeline's chain: whatever is changed, left out, added or moved afterwards is found."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.timeline import FIRST_HASH, Entry, Event, Kind, fault, seal
from tests.domain.incidents import ADA, HOUR, MINUTE, ROBIN, moments
from tests.fakes import NOW

_DATA = st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=3)
_EVENTS = st.builds(
    Event, kind=st.sampled_from(Kind), at=moments, actor=st.text(max_size=12), text=st.text(max_size=50), data=_DATA
)
_CHAINS = st.lists(_EVENTS, min_size=1, max_size=8)


def chain(events: list[Event]) -> list[Entry]:
    return seal(events, incident=3, last_number=0, last_hash=FIRST_HASH, noted=NOW)


def found(entries: list[Entry], written: list[Entry]) -> str | None:
    """What is wrong with ``entries`` where the incident's row speaks of those that were ``written``."""
    return fault(entries, count=len(written), last_hash=written[-1].hash)


def noted(*texts: str) -> list[Entry]:
    return chain([Event(kind=Kind.NOTE, at=NOW, actor=ADA, text=text, data={"n": 1}) for text in texts])


TAMPERINGS: dict[str, Callable[[Entry], Entry]] = {
    "incident": lambda one: replace(one, incident=4),
    "noted": lambda one: replace(one, noted=one.noted + timedelta(microseconds=1)),
    "kind": lambda one: replace(one, event=replace(one.event, kind=Kind.UPDATE)),
    "at": lambda one: replace(one, event=replace(one.event, at=one.event.at - MINUTE)),
    "actor": lambda one: replace(one, event=replace(one.event, actor=ROBIN)),
    "text": lambda one: replace(one, event=replace(one.event, text=one.event.text + " ")),
    "data": lambda one: replace(one, event=replace(one.event, data={"n": 2})),
    "hash": lambda one: replace(one, hash="f" * 64),
}


@pytest.mark.parametrize("tamper", TAMPERINGS.values(), ids=TAMPERINGS.keys())
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_changed_field_is_found_and_said_where(tamper: Callable[[Entry], Entry], place: int) -> None:
    written = noted("a", "b", "c")
    entries = [*written]
    entries[place] = tamper(entries[place])
    assert found(entries, written) == f"entry {place + 1} was changed"


def test_what_is_missing_added_or_moved_is_said() -> None:
    written = noted("a", "b", "c")
    first, second, third = written
    assert found([first, third], written) == "entry 2 is missing"
    assert found([second, first, third], written) == "entry 1 is missing"
    assert found([first, second], written) == "3 entries were written and 2 are there"
    assert found([], written) == "3 entries were written and 0 are there"
    more = seal([first.event], incident=3, last_number=3, last_hash=third.hash, noted=NOW)
    assert found([*written, *more], written) == "3 entries were written and 4 are there"
    assert found([first, replace(second, previous=FIRST_HASH), third], written) == (
        "entry 2 does not follow the one before it"
    )


def test_a_chain_that_was_sealed_anew_ends_otherwise_than_the_incident_says() -> None:
    assert found(noted("a", "b!"), noted("a", "b")) == "the last entry is not the one that was written last"


def test_a_chain_that_grows_change_by_change_is_the_same_as_one_written_at_once() -> None:
    first = noted("a")
    events = [Event(kind=Kind.NOTE, at=NOW, actor=ADA, text="b", data={"n": 1})]
    second = seal(events, incident=3, last_number=1, last_hash=first[-1].hash, noted=NOW)
    assert [*first, *second] == noted("a", "b")


def test_no_incident_without_an_entry_is_whole_by_chance() -> None:
    assert fault([], count=0, last_hash=FIRST_HASH) is None
    assert fault([], count=0, last_hash="f" * 64) == "the last entry is not the one that was written last"


@given(_CHAINS)
def test_what_is_sealed_is_whole_whatever_zone_a_database_gives_back(events: list[Event]) -> None:
    written = chain(events)
    assert found(written, written) is None
    zone = ZoneInfo("Asia/Kathmandu")

    def elsewhere(at: datetime) -> datetime:
        return at.astimezone(zone)

    moved = [
        replace(one, noted=elsewhere(one.noted), event=replace(one.event, at=elsewhere(one.event.at)))
        for one in written
    ]
    assert found(moved, written) is None


@given(events=_CHAINS, data=st.data())
def test_any_tampering_is_found(events: list[Event], data: st.DataObject) -> None:
    written = chain(events)
    place = data.draw(st.integers(0, len(written) - 1))
    one = written[place]
    other = data.draw(_EVENTS.filter(lambda event: event != one.event))
    forged: list[list[Entry]] = [
        [*written[:place], replace(one, event=other), *written[place + 1 :]],
        [*written[:place], *written[place + 1 :]],
        [*written[: place + 1], *written[place:]],
        chain([*events[:place], other, *events[place + 1 :]]),
        chain([*events[:place], *events[place + 1 :]]),
        chain([*events, other]),
    ]
    assert all(found(entries, written) is not None for entries in forged)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_hold_is_not_sealed(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        chain([Event(kind=Kind.NOTE, at=NOW + HOUR, actor=ADA, text="x", data={"v": value})])
