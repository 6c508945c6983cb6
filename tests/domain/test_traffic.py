"""The share that fails and its onset, from rates."""

import math
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import traffic
from bot.domain.signals import RatioPoint
from tests.fakes import NOW

RATES = st.floats(min_value=0, max_value=1e6)


@pytest.mark.parametrize(
    ("errors", "requests", "share"),
    [
        (1.0, 20.0, 0.05),
        (0.9999999, 20.0, 0.05),
        (None, 20.0, 0.0),
        (0.0, 0.0, None),
        (None, 0.0, None),
        (2.0, 0.0, 1.0),
        (30.0, 20.0, 1.0),
        (1.0, None, None),
        (math.nan, 20.0, None),
        (1.0, math.inf, None),
    ],
)
def test_the_share_is_as_the_table_says(errors: float | None, requests: float | None, share: float | None) -> None:
    assert traffic.ratio(errors, requests) == share


@given(RATES, RATES)
def test_a_share_is_between_zero_and_one(errors: float, requests: float) -> None:
    share = traffic.ratio(errors, requests)
    assert (share is None) == (errors == 0 and requests == 0)
    assert share is None or 0 <= share <= 1


@pytest.mark.parametrize(
    ("short", "long", "expected"),
    [
        (0.3, 0.1, (0.3, True)),
        (0.1, 0.3, (0.3, False)),
        (None, 0.2, (0.2, False)),
        (0.2, None, (0.2, True)),
        (None, None, (None, False)),
    ],
)
def test_the_larger_window_counts_or_the_one_that_is_known(
    short: float | None, long: float | None, expected: tuple[float | None, bool]
) -> None:
    assert traffic.larger(short, long) == expected


def test_one_series_that_is_not_a_number_makes_the_sum_unknown() -> None:
    total = traffic.total([({}, 1.0), ({}, math.nan)])
    assert total is not None
    assert math.isnan(total)
    assert traffic.total([]) is None


def test_series_without_the_label_count_for_no_value_of_it() -> None:
    rates = [({"pod": "a"}, 1.0), ({"pod": "b"}, 3.0), ({"pod": "a"}, 1.0), ({}, 9.0), ({"pod": "c"}, 0.0)]
    assert list(traffic.by_label(rates, "pod").items()) == [("b", 3.0), ("a", 2.0)]
    assert traffic.by_label(rates, "model") == {}


def _points(share: Callable[[float], float]) -> list[RatioPoint]:
    """Two hours at 30 s steps; ``share`` takes the age in minutes."""
    return [RatioPoint(at=NOW - timedelta(seconds=30 * i), ratio=share(i / 2)) for i in range(240, -1, -1)]


@given(minutes=st.integers(2, 90), level=st.floats(0.02, 1), normal=st.floats(0, 0.005))
def test_the_onset_is_never_early_and_at_most_as_late_as_the_window(minutes: int, level: float, normal: float) -> None:
    """A rate over five minutes climbs for five minutes after the true start."""
    points = _points(lambda age: normal + (level - normal) * min(1.0, max(0.0, (minutes - age) / 5)))
    found = traffic.onset(points, NOW)
    true = NOW - timedelta(minutes=minutes)
    assert found is not None
    assert true <= found <= true + timedelta(minutes=5)


@pytest.mark.parametrize(
    "share",
    [
        pytest.param(lambda age: 0.0, id="never"),
        pytest.param(lambda age: 0.4, id="all the time"),
        pytest.param(lambda age: 0.4 if 10 < age < 30 else 0.0, id="over"),
        pytest.param(lambda age: 0.004 if age < 10 else 0.0, id="within the noise"),
    ],
)
def test_there_is_no_onset_where_the_level_was_not_left(share: Callable[[float], float]) -> None:
    assert traffic.onset(_points(share), NOW) is None


def test_a_short_gap_does_not_end_an_outage_and_a_long_one_does() -> None:
    short = _points(lambda age: 0.4 if age <= 20 and age != 9 else 0.0)
    long = _points(lambda age: 0.4 if age <= 20 and not 8 < age < 14 else 0.0)
    assert traffic.onset(short, NOW) == NOW - timedelta(minutes=20)
    assert traffic.onset(long, NOW) == NOW - timedelta(minutes=8)


def test_no_points_have_no_onset() -> None:
    assert traffic.onset([], NOW) is None
