"""A requests session for one call that ends: at a deadline whatever drips, and at a number of bytes."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from bot.clients.proxies import proxy_for
from bot.settings import Network


class OverLimit(requests.RequestException):
    """The body is larger than the limit."""


class BoundedSession(requests.Session):
    """One call long; nothing is taken from the environment and no redirect is followed.

    The sockets are shut at the deadline, since a time-out of requests only bounds the wait for the next byte.
    """

    def __init__(self, timeout_s: float, limit_bytes: int, network: Network) -> None:
        super().__init__()
        self.trust_env = False
        self.late = False
        self.last_status = 0
        self.last_body = b""
        self._limit_bytes = limit_bytes
        self._network = network
        self._adapter = _WatchedAdapter()
        if network.ca_file is not None:
            self.verify = str(network.ca_file)
        self._watchdog = threading.Timer(timeout_s, self._end)
        self._watchdog.daemon = True
        self._watchdog.start()

    def get_adapter(self, url: str) -> HTTPAdapter:
        """Always the watched one: the client would mount one of its own."""
        return self._adapter

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        """Raises OverLimit, and what requests raises."""
        # the way of requests to read NO_PROXY changes the environment for a moment, for all threads
        if proxy := proxy_for(url, self._network):
            options["proxies"] = {"http": proxy, "https": proxy}
        # closed whatever becomes of it: a session that ends knows nothing of a connection that is in use
        with super().request(method, url, **{**options, "stream": True, "allow_redirects": False}) as response:
            body = b"".join(self._chunks(response))
        if self.late:
            raise requests.Timeout
        self.last_status, self.last_body = response.status_code, body
        response._content = body
        return response

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere: requests would read an address that nobody is to follow, and fail where it is none."""

    def close(self) -> None:
        self._watchdog.cancel()
        self._adapter.close()
        super().close()

    def _chunks(self, response: requests.Response) -> Any:
        held = 0
        for chunk in response.iter_content(65_536):
            held += len(chunk)
            if held > self._limit_bytes:
                raise OverLimit
            yield chunk

    def _end(self) -> None:
        self.late = True
        self._adapter.cut()


class _WatchedAdapter(HTTPAdapter):
    """Knows its sockets, so that they can be shut from another thread."""

    def __init__(self) -> None:
        self._opened: list[Any] = []
        self._is_cut = False
        super().__init__(max_retries=0)

    def cut(self) -> None:
        """Shuts what is open, and whatever opens later: a name may have been looked up until now."""
        self._is_cut = True
        for opened in list(self._opened):
            held = opened if isinstance(opened, socket.socket) else opened.sock
            if held is not None:
                with contextlib.suppress(OSError):
                    # not SSLSocket's own, which changes what the reading thread is using
                    socket.socket.shutdown(held, socket.SHUT_RDWR)

    def close(self) -> None:
        super().close()
        # the pools that are forgotten by that leave their connections to the garbage collector
        for opened in self._opened:
            opened.close()

    def _watched(self, opened: Any) -> None:
        self._opened.append(opened)
        if self._is_cut:
            self.cut()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _watched_pools(self._watched)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _watched_pools(self._watched)
        return manager


def _watched_pools(watched: Callable[[Any], None]) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            watched(self)
            super().connect()
            # the connection lets go of its socket while an answer is still read from it
            watched(self.sock)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            watched(self)
            super().connect()
            watched(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
