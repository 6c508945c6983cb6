"""Every way to touch the world, as Protocols over plain values; the rooms below ``app`` provide them.

Ports raise only :mod:`bot.errors`. Anything that reads takes or has a limit.
"""

from bot.ports.messages import Charts, File, MessageRef, Messenger, Pager, Reply
from bot.ports.records import Database, DatabaseState, Delivery, Pending, Store
from bot.ports.upstreams import (
    Check,
    CheckResult,
    Clock,
    Cluster,
    Exchange,
    Http,
    Metrics,
    Once,
    Probe,
    ProbeRun,
    Sample,
    Series,
    ServiceKey,
)

__all__ = [
    "Charts",
    "Check",
    "CheckResult",
    "Clock",
    "Cluster",
    "Database",
    "DatabaseState",
    "Delivery",
    "Exchange",
    "File",
    "Http",
    "MessageRef",
    "Messenger",
    "Metrics",
    "Once",
    "Pager",
    "Pending",
    "Probe",
    "ProbeRun",
    "Reply",
    "Sample",
    "Series",
    "ServiceKey",
    "Store",
]
