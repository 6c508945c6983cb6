"""Alerts are worked into incidents by whoever holds the key's row, who writes all that comes of it, or nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, func, not_, or_, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.domain.alerting import Decide, News, Worked, proposal_card
from bot.domain.alerts import Alert, AlertKey
from bot.domain.incident import HOME, Change, Incident
from bot.store.alerts import ReceivedAlerts
from bot.store.changing import add_incident, change_incident
from bot.store.rows import alert_key_of, alert_key_row, alert_of, incident_of
from bot.store.states import OPEN
from bot.store.tables import alert_keys, alerts, incidents
from bot.store.writing import enqueue

FORGOTTEN_AFTER = timedelta(days=90)
# Of one key in one transaction; what is left waits for the next.
_NEWS = 500
# On how many timelines what is only noted is written.
_BESIDE = 20


class StoredAlerts(ReceivedAlerts):
    """See :class:`bot.ports.alerts.Alerts`."""

    async def work_alerts(self, now: datetime, decide: Decide, *, limit: int) -> int:
        waits = or_(alert_keys.c.waiting, alert_keys.c.ask_at <= now)
        if not await self._any(select(alert_keys).where(waits)):
            return 0
        due = select(alert_keys).where(waits).order_by(alert_keys.c.key).limit(limit)
        async with self._writing() as connection:
            rows = (await connection.execute(due.with_for_update(skip_locked=True))).mappings().all()
            keys = [alert_key_of(row) for row in rows]
            told = {key.key: await _untold(connection, key.key) for key in keys}
            held = await _held(connection, keys, told)
            for key in keys:
                news = await _news(connection, key, told[key.key], held)
                worked = decide(news)
                await _store(connection, news, worked, held, now)
        return len(keys)

    async def claim_alert_triages(self, now: datetime, *, limit: int, lease_s: float) -> Sequence[AlertKey]:
        free = or_(alert_keys.c.lease_until.is_(None), alert_keys.c.lease_until <= self._lease_clock(now))
        wanted = select(alert_keys).where(alert_keys.c.triage_at <= now, free)
        if not await self._any(wanted):
            return []
        due = wanted.order_by(alert_keys.c.key).limit(limit)
        async with self._writing() as connection:
            rows = (await connection.execute(due.with_for_update(skip_locked=True))).mappings().all()
            taken = alert_keys.c.key.in_([row["key"] for row in rows])
            lease = {"lease_until": self._lease_clock(now, plus_s=lease_s), "triages": alert_keys.c.triages + 1}
            await connection.execute(update(alert_keys).where(taken).values(lease))
        return [replace(alert_key_of(row), triages=row["triages"] + 1) for row in rows]

    async def end_alert_triages(
        self,
        keys: Sequence[AlertKey],
        decide: Callable[[Incident], Change],
        now: datetime,
        *,
        triage: str | None,
        again_at: datetime | None = None,
    ) -> None:
        async with self._writing() as connection:
            mine = alert_keys.c.key.in_([key.key for key in keys])
            query = select(alert_keys).where(mine).order_by(alert_keys.c.key).with_for_update()
            found = {row["key"]: alert_key_of(row) for row in (await connection.execute(query)).mappings()}
            # one whose triage was asked for anew meanwhile waits for that
            same = [found[key.key] for key in keys if key.key in found and found[key.key].triage_at == key.triage_at]
            ended = alert_keys.c.key.in_([key.key for key in same])
            values: dict[str, Any] = {"triage_at": again_at, "lease_until": None}
            if triage is not None:
                values |= {"triage": triage}
            await connection.execute(update(alert_keys).where(ended).values(values))
            if again_at is not None:
                return
            numbers = sorted({key.incident for key in same if key.incident is not None})
            for before in (await _incidents(connection, incidents.c.id.in_(numbers))).values():
                change = decide(before)
                if change.events or change.messages:
                    await change_incident(connection, before, change, now)
            cards = [proposal_card(key, HOME) for key in same]
            # a card that was not asked for by its own transaction is not there
            await enqueue(connection, [(None, card) for card in cards if card is not None], now)

    async def _forget_alerts(self, connection: AsyncConnection, before: datetime) -> int:
        """What was told of last ``before`` that time, and keys of which nothing is left."""
        old = delete(alerts).where(alerts.c.seen_at < before, alerts.c.told)
        gone = (await connection.execute(old)).rowcount
        empty = not_(select(alerts.c.id).where(alerts.c.key == alert_keys.c.key).exists())
        # a key whose incident is open would open another
        lasting = select(incidents.c.id).where(incidents.c.id == alert_keys.c.incident, incidents.c.status.in_(OPEN))
        idle = and_(empty, not_(alert_keys.c.waiting), alert_keys.c.triage_at.is_(None), not_(lasting.exists()))
        return gone + (await connection.execute(delete(alert_keys).where(idle))).rowcount


async def _untold(connection: AsyncConnection, key: str) -> list[Alert]:
    query = select(alerts).where(alerts.c.key == key, not_(alerts.c.told)).limit(_NEWS + 1)
    # those that fire first: they decide
    query = query.order_by(alerts.c.ends_at.is_not(None), alerts.c.starts_at, alerts.c.id)
    return [alert_of(row) for row in (await connection.execute(query)).mappings()]


async def _held(
    connection: AsyncConnection, keys: Sequence[AlertKey], told: Mapping[str, Sequence[Alert]]
) -> dict[int, Incident]:
    """The incidents that may be changed, held, in every process in the same order."""
    numbers = [key.incident for key in keys if key.incident is not None]
    targets = {one.judged.target for some in told.values() for one in some if one.judged.does == "note"}
    beside = select(incidents.c.id).where(incidents.c.status.in_(OPEN), incidents.c.target.in_(targets))
    beside = beside.order_by(incidents.c.id.desc()).limit(_BESIDE)
    if targets:
        numbers += (await connection.execute(beside)).scalars()
    return await _incidents(connection, incidents.c.id.in_(numbers))


async def _incidents(connection: AsyncConnection, which: Any) -> dict[int, Incident]:
    query = select(incidents).where(which).order_by(incidents.c.id).with_for_update()
    return {row["id"]: incident_of(row) for row in (await connection.execute(query)).mappings()}


async def _news(
    connection: AsyncConnection, key: AlertKey, untold: Sequence[Alert], held: Mapping[int, Incident]
) -> News:
    mine = alerts.c.key == key.key
    firing = select(func.count()).where(mine, alerts.c.ends_at.is_(None))
    quiet = select(func.max(alerts.c.seen_at)).where(mine, alerts.c.ends_at.is_not(None), alerts.c.told)
    told = untold[:_NEWS]
    targets = {one.judged.target for one in told}
    return News(
        key=key,
        begun=tuple(one for one in told if one.ends_at is None),
        ended=tuple(one for one in told if one.ends_at is not None),
        more=len(untold) > _NEWS,
        firing=(await connection.execute(firing)).scalar_one(),
        quiet_since=(await connection.execute(quiet)).scalar(),
        incident=None if key.incident is None else held.get(key.incident),
        beside=tuple(one for one in held.values() if one.open and one.target in targets),
    )


async def _store(
    connection: AsyncConnection, news: News, worked: Worked, held: dict[int, Incident], now: datetime
) -> None:
    key = worked.key
    if worked.opened is not None:
        made = await add_incident(connection, worked.opened, now)
        held[made.id], key = made, replace(key, incident=made.id)
    for change in worked.changed:
        number = change.incident.id
        held[number] = await change_incident(connection, held[number], change, now)
    if worked.card is not None:
        await enqueue(connection, [(None, worked.card)], now)
    row = alert_key_row(key) | {"waiting": news.more}
    await connection.execute(update(alert_keys).where(alert_keys.c.key == key.key).values(row))
    told: dict[str, Any] = {"told": True}
    incident = None if key.incident is None else held.get(key.incident)
    if incident is not None and incident.open:
        told["incident"] = incident.id
        if news.incident is None or not news.incident.open:
            await _bind(connection, news.key, incident, now)
    elif worked.proposes and key.proposal is not None:
        told["proposal"] = key.proposal
    numbers = [one.id for one in (*news.begun, *news.ended)]
    if numbers:
        await connection.execute(update(alerts).where(alerts.c.id.in_(numbers)).values(told))


async def _bind(connection: AsyncConnection, key: AlertKey, incident: Incident, now: datetime) -> None:
    """What fires of the key besides is the incident's too; a proposal that they were in says so."""
    firing = (alerts.c.key == key.key) & alerts.c.ends_at.is_(None) & alerts.c.told
    await connection.execute(update(alerts).where(firing).values(incident=incident.id))
    card = proposal_card(key, incident.channel)
    if card is not None:
        await enqueue(connection, [(None, card)], now)
