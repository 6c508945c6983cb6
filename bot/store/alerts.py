"""The alerts' side of the Store."""

from sqlalchemy import select

from bot.ports.alerts import AlertFigures
from bot.store.base import Base
from bot.store.tables import alert_keys, alerts


class StoredAlerts(Base):
    """See :class:`bot.ports.alerts.Alerts`."""

    async def alert_figures(self, incident: int) -> AlertFigures | None:
        query = (
            select(alerts.c.name, alerts.c.starts_at, alerts.c.ends_at)
            .join(alert_keys, alert_keys.c.key == alerts.c.key)
            .where(alert_keys.c.incident == incident)
            .order_by(alerts.c.starts_at)
        )
        async with self._reading() as connection:
            rows = (await connection.execute(query)).all()
        if not rows:
            return None
        firing = [row.name for row in rows if row.ends_at is None]
        return AlertFigures(
            firing=len(firing),
            resolved=len(rows) - len(firing),
            names=tuple(dict.fromkeys(firing)),
            began_at=rows[0].starts_at,
        )
