"""HTTP as the probes use it: one request under one deadline, and at which stage it failed where it did.

The stages are those of decision-table.md: ``dns`` is told by looking the name up first, ``tls`` and ``connect`` by
following httpx's ``trace`` extension, since its exceptions are the same for all of them.
"""

import asyncio
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any

from bot.hiding import without

with without("click"):
    # with it, as in a checkout with the tests' packages, httpx loads a command line of its own, and rich: 4 MB
    import httpx

from bot.clients.proxies import proxy_for
from bot.clients.trust import trust
from bot.domain.signals import Failure
from bot.errors import BadAnswer
from bot.ports import Exchange
from bot.settings import Network

_CHUNK_BYTES = 65_536


class _Stage(IntEnum):
    DNS = 0
    CONNECT = 1
    TLS = 2
    ASKING = 3
    ANSWERING = 4


_LATE = {_Stage.DNS: Failure.DNS, _Stage.CONNECT: Failure.CONNECT, _Stage.TLS: Failure.TLS}
# asked, and then cut before the first byte: as good as not connected (decision-table.md)
_CUT = {**_LATE, _Stage.ASKING: Failure.CONNECT}


@dataclass
class _Progress:
    """How far one request has come; httpcore calls :meth:`trace` at each step."""

    began: float
    tunnelled: bool
    stage: _Stage = _Stage.DNS
    connected_anew: bool = False
    status: int | None = None
    headers: Mapping[str, str] | None = None
    body: bytearray | None = None
    first_byte_ms: int | None = None
    connecting: Any = None
    """What httpcore has opened and not taken as a connection of its own yet."""

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        step = event.partition(".")[2]
        if step in ("connect_tcp.started", "connect_unix_socket.started"):
            self.connected_anew = True
        elif step in ("connect_tcp.complete", "connect_unix_socket.complete"):
            self.connecting = info["return_value"]
        elif step == "start_tls.started":
            self.stage = _Stage.TLS
        elif step == "start_tls.complete":
            # a tunnel's TLS is the proxy's event; with an https:// proxy, connection.start_tls comes before it
            inner = not self.tunnelled or not event.startswith("connection.")
            self.stage = _Stage.ASKING if inner else _Stage.CONNECT
        elif step == "send_request_headers.started":
            self.connecting = None
            # the first request of a new tunnel is the CONNECT itself: still connecting
            opens_tunnel = self.tunnelled and self.connected_anew and self.stage is _Stage.CONNECT
            self.stage = _Stage.CONNECT if opens_tunnel else _Stage.ASKING

    def spent_ms(self) -> int:
        return round((time.monotonic() - self.began) * 1000)

    def ended(self, failure: Failure | None) -> Exchange:
        if failure is Failure.TIMEOUT:
            self.status = None
        return Exchange(
            status=self.status,
            failure=failure,
            headers=self.headers or {},
            body=bytes(self.body or b""),
            first_byte_ms=self.first_byte_ms,
            latency_ms=self.spent_ms(),
        )

    def answered(self) -> bool:
        """A status came that counts whatever becomes of its body."""
        return self.status is not None and not 200 <= self.status <= 399


