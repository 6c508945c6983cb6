"""Alerts become incidents without a person: a payload in over HTTP, an incident with its card out in Slack."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.incident import Milestone
from tests.databases import copy_of
from tests.flows.alerting import Alerted, alert, alerted
from tests.flows.test_incidents import cards


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Alerted]:
    async with alerted(copy_of("SQLite", tmp_path, request)) as held:
        yield held


async def test_a_critical_alert_opens_an_incident_whose_card_has_the_alert_and_the_triage(room: Alerted) -> None:
    await room.tell(alert())
    (card,) = cards(room.slack)
    assert "P2 INC-1: MistralErrors: more than 5 % of requests fail" in card.text
    assert "Alerts: 1 fires (MistralErrors), the first began <!date^1782906900^" in card.all_text
    assert "Triage: " in card.all_text
    assert "(`rate_limited`" in card.all_text
    assert "Declared <!date" in card.all_text
    (told,) = room.said("This alert fires")
    assert told.thread_ts == card.ts
    incident = await room.bot.store.incident(1)
    assert incident is not None
    assert incident.cause == "rate_limited"
    assert incident.milestones[Milestone.FIRST_ALERT].isoformat() == "2026-07-01T11:55:00.123456+00:00"
    kinds = [entry.event.kind.value for entry in await room.bot.store.timeline(1)]
    assert kinds == ["declared", "alert", "triage"]
