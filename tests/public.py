"""Public incidents as values, and published in a store."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain import acts
from bot.domain.incident import Change, Incident
from bot.domain.publication import (
    ENDED,
    ComponentState,
    Impact,
    Publication,
    PublicIncident,
    PublicStatus,
    PublicUpdate,
    PublicView,
    component_states,
)
from bot.domain.telling import to_public
from bot.store.sql import SqlStore
from tests.domain.incidents import declaring
from tests.fakes import NOW

COMPONENTS = ("Chat", "Search", "Summaries")
MINUTE = timedelta(minutes=1)


def an_incident(number: int = 1, *, ended: bool = False, began: datetime = NOW, **fields: object) -> PublicIncident:
    """With an update that looks, one that knows, and, if it has ended, one that says so."""
    told = [
        (PublicStatus.INVESTIGATING, "Some answers take longer than usual.", ""),
        (PublicStatus.IDENTIFIED, "We know why.\nA second line.", "Ask again after a minute."),
        *([(PublicStatus.RESOLVED, "Answers are as fast as ever.", "")] if ended else []),
    ]
    updates = tuple(
        PublicUpdate(number=place, status=status, text=text, workaround=workaround, at=began + place * 7 * MINUTE)
        for place, (status, text, workaround) in enumerate(told, 1)
    )
    usual = PublicIncident(
        incident=number,
        slug=f"{number:012x}",
        title="Slow answers in chat",
        status=updates[-1].status,
        impact=Impact.MINOR,
        components={"Chat": ComponentState.DEGRADED, "Search": ComponentState.PARTIAL},
        began_at=began,
        resolved_at=updates[-1].at if ended else None,
        updates=updates,
    )
    return replace(usual, **fields)  # type: ignore[arg-type]


def a_view(*incidents: PublicIncident, components: Iterable[str] = COMPONENTS) -> PublicView:
    return PublicView(states=component_states(components, incidents), incidents=incidents)


async def published(
    store: SqlStore,
    *,
    title: str = "Slow answers",
    text: str = "Some answers take longer than usual.",
    status: PublicStatus = PublicStatus.INVESTIGATING,
    at: datetime = NOW,
    incident: Incident | None = None,
    **more: object,
) -> Incident:
    """An incident of ours, made now unless it is given, of which the public is told."""
    held = incident or await store.create(declaring(title="INTERNALTITLE"), now=at, request=f"{title}{at}")
    told = Publication(
        status=status,
        title=title,
        text=text,
        components={"Chat": ComponentState.DEGRADED},
        impact=Impact.MINOR,
        by="U0INTERNAL",
    )
    told = replace(told, **more)  # type: ignore[arg-type]
    change = acts.note(held, "INTERNALNOTE", "U0INTERNAL", at)
    assert isinstance(change, Change)
    return await store.save(held, to_public(change, told, at, ["builtin"]), now=at)


def ended(view: PublicView) -> list[PublicIncident]:
    return [one for one in view.incidents if one.status in ENDED]
