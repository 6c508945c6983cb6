"""How the database finds what is asked for all the time: by an index, however much is over and was sent."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from bot.domain.alerting import work_in
from bot.domain.alerts import Alerts, Does, Judged, Payload
from bot.domain.causes import Severity
from bot.ports import Lane
from bot.store.sql import SqlStore
from tests.databases import copy_of, open_store
from tests.domain.alerts import an_alert
from tests.domain.incidents import POLICY, declaring
from tests.fakes import NOW

ASKED: dict[str, Callable[[SqlStore], Awaitable[Any]]] = {
    "in a channel": lambda store: store.in_channel("C0INCIDENTS"),
    "all that are open": lambda store: store.listed(open_only=True, limit=10),
    "how much waits": lambda store: store.waiting(),
    "how long it has waited": lambda store: store.backlog(NOW),
    "a bundle's card": lambda store: store.shown("evidence", "0011aabb"),
    "what is to be sent": lambda store: store.claim(NOW, limit=10, lease_s=60, lane=Lane(destination="pager")),
    "an incident's card": lambda store: store.card(1),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED.keys())
async def test_nothing_is_looked_for_among_everything(
    asked: Callable[[SqlStore], Awaitable[Any]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with open_store(copy_of("SQLite", tmp_path, request)) as store:
        await store.create(declaring(), now=NOW, request="view:1")
        assert await _scans(store, asked) == []


async def test_an_alert_is_worked_in_without_looking_through_everything(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rules, noted = Alerts(), Judged(does=Does.NOTE, severity=Severity.P2, target="default")

    async def worked(store: SqlStore) -> None:
        await store.receive_alerts([Payload(alerts=(an_alert(judged=noted),))], NOW)
        while await store.work_alerts(
            NOW + timedelta(minutes=5), lambda news: work_in(news, rules, POLICY, "C0INCIDENTS", NOW), limit=7
        ):
            pass

    async with open_store(copy_of("SQLite", tmp_path, request)) as store:
        await store.create(declaring(), now=NOW, request="view:1")
        assert await _scans(store, worked) == []


async def _scans(store: SqlStore, asked: Callable[[SqlStore], Awaitable[Any]]) -> list[str]:
    """The plans that go through all incidents, or all deliveries, of what ``asked`` asks."""
    seen: list[tuple[str, Any]] = []

    def see(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        seen.append((statement, parameters))

    event.listen(store.engine.sync_engine, "before_cursor_execute", see)
    await asked(store)
    event.remove(store.engine.sync_engine, "before_cursor_execute", see)
    plans: list[str] = []
    async with store.engine.connect() as connection:
        for statement, parameters in seen:
            if statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
                found = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans += found.scalars("detail")
    assert plans
    return [one for one in plans if one.startswith(("SCAN incidents", "SCAN deliveries"))]
