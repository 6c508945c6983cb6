"""How many requests a second does a server answer, and how soon? A client that costs next to nothing.

As a process of its own it reads one JSON object from stdin, {port, requests, connections, seconds}, and prints what
:class:`Answered` holds; so what else the caller does is not measured.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bench.figures import percentile

_HEAD_END, _LENGTH = b"\r\n\r\n", b"content-length:"


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Requests a second; seconds within which half, 99 % and 99.9 % of them were answered."""

    rate: float
    p50: float
    p99: float
    p999: float


async def load(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Answered:
    """Asks the next on each of the connections as soon as it is answered, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.load"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    told = {
        "port": port,
        "requests": [one.decode() for one in requests],
        "connections": connections,
        "seconds": seconds,
    }
    out, _ = await process.communicate(json.dumps(told).encode())
    assert process.returncode == 0, "the load ended early"
    return Answered(**json.loads(out))


class _Reader(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], took: list[float]) -> None:
        self._requests, self._took = requests, took
        self._size, self._held, self._asked = 0, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        request = next(self._requests)
        self._asked = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._held += data
        if not self._size and _HEAD_END in self._held:
            head, _, _ = self._held.partition(_HEAD_END)
            assert head.startswith(b"HTTP/1.1 200"), self._held
            length = head.lower().partition(_LENGTH)[2].partition(b"\r\n")[0]
            self._size = len(head) + len(_HEAD_END) + int(length)
        if self._size and len(self._held) >= self._size:
            assert len(self._held) == self._size, "more than one answer came"
            self._took.append(time.perf_counter() - self._asked)
            self._size, self._held = 0, b""
            self._ask()


async def _run(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Answered:
    loop, took = asyncio.get_running_loop(), list[float]()
    loop.set_exception_handler(_fail)
    make = partial(_Reader, itertools.cycle(requests), took)
    made = [await loop.create_connection(make, "127.0.0.1", port) for _ in range(connections)]
    # what the first answers cost is not what goes on
    await asyncio.sleep(min(0.3, seconds / 4))
    took.clear()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    for _ in range(6_000):
        if took:
            break
        # a round of a smoke run is shorter than a machine may stand still
        await asyncio.sleep(0.01)
    lasted = time.perf_counter() - began
    for transport, _ in made:
        transport.abort()
    return _answered(took, lasted)


def _fail(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    sys.exit(f"bench.load: {context.get('exception')}")


def _answered(took: Sequence[float], lasted: float) -> Answered:
    return Answered(
        rate=len(took) / lasted, p50=percentile(took, 50), p99=percentile(took, 99), p999=percentile(took, 99.9)
    )


def main() -> None:
    told = json.loads(sys.stdin.read())
    requests = [one.encode() for one in told["requests"]]
    done = asyncio.run(_run(told["port"], requests, told["connections"], told["seconds"]))
    print(json.dumps(vars(done)))


if __name__ == "__main__":
    main()
