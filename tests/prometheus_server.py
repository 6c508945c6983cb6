"""A real Prometheus over series that are written before it starts, and ``PROMETHEUS`` which says if one is there."""

import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bot.sandbox.launcher import free_port
from tests.needed import fail_or_skip

STEP_S = 15
HISTORY_S = 3 * 3600 + 300


def prometheus_or_skip() -> None:
    """Fails in CI where the programs are missing, else skips."""
    missing = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    if not missing:
        return
    said = f"{' and '.join(missing)} missing: apt-get install prometheus"
    fail_or_skip(said)


def counter(labels: str, rate: Callable[[float], float], now: float) -> Iterator[tuple[str, float, float]]:
    """Samples (labels, value, time) of a counter whose rate is a function of the age in seconds."""
    total = 0.0
    for index in range(HISTORY_S // STEP_S + 1):
        age = HISTORY_S - index * STEP_S
        yield labels, total, now - age
        total += STEP_S * rate(age - STEP_S / 2)


def openmetrics(series: Mapping[str, list[tuple[str, Callable[[float], float]]]], now: float) -> str:
    """OpenMetrics text of counters, ``series`` by name without ``_total``."""
    lines = []
    for name, held in series.items():
        lines.append(f"# TYPE {name} counter")
        for labels, rate in held:
            lines += [f"{name}_total{{{lab}}} {value} {at:.3f}" for lab, value, at in counter(labels, rate, now)]
    return "\n".join([*lines, "# EOF", ""])


@contextmanager
def serving(folder: Path, text: str) -> Iterator[str]:
    """The URL of a Prometheus that holds these series, for as long as the block lasts."""
    source, data, config = folder / "series.txt", folder / "data", folder / "prometheus.yml"
    source.write_text(text, encoding="utf-8")
    config.write_text("global: {}\n", encoding="utf-8")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(source), str(data)]
    subprocess.run(command, check=True, capture_output=True)
    with (folder / "log").open("wb") as log:
        server, url = _started([f"--config.file={config}", f"--storage.tsdb.path={data}"], log)
        try:
            yield url
        finally:
            _end(server)


def _started(options: list[str], log: BinaryIO) -> "tuple[subprocess.Popen[bytes], str]":
    for _ in range(3):
        # another process may take the port before this one listens
        address = f"127.0.0.1:{free_port()}"
        more = ["--storage.tsdb.retention.time=10y", f"--web.listen-address={address}"]
        server = subprocess.Popen(["prometheus", *options, *more], stdout=log, stderr=log)
        try:
            _wait(f"http://{address}", server)
        except BaseException:
            _end(server)
            raise
        if server.poll() is None:
            return server, f"http://{address}"
    raise RuntimeError("Prometheus did not start")


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    """Until it is ready, or has ended."""
    end = time.monotonic() + 60
    while server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=60):  # noqa: S310 - loopback
                return
        except OSError as error:
            if time.monotonic() > end:
                raise RuntimeError("Prometheus does not answer") from error
            time.sleep(0.05)


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
