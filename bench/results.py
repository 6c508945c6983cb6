"""Writes what was measured: bench/RESULTS.md, its charts, the values of each round, and README's few lines."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pyperf

from bench.charts import charts
from bench.figures import Figure, median, spread
from bench.processes import program

HERE = Path(__file__).parent
RESULTS, README, RAW, CHARTS = HERE / "RESULTS.md", HERE.parent / "README.md", HERE / "results.json", HERE / "charts"
# Of the libraries whose speed is measured along.
_TOLD = ("slack-bolt", "aiohttp", "httpx", "sqlalchemy", "jinja2", "kubernetes")
# pyperf's name, and what a figure's unit is of it.
_PYPERF_UNITS = {"s": ("second", 1.0), "ms": ("second", 1e-3), "MB": ("byte", 1e6)}

Parts = Mapping[str, tuple[str, Sequence[Figure]]]
"""By the part's name: its question, and what was measured."""


def table(figures: Sequence[Figure]) -> str:
    """As Markdown; medians, and the median of the distances from it."""
    head = "| what | measured | beside it | ratio | promised | kept |\n|---|---|---|---|---|---|"
    return "\n".join([head, *map(_row, figures)])


def _row(figure: Figure) -> str:
    beside = f"{figure.beside}: {_shown(figure.reference)} {figure.unit}".strip() if figure.reference else ""
    ratio = "" if figure.ratio is None else f"{figure.ratio:.3g}"
    goal = "" if figure.goal is None else figure.goal.told(figure.unit)
    kept = "" if figure.goal is None else "yes" if figure.kept else "**no**"
    measured = f"{_shown(figure.values)} {figure.unit}".strip()
    # what people type holds pipes, which end a cell
    cells = (figure.what, measured, beside, ratio, goal, kept)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _shown(values: Sequence[float]) -> str:
    wide = spread(values)
    return _number(median(values)) + (f" ± {_number(wide)}" if wide else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def document(parts: Parts) -> str:
    """What stands between the marks of RESULTS.md."""
    sections = [f"### {name}: {question}\n\n{table(figures)}" for name, (question, figures) in parts.items()]
    return "\n\n".join([machine(), *sections])


def machine() -> str:
    """What it was measured on, and when; nothing that names the machine."""
    held = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    versions = ", ".join([*(f"{name} {version(name)}" for name in _TOLD), *_programs()])
    return (
        f"{held['cpu_count']} cores ({held['cpu_model_name']}), Python {held['python_version']}, {versions}; "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )


def _programs() -> list[str]:
    """Of what is laid beside the bot: the first version that each names."""
    asked = {"kubectl": ["version", "--client"], "nginx": ["-v"], "curl": ["--version"], "grep": ["--version"]}
    held = []
    for name, words in asked.items():
        told = subprocess.run([program(name), *words], capture_output=True, text=True, check=False)
        found = re.search(r"\d+(?:\.\d+)+", told.stdout + told.stderr)
        held.append(f"{name} {found[0] if found else '?'}")
    return held


def write(parts: Parts, *, mark: str = "figures") -> None:
    """``mark``: which part of the two files is written anew."""
    RESULTS.write_text(between(RESULTS.read_text(), mark, document(parts)))
    headlines = [figure for _, figures in parts.values() for figure in figures if figure.headline]
    if headlines:
        README.write_text(between(README.read_text(), mark, table(headlines)))
        charts({name: figures for name, (_, figures) in parts.items()}, CHARTS)
        _keep(parts)


def between(text: str, mark: str, held: str) -> str:
    """``text`` with ``held`` between ``<!-- mark -->`` and ``<!-- /mark -->``."""
    marked = re.compile(f"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    assert marked.search(text), f"no <!-- {mark} --> is there"
    return marked.sub(lambda found: f"{found[1]}{held}\n{found[2]}", text)


def _keep(parts: Parts) -> None:
    """The values of all rounds, which `python -m pyperf compare_to` lays beside those of another run."""
    held = list[pyperf.Benchmark]()
    for name, (_, figures) in parts.items():
        for figure in figures:
            unit, factor = _PYPERF_UNITS.get(figure.unit, ("integer", 1.0))
            values = [value * factor for value in figure.values if value > 0]
            told = {"name": f"{name}: {figure.what} ({figure.unit})", "unit": unit}
            if values and told["name"] not in {one.get_name() for one in held}:
                held.append(pyperf.Benchmark([pyperf.Run(values, metadata=told, collect_metadata=False)]))
    RAW.unlink(missing_ok=True)
    pyperf.BenchmarkSuite(held).dump(str(RAW))
