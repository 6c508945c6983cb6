"""Debian's Alertmanager, and a Prometheus whose rule fires while a metric of the test's is above nothing."""

import asyncio
import contextlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from bot.sandbox.launcher import Sandbox, free_port
from tests.needed import fail_or_skip

_PROMETHEUS = """
global: {{scrape_interval: 200ms, evaluation_interval: 200ms}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]}}]}}
scrape_configs: [{{job_name: service, static_configs: [{{targets: ["127.0.0.1:{metrics}"]}}]}}]
"""
_RULES = """
groups:
  - name: mistral
    rules:
      - alert: MistralErrors
        expr: mistral_failing > 0
        for: 400ms
        labels: {severity: critical}
        annotations: {summary: "more than 5 % of requests fail"}
"""
_ALERTMANAGER = """
route: {{receiver: bot, group_by: [alertname], group_wait: 100ms, group_interval: 300ms, repeat_interval: 600ms}}
receivers:
  - name: bot
    webhook_configs: [{{url: "{url}/alerts", http_config: {{authorization: {{credentials: "{token}"}}}}}}]
"""


def alertmanager_or_skip() -> None:
    """Fails in CI where the programs are missing, else skips."""
    needed = ("prometheus", "prometheus-alertmanager")
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        fail_or_skip(f"{' and '.join(missing)} missing: apt-get install {' '.join(needed)}")


@dataclass
class Alerting:
    """``failing``: the metric; ``url``: Alertmanager's."""

    url: str
    failing: float = 0.0

    async def notified(self) -> int:
        """How often Alertmanager has called the bot."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/metrics") as answer:
            told = await answer.text()
        found = re.search(r'^alertmanager_notifications_total\{integration="webhook"\} (\d+)', told, re.MULTILINE)
        return int(found[1]) if found else 0

    async def repeats(self, count: int) -> None:
        """Waits until it was called ``count`` times more."""
        before = await self.notified()
        async with asyncio.timeout(60):
            while await self.notified() < before + count:  # noqa: ASYNC110 - another process counts
                await asyncio.sleep(0.1)


@asynccontextmanager
async def alerting(sandbox: Sandbox, url: str, token: str) -> AsyncIterator[Alerting]:
    """Both servers, from whose rule the bot at ``url`` hears; they end with the block."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await asyncio.to_thread((folder / "alertmanager.yml").write_text, _ALERTMANAGER.format(url=url, token=token))
        async with _program(
            "prometheus-alertmanager",
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            "--cluster.listen-address=",
        ) as alertmanager:
            held = Alerting(alertmanager)

            async def metrics(_: web.Request) -> web.Response:
                return web.Response(text=f"mistral_failing {held.failing}\n")

            service = web.Application()
            service.router.add_get("/metrics", metrics)
            ports = {"alertmanager": _port(held.url), "metrics": _port(await sandbox.serve(service))}
            await asyncio.to_thread(_write, folder, ports)
            async with _program(
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                "--rules.alert.resend-delay=200ms",
            ):
                yield held


def _port(url: str) -> str:
    return url.rpartition(":")[2]


def _write(folder: Path, ports: dict[str, str]) -> None:
    (folder / "prometheus.yml").write_text(_PROMETHEUS.format(**ports))
    (folder / "rules.yml").write_text(_RULES)


@asynccontextmanager
async def _program(*command: str) -> AsyncIterator[str]:
    """Its URL, once it is ready."""
    quiet = asyncio.subprocess.DEVNULL
    for _ in range(3):
        # another process may take the port before this one listens
        address = f"127.0.0.1:{free_port()}"
        process = await asyncio.create_subprocess_exec(
            *command, f"--web.listen-address={address}", stdout=quiet, stderr=quiet
        )
        try:
            if await _is_ready(f"http://{address}", process):
                yield f"http://{address}"
                return
        finally:
            await _end(process)
    raise RuntimeError(f"{command[0]} did not start")


async def _is_ready(url: str, process: asyncio.subprocess.Process) -> bool:
    """Waits until it is, or has ended."""
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{url}/-/ready") as answer:
                    if answer.status == 200:
                        return True
            await asyncio.sleep(0.05)
    return False


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 30)
    except TimeoutError:
        process.kill()
        await process.wait()
