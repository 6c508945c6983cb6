"""A store on each kind of database, and an incident in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.incident import Incident
from bot.store.sql import SqlStore
from tests.databases import KINDS, copy_of, store_at
from tests.domain.incidents import declaring
from tests.fakes import NOW


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlStore]:
    held = store_at(copy_of(request.param, tmp_path, request))
    yield held
    await held.close()


@pytest.fixture
async def incident(store: SqlStore) -> Incident:
    return await store.create(declaring(), now=NOW, request="view:0")
