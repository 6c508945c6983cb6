"""Which proxy a URL goes through, by the usual variables' rules."""

from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

from bot.settings import Network


def proxy_for(url: str, network: Network) -> str | None:
    """The proxy's URL; None: directly."""
    parts = urlsplit(url)
    proxy = network.https_proxy if parts.scheme in ("https", "wss") else network.http_proxy
    if proxy and proxy_bypass_environment(parts.netloc.rpartition("@")[2], {"no": network.no_proxy or ""}):
        return None
    return proxy
