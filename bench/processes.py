"""The processes that are measured: the bot, the bare app, kubectl and shells; their time and memory."""

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from bench.figures import Subject, lasting

# After so long a process that has nothing to do has settled.
IDLE_S = lasting(5.0)


async def bot(*arguments: str, environ: Mapping[str, str], quiet: bool = True) -> asyncio.subprocess.Process:
    """The bot as a process with nothing but ``environ``; its stdout is a pipe."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *arguments),
        env=dict(environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if quiet else None,
    )


@contextlib.asynccontextmanager
async def module(
    name: str, *arguments: str, environ: Mapping[str, str] | None = None, says: bool = True
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """(a module of this package as a process of its own, the line that it ``says`` once it is ready).

    It ends with its stdin.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"bench.{name}", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environ,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip() if says else ""
    finally:
        process.stdin.close()
        await process.wait()


async def end(process: asyncio.subprocess.Process) -> None:
    """Raises TimeoutError where the bot does not end within the ten seconds that it has, and then some."""
    if process.returncode is None:
        process.terminate()
    async with asyncio.timeout(15):
        await process.wait()


async def shell(command: str, *, environ: Mapping[str, str] | None = None, may_fail: bool = False) -> tuple[float, str]:
    """(seconds of what people type, its start included, and its output); raises AssertionError where it fails."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE, env=environ)
    out, _ = await process.communicate()
    took = time.perf_counter() - began
    assert may_fail or process.returncode == 0, f"{process.returncode}: {command}"
    return took, out.decode(errors="replace")


def typed(command: str, *, says: str, environ: Mapping[str, str] | None = None) -> Subject:
    """Seconds that it takes; raises AssertionError where it does not say so."""

    async def once() -> float:
        took, said = await shell(command, environ=environ)
        assert says in said, f"{command} said {said!r}"
        return took

    return once


def program(name: str) -> str:
    """Its path; ends the benchmark with what to install."""
    if (found := shutil.which(name)) is None:
        raise SystemExit(f"bench: {name} is missing: `make bench` installs it, as root on Debian")
    return found


def memory_mb(pid: int, *, peak: bool = False) -> float:
    """Resident memory of a process, now or (``peak``) at its highest; from /proc, in MB of 10^6 bytes."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(wanted)
