"""How soon is a gigabyte of logs of a hundred pods scanned, grouped and redacted, beside kubectl and grep?"""

import asyncio
import json
import os
import tempfile
from pathlib import Path

from bench.figures import Figure, Subject, more_at_most, ratio_at_most, scaled, taking_turns
from bench.log_server import log
from bench.processes import IDLE_S, bot, memory_mb, program, shell
from bench.servers import all_is_well, cluster, the_bot

PODS, POD_BYTES = scaled(100, least=10), scaled(10_000_000, least=2_000_000)
# Of each pod's log: what the bot reads if it is told nothing else, a tenth, and all of it.
TAILS = {"2,000 lines of each": 2_000, "a tenth of each": 8_500, "all": 100_000}
ROUNDS = scaled(2)
# Promised beside kubectl, and of memory: as it reads all of it, over a tenth of it, in MB.
TIMES, FLAT_MB = 1.0, 15.0


async def measure() -> list[Figure]:
    figures, more = list[Figure](), dict[str, float]()
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        async with cluster(folder, PODS, POD_BYTES) as kubeconfig:
            for name, tail in TAILS.items():
                environ = await asyncio.to_thread(_environ, folder, kubeconfig, tail)
                figures += await _times(name, tail, kubeconfig, environ)
                more[name] = await _more_mb(environ)
        figures.append(await _grep(folder))
    tenth, whole = more["a tenth of each"], more["all"]
    flat = more_at_most(FLAT_MB)
    memory = f"memory beyond idle, {_size()} of logs read"
    return [
        *figures,
        Figure(what=memory, values=[whole], unit="MB", beside="a tenth of it", reference=[tenth], goal=flat),
    ]


def _size() -> str:
    return f"{PODS * POD_BYTES / 1e9:g} GB"


def _environ(folder: Path, kubeconfig: Path, tail: int) -> dict[str, str]:
    config = folder / "bot.yaml"
    config.write_text(f"limits: {{log_tail_lines: {tail}}}\ntimeouts: {{logs: 100, deadline: 100}}\n")
    return {"KUBECONFIG": str(kubeconfig), "MISTRAL_BOT_CONFIG": str(config)}


async def _times(name: str, tail: int, kubeconfig: Path, environ: dict[str, str]) -> list[Figure]:
    errors = dict[str, int]()
    subjects = {"bot": _triage(environ, errors), "kubectl": _kubectl(tail, kubeconfig, errors)}
    took = await taking_turns(ROUNDS, subjects, warm=0)
    assert errors["bot"] == errors["kubectl"] > 0, errors
    return [
        Figure(
            what=f"logs of {PODS} pods, {name}: scanned, grouped, redacted",
            values=took["bot"],
            unit="s",
            beside="kubectl logs | grep -i error | tail",
            reference=took["kubectl"],
            goal=ratio_at_most(TIMES),
            headline=name == "all",
        )
    ]


def _kubectl(tail: int, kubeconfig: Path, errors: dict[str, int]) -> Subject:
    """It asks for five logs a second, whatever the server could do."""
    logs = f"{program('kubectl')} --kubeconfig {kubeconfig} logs -l app=mistral-service --since=5m --tail={tail}"

    async def once() -> float:
        took, _ = await shell(f"{logs} | grep -i error | tail -10")
        if "kubectl" not in errors:
            # once more, so that both are seen to have read the same
            errors["kubectl"] = int((await shell(f"{logs} | grep -ic error"))[1])
        return took

    return once


def _triage(environ: dict[str, str], errors: dict[str, int]) -> Subject:
    async def once() -> float:
        """Seconds of the probe; all other probes run beside it."""
        async with all_is_well() as sandbox:
            process = await bot("triage", "--output", "json", environ={**sandbox.environment(), **environ})
            out, _ = await process.communicate()
        (logs,) = [one for one in json.loads(out)["findings"] if one["probe"] == "logs"]
        errors["bot"] = logs["data"]["error_lines"]
        return float(logs["duration_ms"]) / 1000

    return once


async def _more_mb(environ: dict[str, str]) -> float:
    """How much the running bot's memory rises at most during a triage."""
    async with all_is_well(environ) as sandbox, the_bot(sandbox) as (pid, _):
        await asyncio.sleep(IDLE_S)
        before_mb, slack = memory_mb(pid), sandbox.slack.workspace
        await slack.command("triage")
        await slack.wait_for(lambda: any("Declare" in str(one.blocks) for one in slack.messages), 110)
        return memory_mb(pid, peak=True) - before_mb


async def _grep(folder: Path) -> Figure:
    """The limit: the same from files, which the cluster's API does not have to hand out."""
    files = folder / "logs"
    files.mkdir()
    await asyncio.to_thread((files / "0.log").write_bytes, b"".join(log(POD_BYTES)))
    for pod in range(1, PODS):
        os.link(files / "0.log", files / f"{pod}.log")
    took, _ = await shell(f"cat {files}/*.log | grep -i error | tail -10")
    return Figure(what=f"GNU grep over {_size()} in files, as the limit", values=[took], unit="s")
