"""HttpClient against real servers on loopback: every way in which an answer can fail to come, and at which stage."""

import asyncio
import gc
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from bot.clients.http import HttpClient
from bot.domain.signals import Failure
from bot.errors import BadAnswer, SettingsError
from bot.ports import Exchange
from bot.settings import Network
from tests.fakes import unhurried
from tests.upstreams import Handle, connected

LIMIT = 100_000


@asynccontextmanager
async def serving(play: Handle, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that reads one request's head and then does as ``play`` says; gives its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await play(reader, writer)
            await writer.drain()

    async with connected(answer, context) as port:
        yield port


def says(raw: bytes, then: str = "close") -> Handle:
    """Writes ``raw``, then closes, resets, hangs, or keeps the connection for the next request."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(raw)
        await writer.drain()
        if then == "close":
            raise ConnectionError
        if then == "reset":
            writer.transport.abort()
            raise ConnectionError
        if then == "hang":
            await asyncio.Event().wait()

    return play


async def asked(url: str, *, network: Network | None = None, timeout_s: float = 30, method: str = "GET") -> Exchange:
    client = HttpClient(network or Network(), LIMIT)
    try:
        return await client.fetch(method, url, timeout_s=timeout_s)
    finally:
        await client.close()


async def of_server(play: Handle, timeout_s: float = 30) -> Exchange:
    async with serving(play) as port:
        return await asked(f"http://127.0.0.1:{port}/", timeout_s=timeout_s)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-RateLimit-Limit-Req-Minute: 5\r\n\r\n{}"


def long(status: bytes, length: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, length, body)


async def test_a_whole_answer_has_its_status_body_lower_case_headers_and_times() -> None:
    exchange = await of_server(says(OK, "keep"))
    assert (exchange.status, exchange.failure, exchange.body) == (200, None, b"{}")
    assert exchange.headers["x-ratelimit-limit-req-minute"] == "5"
    assert exchange.first_byte_ms is not None
    assert 0 <= exchange.first_byte_ms <= exchange.latency_ms


@pytest.mark.parametrize(
    ("play", "failure", "status"),
    [
        pytest.param(says(b"", "close"), Failure.CONNECT, None, id="closes before the first byte"),
        pytest.param(says(b"", "reset"), Failure.CONNECT, None, id="resets before the first byte"),
        pytest.param(says(long(b"200 OK", 9, b"{}"), "close"), Failure.GARBAGE, 200, id="cuts a body of 200"),
        pytest.param(says(long(b"200 OK", 9, b"{}"), "reset"), Failure.GARBAGE, 200, id="resets in a body of 200"),
        pytest.param(says(b"nonsense\r\n\r\n"), Failure.GARBAGE, None, id="is not HTTP"),
        pytest.param(
            says(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
            Failure.GARBAGE,
            302,
            id="redirects",
        ),
        pytest.param(
            says(b"HTTP/1.1 302 Found\r\nLocation: http://xn--/\r\nContent-Length: 0\r\n\r\n"),
            Failure.GARBAGE,
            None,
            id="redirects to what is no name",
        ),
        pytest.param(says(long(b"429 No", 9, b"{}"), "close"), None, 429, id="cuts a body of 429"),
        pytest.param(says(long(b"401 No", 9, b"{}"), "reset"), None, 401, id="resets in a body of 401"),
    ],
)
async def test_how_an_upstream_fails_is_told(play: Handle, failure: Failure | None, status: int | None) -> None:
    exchange = await of_server(play)
    assert (exchange.failure, exchange.status) == (failure, status)


@pytest.mark.parametrize(
    ("sent", "failure", "status"),
    [
        (b"", Failure.TIMEOUT, None),
        (long(b"200 OK", 9, b"{}"), Failure.TIMEOUT, None),
        (long(b"503 Oh", 9, b"{}"), None, 503),
    ],
    ids=["before the first byte", "in a body of 200", "in a body of 503"],
)
async def test_where_an_upstream_hangs_is_told(
    sent: bytes, failure: Failure | None, status: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhurried(monkeypatch)
    exchange = await of_server(says(sent, "hang"), timeout_s=0.5)
    assert (exchange.failure, exchange.status) == (failure, status)


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def test_a_body_that_drips_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    unhurried(monkeypatch)
    loop = asyncio.get_running_loop()
    began = loop.time()
    exchange = await of_server(drips, timeout_s=0.5)
    assert exchange.failure is Failure.TIMEOUT
    assert exchange.latency_ms >= 480
    assert loop.time() - began < 1.5


@pytest.mark.parametrize(("status", "failure"), [(b"200 OK", Failure.GARBAGE), (b"500 No", None)])
async def test_a_body_of_50_mb_is_read_only_up_to_the_limit(status: bytes, failure: Failure | None) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(long(status, 50_000_000, b""))
        for _ in range(500):
            writer.write(bytes(100_000))
            await writer.drain()
            sent += 100_000

    exchange = await of_server(flood)
    assert (exchange.failure, len(exchange.body)) == (failure, LIMIT)
    assert sent < 20_000_000


async def test_a_packed_body_is_unpacked_only_up_to_the_limit() -> None:
    packed = gzip.compress(bytes(50_000_000))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    exchange = await of_server(says(head + packed))
    assert exchange.failure is Failure.GARBAGE
    assert len(exchange.body) <= LIMIT


async def test_a_small_packed_body_is_read_although_it_was_not_asked_for() -> None:
    packed = gzip.compress(b'{"data": []}')
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    exchange = await of_server(says(head + packed))
    assert (exchange.failure, exchange.body) == (None, b'{"data": []}')


async def test_a_name_that_does_not_exist_fails_by_dns() -> None:
    assert (await asked("http://mistral.invalid/")).failure is Failure.DNS


async def test_a_closed_port_fails_by_connect() -> None:
    async with serving(says(OK)) as port:
        pass
    assert (await asked(f"http://127.0.0.1:{port}/")).failure is Failure.CONNECT


async def test_plain_http_on_an_https_address_fails_by_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    unhurried(monkeypatch)
    async with serving(says(b"HTTP/1.1 400 Bad\r\n\r\n")) as port, asyncio.timeout(5):
        assert (await asked(f"https://127.0.0.1:{port}/", timeout_s=2)).failure is Failure.TLS


async def test_a_connection_cut_within_the_tls_handshake_fails_by_tls() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with connected(cut) as port:
        assert (await asked(f"https://127.0.0.1:{port}/")).failure is Failure.TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


async def test_a_certificate_is_trusted_only_with_its_ca_file(authority: trustme.CA, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    async with serving(says(OK, "keep"), tls(authority)) as port:
        url = f"https://127.0.0.1:{port}/"
        assert (await asked(url)).failure is Failure.TLS
        assert (await asked(url, network=Network(ca_file=ca_file))).status == 200


def test_a_ca_file_that_cannot_be_used_is_a_settings_error(tmp_path: Path) -> None:
    not_pem = tmp_path / "ca.pem"
    not_pem.write_text("hello")
    for ca_file in (tmp_path / "none.pem", not_pem):
        with pytest.raises(SettingsError, match="SSL_CERT_FILE"):
            HttpClient(Network(ca_file=ca_file), LIMIT)


async def test_a_proxy_is_used_for_its_scheme_and_not_for_no_proxy_hosts() -> None:
    asked_for: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked_for.append(b"proxy")
        writer.write(OK)

    async with serving(proxy) as proxy_port, serving(says(long(b"204 No", 0, b""), "keep")) as port:
        through = Network(http_proxy=f"http://127.0.0.1:{proxy_port}")
        # the proxy resolves the name, so that one that does not exist here is no failure
        assert (await asked("http://mistral.invalid/", network=through)).status == 200
        around = Network(http_proxy=f"http://127.0.0.1:{proxy_port}", no_proxy="other.test,127.0.0.1")
        assert (await asked(f"http://127.0.0.1:{port}/", network=around)).status == 204
    assert asked_for == [b"proxy"]


async def test_a_tunnel_through_a_proxy_reaches_an_https_upstream(authority: trustme.CA, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(10_000):
            writer.write(chunk)

    async with serving(says(OK, "keep"), tls(authority)) as port:

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            try:
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
            finally:
                far_writer.close()

        async with serving(proxy) as proxy_port:
            network = Network(https_proxy=f"http://127.0.0.1:{proxy_port}", ca_file=ca_file)
            assert (await asked("https://localhost/", network=network)).status == 200


@pytest.mark.parametrize("then", ["hang", "close"])
async def test_a_proxy_that_makes_no_tunnel_fails_by_connect(then: str) -> None:
    async with serving(says(b"", then)) as port:
        network = Network(https_proxy=f"http://127.0.0.1:{port}")
        timeout_s = 0.4 if then == "hang" else 30
        assert (await asked("https://localhost/", network=network, timeout_s=timeout_s)).failure is Failure.CONNECT


async def test_tunnels_in_which_nothing_answers_leave_room_for_the_next() -> None:
    """A hundred are as many as httpcore keeps."""
    hangs = True

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n" + (b"" if hangs else b"not TLS\r\n"))
        await (asyncio.Event().wait() if hangs else writer.drain())

    async with connected(proxy) as port:
        client = HttpClient(Network(https_proxy=f"http://127.0.0.1:{port}"), LIMIT)
        lost = [client.fetch("GET", "https://upstream.test/", timeout_s=1) for _ in range(101)]
        assert {one.failure for one in await asyncio.gather(*lost)} <= {Failure.TLS, Failure.CONNECT}
        hangs = False
        found = await client.fetch("GET", "https://upstream.test/", timeout_s=30)
        await client.close()
    assert found.failure is Failure.TLS


async def test_a_handshake_that_is_given_up_leaves_nothing_open() -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        begun.set()
        while await reader.read(65_536):
            pass
        closed.set()

    gc.disable()  # what waits to be collected is still open
    try:
        async with connected(silent) as port, asyncio.timeout(30):
            fetching = asyncio.create_task(asked(f"https://127.0.0.1:{port}/"))
            await begun.wait()
            fetching.cancel()
            await closed.wait()
    finally:
        gc.enable()
    assert fetching.cancelled()


async def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure() -> None:
    served = 0

    async def once_a_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        if served == 2:
            raise ConnectionError
        writer.write(OK)

    async with serving(once_a_connection) as port:
        client = HttpClient(Network(), LIMIT)
        first = await client.fetch("GET", f"http://127.0.0.1:{port}/", timeout_s=30)
        second = await client.fetch("GET", f"http://127.0.0.1:{port}/", timeout_s=30)
        await client.close()
    assert (first.status, second.status, served) == (200, 200, 3)


async def test_a_key_that_http_cannot_carry_is_refused_without_being_quoted() -> None:
    client = HttpClient(Network(), LIMIT)
    with pytest.raises(BadAnswer) as caught:
        await client.fetch("GET", "http://127.0.0.1:9/", timeout_s=1, headers={"Authorization": "Bearer s3cret\nx"})
    await client.close()
    assert "s3cret" not in str(caught.value)
    assert "Authorization" in str(caught.value)
