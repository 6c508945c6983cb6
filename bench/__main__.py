"""`python -m bench`: measures and prints the table; exit 1 where a promise is broken. `--write`: into README.md.

`--long`: the soak and the day instead, which take three quarters of an hour. With BENCH_SCALE less or more is measured
of everything, and nothing is held to what was promised.
"""

import argparse
import asyncio
import re
import sys
from pathlib import Path

from bench import acks, alerts, clocks, day, evidence, logs, mitigation, soak, status_page, triage
from bench.figures import SCALE, Figure, table

README = Path(__file__).parent.parent / "README.md"
_PARTS = (triage, logs, evidence, clocks, acks, alerts, mitigation, status_page)


async def _measure() -> list[Figure]:
    return [figure for part in _PARTS for figure in await part.measure()]


async def _measure_long() -> list[Figure]:
    return [*await soak.measure(), *await day.measure()]


def _written(readme: str, mark: str, figures: list[Figure]) -> str:
    marked = re.compile(f"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    return marked.sub(lambda found: found[1] + table(figures) + "\n" + found[2], readme)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    parser.add_argument("--long", action="store_true", help="the soak and the day instead")
    told = parser.parse_args()
    figures = asyncio.run(_measure_long() if told.long else _measure())
    print(table(figures))
    if SCALE != 1:
        return 0
    if told.write:
        README.write_text(_written(README.read_text(), "long" if told.long else "figures", figures))
    broken = [figure for figure in figures if not figure.kept]
    for figure in broken:
        print(f"more than promised: {figure.row()}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
