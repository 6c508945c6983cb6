"""What a connection to PostgreSQL does about a network that goes without a word."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from bot.errors import StoreError
from bot.handlers.driving import _LEASE_S
from bot.store.engine import make_engine
from bot.store.sql import SqlStore
from tests.databases import copy_of, store_at
from tests.domain.incidents import declaring
from tests.fakes import NOW
from tests.upstreams import connected

Act = Callable[[SqlStore], Awaitable[object]]
_OPTIONS = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")


async def test_a_connection_whose_network_is_gone_is_given_up_before_a_lease_ends(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As the kernel is told, which alone can know: that it does so takes a network that can be taken away."""
    url = urlsplit(copy_of("PostgreSQL", tmp_path, request))
    path = f"{url.query.removeprefix('host=')}/.s.PGSQL.5432"

    async def carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Over TCP to the server, which listens at a socket of this machine."""
        answers, asked = await asyncio.open_unix_connection(path)
        try:
            await asyncio.gather(_pump(reader, asked), _pump(answers, writer))
        finally:
            asked.close()

    async with connected(carried) as port:
        engine = make_engine(url._replace(netloc=f"{url.netloc}127.0.0.1:{port}", query="").geturl())
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            with socket.socket(fileno=os.dup(driver.fileno())) as held:
                tcp = {name: held.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in _OPTIONS}
                kept_alive = held.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await engine.dispose()
    silent_s = tcp["TCP_KEEPIDLE"] + tcp["TCP_KEEPINTVL"] * tcp["TCP_KEEPCNT"]
    assert kept_alive
    assert 0 < silent_s < _LEASE_S
    assert 0 < tcp["TCP_USER_TIMEOUT"] < 1000 * _LEASE_S


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    "act",
    [lambda store: store.incident(1), lambda store: store.create(declaring(), now=NOW, request="view:0")],
    ids=["read", "write"],
)
async def test_a_database_that_stops_answering_holds_nobody_for_ever(
    act: Act, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine takes what is sent, and the network is well: nothing but the bot's own clock ends the wait."""
    monkeypatch.setattr("bot.store.sql._ANSWERED_WITHIN_S", 0.5)
    store = store_at(copy_of("PostgreSQL", tmp_path, request))
    async with store.engine.connect() as connection:
        stopped = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    os.kill(stopped, signal.SIGSTOP)
    try:
        async with asyncio.timeout(20):
            with pytest.raises(StoreError, match="cannot be used just now"):
                await act(store)
            await act(store)  # by another connection
    finally:
        os.kill(stopped, signal.SIGCONT)
        await store.close()
