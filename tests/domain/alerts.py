"""Alerts for the tests of what becomes of them."""

from datetime import datetime
from typing import Any

from bot.domain.alerts import Alert, AlertKey, Does, Judged, digest
from bot.domain.causes import Severity
from tests.fakes import NOW

OPENS = Judged(does=Does.OPEN, severity=Severity.P2, target="default")
PROPOSED = Judged(does=Does.PROPOSE, severity=Severity.P3, target="default")
NOTED = Judged(does=Does.NOTE, severity=Severity.P4, target="default")


def an_alert(name: str = "A", begun: datetime | None = NOW, ended: datetime | None = None, **more: Any) -> Alert:
    """One of the key ``key``, unless told otherwise."""
    key = more.pop("key", "key")
    fields = {
        "fingerprint": name,
        "starts_at": begun,
        "ends_at": ended,
        "key": digest(key),
        "named": {"alertname": key},
        "name": name,
        "labels": {"alertname": name},
        "judged": OPENS,
        **more,
    }
    return Alert(**fields)


def a_key(judged: Judged = OPENS, **more: Any) -> AlertKey:
    return AlertKey(
        key=digest("key"),
        named={"alertname": "key"},
        does=judged.does,
        severity=judged.severity,
        target=judged.target,
        **more,
    )
