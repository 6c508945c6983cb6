"""Killed with SIGKILL at any statement of taking an alert and of working it in: nothing is lost, nothing doubled."""

import asyncio
import multiprocessing
import os
import signal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from bot.domain.alerting import News, Worked, work_in
from bot.domain.alerts import Alerts, Payload
from bot.domain.timeline import fault
from bot.store.sql import SqlStore
from bot.store.tables import deliveries
from tests.databases import KINDS, copy_of, store_at
from tests.domain.alerts import an_alert
from tests.domain.incidents import POLICY
from tests.fakes import NOW

# All that a transaction does, and each of its commits, is such a point.
POINTS = 15
TOLD = Payload(alerts=(an_alert("A"), an_alert("B")))
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.kill.warmed"])


def decide(news: News) -> Worked:
    return work_in(news, Alerts(), POLICY, "C0INCIDENTS", NOW)


async def taken(store: SqlStore) -> None:
    await store.receive_alerts([TOLD], NOW)
    while await store.work_alerts(NOW, decide, limit=5):
        pass


def dies(url: str, at: int) -> None:
    """Entry of the process: does it all, and kills itself before the statement or commit that is the ``at``-th."""
    asyncio.run(_dies(url, at))


async def _dies(url: str, at: int) -> None:
    store, seen = store_at(url), count(1)

    def reached(*_: Any) -> None:
        if next(seen) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    for what in ("before_cursor_execute", "commit"):
        event.listen(store.engine.sync_engine, what, reached)
    await taken(store)
    await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kill_at_any_statement_loses_nothing_and_doubles_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for point in count(1):
        url = copy_of(kind, tmp_path, request)
        process = _context.Process(target=dies, args=(url, point), daemon=True)
        process.start()
        await asyncio.to_thread(process.join, 60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        store = store_at(url)
        # its sender has heard nothing, and tells it again
        await taken(store)
        (only,) = await store.listed(open_only=False, limit=10)
        entries = await store.timeline(only.id)
        assert [entry.event.kind.value for entry in entries] == ["declared", "alert"], point
        assert fault(entries, count=only.entries, last_hash=only.last_hash) is None
        figures = await store.alert_figures(only.id)
        assert figures is not None
        assert figures.firing == 2
        async with store.engine.connect() as connection:
            sent = (await connection.execute(select(func.count()).select_from(deliveries))).scalar_one()
        assert sent == 2, "the card, and what fires"
        await store.close()
    assert point > POINTS
