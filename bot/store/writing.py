"""What belongs to every write: its request noted, its events sealed in the timeline, its messages made to wait."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.domain.incident import Outgoing
from bot.domain.timeline import Entry, Event, seal
from bot.errors import AlreadyDone
from bot.store.rows import delivery_row, entry_row
from bot.store.states import SENDING, waiting
from bot.store.tables import deliveries, incidents, requests, timeline


async def note_request(connection: AsyncConnection, request: str, now: datetime, incident: int | None = None) -> None:
    """Raises AlreadyDone where it was noted before."""
    try:
        await connection.execute(insert(requests).values(key=request[:200], at=now, incident=incident))
    except IntegrityError as error:
        raise AlreadyDone("That was done already.") from error


def sealed(entries: Sequence[Entry], count: int, last_hash: str) -> dict[str, Any]:
    """How an incident's row tells the end of its timeline, with ``entries`` after the ``count`` that there were."""
    if not entries:
        return {"entries": count, "last_hash": last_hash}
    return {"entries": entries[-1].number, "last_hash": entries[-1].hash}


async def append(connection: AsyncConnection, entries: Sequence[Entry]) -> None:
    if entries:
        await connection.execute(insert(timeline), [entry_row(entry) for entry in entries])


async def hold(connection: AsyncConnection, number: int) -> tuple[int, str]:
    """Lets nobody else write to the incident's timeline; how many entries that has, and the hash of the last."""
    newest = select(incidents.c.entries, incidents.c.last_hash).where(incidents.c.id == number).with_for_update()
    row = (await connection.execute(newest)).one()
    return row.entries, row.last_hash


async def tell(
    connection: AsyncConnection, number: int, end: tuple[int, str], events: Sequence[Event], now: datetime
) -> None:
    """Appends ``events`` to the timeline of an incident that is held, whose ``end`` is as ``hold`` has told."""
    if not events:
        return
    entries = seal(events, incident=number, last_number=end[0], last_hash=end[1], noted=now)
    await append(connection, entries)
    # whoever has read the incident before must read it again, or would seal after the same entry
    after = sealed(entries, *end) | {"version": incidents.c.version + 1}
    await connection.execute(update(incidents).where(incidents.c.id == number).values(after))


# There is one of each, which is brought up to date.
_CARDS = ("card", "run", "proposal", "status", "evidence", "postmortem")


async def enqueue(connection: AsyncConnection, messages: Sequence[tuple[int | None, Outgoing]], now: datetime) -> None:
    """A card that there is already is asked for anew; everything else is a row of its own."""
    rows = []
    for number, message in messages:
        if message.kind in _CARDS:
            asked = await _ask_for_card(connection, number, message, now)
            if asked:
                continue
        rows.append(delivery_row(message, number, now))
    if rows:
        await connection.execute(insert(deliveries), rows)


async def _ask_for_card(connection: AsyncConnection, number: int | None, message: Outgoing, now: datetime) -> bool:
    """Whether there was one: by its id, or the one of ``message.to``, or for HOME every card of the incident."""
    held = (deliveries.c.incident == number) & (deliveries.c.kind == message.kind)
    if message.kind in ("run", "proposal", "evidence"):
        held &= deliveries.c.template == message.template
    elif message.to != "home":
        held &= deliveries.c.destination == message.to
    renewed = (
        update(deliveries)
        .where(held)
        .values(
            wanted=deliveries.c.wanted + 1,
            due_at=now,
            # one that is being sent is looked at again when that is done
            state=case((deliveries.c.state.in_(SENDING), deliveries.c.state), else_=waiting(message.kind, message.to)),
        )
    )
    return bool((await connection.execute(renewed)).rowcount)
