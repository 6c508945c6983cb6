"""The login to a Kubernetes cluster, which the vendor's library reads in a child process that ends.

It brings two clients for all of the API, and what those are made of: 15 MB that the bot would hold for ever, for what
is read once.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bot.errors import LoginExpired, UpstreamError
from bot.settings import Kubernetes

logger = logging.getLogger(__name__)

LOG_IN_AGAIN = "log in to the cluster again"
# A pod's own token is rotated: it is read anew as often as the vendor's client does.
_TOKEN_S = 60.0
# A login is not read anew more often than this, in seconds: a revoked token would run the login command each time.
_LOGIN_AGE_S = 15.0
# Of a triage's time, for a login that nobody has made yet: a login command may wait for somebody.
_PREPARED_S = 2.0
_MODULE = "bot.clients.kubeconfig"
# Of what the vendor has to say of a login, and of the reason that it gives.
_LOGGED, _LOGGED_CHARS = 5, 500


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What it takes to speak to one API server, as plain values; certificates and keys as PEM."""

    server: str
    token: str | None = field(default=None, repr=False)
    """The Authorization header."""
    token_file: str | None = None
    """Where a pod's own token lies instead."""
    ca: str | None = None
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)
    verify: bool = True
    strict: bool = True
    """Whether certificates must keep to the letter of RFC 5280."""
    server_name: str | None = None
    proxy: str | None = None


@dataclass
class Login:
    """How to speak to one API server; ``made`` is the loop's time at which it was read."""

    held: Credentials
    tls: ssl.SSLContext
    made: float
    _token: str | None = field(default=None, repr=False)
    _read_at: float = float("-inf")

    @property
    def server(self) -> str:
        return self.held.server.rstrip("/")

    @property
    def proxy(self) -> str | None:
        """``proxy-url`` of the kubeconfig; None leaves it to the environment."""
        return self.held.proxy

    @property
    def server_name(self) -> str | None:
        return self.held.server_name

    def authorization(self) -> str | None:
        """The Authorization header; raises LoginExpired where a token cannot be read, or be sent."""
        value = self.held.token if self.held.token_file is None else self._own(Path(self.held.token_file))
        # no header can carry them
        if value is not None and not value.isprintable():
            raise LoginExpired(f"the token for the cluster holds control characters: {LOG_IN_AGAIN}")
        return value

    def _own(self, path: Path) -> str:
        now = time.monotonic()
        if self._token is None or now - self._read_at > _TOKEN_S:
            try:
                # a file's last line may end in a line feed
                self._token, self._read_at = f"Bearer {path.read_text(encoding='utf-8').strip()}", now
            except (OSError, UnicodeDecodeError) as error:
                raise LoginExpired(f"the pod's own token cannot be read: {LOG_IN_AGAIN}") from error
        return self._token


class Logins:
    """The login to one cluster as it is now; whoever wants it at once waits for the same one."""

    def __init__(self, settings: Kubernetes, timeout_s: float) -> None:
        self._settings, self._timeout_s = settings, timeout_s
        self._held: Login | None = None
        self._doubted: Login | None = None
        self._under_way: asyncio.Task[Login] | None = None

    async def close(self) -> None:
        """Ends a login that is under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)
            self._under_way = None

    async def prepare(self) -> None:
        """Logs in where nobody has yet; what fails is told to whoever asks for something."""
        with contextlib.suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(_PREPARED_S):
                await self.current(None)

    def begin(self) -> "asyncio.Task[Login]":
        """Begins to log in, for whoever asks next; a login that is under way goes on."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._log_in(), name="login to the cluster")
            self._under_way.add_done_callback(_looked_at)
        return self._under_way

    def doubt(self, login: Login) -> None:
        """Nothing was reached with it: the server, its certificates or our own may be others by now."""
        self._doubted = login

    async def current(self, refused: Login | None) -> Login:
        """The login; read anew where it was ``refused`` or is doubted, and is not itself fresh.

        Raises as :func:`log_in`; one that is only doubted is kept where it cannot be read.
        """
        old = self._held
        doubted = old is not None and old is self._doubted
        if old is not None:
            fresh = asyncio.get_running_loop().time() - old.made <= _LOGIN_AGE_S
            if fresh or not (doubted or old is refused):
                return old
        self._doubted = None
        try:
            # whoever has no more time leaves it to the others
            return await asyncio.shield(self.begin())
        except UpstreamError:
            if old is None or old is refused:
                raise
            return old

    async def _log_in(self) -> Login:
        try:
            async with asyncio.timeout(self._timeout_s):
                self._held = await log_in(self._settings)
        except TimeoutError as error:
            late = f"the login to the cluster took longer than {self._timeout_s:g} s"
            raise LoginExpired(f"{late}: {LOG_IN_AGAIN}") from error
        return self._held


