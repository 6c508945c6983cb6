"""A real Prometheus over series that are written before it starts, and ``PROMETHEUS`` which says if one is there."""

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={data}",
                "--storage.tsdb.retention.time=10y",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            _wait(url, server)
            yield url
        finally:
            server.terminate()
            server.wait(10)


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                break
            time.sleep(0.05)
    raise RuntimeError("Prometheus did not start")
