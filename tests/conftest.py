"""What tests of several rooms share: one PostgreSQL server a worker, and databases that were migrated once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from bot.clients import login
from bot.clients.login import Credentials
from bot.settings import Kubernetes
from bot.store.migrate import upgrade
from tests.databases import migrated_template, postgres


@pytest.fixture(autouse=True)
def forms_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot in the test's own process does not have Slack's three seconds: the machine may stand still for as long."""
    monkeypatch.setattr("bot.slack.form_parts._ACK_WITHIN_S", 60.0)


@pytest.fixture(autouse=True)
def servers_know_who_has_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp leaves a connection open that comes to it while it is cleaned up, and another test would be blamed."""
    cleanup = web.BaseRunner.cleanup

    async def some_turns_later(self: web.BaseRunner) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        await cleanup(self)

    monkeypatch.setattr(web.BaseRunner, "cleanup", some_turns_later)


@pytest.fixture(autouse=True)
def logins_are_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for a process that reads it would be minutes; tests/clients/test_login.py has that process read."""
    monkeypatch.setattr(login, "read", read_here)


async def read_here(settings: Kubernetes) -> Credentials:
    from bot.clients.kubeconfig import credentials

    return await credentials(settings)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    upgrade(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("postgres")) as uri:
        migrated_template(uri)
        yield uri
