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

from bot.sandbox import kubernetes, mistral, prometheus, provider_status, service
from bot.sandbox.clock import MovedClock
from bot.sandbox.scenario import Scenario
from bot.sandbox.slack import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, SlackServer
from bot.sandbox.story import Story
from bot.sandbox.world import World

logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_PORTS = range(12000, 32000)
_STOP_S = 10
# Within which a bot has started, also on a machine that is busy.
_STARTED_S = 60
# How often the command line is asked, which a busy database may refuse.
_ASKED = 3


class Sandbox:
    """A running world; ``await start()``, then ``environment()`` is what the bot needs to see it."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        http_mode: bool = False,
        environ: Mapping[str, str] | None = None,
        clock: MovedClock | None = None,
    ) -> None:
        """``environ``: more settings of the bot's. ``clock``: the bot follows it; None: the real one."""
        self._more = dict(environ or {})
        self.world = World(scenario=scenario)
        self.slack = SlackServer(self.world)
        self.urls: dict[str, str] = {}
        self.http_mode = http_mode
        self._runners: list[web.AppRunner] = []
        self._folder = tempfile.TemporaryDirectory(prefix="mistral-bot-sandbox-")
        self._bot: asyncio.subprocess.Process | None = None
        self._bot_port = free_port()
        self._bot_environ: Mapping[str, str] = {}
        self._clock = clock
        self._telling = asyncio.Lock()

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

    async def serve(self, application: web.Application, port: int = 0, host: str = _HOST) -> str:
        """Serves ``application`` until ``close``; its URL."""
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, host, port).start()
        return f"http://{host}:{runner.addresses[0][1]}"

    def environment(self) -> dict[str, str]:
        """The settings for the scenario that is happening; what it does not configure is not set."""
        scenario, told = self.world.scenario, self.world.telling is not None
        # in a story Slack is there for everything but the bot's look at it
        control = None if told else scenario.control.fail
        held = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": self._folder.name,
            "HOST": _HOST,
            "PORT": str(self._bot_port),
            "DATABASE_URL": f"sqlite+aiosqlite:///{self._folder.name}/bot.db",
            "EVIDENCE_DIR": f"{self._folder.name}/evidence",
            "INCIDENT_CHANNEL": "C0INCIDENTS",
            "SLACK_API_URL": _unreachable(self.urls["slack"], control) + "/api/",
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "MISTRAL_STATUS_URL": "" if scenario.provider_status is None else self.urls["status"],
            **({"SLACK_SIGNING_SECRET": SIGNING_SECRET} if self.http_mode else {"SLACK_APP_TOKEN": APP_TOKEN}),
        }
        # without Mistral too: where the cluster's Secret gives a key, it must not leave this machine
        held["MISTRAL_API_URL"] = self.urls["mistral"]
        if scenario.mistral is not None:
            held["MISTRAL_API_KEY"] = self.world.service_key
            held["MISTRAL_API_URL"] = self._reached("mistral", scenario.mistral.models.fail)
            held["MISTRAL_CANARY_MODELS"] = ",".join(scenario.mistral.canary)
        if scenario.service is not None:
            held["SERVICE_HEALTH_URL"] = self._reached("service", scenario.service.fail) + "/health"
        if scenario.prometheus is not None:
            held["PROMETHEUS_URL"] = self.urls["prometheus"]
        if scenario.cluster is not None:
            held["KUBECONFIG"] = str(Path(self._folder.name, "kubeconfig"))
        return {**held, **self._more}

    def _reached(self, name: str, fail: str | None) -> str:
        """Where the server is. In a story it cuts connections itself, so that it can stop to do so."""
        return _unreachable(self.urls[name], None if fail == "connect" and self.world.telling is not None else fail)

    @property
    def bot_url(self) -> str:
        """Where the bot serves its own pages."""
        return f"http://{_HOST}:{self._bot_port}"

    @property
    def folder(self) -> Path:
        """What is written there is gone with the sandbox."""
        return Path(self._folder.name)

    def configure(self, more: Mapping[str, str]) -> None:
        """More settings of the bot's, before it starts."""
        self._more |= more

    def _command(self, *arguments: str) -> list[str]:
        if self._clock is None:
            return [sys.executable, "-m", "bot", *arguments]
        return [sys.executable, "-m", "bot.sandbox.bot_process", str(self._clock.ahead_s), *arguments]

    async def start_bot(self) -> None:
        """The unmodified bot as a process of its own, with nothing but ``environment()``."""
        self._bot_environ = self.environment()
        self._bot = await asyncio.create_subprocess_exec(
            *self._command("run"), env=self._bot_environ, stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        if self.http_mode:
            self.slack.request_url = f"{self.bot_url}/slack/events"

    async def asked(self, *arguments: str) -> str:
        """What the bot's command line says on stdout, by the sandbox's clock; raises LookupError with why it fails."""
        err = b""
        for _ in range(_ASKED):
            process = await asyncio.create_subprocess_exec(
                *self._command(*arguments),
                env=self.environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
            if process.returncode == 0:
                return out.decode()
        raise LookupError(f"{' '.join(arguments)} says: {err.decode(errors='replace').strip()[-300:]}")

    @property
    def ahead_s(self) -> float:
        """By how many seconds the clock was moved."""
        return 0.0 if self._clock is None else self._clock.ahead_s

    def move_clock(self, seconds: float) -> None:
        """Forward, here and in the bot."""
        if self._clock is None:
            raise LookupError("this sandbox goes by the real time")
        self._clock.move(seconds)
        if self._bot is not None and self._bot.returncode is None and self._bot.stdin is not None:
            self._bot.stdin.write(f"{seconds}\n".encode())

    async def ready(self, timeout_s: float = 20) -> None:
        """Waits until the bot says that it is (``/readyz``); raises TimeoutError."""
        async with asyncio.timeout(timeout_s), aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{self.bot_url}/readyz") as response:
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

    async def tell(self, story: Story) -> None:
        """Another story; the bot starts again only where its settings differ."""
        async with self._telling:
            self.slack.down = False
            self.world.tell(story)
            if self._bot is not None and self.environment() != self._bot_environ:
                await self.stop_bot()
                await self.start_bot()
                await self.slack.wait_connected(_STARTED_S)

    async def settled(self) -> None:
        """Waits until the bot that is there is the story's own, and hears; raises TimeoutError."""
        async with self._telling:
            pass  # many may wait for the bot at once, but nobody while it is being exchanged
        if not self.slack.down:
            await self.slack.wait_connected()

    async def close(self) -> None:
        await self.stop_bot()
        for runner in reversed(self._runners):
            await runner.cleanup()
        self._folder.cleanup()
        if self._clock is not None:
            self._clock.close()


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
