"""The error lines of the last five minutes of all pods, read as streams: memory does not grow with the logs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bot.domain.loglines import CANDIDATE, ErrorLines
from bot.domain.signals import Finding, Logs, ProbeName, Verdict
from bot.errors import NotFound, UpstreamError
from bot.ports import Cluster, ProbeRun
from bot.probes._cluster import cluster_of, pod_facts
from bot.settings import Limits

# Error lines from which on the service counts as bad; decision-table.md.
_ENOUGH = 10
# Of the probe's time, for reading: when all fails there is most to read, and a part of it is worth more than nothing.
_OWN_SHARE = 0.9


@dataclass
class _Reading:
    """What has been read so far."""

    errors: ErrorLines
    lines: int = 0
    pods: int = 0
    tail_reached: int = 0
    cut: int = 0
    late: int = 0
    failed: list[UpstreamError] = field(default_factory=list)


@dataclass(frozen=True)
class LogsProbe:
    name: ProbeName = ProbeName.LOGS
    answers_when_late: bool = False

    async def check(self, run: ProbeRun) -> Finding:
        cluster, limits = cluster_of(run), run.limits
        until = asyncio.get_running_loop().time() + run.timeout_s * _OWN_SHARE
        pods = (await pod_facts(run)).names
        host = urlsplit(run.target.mistral.api_url).hostname or ""
        reading = _Reading(ErrorLines(host, limits.log_line_bytes))
        turns = asyncio.Semaphore(limits.log_streams)
        wanted = [(pod, container) for pod, containers in pods[: limits.log_pods] for container in containers]
        try:
            async with asyncio.timeout_at(until), asyncio.TaskGroup() as group:
                for pod, container in wanted:
                    group.create_task(_read(cluster, pod, container, limits, reading, turns))
        except TimeoutError:
            reading.late = len(wanted) - reading.pods - len(reading.failed)
        if reading.failed and not reading.pods:
            raise reading.failed[0]
        if reading.late and not reading.lines:
            raise TimeoutError
        logs = Logs(
            lines=reading.lines,
            error_lines=reading.errors.count,
            by_kind=dict(reading.errors.by_kind),
            pods=min(len(pods), limits.log_pods),
            patterns=reading.errors.patterns(),
            newest=reading.errors.newest(),
            left_out=tuple(_left_out(reading, limits, len(pods))),
        )
        verdict = Verdict.BAD if logs.error_lines >= _ENOUGH else Verdict.OK
        return Finding(probe=self.name, verdict=verdict, summary=_summary(logs), signal=logs)


async def _read(
    cluster: Cluster, pod: str, container: str, limits: Limits, reading: _Reading, turns: asyncio.Semaphore
) -> None:
    async with turns:
        lines = 0
        try:
            chunks = cluster.log_chunks(pod, container, since_s=limits.log_since_s, tail_lines=limits.log_tail_lines)
            async for block in _whole_lines(chunks, limits.log_line_bytes, reading):
                lines += block.count(b"\n")
                _scan(block, pod, limits.log_line_bytes, reading)
                await asyncio.sleep(0)  # what has been received is handed out without a pause; others want a turn
        except NotFound:
            pass  # it has gone, or has not begun: no log to read
        except UpstreamError as error:
            reading.failed.append(error)
            return
        finally:
            reading.lines += lines
        reading.pods += 1
        reading.tail_reached += lines >= limits.log_tail_lines


async def _whole_lines(chunks: AsyncIterator[bytes], line_bytes: int, reading: _Reading) -> AsyncIterator[bytes]:
    """The chunks again, each ending with a line; a line that is too long keeps its beginning alone."""
    rest = b""
    skipping = False
    async for chunk in chunks:
        if skipping:
            end = chunk.find(b"\n")
            if end < 0:
                continue
            chunk, skipping = chunk[end + 1 :], False
        end = chunk.rfind(b"\n")
        if end >= 0:
            yield rest + chunk[: end + 1]
            rest = chunk[end + 1 :]
        else:
            rest += chunk
        if len(rest) > line_bytes:
            reading.cut += 1
            yield rest[:line_bytes] + b"\n"
            rest, skipping = b"", True
    if rest:
        yield rest + b"\n"


def _scan(block: bytes, pod: str, line_bytes: int, reading: _Reading) -> None:
    """Looks for candidates in the whole block first: nearly all lines cost no more than that."""
    past = 0
    for found in CANDIDATE.finditer(block):
        if found.start() < past:
            continue
        begin = block.rfind(b"\n", 0, found.start()) + 1
        past = block.find(b"\n", found.start()) + 1
        raw = block[begin : min(past - 1, begin + line_bytes)]
        reading.cut += past - 1 - begin > line_bytes
        text = raw.decode("utf-8", "replace")
        at, space, line = text.partition(" ")
        timed = bool(space) and at[:4].isdigit() and "T" in at
        reading.errors.add(pod, at if timed else "", line if timed else text)


def _left_out(reading: _Reading, limits: Limits, pods: int) -> list[str]:
    told = []
    if reading.tail_reached:
        told.append(f"all but the newest {limits.log_tail_lines} lines of {reading.tail_reached} containers")
    if pods > limits.log_pods:
        told.append(f"{pods - limits.log_pods} of {pods} pods")
    if reading.late:
        told.append(f"what {reading.late} containers had not told in time")
    if reading.cut:
        told.append(f"the ends of {reading.cut} lines longer than {limits.log_line_bytes} bytes")
    if reading.failed:
        told.append(f"{len(reading.failed)} containers: {reading.failed[0]}")
    return told


def _summary(logs: Logs) -> str:
    kinds = sorted(logs.by_kind.items(), key=lambda kind: -kind[1])
    split = f" ({', '.join(f'{kind} {count}' for kind, count in kinds[:4])})" if kinds else ""
    limited = "; not all was read" if logs.left_out else ""
    return f"{logs.error_lines} error lines of {logs.lines} in {logs.pods} pods{split}{limited}"


PROBE = LogsProbe()
