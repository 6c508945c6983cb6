"""The alerts' way in: written once, however often they are told of; and what is read of them.

The tables, and no queue, hold what is still to be done: a repeat writes next to nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.ext.asyncio.engine import AsyncConnection

from bot.domain.alert_state import Known, Register
from bot.domain.alerts import Alert, AlertKey, Payload, Proposal
from bot.ports.alerts import AlertFigures
from bot.store.base import Base
from bot.store.rows import alert_key_of, alert_key_row, alert_of, alert_row
from bot.store.tables import alert_keys, alerts

# SQLite takes a bounded number of parameters.
_AT_ONCE = 500
_SHOWN = 10
# Groups of one key whose payloads are truncated.
_GROUPS = 50


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What payloads mean for what is stored. ``truncated``: what is to be kept of truncated groups, by key."""

    changed: Sequence[Known]
    seen: Sequence[int]
    truncated: Mapping[str, list[str]]

    @property
    def keys(self) -> set[str]:
        """Those of which something is to be worked in."""
        return {one.key for one in self.changed} | set(self.truncated)


class ReceivedAlerts(Base):
    """See :class:`bot.ports.alerts.Alerts`."""

    async def receive_alerts(self, payloads: Sequence[Payload], now: datetime) -> bool:
        # most are repeats, which need nobody's lock
        async with self._reading() as connection:
            found = await _compared(connection, payloads, now)
        if not (found.keys or found.seen):
            return False
        async with self._writing() as connection:
            await self._hold_keys(connection, payloads, found)
            # what others have written until then is seen now, and nobody else writes to these keys
            found = await _compared(connection, payloads, now)
            await self._write(connection, found, now)
        return bool(found.keys)

    async def alert_figures(self, incident: int) -> AlertFigures | None:
        mine = alerts.c.incident == incident
        counted = select(func.count(), func.count(alerts.c.ends_at), func.min(alerts.c.starts_at)).where(mine)
        firing = mine & alerts.c.ends_at.is_(None)
        named = select(alerts.c.name, func.min(alerts.c.id)).where(firing).group_by(alerts.c.name)
        async with self._reading() as connection:
            count, ended, began = (await connection.execute(counted)).one()
            names = (await connection.execute(named.order_by(func.min(alerts.c.id)).limit(_SHOWN))).all()
        if not count:
            return None
        return AlertFigures(
            firing=count - ended, resolved=ended, names=tuple(row.name for row in names), began_at=began
        )

    async def alert_key(self, key: str) -> AlertKey | None:
        return await self._key(alert_keys.c.key == key)

    async def proposal(self, identity: str) -> Proposal | None:
        of_it = alerts.c.proposal == identity
        async with self._reading() as connection:
            key = (await connection.execute(select(alerts.c.key).where(of_it).limit(1))).scalar()
        held = None if key is None else await self.alert_key(key)
        return None if held is None else await self._proposal(held, identity)

    async def proposed(self, key: str) -> Proposal | None:
        held = await self.alert_key(key)
        return None if held is None or held.proposal is None else await self._proposal(held, held.proposal)

    async def _key(self, which: Any) -> AlertKey | None:
        async with self._reading() as connection:
            row = (await connection.execute(select(alert_keys).where(which))).mappings().first()
        return None if row is None else alert_key_of(row)

    async def _proposal(self, key: AlertKey, identity: str) -> Proposal:
        of_it = alerts.c.proposal == identity
        counted = select(func.count(), func.count(alerts.c.ends_at), func.max(alerts.c.incident)).where(of_it)
        first = select(alerts).where(of_it).order_by(alerts.c.ends_at.is_not(None), alerts.c.starts_at).limit(_SHOWN)
        async with self._reading() as connection:
            count, ended, declared = (await connection.execute(counted)).one()
            listed = [alert_of(row) for row in (await connection.execute(first)).mappings()]
        return Proposal(key=key, alerts=tuple(listed), count=count, firing=count - ended, declared=declared)

    async def _hold_keys(self, connection: AsyncConnection, payloads: Sequence[Payload], found: _Found) -> None:
        """Makes the rows of new keys, and holds all of them, each process in the same order."""
        first: dict[str, Alert] = {}
        for one in _alerts_of(payloads):
            first.setdefault(one.key, one)
        wanted = sorted({*first, *found.keys})
        there: set[str] = set()
        for part in _parts(wanted):
            query = select(alert_keys.c.key).where(alert_keys.c.key.in_(part)).order_by(alert_keys.c.key)
            there |= set((await connection.execute(query.with_for_update())).scalars())
        missing = [_key_row(first[key]) for key in wanted if key not in there and key in first]
        if missing:
            await connection.execute(self._new(alert_keys), missing)

    async def _write(self, connection: AsyncConnection, found: _Found, now: datetime) -> None:
        new = [alert_row(one.alert, now) | _state(one) for one in found.changed if one.alert is not None]
        if new:
            await connection.execute(self._new(alerts), new)
        changed = [{"_id": one.id, **_state(one)} for one in found.changed if one.alert is None]
        if changed:
            await connection.execute(_CHANGE_MANY, sorted(changed, key=lambda one: one["_id"]))
        for part in _parts(found.seen):
            await connection.execute(update(alerts).where(alerts.c.id.in_(part)).values(seen_at=now))
        for key, groups in sorted(found.truncated.items()):
            # whole again: whether all is over is looked at anew
            kept: dict[str, Any] = {"truncated": groups} if groups else {"truncated": [], "ask_at": now}
            await connection.execute(update(alert_keys).where(alert_keys.c.key == key).values(kept))
        for part in _parts(sorted(found.keys)):
            await connection.execute(update(alert_keys).where(alert_keys.c.key.in_(part)).values(waiting=True))

    def _new(self, table: Any) -> Any:
        """An INSERT that leaves alone what is there already."""
        if self.engine.dialect.name == "sqlite":
            from sqlalchemy.dialects.sqlite import insert as sqlite_insert

            return sqlite_insert(table).on_conflict_do_nothing()
        from sqlalchemy.dialects.postgresql import insert

        return insert(table).on_conflict_do_nothing()


