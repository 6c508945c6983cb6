"""One rule for all clients: which proxy a URL goes through."""

import pytest

from bot.clients.proxies import proxy_for
from bot.settings import Network

HTTP, HTTPS = "http://proxy:3128", "http://proxy:3129"


@pytest.mark.parametrize(
    ("url", "no_proxy", "expected"),
    [
        ("http://api.example.com/x", None, HTTP),
        ("https://api.example.com/x", None, HTTPS),
        ("wss://api.example.com/x", None, HTTPS),
        ("ws://api.example.com/x", None, HTTP),
        ("https://api.example.com", "example.com", None),
        ("https://api.example.com", ".example.com", None),
        ("https://notexample.com", "example.com", HTTPS),
        ("https://api.example.com", "other, api.example.com:443", None),
        ("https://api.example.com:8443", "api.example.com:443", HTTPS),
        ("https://api.example.com", "*", None),
        ("http://10.1.2.3:9090", "10.0.0.0/8", None),
        ("http://11.1.2.3:9090", "10.0.0.0/8", HTTP),
        ("http://10.1.2.3:9090", "10.1.2.3", None),
        ("http://[fd00::5]:9090", "fd00::/8", None),
        ("http://[fe80::5]:9090", "fd00::/8", HTTP),
    ],
)
def test_no_proxy_is_read_the_usual_way(url: str, no_proxy: str | None, expected: str | None) -> None:
    assert proxy_for(url, Network(http_proxy=HTTP, https_proxy=HTTPS, no_proxy=no_proxy)) == expected


def test_without_a_proxy_everything_is_direct() -> None:
    assert proxy_for("https://api.example.com", Network(http_proxy=HTTP)) is None
