"""The Store's side of action items."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from bot.domain.action import Action, ActionPriority, ActionState
from bot.domain.incident import Incident, Outgoing
from bot.domain.timeline import Event, Kind
from bot.errors import Conflict
from bot.store.aftermath import actions
from bot.store.base import Base
from bot.store.rows import incident_of
from bot.store.tables import incidents
from bot.store.writing import enqueue, hold, note_request, tell


class StoredActions(Base):
    """See :class:`bot.ports.aftermath.Actions`."""

    async def add_action(self, action: Action, *, now: datetime, request: str) -> Action:
        async with self._writing() as connection:
            end = await hold(connection, action.incident)
            await note_request(connection, request, now, action.incident)
            row = {name: held for name, held in _row(action).items() if name != "id"} | {"version": 1}
            made = await connection.execute(insert(actions).values(row).returning(actions.c.id))
            stored = replace(action, id=int(made.scalar_one()), version=1)
            await tell(connection, action.incident, end, [_event(stored, action.created_by, now)], now)
        return stored

    async def save_action(self, before: Action, after: Action, *, actor: str, now: datetime, request: str) -> Action:
        stored = replace(after, version=before.version + 1)
        async with self._writing() as connection:
            end = await hold(connection, before.incident)
            await note_request(connection, request, now, before.incident)
            same = (actions.c.id == before.id) & (actions.c.version == before.version)
            if (await connection.execute(update(actions).where(same).values(_row(stored)))).rowcount != 1:
                raise Conflict("The action item was changed by somebody else in the same moment; try again.")
            await tell(connection, before.incident, end, [_event(stored, actor, now)], now)
        return stored

    async def action(self, identity: int) -> Action | None:
        async with self._reading() as connection:
            found = await connection.execute(select(actions).where(actions.c.id == identity))
            row = found.mappings().first()
        return None if row is None else action_of(row)

    async def actions(
        self, *, incident: int | None = None, owner: str | None = None, open_only: bool, limit: int
    ) -> Sequence[Action]:
        query = select(actions).order_by(actions.c.due, actions.c.id).limit(limit)
        if incident is not None:
            query = query.where(actions.c.incident == incident)
        if owner is not None:
            query = query.where(actions.c.owner == owner)
        if open_only:
            query = query.where(actions.c.state == ActionState.OPEN.value)
        async with self._reading() as connection:
            return [action_of(row) for row in (await connection.execute(query)).mappings()]

    async def tick_actions(
        self, now: datetime, work: Callable[[Action, Incident], tuple[Action, Sequence[Outgoing]]], *, limit: int
    ) -> int:
        due = select(actions).where(actions.c.remind_at <= now).order_by(actions.c.remind_at).limit(limit)
        async with self._reading() as connection:
            if (await connection.execute(due.limit(1))).first() is None:
                return 0
        async with self._writing() as connection:
            held = await connection.execute(due.with_for_update(skip_locked=True))
            found = [action_of(row) for row in held.mappings()]
            for action in found:
                query = select(incidents).where(incidents.c.id == action.incident)
                incident = incident_of((await connection.execute(query)).mappings().one())
                after, messages = work(action, incident)
                clock = {"remind_at": after.remind_at, "reminders": after.reminders, "version": action.version + 1}
                await connection.execute(update(actions).where(actions.c.id == action.id).values(clock))
                await enqueue(connection, [(action.incident, one) for one in messages], now)
        return len(found)


def _event(action: Action, actor: str, now: datetime) -> Event:
    data = {"action": action.id, "state": action.state.value, "priority": action.priority.value}
    return Event(kind=Kind.ACTION, at=now, actor=actor, text=action.text, data=data)


def _row(action: Action) -> dict[str, Any]:
    return {**vars(action), "priority": action.priority.value, "state": action.state.value}


def action_of(row: Any) -> Action:
    """Of a row of the table."""
    read = {"priority": ActionPriority(row["priority"]), "state": ActionState(row["state"])}
    return Action(**{**row, **read})
