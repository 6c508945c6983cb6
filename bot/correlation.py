"""Which request, incident and run the work at hand belongs to, for each line of the log.

A context variable goes along into every task that the work starts. The standard library's own: structlog's, which holds
the same, would cost each command of the command line its whole import.
"""

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType

_IDS: ContextVar[Mapping[str, str]] = ContextVar("correlation", default=MappingProxyType({}))


@contextlib.contextmanager
def about(**ids: object) -> Iterator[None]:
    """Within it lines of the log carry these ids too, such as ``incident=3``; None: not known."""
    told = {name: str(held) for name, held in ids.items() if held is not None}
    token = _IDS.set({**_IDS.get(), **told})
    try:
        yield
    finally:
        _IDS.reset(token)


def note(**ids: object) -> None:
    """As :func:`about`, from here to the end of the task."""
    _IDS.set({**_IDS.get(), **{name: str(held) for name, held in ids.items() if held is not None}})


def ids() -> Mapping[str, str]:
    """What is known of the work at hand."""
    return _IDS.get()


def new_request() -> str:
    """An id for something that has come in: short, since people read it out."""
    return uuid.uuid4().hex[:12]
