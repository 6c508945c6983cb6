"""Which incidents are open, and what the states of deliveries are called where a bot of before may look too."""

from sqlalchemy import ColumnElement, case

from bot.domain.incident import ONE_PAGER, Status
from bot.store.tables import deliveries

# By their names: an index finds nothing that is only said not to be.
OPEN = tuple(status.value for status in Status if status is not Status.RESOLVED)

# A bot of before migration 0003, which may still run beside this one, takes what is called waiting, or sending for too
# long, and counts as sent what it knows nothing of. So what it cannot send has names of its own for the two. A bot of
# before migration 0005 would ring every pager with what is for one: that has a third pair of names.
_SENT_BY_ALL = ("card", "run", "channel", "page")
WAITING, SENDING = ("waiting", "due", "ready"), ("sending", "taken", "held")
_MEANT = {**dict.fromkeys(WAITING, "waiting"), **dict.fromkeys(SENDING, "sending")}


def waiting(kind: str, destination: str) -> str:
    """What the state of such a delivery that waits is called in the database."""
    return WAITING[2 if destination.startswith(ONE_PAGER) else kind not in _SENT_BY_ALL]


def waiting_sql() -> ColumnElement[str]:
    """The same of a row."""
    return _named_sql(WAITING)


def sending_sql() -> ColumnElement[str]:
    """As :func:`waiting_sql`, of one that is being sent."""
    return _named_sql(SENDING)


def _named_sql(names: tuple[str, str, str]) -> ColumnElement[str]:
    of_one = deliveries.c.destination.startswith(ONE_PAGER)
    return case((of_one, names[2]), (deliveries.c.kind.in_(_SENT_BY_ALL), names[0]), else_=names[1])


def state_of(held: str) -> str:
    """What a delivery's state in the database is for everybody else."""
    return _MEANT.get(held, held)
