"""The chart of the error rate, drawn in a child process that ends: matplotlib's 45 MB are held for a second only."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bot.errors import BotError

_MODULE = "bot.clients.charts"
_RED, _BLUE, _GREY = "#c0392b", "#2563a8", "#5f6b7a"


class ChartProcess:
    """The Charts port; a chart that takes longer than ``timeout_s`` seconds is given up."""

    def __init__(self, timeout_s: float = 20.0) -> None:
        self._timeout_s = timeout_s

    async def error_rate(
        self, points: Sequence[tuple[datetime, float]], *, onset: datetime | None, rollouts: Sequence[datetime]
    ) -> bytes:
        """A PNG of 1600 by 600 pixels; raises BotError where it cannot be drawn."""
        document = {
            "points": [(at.timestamp(), ratio) for at, ratio in points],
            "onset": None if onset is None else onset.timestamp(),
            "rollouts": [at.timestamp() for at in rollouts],
        }
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
    """The PNG of what ``error_rate`` was given, with times as seconds since 1970."""
    from io import BytesIO

    import matplotlib.dates
    from matplotlib.figure import Figure

    dates: Any = matplotlib.dates
    times = [datetime.fromtimestamp(at, UTC) for at, _ in document["points"]]
    shares = [100 * ratio for _, ratio in document["points"]]
    figure = Figure(figsize=(8, 3), dpi=200, layout="constrained")
    axes: Any = figure.add_subplot()
    axes.set_title("Requests that fail", loc="left", fontsize=11, fontweight="bold")
    axes.fill_between(times, shares, color=_RED, alpha=0.14, linewidth=0)
    axes.plot(times, shares, color=_RED, linewidth=1.8)
    # 18 % above the curve stay free for the labels of the marks
    axes.set_ylim(0, max(1.0, 1.18 * max(shares, default=0.0)))
    if times:
        axes.set_xlim(min(times), max(times))
    _mark(axes, document, times)
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=4, maxticks=8))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M", tz=UTC))
    axes.set_xlabel("UTC", fontsize=8, color=_GREY, loc="right")
    axes.tick_params(labelsize=8, colors=_GREY, length=0)
    axes.grid(axis="y", color="#e3e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#c5cbd3")
    png = BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _mark(axes: Any, document: dict[str, Any], times: Sequence[datetime]) -> None:
    marks = [(at, "rollout", _BLUE, "--", "right") for at in document["rollouts"]]
    if document["onset"] is not None:
        marks.append((document["onset"], "onset", "black", "-", "left"))
    for at, text, color, style, side in marks:
        when = datetime.fromtimestamp(at, UTC)
        if not times or not min(times) <= when <= max(times):
            continue
        axes.axvline(when, color=color, linestyle=style, linewidth=1.2)
        axes.annotate(
            f"{text} {when:%H:%M}",
            (when, 0.98),
            xycoords=("data", "axes fraction"),
            xytext=(4 if side == "left" else -4, 0),
            textcoords="offset points",
            ha=side,
            va="top",
            fontsize=8,
            color=color,
        )


if __name__ == "__main__":
    sys.stdout.buffer.write(draw(json.load(sys.stdin)))
