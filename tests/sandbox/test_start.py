"""The sandbox as a process: where it listens, what it leaves, and what it does where its port is taken."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

_LISTENING, _LOOPBACK = "0A", "0100007F"


@dataclass
class Started:
    process: asyncio.subprocess.Process
    url: str
    taken_port: int


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[Started]:
    """On a machine on which its port is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "sandbox", "--port", str(port)),
            env=dict(os.environ, TMPDIR=str(tmp_path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        async with asyncio.timeout(60):
            url = (await process.stdout.readline()).decode().strip()
        yield Started(process, url, port)
    if process.returncode is None:
        everything = below(process.pid)
        process.kill()
        await process.wait()
        # as after a loss of power: without its sandbox the bot ends by itself
        await until(lambda: not left(everything))


def below(pid: int) -> set[int]:
    """The process and all that it has started, directly or not."""
    parents = {}
    for held in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(held.parent.name)] = int(held.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has just ended
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def opened(pids: set[int]) -> set[str]:
    """What these processes hold open, as the kernel calls it."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):  # the process has just ended
            for held in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):  # it has just been closed
                    found.add(str(held.readlink()))
    return found


def listening(pids: set[int]) -> set[str]:
    """The addresses, as the kernel writes them, on which these processes listen."""
    inodes = {found[1] for one in opened(pids) if (found := re.fullmatch(r"socket:\[(\d+)\]", one))}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == _LISTENING and row[9] in inodes}


async def page(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.text()


async def until(done: Callable[[], bool]) -> None:
    for _ in range(600):
        if done():
            return
        await asyncio.sleep(0.05)
    raise TimeoutError


def left(pids: set[int]) -> list[int]:
    """Those that still run."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[], list[str]]:
    """What there is in the folder for what is temporary."""
    return lambda: [one.name for one in tmp_path.iterdir()]


async def test_it_takes_a_free_port_listens_on_loopback_alone_and_ctrl_c_leaves_nothing(
    started: Started, folder: Callable[[], list[str]]
) -> None:
    assert started.url.startswith("http://127.0.0.1:")
    assert not started.url.endswith(f":{started.taken_port}")
    assert "/mistral triage" in await page(started.url)
    await until(lambda: len(below(started.process.pid)) > 1)
    everything = below(started.process.pid)
    await until(lambda: len(listening(everything - {started.process.pid})) > 0)
    assert listening(everything) == {_LOOPBACK}
    assert folder()
    started.process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        _, err = await started.process.communicate()
    assert started.process.returncode == 0
    assert b"Traceback" not in err, err.decode()
    assert (left(everything), folder()) == ([], [])


async def test_ctrl_c_while_it_starts_leaves_nothing_either(started: Started, folder: Callable[[], list[str]]) -> None:
    everything = below(started.process.pid)
    started.process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        _, err = await started.process.communicate()
    assert started.process.returncode == 0, err.decode()
    assert (left(everything), folder()) == ([], [])
    with pytest.raises(aiohttp.ClientError):
        await page(started.url)


async def test_another_site_in_the_same_browser_changes_nothing(started: Started) -> None:
    async with (
        aiohttp.ClientSession(headers={"Origin": "https://evil.example"}) as session,
        session.post(f"{started.url}/story", data={"name": "all is well"}) as answer,
    ):
        assert answer.status == 403
    assert "One answer in five" in await page(started.url)
