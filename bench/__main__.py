"""`python -m bench [PART...]`: measures and prints the tables; exit 1 where a promise is broken.

`--write`: into RESULTS.md and README.md. `--long`: the soak and the day instead, which take three quarters of an hour.
With BENCH_SCALE less or more is measured of everything, and nothing is held to what was promised.
"""

import argparse
import asyncio
import importlib
import sys
from collections.abc import Sequence

from bench import results
from bench.figures import SCALE, Figure

PARTS = (
    "triage",
    "acks",
    "start",
    "logs",
    "reminders",
    "mitigation",
    "evidence",
    "status_page",
    "render",
    "alerts",
)
LONG = ("soak", "day")


def _measured(names: Sequence[str]) -> results.Parts:
    held: dict[str, tuple[str, Sequence[Figure]]] = {}
    for name in names:
        module = importlib.import_module(f"bench.{name}")
        question = str(module.__doc__).partition("\n")[0]
        print(f"\n{name}: {question}", flush=True)
        held[name] = (question, asyncio.run(module.measure()))
        print(results.table(held[name][1]), flush=True)
    return held


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join((*PARTS, *LONG)))
    parser.add_argument("--write", action="store_true", help="write RESULTS.md, its charts and README.md")
    parser.add_argument("--long", action="store_true", help="the soak and the day instead")
    told = parser.parse_args()
    if unknown := set(told.parts) - {*PARTS, *LONG}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    usual = LONG if told.long else PARTS
    if told.write and (told.parts or SCALE != 1):
        parser.error("what is written is one whole run at its usual size")
    parts = _measured(told.parts or usual)
    if SCALE != 1:
        return 0
    if told.write:
        results.write(parts, mark="long" if told.long else "figures")
    broken = [figure for _, figures in parts.values() for figure in figures if not figure.kept]
    for figure in broken:
        print(f"not as promised: {figure.what}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
