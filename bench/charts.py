"""The charts of RESULTS.md: how far each goal is from what is promised, and what grows with what."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import rcParams
from matplotlib.figure import Figure as Drawing

from bench.figures import Figure

_GOOD, _BAD, _PLAIN = "#2a7d4f", "#b3261e", "#5b6b7b"
_WORDS_WIDE = 70


def charts(parts: Mapping[str, Sequence[Figure]], folder: Path) -> None:
    """Writes SVG files into ``folder``."""
    folder.mkdir(exist_ok=True)
    # the same figures are to be the same file
    rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False})
    goals = [figure for figures in parts.values() for figure in figures if figure.goal is not None]
    _goals(goals, folder / "goals.svg")
    _triage(parts.get("triage", ()), folder / "triage.svg")
    _growth(parts.get("reminders", ()), folder / "reminders.svg")


def _share(figure: Figure) -> float:
    """Of what is promised: 1 is just kept, less is better."""
    assert figure.goal is not None
    limit, held = figure.goal.limit, max(figure.judged, 1e-9)
    return limit / held if figure.goal.at_least else max(held, 0.0) / limit if limit else held


def _goals(figures: Sequence[Figure], path: Path) -> None:
    shown = sorted(figures, key=_share)
    drawing = Drawing(figsize=(9, 0.24 * len(shown) + 1))
    axes = drawing.subplots()
    shares = [max(_share(one), 0.003) for one in shown]
    axes.barh(range(len(shown)), shares, color=[_GOOD if one.kept else _BAD for one in shown])
    axes.set_yticks(range(len(shown)), [_cut(one.what) for one in shown])
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("of what is promised (1: just kept; further left is better)")
    _save(drawing, path)


def _triage(figures: Sequence[Figure], path: Path) -> None:
    """Card and runbook over the upstream's latency, a line for each number of pods."""
    lines: dict[str, list[tuple[float, float, float]]] = {}
    for one in figures:
        told = re.fullmatch(r"command to card, (\d+ pods?), upstream ([\d.]+) s", one.what)
        if told and one.beside.startswith("the runbook") and one.ratio:
            lines.setdefault(told[1], []).append((float(told[2]), one.value, one.value / one.ratio))
    if not lines:
        return
    drawing = Drawing(figsize=(7, 4))
    axes = drawing.subplots()
    for (pods, points), style in zip(lines.items(), ("-", "--", ":"), strict=False):
        upstream = [point[0] for point in points]
        axes.plot(upstream, [point[1] for point in points], style, color=_GOOD, label=f"the bot, {pods}")
        axes.plot(upstream, [point[2] for point in points], style, color=_PLAIN, label=f"the runbook, {pods}")
    axes.set_xlabel("what Mistral's API takes, s")
    axes.set_ylabel("until all is known, s")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    _save(drawing, path)


def _growth(figures: Sequence[Figure], path: Path) -> None:
    """The cost of a tick over the number of open incidents, beside what it would be if it grew with them."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for one in figures:
        told = re.fullmatch(r"a tick with \d+ reminders due, (.+), ([\d,]+) open", one.what)
        if told and one.ratio:
            first = int(re.sub(r"\D", "", one.beside))
            line = lines.setdefault(told[1], [(first, one.value / one.ratio)])
            line.append((int(told[2].replace(",", "")), one.value))
    if not lines:
        return
    drawing = Drawing(figsize=(7, 4))
    axes = drawing.subplots()
    for name, points in lines.items():
        axes.plot([many for many, _ in points], [took * 1000 for _, took in points], marker="o", label=name)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0, top=1.3 * max(took * 1000 for points in lines.values() for _, took in points))
    axes.set_xlabel("open incidents, of which 100 are due")
    axes.set_ylabel("a tick, ms")
    axes.legend(frameon=False)
    _save(drawing, path)


def _cut(text: str) -> str:
    return text if len(text) <= _WORDS_WIDE else text[: _WORDS_WIDE - 1] + "…"


def _save(drawing: Drawing, path: Path) -> None:
    drawing.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
