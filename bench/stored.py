"""Writes what a database holds before something of it is measured, past the handlers, since it is much."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, text

from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.incident import Outgoing
from bot.domain.policy import Policy
from bot.store.rows import incident_row
from tests.databases import store_at
from tests.fakes import NOW

POST = Outgoing(kind="post", to="", template="sentence", context={"sentence": "something that somebody should know"})


def incident(severity: Severity = Severity.P1) -> dict[str, Any]:
    """The row of one that was declared at NOW."""
    told = Declaration(target="default", title="Completions fail", severity=severity, channel="C0INCIDENTS")
    return incident_row(acts.declare(told, "U0REQUESTER", NOW, Policy()).incident)


async def written(url: str, statement: Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> None:
    store = store_at(url)
    async with store.engine.begin() as connection:
        await connection.execute(statement, rows)
        # as the server does by itself after a while: else it plans for the table as it was
        if store.engine.dialect.name == "postgresql" and rows:
            await connection.execute(text("ANALYZE"))
    await store.close()
