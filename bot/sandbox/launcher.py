"""The world's servers on free ports of loopback, the settings that make a bot see them, and the bot beside them."""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from aiohttp import web

from bot.errors import SettingsError
from bot.sandbox import kubernetes, mistral, prometheus, provider_status, service
from bot.sandbox.page import Page
from bot.sandbox.scenario import Scenario, World, load_scenarios
from bot.sandbox.slack import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, SlackServer

logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"
FIRST_SCENARIO = "rate limited under the usual traffic"
USUAL_PORT = 8765
_PORTS = range(12000, 32000)
_STOP_S = 10
# A rollout that people can follow pod by pod.
_ROLLOUT_S = 6.0


class Sandbox:
    """A running world; ``await start()``, then ``environment()`` is what the bot needs to see it."""

    def __init__(
        self, scenario: Scenario, *, http_mode: bool = False, environ: Mapping[str, str] | None = None
    ) -> None:
        """``environ``: more settings of the bot's."""
        self._more = dict(environ or {})
        self.world = World(scenario=scenario)
        self.slack = SlackServer(self.world)
        self.urls: dict[str, str] = {}
        self.http_mode = http_mode
        self._runners: list[web.AppRunner] = []
        self._folder = tempfile.TemporaryDirectory(prefix="mistral-bot-sandbox-")
        self._bot: asyncio.subprocess.Process | None = None
        self._bot_port = free_port()

    async def start(self) -> None:
        applications = {
            "slack": self.slack.application(),
            "mistral": mistral.application(self.world),
            "service": service.application(self.world),
            "prometheus": prometheus.application(self.world),
            "kubernetes": kubernetes.application(self.world),
            "status": provider_status.application(self.world),
        }
        for name, application in applications.items():
            self.urls[name] = await self.serve(application)
        self.slack.workspace.base_url = self.urls["slack"]
        config = kubernetes.kubeconfig(self.urls["kubernetes"])
        await asyncio.to_thread(Path(self._folder.name, "kubeconfig").write_text, config)

    async def serve(self, application: web.Application, port: int = 0) -> str:
        """Serves ``application`` on loopback until ``close``; its URL."""
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, _HOST, port).start()
        return f"http://{_HOST}:{runner.addresses[0][1]}"

    def environment(self) -> dict[str, str]:
        """The settings for the scenario that is happening; what it does not configure is not set."""
        scenario = self.world.scenario
        held = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": self._folder.name,
            "HOST": _HOST,
            "PORT": str(self._bot_port),
            "DATABASE_URL": f"sqlite+aiosqlite:///{self._folder.name}/bot.db",
            "EVIDENCE_DIR": f"{self._folder.name}/evidence",
            "INCIDENT_CHANNEL": "C0INCIDENTS",
            "SLACK_API_URL": _unreachable(self.urls["slack"], scenario.control.fail) + "/api/",
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "MISTRAL_STATUS_URL": "" if scenario.provider_status is None else self.urls["status"],
            **({"SLACK_SIGNING_SECRET": SIGNING_SECRET} if self.http_mode else {"SLACK_APP_TOKEN": APP_TOKEN}),
        }
        # without Mistral too: where the cluster's Secret gives a key, it must not leave this machine
        held["MISTRAL_API_URL"] = self.urls["mistral"]
        if scenario.mistral is not None:
            held["MISTRAL_API_KEY"] = self.world.service_key
            held["MISTRAL_API_URL"] = _unreachable(self.urls["mistral"], scenario.mistral.models.fail)
            held["MISTRAL_CANARY_MODELS"] = ",".join(scenario.mistral.canary)
        if scenario.service is not None:
            held["SERVICE_HEALTH_URL"] = _unreachable(self.urls["service"], scenario.service.fail) + "/health"
        if scenario.prometheus is not None:
            held["PROMETHEUS_URL"] = self.urls["prometheus"]
        if scenario.cluster is not None:
            held["KUBECONFIG"] = str(Path(self._folder.name, "kubeconfig"))
        return {**held, **self._more}

    async def start_bot(self) -> None:
        """The unmodified bot as a process of its own, with nothing but ``environment()``."""
        self._bot = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "run", env=self.environment(), start_new_session=True
        )
        if self.http_mode:
            self.slack.request_url = f"http://{_HOST}:{self._bot_port}/slack/events"

    async def ready(self, timeout_s: float = 20) -> None:
        """Waits until the bot says that it is (``/readyz``); raises TimeoutError."""
        async with asyncio.timeout(timeout_s), aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://{_HOST}:{self._bot_port}/readyz") as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.05)

    async def kill_bot(self) -> None:
        """As a machine that loses its power does."""
        if self._bot is not None and self._bot.returncode is None:
            self._bot.kill()
            await self._bot.wait()

    async def stop_bot(self) -> int | None:
        """Asks it to end, and ends it where it does not: its exit status is -9 then; None: it was not started."""
        if self._bot is None or self._bot.returncode is not None:
            return None if self._bot is None else self._bot.returncode
        self._bot.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self._bot.wait(), _STOP_S)
        except TimeoutError:
            self._bot.kill()
            return await self._bot.wait()

    async def choose(self, scenario: Scenario) -> None:
        """Another state of the world; the bot starts again, since what is configured differs."""
        await self.stop_bot()
        self.world.scenario = scenario
        await self.start_bot()
        await self.slack.wait_connected()

    async def close(self) -> None:
        await self.stop_bot()
        for runner in reversed(self._runners):
            await runner.cleanup()
        self._folder.cleanup()


def free_port() -> int:
    """A port to listen on later: below those that the kernel hands out to every connection, which would take it."""
    for port in secrets.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe:
            # as servers do: what the last connection to a port leaves behind does not make it taken
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port
    raise OSError("no port of loopback is free")


def _unreachable(url: str, fail: str | None) -> str:
    """``url``, or one that fails at the stage that a server cannot make by itself."""
    if fail == "dns":
        return "http://mistral.invalid"
    if fail == "tls":
        return url.replace("http://", "https://")
    if fail == "connect":
        return f"http://{_HOST}:{free_port()}"
    return url


def chosen(name: str | None, scenarios: dict[str, Scenario]) -> Scenario:
    """The scenario called ``name``; raises SettingsError that lists them."""
    if name is not None and name not in scenarios:
        raise SettingsError([f"there is no scenario called {name!r}; known are: {', '.join(scenarios)}"])
    return scenarios[name or FIRST_SCENARIO]


async def run(name: str | None, port: int | None) -> None:
    """The sandbox until Ctrl-C: prints the page's URL as one line on stdout."""
    scenarios = load_scenarios()
    sandbox = Sandbox(chosen(name, scenarios))
    sandbox.world.rollout_s = _ROLLOUT_S
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    try:
        await sandbox.start()
        await sandbox.start_bot()
        print(await _page(sandbox, scenarios, port), flush=True)
        await stop.wait()
    finally:
        await sandbox.close()


async def _page(sandbox: Sandbox, scenarios: dict[str, Scenario], port: int | None) -> str:
    """Serves the page, on a free port where the usual one is taken; its URL."""
    page = Page(sandbox.slack.workspace, sandbox.world, scenarios, sandbox.choose)
    try:
        return await sandbox.serve(page.application(), port or USUAL_PORT)
    except OSError:
        return await sandbox.serve(page.application())
