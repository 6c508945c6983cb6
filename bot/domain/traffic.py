"""What counters say about the traffic: the share that fails, whether it surged, and since when it fails.

Rates are per second; decision-table.md, "Signals", says what each value means.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from bot.domain.signals import RatioPoint

BAD_RATIO = 0.01
# 1/20 comes back from two rates as 0.04999…; six decimals are finer than any threshold
_DECIMALS = 6
# A scrape that was missed, or one quiet minute, does not end an outage
_TOLERATED_GAP = timedelta(minutes=2)
_NORMAL_QUANTILE = 0.10
_ABOVE_NORMAL = 0.005

LabelledRates = Sequence[tuple[Mapping[str, str], float]]


def total(rates: LabelledRates) -> float | None:
    """The sum of the rates; None where there is no series, NaN where one is not a number."""
    if not rates:
        return None
    return math.fsum(rate for _, rate in rates) if all(math.isfinite(rate) for _, rate in rates) else math.nan


def ratio(errors_per_s: float | None, requests_per_s: float | None) -> float | None:
    """The share that fails, 0 to 1. No errors series: 0; 0/0, NaN or no requests series: None; errors alone: 1."""
    errors = 0.0 if errors_per_s is None else errors_per_s
    if requests_per_s is None or not math.isfinite(errors) or not math.isfinite(requests_per_s):
        return None
    if requests_per_s <= 0:
        return 1.0 if errors > 0 else None
    return round(min(1.0, max(0.0, errors / requests_per_s)), _DECIMALS)


def larger(short: float | None, long: float | None) -> tuple[float | None, bool]:
    """E and whether it came from the short window: the larger of both, or that which is known."""
    if short is None or (long is not None and long >= short):
        return long, False
    return short, True


def by_label(rates: LabelledRates, label: str) -> dict[str, float]:
    """Rates above zero summed by a label's value, largest first; series without that label count nowhere."""
    sums: dict[str, float] = {}
    for labels, rate in rates:
        value = labels.get(label)
        if value and math.isfinite(rate) and rate > 0:
            sums[value] = sums.get(value, 0.0) + rate
    return {value: round(rate, _DECIMALS) for value, rate in sorted(sums.items(), key=lambda item: (-item[1], item[0]))}


def history(errors: Iterable[tuple[datetime, float]], requests: Iterable[tuple[datetime, float]]) -> list[RatioPoint]:
    """The share over time, at the moments for which there is one."""
    failing = dict(errors)
    points = []
    for at, rate in sorted(requests):
        share = ratio(failing.get(at), rate)
        if share is not None:
            points.append(RatioPoint(at=at, ratio=share))
    return points


def onset(points: Sequence[RatioPoint], now: datetime) -> datetime | None:
    """When the share last left its normal level, if it is still off it; None where it did not within ``points``.

    The first moment found off is at or after the true start, because a rate only knows what has already happened.
    """
    if not points:
        return None
    ratios = sorted(point.ratio for point in points)
    normal = ratios[int(_NORMAL_QUANTILE * (len(ratios) - 1))]
    off = [point.at for point in points if point.ratio > max(2 * normal, normal + _ABOVE_NORMAL)]
    if not off or off[-1] != points[-1].at or now - off[-1] > _TOLERATED_GAP:
        return None
    start = off[-1]
    for at in reversed(off):
        if start - at > _TOLERATED_GAP:
            break
        start = at
    return None if start <= points[0].at else start


def rounded(rate: float | None) -> float | None:
    """A rate to six decimals; None where it is not a number."""
    return None if rate is None or not math.isfinite(rate) else round(rate, _DECIMALS)