class HttpClient:
    """Asks over HTTP; connections are kept for the next request. Raises SettingsError for an unreadable CA file."""

    def __init__(self, network: Network, limit_bytes: int) -> None:
        self._routes = _Routes(network)
        self._limit = limit_bytes
        # one upstream's cookies are nothing that a probe should send the next time
        no_cookies = CookieJar(policy=DefaultCookiePolicy(allowed_domains=()))
        self._client = httpx.AsyncClient(
            transport=self._routes,
            trust_env=False,
            timeout=None,  # noqa: S113 - fetch keeps one deadline over all stages
            cookies=no_cookies,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Closes the kept connections."""
        await self._client.aclose()

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Exchange:
        """Asks once, all within ``timeout_s``; see :class:`bot.ports.Http`.

        A GET whose kept connection turns out to have been closed is asked again on a new one. Raises BadAnswer for a
        header or an address that HTTP cannot carry.
        """
        try:
            request = self._request(method, url, headers, json)
        except (httpx.InvalidURL, UnicodeError):
            raise BadAnswer("the request cannot be sent: its address is not one that HTTP can carry") from None
        progress = _Progress(time.monotonic(), self._routes.tunnelled(request.url))
        try:
            async with asyncio.timeout(timeout_s):
                failure = await self._look_up(request.url, progress)
                failure = failure or await self._ask(request, progress)
                if failure is Failure.CONNECT and method == "GET" and not progress.connected_anew:
                    failure = await self._ask(request, progress)
        except TimeoutError:
            failure = None if progress.answered() else _LATE.get(progress.stage, Failure.TIMEOUT)
        return progress.ended(failure)

    def _request(self, method: str, url: str, headers: Mapping[str, str] | None, json: Any) -> httpx.Request:
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "mistral-incident-bot"}
        for name, value in (headers or {}).items():
            if not (value.isascii() and value.isprintable()):
                # said here, since httpx's own error would quote the value, which may be a key
                raise BadAnswer(f"the request cannot be sent: its {name} holds characters that HTTP cannot carry")
            sent[name] = value
        return self._client.build_request(method, url, headers=sent, json=json)

    async def _look_up(self, url: httpx.URL, progress: _Progress) -> Failure | None:
        """Whether the name resolves, where it is for us to resolve it: a proxy does that itself."""
        if not self._routes.proxied(url) and not _is_address(url.host):
            loop = asyncio.get_running_loop()
            try:
                await loop.getaddrinfo(url.host, url.port or url.scheme, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                return Failure.DNS
        return None

    async def _ask(self, request: httpx.Request, progress: _Progress) -> Failure | None:
        progress.stage = _Stage.CONNECT
        request.extensions = {**request.extensions, "trace": progress.trace}
        try:
            response = await self._client.send(request, stream=True)
            try:
                return await self._read(response, progress)
            finally:
                await response.aclose()
        except (httpx.TransportError, httpx.InvalidURL, ssl.SSLError) as error:
            return _failure_of(error, progress)
        except UnicodeError:
            # httpx reads where a redirect leads, although nobody follows it
            return Failure.GARBAGE
        finally:
            if progress.connecting is not None:
                # httpcore leaves what it has opened where the handshake is cancelled
                await progress.connecting.aclose()

    async def _read(self, response: httpx.Response, progress: _Progress) -> Failure | None:
        progress.stage = _Stage.ANSWERING
        progress.first_byte_ms = progress.spent_ms()
        progress.status = response.status_code
        progress.headers = {name.lower(): value for name, value in response.headers.items()}
        progress.body = bytearray()
        if 300 <= response.status_code <= 399:
            return Failure.GARBAGE
        whole = True
        async for chunk in response.aiter_raw(_CHUNK_BYTES):
            room = self._limit - len(progress.body)
            progress.body += chunk[:room]
            if len(chunk) > room:
                whole = False
                break
        encoding = progress.headers.get("content-encoding", "identity").strip().lower()
        if encoding != "identity":
            whole = _decompress(progress, encoding, self._limit) and whole
        return None if whole or progress.answered() else Failure.GARBAGE


class _Routes(httpx.AsyncBaseTransport):
    """Each request by the proxy that its scheme and host ask for, or directly."""

    def __init__(self, network: Network) -> None:
        trusted = trust(network.ca_file)
        self._network, self._trusted = network, trusted
        self._direct = httpx.AsyncHTTPTransport(verify=trusted, trust_env=False)

    def proxied(self, url: httpx.URL) -> bool:
        return proxy_for(str(url), self._network) is not None

    def tunnelled(self, url: httpx.URL) -> bool:
        return url.scheme == "https" and self.proxied(url)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = proxy_for(str(request.url), self._network)
        if proxy is None:
            return await self._direct.handle_async_request(request)
        # of its own: httpcore never gives up a tunnel that failed, and after a hundred of them asks nothing any more
        transport = httpx.AsyncHTTPTransport(
            verify=self._trusted,
            trust_env=False,
            proxy=httpx.Proxy(proxy, ssl_context=self._trusted if proxy.startswith("https:") else None),
        )
        try:
            response = await transport.handle_async_request(request)
        except BaseException:
            await transport.aclose()
            raise
        response.stream = _Last(response.stream, transport)
        return response

    async def aclose(self) -> None:
        await self._direct.aclose()


class _Last(httpx.AsyncByteStream):
    """A body with which its transport ends."""

    def __init__(self, body: Any, transport: httpx.AsyncHTTPTransport) -> None:
        self._body, self._transport = body, transport

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._body:
            yield part

    async def aclose(self) -> None:
        try:
            await self._body.aclose()
        finally:
            await self._transport.aclose()


def _failure_of(error: Exception, progress: _Progress) -> Failure | None:
    """The stage at which ``error`` ended the request; None where a status had come that counts by itself."""
    if progress.answered():
        return None
    causes = _chain(error)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Failure.DNS
    if progress.stage < _Stage.ANSWERING and any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Failure.TLS
    if isinstance(error, httpx.RemoteProtocolError) and progress.stage is _Stage.ASKING:
        # httpcore's words where the connection ended with no answer begun; anything else is an answer that is not HTTP
        return Failure.CONNECT if "without sending a response" in str(error) else Failure.GARBAGE
    return _CUT.get(progress.stage, Failure.GARBAGE)


def _chain(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in causes:
        causes.append(following)
        following = following.__cause__ or following.__context__
    return causes


def _decompress(progress: _Progress, encoding: str, limit: int) -> bool:
    """Unpacks what an upstream packed although it was asked not to, up to ``limit``; False where that fails."""
    if encoding not in ("gzip", "x-gzip", "deflate") or progress.body is None:
        return False
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        unpacked = unpacking.decompress(progress.body, limit + 1)
    except zlib.error:
        return False
    progress.body = bytearray(unpacked[:limit])
    return unpacking.eof and len(unpacked) <= limit


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
