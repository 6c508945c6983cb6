"""`python -m bench [PART...]`: measures and prints the tables; exit 1 where a promise is broken.

`--write`: into RESULTS.md and README.md. `--long`: the soak and the day instead, which take three quarters of an hour.
With BENCH_SCALE less or more is measured of everything, and nothing is held to what was promised; ``--at-once`` is for
seeing that all of it still runs, whatever it takes.
"""

import argparse
import asyncio
import importlib
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

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


def seen(names: Sequence[str], at_once: int) -> int:
    """Each part in a process of its own; 1 where one of them failed."""

    def ran(name: str) -> bool:
        told = subprocess.run([sys.executable, "-m", "bench", name], capture_output=True, text=True, check=False)
        print(told.stdout + told.stderr, flush=True)
        return told.returncode == 0

    with ThreadPoolExecutor(at_once) as pool:
        return 0 if all(list(pool.map(ran, names))) else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join((*PARTS, *LONG)))
    parser.add_argument("--write", action="store_true", help="write RESULTS.md, its charts and README.md")
    parser.add_argument("--long", action="store_true", help="the soak and the day instead")
    parser.add_argument("--at-once", type=int, metavar="N", help="so many parts at a time, each a process of its own")
    told = parser.parse_args()
    if unknown := set(told.parts) - {*PARTS, *LONG}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    usual = LONG if told.long else PARTS
    if told.write and (told.parts or SCALE != 1):
        parser.error("what is written is one whole run at its usual size")
    if told.at_once is not None:
        if SCALE >= 1:
            parser.error("parts that run at once disturb each other: BENCH_SCALE=0.02 is for seeing that they run")
        return seen(told.parts or usual, told.at_once)
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