_STATE = ("starts_at", "ends_at", "seen_at")
_CHANGE_MANY = (
    update(alerts)
    .where(alerts.c.id == bindparam("_id"))
    .values({name: bindparam(name) for name in _STATE} | {"told": bindparam("told")})
)


def _alerts_of(payloads: Iterable[Payload]) -> Iterable[Alert]:
    return (alert for payload in payloads for alert in payload.alerts)


def _parts(held: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (held[begin : begin + _AT_ONCE] for begin in range(0, len(held), _AT_ONCE))


def _state(known: Known) -> dict[str, Any]:
    return {name: getattr(known, name) for name in _STATE} | {"told": False}


def _key_row(alert: Alert) -> dict[str, Any]:
    judged = alert.judged
    key = AlertKey(key=alert.key, named=alert.named, does=judged.does, severity=judged.severity, target=judged.target)
    return alert_key_row(key) | {"waiting": False}


async def _compared(connection: AsyncConnection, payloads: Sequence[Payload], now: datetime) -> _Found:
    told = list(_alerts_of(payloads))
    register = Register(await _known(connection, told), now)
    for alert in told:
        register.take(alert)
    return _Found(changed=register.changed, seen=register.seen, truncated=await _changed_groups(connection, payloads))


_KNOWN = ("id", "fingerprint", "starts_at", "ends_at", "seen_at", "key")


async def _known(connection: AsyncConnection, told: Sequence[Alert]) -> list[Known]:
    """These very alerts, what else of theirs fires, and the newest of each."""
    known = []
    others = alerts.alias("others")
    mine = others.c.fingerprint == alerts.c.fingerprint
    newest = select(func.max(others.c.starts_at)).where(mine).scalar_subquery()
    for part in _parts(told):
        begun = {one.starts_at for one in part if one.starts_at is not None}
        query = select(*(alerts.c[name] for name in _KNOWN)).where(
            alerts.c.fingerprint.in_({one.fingerprint for one in part}),
            or_(alerts.c.starts_at.in_(begun), alerts.c.ends_at.is_(None), alerts.c.starts_at == newest),
        )
        known += [Known(**row) for row in (await connection.execute(query)).mappings()]
    return known


async def _changed_groups(connection: AsyncConnection, payloads: Sequence[Payload]) -> dict[str, list[str]]:
    """Which groups of which keys are truncated, where that is not as it was."""
    keys = sorted({one.key for one in _alerts_of(payloads)})
    before: dict[str, set[str]] = {}
    for part in _parts(keys):
        query = select(alert_keys.c.key, alert_keys.c.truncated).where(alert_keys.c.key.in_(part))
        before.update({row.key: set(row.truncated) for row in await connection.execute(query)})
    after = {key: set(before.get(key, ())) for key in keys}
    for payload in payloads:
        for key in {one.key for one in payload.alerts}:
            (after[key].add if payload.truncated else after[key].discard)(payload.group)
    return {key: sorted(groups)[:_GROUPS] for key, groups in after.items() if groups != before.get(key, set())}
