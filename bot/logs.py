"""The log on stderr: one line a record, with every secret of the settings and everything like one masked."""

import logging
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from bot.domain.redaction import mask, redact
from bot.settings import Settings
from bot.variables import Secret


class RedactingFormatter(logging.Formatter):
    """Masks the settings' own secrets by value, anything that looks like one by pattern, tracebacks included."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = secrets_of(settings)

    def format(self, record: logging.LogRecord) -> str:
        return redact(mask(super().format(record), self._secrets))


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """The settings' own secrets."""
    return tuple(secret.reveal() for secret in _secrets(settings))


def _secrets(value: object) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, tuple):
        for held in value:
            yield from _secrets(held)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _secrets(getattr(value, field.name))
