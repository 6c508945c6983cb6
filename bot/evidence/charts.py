"""Pictures of what Prometheus said, with the incident's milestones: drawn from what the metrics have left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.traffic import history
from bot.errors import BotError
from bot.ports import Bundle, Collecting, Series

_MOST_LINES = 8
Points = Sequence[tuple[datetime, float]]


@dataclass(frozen=True)
class ChartsSource:
    name: str = "charts"
    order: int = 2

    async def collect(self, asked: Collecting, bundle: Bundle) -> None:
        marks = marks_of(asked)
        for name, (title, series, unit) in pictures(asked).items():
            if not any(series.values()):
                continue
            try:
                png = await asked.charts.lines(title, series, unit=unit, marks=marks)
            except BotError as error:
                bundle.miss(f"chart: {title}", str(error))
                continue
            await bundle.add(f"charts/{name}.png", png, source="drawn from the metrics", text=False)


def marks_of(asked: Collecting) -> list[tuple[datetime, str]]:
    """The milestones."""
    if asked.record is None:
        return []
    return [(at, milestone.value) for milestone, at in asked.record.incident.milestones.items()]


def pictures(asked: Collecting) -> Mapping[str, tuple[str, Mapping[str, Points], str]]:
    """(title, series, unit) by the file's name; without what Prometheus had nothing of."""
    errors, requests = _summed(asked, "error rate by code"), _summed(asked, "request rate")
    share = [(point.at, 100 * point.ratio) for point in history(errors, requests)] if errors and requests else []
    code, pod = asked.labels.code, asked.labels.pod
    made = {
        "share-of-errors": ("Requests that fail", {"": share}, "%"),
        "errors-by-code": ("Errors by code", _named(asked, "error rate by code", code), "/s"),
        "requests-by-pod": ("Requests by pod", _named(asked, "request rate by pod", pod), "/s"),
        "latency-by-code": ("Latency by code, 95th percentile", _named(asked, "latency by code", code), "s"),
    }
    return {name: picture for name, picture in made.items() if any(picture[1].values())}


def _series(asked: Collecting, name: str) -> Sequence[Series]:
    held: Sequence[Series] = asked.shared.get(name, ())
    return held


def _named(asked: Collecting, name: str, label: str) -> Mapping[str, Points]:
    """The largest of them, by what the label says."""
    held = sorted(_series(asked, name), key=lambda one: -max((value for _, value in one.points), default=0.0))
    return {series.labels.get(label, "") or "(none)": series.points for series in held[:_MOST_LINES]}


def _summed(asked: Collecting, name: str) -> list[tuple[datetime, float]]:
    total: dict[datetime, float] = {}
    for series in _series(asked, name):
        for at, value in series.points:
            total[at] = total.get(at, 0.0) + value
    return sorted(total.items())


SOURCE = ChartsSource()
