"""Which incidents are open, and what the states of deliveries are called where a bot of before may look too."""

from sqlalchemy import ColumnElement, case

from bot.domain.incident import Status
from bot.store.tables import deliveries

# By their names: an index finds nothing that is only said not to be.
OPEN = tuple(status.value for status in Status if status is not Status.RESOLVED)

# A bot of before migration 0003, which may still run beside this one, takes what is called waiting, or sending for too
# long, and counts as sent what it knows nothing of. So what it cannot send has names of its own for the two.
_SENT_BY_ALL = ("card", "run", "channel", "page")
WAITING, SENDING = ("waiting", "due"), ("sending", "taken")
_MEANT = {"due": "waiting", "taken": "sending"}


def waiting(kind: str) -> str:
    """What the state of a delivery of that kind that waits is called in the database."""
    return WAITING[kind not in _SENT_BY_ALL]


def waiting_sql() -> ColumnElement[str]:
    """The same of a row."""
    return case((deliveries.c.kind.in_(_SENT_BY_ALL), WAITING[0]), else_=WAITING[1])


def sending_sql() -> ColumnElement[str]:
    """As :func:`waiting_sql`, of one that is being sent."""
    return case((deliveries.c.kind.in_(_SENT_BY_ALL), SENDING[0]), else_=SENDING[1])


def state_of(held: str) -> str:
    """What a delivery's state in the database is for everybody else."""
    return _MEANT.get(held, held)
