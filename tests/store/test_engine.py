"""What a connection to PostgreSQL does about a network that goes without a word."""

import asyncio
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from bot.handlers.driving import _LEASE_S
from bot.store.engine import make_engine
from tests.databases import copy_of
from tests.upstreams import connected

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