def _looked_at(task: "asyncio.Task[Login]") -> None:
    """Where all who waited for it have left, nobody is told why it failed; the next one who asks is."""
    if not task.cancelled():
        task.exception()


async def log_in(settings: Kubernetes) -> Login:
    """Reads the login; raises UpstreamError that names the file, or LoginExpired where a login command failed."""
    held = await read(settings)
    try:
        tls = _tls(held)
    except (OSError, ValueError) as error:
        raise UpstreamError(f"the certificates that {source(settings)} names cannot be used") from error
    return Login(held, tls, asyncio.get_running_loop().time())


async def read(settings: Kubernetes) -> Credentials:
    """What the child says; whoever is cancelled ends it, and the login command that it waits for."""
    environ = dict(os.environ)
    with contextlib.ExitStack() as stack:
        # the vendor's loader writes certificates and keys to files, which a child that is ended would leave behind;
        # a pod's own account needs none, and may have nowhere to write
        with contextlib.suppress(OSError):
            environ["TMPDIR"] = stack.enter_context(tempfile.TemporaryDirectory())
        out = await _said(settings, environ)
    try:
        told = json.loads(out)
    except ValueError:
        raise UpstreamError(f"{source(settings)} could not be read: the process that reads it failed") from None
    for line in told["logged"][:_LOGGED]:
        logger.warning("the login to the cluster: %s", line[:_LOGGED_CHARS])
    if "error" in told:
        raise (LoginExpired if told["expired"] else UpstreamError)(told["error"])
    return Credentials(**told["credentials"])


async def _said(settings: Kubernetes, environ: Mapping[str, str]) -> bytes:
    try:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _MODULE),
            env=environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise UpstreamError(f"no process could be started to read {source(settings)} ({error.strerror})") from error
    try:
        out, _ = await child.communicate(json.dumps(asdict(settings)).encode())
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    return out


def source(settings: Kubernetes) -> str:
    """As sentences call it."""
    return "the pod's own account" if settings.in_cluster else f"the kubeconfig {settings.kubeconfig}"


def _tls(held: Credentials) -> ssl.SSLContext:
    """As the vendor's client makes it."""
    context = ssl.create_default_context(cadata=held.ca)
    if held.certificate is not None:
        _load_own(context, held.certificate, held.key)
    if not held.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if not held.strict:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _load_own(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    """OpenSSL takes a client's certificate from a file alone, which is gone as soon as it is read."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write("\n".join((certificate, key or "")))
        file.flush()
        context.load_cert_chain(file.name)


def answer(credentials: Credentials, logged: list[str]) -> str:
    """What the child prints."""
    return json.dumps({"credentials": asdict(credentials), "logged": logged})


def refusal(error: UpstreamError, logged: list[str]) -> str:
    """What the child prints instead where it could not be read."""
    return json.dumps({"error": str(error), "expired": isinstance(error, LoginExpired), "logged": logged})


def asked(told: Mapping[str, Any]) -> Kubernetes:
    """What the child is asked for."""
    return Kubernetes(**told)
