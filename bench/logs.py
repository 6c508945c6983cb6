"""The logs of a hundred pods of 10 MB each: the bot's memory, and its time beside `kubectl logs | grep -ic error`."""

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.figures import Figure, bot, end, memory_mb, scaled
from bench.log_server import PODS
from bench.triage import IDLE_S
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios

MORE_MB = 60.0
# the bot's default, and five times that
TAILS = (2_000, 10_000)
ROUNDS = scaled(3)


async def measure() -> list[Figure]:
    figures = []
    async with cluster_with_logs() as cluster:
        with tempfile.TemporaryDirectory() as folder:
            for tail in TAILS:
                kubeconfig, config = await asyncio.to_thread(_files, Path(folder), cluster, tail)
                figures += await _with_tail(tail, kubeconfig, config)
    return figures


def _files(folder: Path, cluster: str, tail: int) -> tuple[Path, Path]:
    """(kubeconfig, the bot's YAML file)"""
    kubeconfig, config = folder / "kubeconfig", folder / "bot.yaml"
    kubeconfig.write_text(cluster)
    config.write_text(f"limits: {{log_tail_lines: {tail}}}\ntimeouts: {{logs: 60, deadline: 60}}\n")
    return kubeconfig, config


async def _with_tail(tail: int, kubeconfig: Path, config: Path) -> list[Figure]:
    environ = {"KUBECONFIG": str(kubeconfig), "MISTRAL_BOT_CONFIG": str(config)}
    counted, kubectl_s = await _kubectl(tail, kubeconfig)
    found, logs_s = await _triage(environ)
    assert found == counted, (found, counted)
    what = f"logs of {PODS} pods, {tail:,} lines each"
    return [
        Figure(what=f"{what}: by kubectl and grep", value=kubectl_s, unit="s"),
        Figure(what=f"{what}: read and counted", value=logs_s, unit="s", limit=kubectl_s),
        Figure(what=f"{what}: more memory", value=await _more_mb(environ), unit="MB", limit=MORE_MB),
    ]


@asynccontextmanager
async def cluster_with_logs() -> AsyncIterator[str]:
    """The kubeconfig of a cluster with much to read."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.log_server"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()


async def _kubectl(tail: int, kubeconfig: Path) -> tuple[int, float]:
    """(error lines, seconds), its start included as it is in what people type. It asks for five logs a second."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise SystemExit("bench: kubectl is missing: install it (Debian: apt install kubernetes-client)")
    command = (
        f"{kubectl} --kubeconfig {kubeconfig} logs -l app=mistral-service --since 5m --tail {tail} "
        f"--max-log-requests {PODS} | grep -ic error"
    )
    began = time.monotonic()
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
    out, _err = await process.communicate()
    return int(out), time.monotonic() - began


async def _triage(environ: dict[str, str]) -> tuple[int, float]:
    """(error lines, seconds) of the probe: the best of three; all other probes run beside it."""
    async with sandboxed() as sandbox:
        took, errors = [], 0
        for _ in range(ROUNDS):
            process = await bot("triage", "--output", "json", environ={**sandbox.environment(), **environ})
            out, _err = await process.communicate()
            (logs,) = [one for one in json.loads(out)["findings"] if one["probe"] == "logs"]
            took.append(logs["duration_ms"] / 1000)
            errors = logs["data"]["error_lines"]
        return errors, min(took)


async def _more_mb(environ: dict[str, str]) -> float:
    """How much the running bot's memory rises at most during a triage."""
    async with sandboxed() as sandbox:
        process = await bot("run", environ={**sandbox.environment(), **environ})
        slack = sandbox.slack.workspace
        try:
            await sandbox.slack.wait_connected()
            await asyncio.sleep(IDLE_S)
            before_mb = memory_mb(process.pid)
            await slack.command("triage")
            await slack.wait_for(lambda: any("not all was read" in one.all_text for one in slack.messages), 60)
            return memory_mb(process.pid, peak=True) - before_mb
        finally:
            await end(process)


@asynccontextmanager
async def sandboxed() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(load_scenarios()["all is well"])
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.close()
