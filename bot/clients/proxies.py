"""Which proxy a URL goes through, by the usual variables' rules; every client asks here."""

import contextlib
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

from bot.settings import Network

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def proxy_for(url: str, network: Network) -> str | None:
    """The proxy's URL; None: directly. NO_PROXY may hold names, with or without a port, addresses, networks and *."""
    parts = urlsplit(url)
    proxy = network.https_proxy if parts.scheme in ("https", "wss") else network.http_proxy
    if proxy is None:
        return None
    host, exceptions = parts.hostname or "", network.no_proxy or ""
    named = proxy_bypass_environment(f"{host}:{parts.port or _PORTS.get(parts.scheme, 0)}", {"no": exceptions})
    return None if named or _in_a_network(host, exceptions) else proxy


def _in_a_network(host: str, exceptions: str) -> bool:
    for entry in exceptions.split(","):
        with contextlib.suppress(ValueError):
            if ip_address(host) in ip_network(entry.strip(), strict=False):
                return True
    return False
