"""Charts, drawn in a child process that ends: matplotlib's 45 MB are held for a second only."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from bot.errors import BotError

_MODULE = "bot.clients.charts"
_RED, _BLUE, _GREY = "#c0392b", "#2563a8", "#5f6b7a"
# Told apart by whoever sees no red or green, too (Okabe and Ito's, but for the first).
_COLORS = (_RED, "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
_STYLES = {"rollout": (_BLUE, "--")}


class ChartProcess:
    """The Charts port; a chart that takes longer than ``timeout_s`` seconds is given up."""

    def __init__(self, timeout_s: float = 20.0) -> None:
        self._timeout_s = timeout_s

    async def error_rate(
        self, points: Sequence[tuple[datetime, float]], *, onset: datetime | None, rollouts: Sequence[datetime]
    ) -> bytes:
        """A PNG of 1600 by 600 pixels; raises BotError where it cannot be drawn."""
        marks = [(at, "rollout") for at in rollouts] + ([] if onset is None else [(onset, "onset")])
        shares = [(at, 100 * ratio) for at, ratio in points]
        return await self.lines("Requests that fail", {"": shares}, unit="%", marks=marks)

    async def lines(
        self,
        title: str,
        series: Mapping[str, Sequence[tuple[datetime, float]]],
        *,
        unit: str,
        marks: Sequence[tuple[datetime, str]] = (),
    ) -> bytes:
        """A PNG of 1600 by 600 pixels; raises BotError where it cannot be drawn."""
        return await self._drawn(
            {
                "kind": "lines",
                "title": title,
                "unit": unit,
                "series": [
                    {"name": name, "points": [(at.timestamp(), value) for at, value in points if isfinite(value)]}
                    for name, points in series.items()
                ],
                "marks": [(at.timestamp(), text) for at, text in marks],
            }
        )

    async def bars(self, title: str, labels: Sequence[str], stacks: Mapping[str, Sequence[float]]) -> bytes:
        """A PNG of 1600 by 600 pixels: a bar for each label, of parts that are called as in ``stacks``."""
        held = {name: list(parts) for name, parts in stacks.items()}
        return await self._drawn({"kind": "bars", "title": title, "labels": list(labels), "stacks": held})

    async def _drawn(self, document: Mapping[str, Any]) -> bytes:
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                _MODULE,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise BotError(f"the chart could not be drawn: no process could be started ({error.strerror})") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                png, _ = await child.communicate(json.dumps(document).encode())
        except TimeoutError as error:
            raise BotError(f"the chart was not drawn within {self._timeout_s:g} s") from error
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        if child.returncode != 0 or not png.startswith(b"\x89PNG"):
            raise BotError("the chart could not be drawn")
        return png


def draw(document: dict[str, Any]) -> bytes:
    """The PNG of what a method of ChartProcess was given, with times as seconds since 1970."""
    from io import BytesIO

    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), dpi=200, layout="constrained")
    axes: Any = figure.add_subplot()
    axes.set_title(document["title"], loc="left", fontsize=11, fontweight="bold", parse_math=False)
    (_draw_lines if document["kind"] == "lines" else _draw_bars)(axes, document)
    axes.tick_params(labelsize=8, colors=_GREY, length=0)
    axes.grid(axis="y", color="#e3e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#c5cbd3")
    png = BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _draw_lines(axes: Any, document: Mapping[str, Any]) -> None:
    import matplotlib.dates

    dates: Any = matplotlib.dates
    every: list[datetime] = []
    highest = 0.0
    for number, series in enumerate(document["series"]):
        times = [datetime.fromtimestamp(at, UTC) for at, _ in series["points"]]
        values = [value for _, value in series["points"]]
        color = _COLORS[number % len(_COLORS)]
        if len(document["series"]) == 1:
            axes.fill_between(times, values, color=color, alpha=0.14, linewidth=0)
        # a name that begins with an underline would have no line in the legend
        axes.plot(times, values, color=color, linewidth=1.8, label=f" {series['name']}")
        every += times
        highest = max([highest, *values])
    # 18 % above the curve stay free for the labels of the marks
    axes.set_ylim(0, 1.18 * highest if document["unit"] != "%" else max(1.0, 1.18 * highest) or 1.0)
    if highest == 0:
        axes.set_ylim(0, 1)
    if every:
        axes.set_xlim(min(every), max(every))
    _mark(axes, document["marks"], every)
    if len(document["series"]) > 1:
        held = axes.legend(fontsize=7, loc="upper left", frameon=False, ncols=4)
        for text in held.get_texts():
            text.set_parse_math(False)
    axes.yaxis.set_major_formatter(f"{{x:g}} {document['unit']}")
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=4, maxticks=8))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M", tz=UTC))
    axes.set_xlabel("UTC", fontsize=8, color=_GREY, loc="right")


def _mark(axes: Any, marks: Sequence[tuple[float, str]], times: Sequence[datetime]) -> None:
    """A line at each minute of which there is something to say, and the words on the side where there is room."""
    words: dict[datetime, list[str]] = {}
    for at, text in sorted(marks):
        when = datetime.fromtimestamp(at, UTC).replace(second=0, microsecond=0)
        if times and min(times).replace(second=0, microsecond=0) <= when <= max(times):
            words.setdefault(when, []).append(text)
    for place, (when, texts) in enumerate(words.items()):
        color, style = _STYLES.get(texts[0], ("black", "-"))
        left = when - min(times) > 0.6 * (max(times) - min(times))
        axes.axvline(when, color=color, linestyle=style, linewidth=1.2)
        axes.annotate(
            f"{', '.join(dict.fromkeys(texts))} {when:%H:%M}",
            # those that follow each other stand beneath each other
            (when, 0.98 - 0.09 * (place % 4)),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="top",
            fontsize=8,
            color=color,
            parse_math=False,
        )


def _draw_bars(axes: Any, document: Mapping[str, Any]) -> None:
    labels = document["labels"]
    below = [0.0] * len(labels)
    for number, (name, parts) in enumerate(document["stacks"].items()):
        color = _COLORS[number % len(_COLORS)]
        axes.bar(range(len(labels)), parts, bottom=below, width=0.6, color=color, label=f" {name}")
        below = [one + part for one, part in zip(below, parts, strict=True)]
    every = -(-len(labels) // 12)  # more would run into each other
    axes.set_xticks(range(0, len(labels), every or 1), labels[:: every or 1])
    # a few bars are no wall, and above them is room for the legend
    axes.set_xlim(-0.5, max(len(labels), 8) - 0.5)
    axes.set_ylim(0, 1.3 * max([1.0, *below]))
    axes.yaxis.get_major_locator().set_params(integer=True)
    if len(document["stacks"]) > 1:
        axes.legend(fontsize=8, loc="upper left", frameon=False, ncols=4)


if __name__ == "__main__":
    # a second of work for a picture, while somebody waits for an answer
    os.nice(10)
    sys.stdout.buffer.write(draw(json.load(sys.stdin)))
