"""How soon is a gigabyte of evidence collected, secrets masked, beside the runbook's script on the same?

The bot runs meanwhile as it does otherwise: its memory is measured, and how soon it acknowledges commands.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, at_most, more_at_most, percentile, ratio_at_most, scaled
from bench.logs import POD_BYTES, PODS
from bench.processes import IDLE_S, memory_mb, program, shell
from bench.servers import all_is_well, cluster, the_bot
from bot.clients.bundle_check import check

ROUNDS, RATE = scaled(2), 10
# Promised: of the script's time, of memory over idle in MB, and of acknowledgements at the 99th percentile in seconds.
TIMES, MORE_MB, ACK_S = 1.2, 80.0, 1.0
_WITHIN_S = 200.0


async def measure() -> list[Figure]:
    script, took, idle, peak, acks, sizes = (list[float]() for _ in range(6))
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        async with cluster(folder, PODS, POD_BYTES) as kubeconfig:
            for number in range(ROUNDS):
                script.append(await _script(kubeconfig, folder))
                done = await _bundle(kubeconfig, folder / f"evidence-{number}")
                for values, value in zip((took, idle, peak, sizes), done[:4], strict=True):
                    values.append(value)
                acks += done[4]
    gigabytes = PODS * POD_BYTES / 1e9
    what = f"evidence of {PODS} pods, {gigabytes:g} GB of logs"
    rate = [gigabytes * 1000 / one for one in took]
    return [
        Figure(
            what=f"{what}: collected, secrets masked",
            values=took,
            unit="s",
            beside="kubectl logs and tar",
            reference=script,
            goal=ratio_at_most(TIMES),
            headline=True,
        ),
        Figure(what=f"{what}: read", values=rate, unit="MB/s"),
        Figure(
            what=f"{what}: memory at its highest",
            values=peak,
            unit="MB",
            beside="idle",
            reference=idle,
            goal=more_at_most(MORE_MB),
        ),
        Figure(
            what=f"{what}: a command acknowledged meanwhile, 99th percentile",
            values=[percentile(acks, 99)],
            unit="s",
            goal=at_most(ACK_S),
        ),
        Figure(what=f"{what}: the bundle", values=sizes, unit="MB"),
    ]


async def _script(kubeconfig: Path, folder: Path) -> float:
    """Seconds of the runbook's script, its logs alone, all of each; kubectl asks for five logs a second."""
    took, _ = await shell(
        f"cd {folder} && {program('kubectl')} --kubeconfig {kubeconfig} logs -l app=mistral-service --since=1h "
        "--tail=-1 > logs.txt && tar -czf logs.tar.gz logs.txt && rm logs.txt"
    )
    return took


async def _bundle(kubeconfig: Path, folder: Path) -> tuple[float, float, float, float, list[float]]:
    """(seconds, MB idle, MB at most, MB of the bundle, how long each acknowledgement took)"""
    environ = {"KUBECONFIG": str(kubeconfig), "EVIDENCE_DIR": str(folder)}
    async with all_is_well(environ) as sandbox, the_bot(sandbox) as (pid, _):
        slack = sandbox.slack.workspace
        await asyncio.sleep(IDLE_S)
        idle_mb, began = memory_mb(pid), time.monotonic()
        await slack.command("evidence")
        acks = list[asyncio.Task[float]]()
        async with asyncio.timeout(_WITHIN_S):
            while not (done := await asyncio.to_thread(lambda: list(folder.glob("evidence-*")))):
                acks.append(asyncio.create_task(slack.command("list")))
                await asyncio.sleep(1 / RATE)
        took_s = time.monotonic() - began
        peak_mb = memory_mb(pid, peak=True)
        found = await asyncio.to_thread(check, done[0])
        assert not found.faults, found.faults
        assert found.size >= PODS * POD_BYTES * 0.99, "all of it is there"
        return took_s, idle_mb, peak_mb, done[0].stat().st_size / 1e6, list(await asyncio.gather(*acks))
