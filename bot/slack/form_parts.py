"""What all forms share: what was filled in, the triage that fills them in, and closing once it is stored."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from slack_bolt.async_app import AsyncAck

from bot.domain.incident import Refusal
from bot.errors import BotError, StoreError
from bot.ports import Store

logger = logging.getLogger(__name__)

# Slack shows an error of its own after three seconds.
_ACK_WITHIN_S = 2.0
_ERROR_CHARS = 150
_SLOW = "The database is slow. Send it again: it is done once."
_TARGET = "target:"
# A card is shown before its triage is stored where that takes long; a form has to open within three seconds.
_BEING_STORED_S = (0.05, 0.1, 0.2, 0.4, 0.0)
_ALERT = "alert:"
SEVERITIES = [
    ("P1", "P1: down for most"),
    ("P2", "P2: degraded for many"),
    ("P3", "P3: noticed by some"),
    ("P4", "P4: noticed by hardly anybody"),
]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """How a form was answered: Slack's own words for what becomes of it (none: it closes), and a sentence to tell."""

    answer: Mapping[str, Any] = field(default_factory=dict)
    sentence: str = ""


async def stored(ack: AsyncAck, work: Awaitable[str], block: str, *, slow: str = _SLOW) -> str:
    """Lets Slack close the form once ``work`` is done, and gives its sentence; else says why beneath ``block``.

    ``slow``: what is said where ``work`` is not done in time; it goes on all the same.
    """

    async def closing() -> Answered:
        return Answered(sentence=await work)

    return await answered(ack, closing(), beneath(block), slow=slow)


async def answered(
    ack: AsyncAck, work: Awaitable[Answered], refused: Callable[[str], Mapping[str, Any]], *, slow: str = _SLOW
) -> str:
    """As :func:`stored`, with what ``work`` answers; ``refused`` makes the answer that says why it was not done."""
    task = asyncio.ensure_future(work)
    try:
        async with asyncio.timeout(_ACK_WITHIN_S):
            done = await asyncio.shield(task)
    except TimeoutError:
        task.add_done_callback(_log_late)
        await ack(**refused(slow))
    except BotError as error:
        await ack(**refused(str(error)))
    except Exception:
        logger.exception("a form could not be stored")
        await ack(**refused("Something went wrong; the bot's log says more."))
    else:
        await ack(**done.answer)
        return done.sentence
    return ""


def beneath(block: str) -> Callable[[str], Mapping[str, Any]]:
    """Says a sentence beneath the field called ``block``."""
    return lambda sentence: {"response_action": "errors", "errors": {block: _short(sentence)}}


def values(view: Mapping[str, Any]) -> dict[str, Any]:
    """{block_id: value} of a submitted form; what was left empty is None."""
    told: dict[str, Any] = {}
    for block, actions in view["state"]["values"].items():
        for held in actions.values():
            chosen = held.get("selected_option")
            many = held.get("selected_options")
            if chosen is not None:
                told[block] = chosen["value"]
            elif many is not None:
                told[block] = [one["value"] for one in many]
            else:
                told[block] = held.get("selected_user") or held.get("selected_date") or held.get("value")
    return told


async def kept_report(store: Store, about: str | None) -> Mapping[str, Any]:
    """The JSON of the triage that a button is about: its id, ``target:NAME`` alone, ``alert:KEY``, or none.

    Of a key it has ``alert_key``, ``title`` and ``first_alert``, too. Raises Refusal where an incident of it is open.
    """
    if not about:
        return {}
    if about.startswith(_ALERT):
        return await _proposed(store, about.removeprefix(_ALERT))
    if about.startswith(_TARGET):
        return {"target": about.removeprefix(_TARGET)}
    try:
        for pause_s in _BEING_STORED_S:
            if (held := await store.triage(about)) is not None:
                return held
            await asyncio.sleep(pause_s)
    except StoreError:
        pass  # the form opens all the same; sending it says whether the database is back
    return {}


async def _proposed(store: Store, key: str) -> Mapping[str, Any]:
    """What is known of a key whose incident was proposed, and the triage that it was proposed with."""
    try:
        proposal = await store.proposed(key)
        if proposal is None or not proposal.alerts:
            return {}
        held = proposal.key
        newest = None if held.incident is None else await store.incident(held.incident)
        report = None if held.triage is None else await store.triage(held.triage)
    except StoreError:
        return {"alert_key": key}  # as above; what it is bound to is not lost
    if newest is not None and newest.open:
        raise Refusal(f"{newest.name} is open for these alerts already.")
    first = min(proposal.alerts, key=lambda one: str(one.starts_at))
    return {
        **(report or {}),
        "target": held.target,
        "severity": held.severity.value,
        "alert_key": key,
        "title": first.title,
        "first_alert": None if first.starts_at is None else first.starts_at.isoformat(),
    }


def _short(sentence: str) -> str:
    """As much as Slack shows beneath a field."""
    return sentence if len(sentence) <= _ERROR_CHARS else sentence[: _ERROR_CHARS - 1] + "…"


def _log_late(task: "asyncio.Future[Answered]") -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("a form that was slow to be stored failed", exc_info=task.exception())
