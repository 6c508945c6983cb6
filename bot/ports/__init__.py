"""Every way to touch the world, as Protocols over plain values; the rooms below ``app`` provide them.

Ports raise only :mod:`bot.errors`. Anything that reads takes or has a limit.
"""

from bot.ports.aftermath import Bundle, Collecting, Progress, Record, Source, Written
from bot.ports.messages import Charts, File, MessageRef, Messenger, Pager, Reply
from bot.ports.mitigations import NOTHING_ASKED, Argument, Ask, Remedy
from bot.ports.records import Backlog, Database, DatabaseState, Delivery, Frozen, Lane, Pending, Runs, Store
from bot.ports.statuspages import Draft, Publications, Published, StatusPage
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
    "NOTHING_ASKED",
    "Argument",
    "Ask",
    "Backlog",
    "Bundle",
    "Charts",
    "Check",
    "CheckResult",
    "Clock",
    "Cluster",
    "Collecting",
    "Database",
    "DatabaseState",
    "Delivery",
    "Draft",
    "Exchange",
    "File",
    "Frozen",
    "Http",
    "Lane",
    "MessageRef",
    "Messenger",
    "Metrics",
    "Once",
    "Pager",
    "Pending",
    "Probe",
    "ProbeRun",
    "Progress",
    "Publications",
    "Published",
    "Record",
    "Remedy",
    "Reply",
    "Runs",
    "Sample",
    "Series",
    "ServiceKey",
    "Source",
    "StatusPage",
    "Store",
    "Written",
]
