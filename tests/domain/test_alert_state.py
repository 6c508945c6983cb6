"""What is known of alerts follows what is told of them, in any order, however often, and however mixed."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.alert_state import LATE, SEEN_EVERY, Known, Register
from bot.domain.alerts import Alert
from tests.domain.alerts import an_alert
from tests.domain.incidents import MINUTE
from tests.fakes import NOW

SECOND = timedelta(seconds=1)


class Kept:
    """What a store would keep, payload after payload."""

    def __init__(self) -> None:
        self.rows: list[Known] = []
        self.written = 0
        self._ids = count(1)

    def told(self, *alerts: Alert, now: datetime = NOW) -> list[Known]:
        """What has changed."""
        register = Register([replace(row, alert=None, changed=False) for row in self.rows], now)
        for alert in alerts:
            register.take(alert)
        changed = register.changed
        self.written += len(changed) + len(register.seen)
        ids = {row.id: row for row in changed}
        seen = set(register.seen)
        self.rows = [ids.pop(row.id, replace(row, seen_at=now if row.id in seen else row.seen_at)) for row in self.rows]
        self.rows += [replace(row, id=next(self._ids)) for row in changed if not row.id]
        return changed

    @property
    def firing(self) -> list[str]:
        return sorted(row.fingerprint for row in self.rows if row.ends_at is None)


def test_a_new_alert_is_new_once() -> None:
    kept = Kept()
    assert len(kept.told(an_alert(), an_alert())) == 1
    assert kept.told(an_alert(), now=NOW + MINUTE) == []
    assert kept.firing == ["A"]


def test_a_repeat_writes_when_it_was_seen_now_and_then_and_nothing_else() -> None:
    kept = Kept()
    kept.told(an_alert())
    for number in range(60):
        assert kept.told(an_alert(), now=NOW + number * MINUTE) == []
    assert kept.written == 1 + 60 // (SEEN_EVERY // MINUTE + 1)


def test_an_end_is_kept_against_what_was_sent_before_it() -> None:
    kept = Kept()
    kept.told(an_alert())
    (ended,) = kept.told(an_alert(ended=NOW + MINUTE), now=NOW + MINUTE)
    assert ended.ends_at == NOW + MINUTE
    assert kept.told(an_alert(), now=NOW + MINUTE + LATE) == []
    assert kept.told(an_alert(ended=NOW + MINUTE), now=NOW + MINUTE + LATE) == []
    (again,) = kept.told(an_alert(), now=NOW + MINUTE + LATE + SECOND)
    assert (again.ends_at, kept.firing) == (None, ["A"])


def test_an_end_of_what_was_never_heard_of_is_known() -> None:
    kept = Kept()
    assert len(kept.told(an_alert(ended=NOW))) == 1
    assert kept.told(an_alert(), now=NOW + SECOND) == []


def test_a_new_beginning_ends_what_was_before_it_and_an_end_all_of_it() -> None:
    kept = Kept()
    kept.told(an_alert())
    changed = kept.told(an_alert(begun=NOW + MINUTE), now=NOW + MINUTE)
    assert [row.ends_at for row in changed] == [NOW + MINUTE, None]
    # a second Prometheus moves the beginning back
    kept.told(an_alert(begun=NOW - MINUTE), now=NOW + 2 * MINUTE)
    assert kept.firing == ["A"]
    kept.told(an_alert(begun=NOW - MINUTE, ended=NOW + 3 * MINUTE), now=NOW + 3 * MINUTE)
    assert kept.firing == []


def test_an_end_that_arrives_late_does_not_end_what_began_after_it() -> None:
    kept = Kept()
    kept.told(an_alert(begun=NOW + 2 * MINUTE), now=NOW + 2 * MINUTE)
    kept.told(an_alert(ended=NOW + MINUTE), now=NOW + 3 * MINUTE)
    assert kept.firing == ["A"]


def test_an_alert_whose_sender_keeps_no_beginning_is_the_one_that_fires() -> None:
    kept = Kept()
    assert kept.told(an_alert(begun=None, ended=NOW)) == [], "what does not fire is over"
    kept.told(an_alert(begun=None), an_alert(begun=None))
    kept.told(an_alert(begun=None), now=NOW + MINUTE)
    assert len(kept.rows) == 1
    kept.told(an_alert(begun=None, ended=NOW + MINUTE), now=NOW + MINUTE)
    assert kept.firing == []
    kept.told(an_alert(begun=None), now=NOW + 2 * MINUTE)
    assert (len(kept.rows), kept.firing) == (2, ["A"])


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_of_payloads_that_arrive_within_minutes_in_any_order_the_end_counts(order: tuple[int, ...]) -> None:
    kept = Kept()
    sent = [(an_alert("A"),), (an_alert("A"), an_alert("B")), (an_alert("A", ended=NOW + MINUTE), an_alert("B"))]
    for place, number in enumerate(order):
        kept.told(*sent[number], now=NOW + MINUTE + place * SECOND)
    assert kept.firing == ["B"]
    assert len(kept.rows) == 2


_EPISODES = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@given(
    lengths=st.dictionaries(st.sampled_from("ABC"), _EPISODES, min_size=1),
    still=st.sets(st.sampled_from("ABC")),
    data=st.data(),
)
def test_in_any_order_with_duplicates_what_fires_in_the_end_is_known_to_fire_and_nothing_else(
    lengths: dict[str, list[int]], still: set[str], data: st.DataObject
) -> None:
    """``lengths``: the minutes of each alert's episodes, of which the last goes on for those that fire ``still``."""
    sent, expected = list[Alert](), set[str]()
    for name, episodes in lengths.items():
        begun = NOW
        for number, length in enumerate(episodes):
            ended = begun + length * MINUTE
            sent.append(an_alert(name, begun))
            if number == len(episodes) - 1 and name in still:
                expected.add(name)
            else:
                sent.append(an_alert(name, begun, ended))
            begun = ended + MINUTE
    told = data.draw(st.permutations(sent + data.draw(st.lists(st.sampled_from(sent), max_size=6))))
    kept = Kept()
    while told:
        size = data.draw(st.integers(1, len(told)))
        kept.told(*told[:size], now=NOW + 60 * MINUTE)
        told = told[size:]
    assert set(kept.firing) == expected
    assert len(kept.firing) == len(expected), "one of each"
    identities = [(row.fingerprint, row.starts_at) for row in kept.rows]
    assert len(identities) == len(set(identities)) == len({(one.fingerprint, one.starts_at) for one in sent})
