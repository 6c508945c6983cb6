"""The log on stderr: one record a line, as words or as JSON, with ids of what it belongs to and every secret masked.

Records come from the standard library's loggers, ours and the libraries'; structlog's processors make a line of each.
"""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from dataclasses import fields, is_dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from bot.correlation import ids
from bot.domain.redaction import mask, redact
from bot.hiding import without
from bot.settings import Settings
from bot.variables import LogFormat, Secret

_SHORTEST_PASSWORD = 8
_Event = MutableMapping[str, Any]
# Whatever ends a line for a terminal or a collector: what an upstream or a person said must not pass for a record.
_LINE_ENDS = {
    number: f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
    for number in (*range(32), *range(127, 160), 0x2028, 0x2029)
}
_LINE_ENDS[ord("\n")] = "\\n"


class RedactingFormatter(logging.Formatter):
    """Masks the settings' own secrets by value, anything that looks like one by pattern, tracebacks included."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._secrets = secrets_of(settings)
        self._as_json = settings.log_format is LogFormat.JSON
        self._chain: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        # a command that says nothing does not pay for structlog, which takes 40 ms to import
        if self._chain is None:
            self._chain = self._structured()
        return self._chain.format(record)

    def _structured(self) -> logging.Formatter:
        structlog = _structlog()
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        told = [
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            stamp,
            _with_ids,
            structlog.processors.format_exc_info,
            self._masked,
        ]
        shown = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
        if self._as_json:
            shown.append(structlog.processors.JSONRenderer())
        else:
            colours = sys.stderr is not None and sys.stderr.isatty()
            shown += [_one_line, structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0, pad_level=False)]
        made: logging.Formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=told, processors=shown)
        return made

    def _masked(self, _: object, __: str, event: _Event) -> _Event:
        for name, held in event.items():
            if not name.startswith("_") and not isinstance(held, int | float | bool | None):
                event[name] = redact(mask(str(held), self._secrets))
        return event


def _with_ids(_: object, __: str, event: _Event) -> _Event:
    event.update(ids())
    return event


def _one_line(_: object, __: str, event: _Event) -> _Event:
    """A record begins at the beginning of a line, and nothing else does."""
    for name, held in event.items():
        if name == "exception":
            lines = str(held).splitlines()
            event[name] = "\n".join("  " + line.translate(_LINE_ENDS) for line in lines)
        elif isinstance(held, str):
            event[name] = held.translate(_LINE_ENDS)
    return event


def _structlog() -> Any:
    """Without rich, which it would load, 4 MB, for tracebacks that are printed plainly here."""
    with without("rich"):
        import structlog
    return structlog


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """The settings' own secrets, the database's password among them."""
    held = [secret.reveal() for secret in _secrets(settings)]
    password = unquote(urlsplit(settings.database_url).password or "")
    # a word of the language, put where a password belongs, is no secret, and masking it would take text apart
    return (*held, password) if len(password) >= _SHORTEST_PASSWORD else tuple(held)


def _secrets(value: object) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, tuple):
        for held in value:
            yield from _secrets(held)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _secrets(getattr(value, field.name))
