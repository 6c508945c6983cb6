"""`python -m bench`: measures and prints the table; exit 1 where a promise is broken. `--write`: into README.md."""

import argparse
import asyncio
import re
import sys
from pathlib import Path

from bench import acks, alerts, clocks, evidence, logs, mitigation, status_page, triage
from bench.figures import Figure, table

README = Path(__file__).parent.parent / "README.md"
_MARKED = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)


async def _measure() -> list[Figure]:
    parts = (triage, logs, evidence, clocks, acks, alerts, mitigation, status_page)
    return [figure for part in parts for figure in await part.measure()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    write = parser.parse_args().write
    figures = asyncio.run(_measure())
    print(table(figures))
    if write:
        README.write_text(_MARKED.sub(lambda found: found[1] + table(figures) + "\n" + found[2], README.read_text()))
    broken = [figure for figure in figures if not figure.kept]
    for figure in broken:
        print(f"more than promised: {figure.row()}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
