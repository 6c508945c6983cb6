"""A bundle of a hundred pods of 10 MB of logs each, secrets masked: its time beside the runbook's script on the same.

The bot runs meanwhile as it does otherwise: its memory is measured, and how soon it acknowledges commands.
"""

import asyncio
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, bot, end, memory_mb
from bench.log_server import POD_BYTES, PODS
from bench.logs import cluster_with_logs, sandboxed
from bench.triage import IDLE_S
from bot.clients.bundle_check import check

RATE = 10
# Promised: of the script's time, over idle, and at the 99th percentile.
TIMES, MORE_MB, ACK_S = 1.5, 80.0, 1.0
_WITHIN_S = 200.0


async def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        async with cluster_with_logs() as cluster:
            kubeconfig = folder / "kubeconfig"
            await asyncio.to_thread(kubeconfig.write_text, cluster)
            script_s = await _script(kubeconfig, folder)
            took_s, more_mb, acks, size = await _bundle(kubeconfig, folder / "evidence")
    what = f"evidence of {PODS} pods, {PODS * POD_BYTES / 1e9:.0f} GB of logs"
    return [
        Figure(what=f"{what}: by kubectl logs and tar", value=script_s, unit="s"),
        Figure(what=f"{what}: collected, secrets masked", value=took_s, unit="s", limit=TIMES * script_s),
        Figure(what=f"{what}: more memory", value=more_mb, unit="MB", limit=MORE_MB),
        Figure(what=f"{what}: a command acknowledged, 99th percentile", value=_p99(acks), unit="s", limit=ACK_S),
        Figure(what=f"{what}: the bundle", value=size / 1e6, unit="MB"),
    ]


async def _script(kubeconfig: Path, folder: Path) -> float:
    """Seconds of the runbook's script, its logs alone; kubectl asks for five logs a second."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise SystemExit("bench: kubectl is missing: install it (Debian: apt install kubernetes-client)")
    command = (
        f"cd {folder} && {kubectl} --kubeconfig {kubeconfig} logs -l app=mistral-service --since=1h --tail=-1 "
        f"--max-log-requests {PODS} > logs.txt && tar -czf logs.tar.gz logs.txt && rm logs.txt"
    )
    began = time.monotonic()
    process = await asyncio.create_subprocess_shell(command)
    assert await process.wait() == 0
    return time.monotonic() - began


async def _bundle(kubeconfig: Path, folder: Path) -> tuple[float, float, list[float], int]:
    """(seconds, MB more than idle at most, how long each acknowledgement took, bytes of the bundle)"""
    async with sandboxed() as sandbox:
        told = {"KUBECONFIG": str(kubeconfig), "EVIDENCE_DIR": str(folder)}
        process = await bot("run", environ={**sandbox.environment(), **told})
        slack = sandbox.slack.workspace
        try:
            await sandbox.slack.wait_connected()
            await asyncio.sleep(IDLE_S)
            idle_mb, began = memory_mb(process.pid), time.monotonic()
            await slack.command("evidence")
            acks = list[asyncio.Task[float]]()
            async with asyncio.timeout(_WITHIN_S):
                while not (done := await asyncio.to_thread(lambda: list(folder.glob("evidence-*")))):
                    acks.append(asyncio.create_task(slack.command("list")))
                    await asyncio.sleep(1 / RATE)
            took_s = time.monotonic() - began
            more_mb = memory_mb(process.pid, peak=True) - idle_mb
            found = await asyncio.to_thread(check, done[0])
            assert not found.faults, found.faults
            assert found.size >= PODS * POD_BYTES * 0.99, "all of it is there"
            return took_s, more_mb, list(await asyncio.gather(*acks)), done[0].stat().st_size
        finally:
            await end(process)


def _p99(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[98]
