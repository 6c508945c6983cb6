"""What was measured against what was promised, as a table; and the processes whose time and memory are measured."""

import asyncio
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# More or less of everything that is counted: 0.02 to see that all of it still runs, 10 for a larger machine.
SCALE = float(os.environ.get("BENCH_SCALE", "1"))


def scaled(count: int, *, least: int = 1) -> int:
    """``count`` by SCALE."""
    return max(least, round(count * SCALE))


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured thing; ``limit`` None: told for comparison only."""

    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def kept(self) -> bool:
        return self.limit is None or self.value <= self.limit

    def row(self) -> str:
        promised = "" if self.limit is None else f"{self.limit:.3g} {self.unit}"
        return f"| {self.what} | {self.value:.3g} {self.unit} | {promised} |"


def table(figures: Sequence[Figure]) -> str:
    """The figures as Markdown, with the machine that they are from."""
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
    return "\n".join([f"| {machine} | measured | at most |", "|---|---|---|", *(figure.row() for figure in figures)])


async def bot(*arguments: str, environ: Mapping[str, str], quiet: bool = True) -> asyncio.subprocess.Process:
    """The bot as a process with nothing but ``environ``; its stdout is a pipe."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *arguments),
        env=dict(environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if quiet else None,
    )


async def end(process: asyncio.subprocess.Process) -> None:
    """Raises TimeoutError where the bot does not end within the ten seconds that it has, and then some."""
    if process.returncode is None:
        process.terminate()
    async with asyncio.timeout(15):
        await process.wait()


def memory_mb(pid: int, *, peak: bool = False) -> float:
    """Resident memory of a process, now or (``peak``) at its highest; from /proc, in MB of 10^6 bytes."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(wanted)
