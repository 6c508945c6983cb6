"""An incident is stored with all that comes with it, within the transaction of whoever asks."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.domain.alerting import proposal_card
from bot.domain.incident import Change, Incident, Refusal
from bot.domain.timeline import FIRST_HASH, Entry, seal
from bot.errors import Conflict
from bot.store.collections import begin_collection
from bot.store.postmortems import keep_postmortem
from bot.store.publications import publish
from bot.store.rows import alert_key_of, incident_of, incident_row
from bot.store.tables import alert_keys, alerts, incidents
from bot.store.watches import keep_watching
from bot.store.writing import append, enqueue, sealed


async def add_incident(connection: AsyncConnection, change: Change, now: datetime) -> Incident:
    """A new one. Raises Refusal where its alerts have an open incident already."""
    # before the incident is there: whoever works its alerts in holds the key first, too
    key = None if change.alert_key is None else await _free_key(connection, change.alert_key)
    row = incident_row(change.incident) | {"version": 1, "entries": 0, "last_hash": FIRST_HASH}
    made = await connection.execute(insert(incidents).values(row).returning(incidents.c.id))
    number = int(made.scalar_one())
    entries = seal(change.events, incident=number, last_number=0, last_hash=FIRST_HASH, noted=now)
    end = sealed(entries, 0, FIRST_HASH)
    await connection.execute(update(incidents).where(incidents.c.id == number).values(end))
    await _kept(connection, number, change, entries, now)
    if key is not None:
        await _bind(connection, key, number, change.incident.channel, now)
    return replace(change.incident, id=number, version=1, **end)


async def change_incident(connection: AsyncConnection, before: Incident, change: Change, now: datetime) -> Incident:
    """What became of ``before``; raises Conflict if that is no longer the newest."""
    entries = sealed_after(before, change, now)
    row = row_after(before, change, entries)
    same = (incidents.c.id == before.id) & (incidents.c.version == before.version)
    if (await connection.execute(update(incidents).where(same).values(row))).rowcount != 1:
        raise Conflict(f"{before.name} was changed by somebody else in the same moment; try again.")
    await _kept(connection, before.id, change, entries, now)
    return replace(change.incident, **{name: row[name] for name in ("version", "entries", "last_hash")})


def sealed_after(before: Incident, change: Change, now: datetime) -> list[Entry]:
    """The timeline's new entries."""
    return seal(change.events, incident=before.id, last_number=before.entries, last_hash=before.last_hash, noted=now)


def row_after(before: Incident, change: Change, entries: Sequence[Entry]) -> dict[str, Any]:
    end = sealed(entries, before.entries, before.last_hash)
    return incident_row(change.incident) | end | {"version": before.version + 1}


async def _kept(
    connection: AsyncConnection, number: int, change: Change, entries: Sequence[Entry], now: datetime
) -> None:
    """What comes with an incident's row."""
    await append(connection, entries)
    if change.watching is not None:
        await keep_watching(connection, number, change.watching)
    if change.publication is not None:
        await publish(connection, number, change.publication, now)
    await begin_collection(connection, number, change, now)
    await keep_postmortem(connection, number, change, now)
    await enqueue(connection, [(number, message) for message in change.messages], now)


async def _free_key(connection: AsyncConnection, key: str) -> Any:
    """The row of a key that has no open incident, held; None: it is long forgotten."""
    query = select(alert_keys).where(alert_keys.c.key == key).with_for_update()
    row = (await connection.execute(query)).mappings().first()
    if row is None or row["incident"] is None:
        return row
    found = await connection.execute(select(incidents).where(incidents.c.id == row["incident"]))
    held = incident_of(found.mappings().one())
    if held.open:
        raise Refusal(f"{held.name} is open for these alerts already.")
    return row


async def _bind(connection: AsyncConnection, row: Any, number: int, channel: str, now: datetime) -> None:
    """The key's alerts are the incident's from now on, and the proposal's card says so."""
    key = alert_key_of(row)
    await connection.execute(
        update(alert_keys).where(alert_keys.c.key == key.key).values(incident=number, ask_at=None, asked_at=None)
    )
    told = alerts.c.ends_at.is_(None) | (alerts.c.proposal == key.proposal)
    # what waits is still to be worked in, and then told of in the timeline
    of_it = (alerts.c.key == key.key) & alerts.c.incident.is_(None) & alerts.c.told & told
    await connection.execute(update(alerts).where(of_it).values(incident=number))
    card = proposal_card(key, channel)
    if card is not None:
        await enqueue(connection, [(None, card)], now)
