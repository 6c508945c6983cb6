"""Alerts become incidents without a person: a payload in over HTTP, an incident with its card out in Slack."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain import acts
from bot.domain.alerts import Alerts, Does, Matcher, Payload, Rule
from bot.domain.incident import Milestone
from bot.domain.timeline import Kind
from tests.databases import KINDS, copy_of
from tests.domain.alerts import an_alert
from tests.flows.alerting import Alerted, alert, alerted
from tests.flows.test_incident_answers import ADA
from tests.flows.test_incidents import cards, form

WARNING: dict[str, Any] = {"labels": {"severity": "warning"}}


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Alerted]:
    async with alerted(copy_of("SQLite", tmp_path, request)) as held:
        yield held


async def kinds(room: Alerted, number: int = 1) -> list[str]:
    return [entry.event.kind.value for entry in await room.bot.store.timeline(number)]


async def resolve(room: Alerted, number: int = 1) -> None:
    await room.bot.incidents.act(number, lambda one, now: acts.resolve(one, (), "", ADA, now))


async def test_a_critical_alert_opens_an_incident_whose_card_has_the_alert_and_the_triage(room: Alerted) -> None:
    await room.tell(alert())
    (card,) = cards(room.slack)
    assert "P2 INC-1: MistralErrors: more than 5 % of requests fail" in card.text
    assert "Alerts: 1 fires (MistralErrors), the first began <!date^1782906900^" in card.all_text
    assert "Triage: " in card.all_text
    assert "(`rate_limited`" in card.all_text
    (told,) = room.said("This alert fires")
    assert told.thread_ts == card.ts
    incident = await room.bot.store.incident(1)
    assert incident is not None
    assert incident.cause == "rate_limited"
    assert incident.milestones[Milestone.FIRST_ALERT].isoformat() == "2026-07-01T11:55:00.123456+00:00"
    assert await kinds(room) == ["declared", "alert", "triage"]


async def test_an_alert_that_comes_as_the_last_one_was_written_is_written_too(room: Alerted) -> None:
    async with asyncio.timeout(60):
        for name in ("A", "B", "C"):
            await room.bot.alerts.receive(Payload(alerts=(an_alert(name, key=name),)))
    await room.settle()
    assert len(cards(room.slack)) == 3


async def test_repeats_tell_nobody_anything(room: Alerted) -> None:
    await room.tell(alert())
    said = [one.all_text for one in room.slack.messages]
    for _ in range(3):
        room.clock.advance(700)
        await room.tell(alert(), alert())
    assert [one.all_text for one in room.slack.messages] == said
    assert await kinds(room) == ["declared", "alert", "triage"]


async def test_when_all_is_resolved_it_is_asked_once_in_ten_minutes_whether_it_is_over(room: Alerted) -> None:
    await room.tell(alert(), alert(labels={"pod": "b"}))
    await room.tell(alert(status="resolved"), alert(labels={"pod": "b"}))
    (card,) = cards(room.slack)
    assert "Alerts: 1 fires" in card.all_text
    assert room.said("Resolve?") == []
    await room.tell(alert(status="resolved", labels={"pod": "b"}))
    (asked,) = room.said("All alerts of INC-1 are resolved. Resolve?")
    assert asked.thread_ts == card.ts
    assert "Alerts: all resolved" in card.all_text
    for began in ("12:01", "12:02"):
        room.clock.advance(60)
        await room.tell(alert(began=began))
        room.clock.advance(20)
        await room.tell(alert(began=began, status="resolved"))
    assert room.said("Resolve?") == [asked], "it came and went within ten minutes"
    room.clock.advance(600)
    await room.settle()
    assert len(room.said("Resolve?")) == 2
    room.clock.advance(3600)
    await room.settle()
    assert len(room.said("Resolve?")) == 2, "once is enough where nothing has changed"
    await room.slack.click(room.said("Resolve?")[-1], "resolve", user=ADA)
    assert (await form(room.slack, ADA)).all_text


async def test_a_truncated_payload_never_means_that_all_is_resolved(room: Alerted) -> None:
    await room.tell(alert())
    await room.tell(alert(status="resolved"), truncatedAlerts=3)
    assert room.said("Resolve?") == []
    await room.tell(alert(status="resolved"), truncatedAlerts=3)
    await room.tell(alert(status="resolved"), groupKey="{}:another")
    assert room.said("Resolve?") == [], "another group says nothing of this one"
    await room.tell(alert(status="resolved"))
    assert len(room.said("Resolve?")) == 1


@pytest.mark.parametrize(("minutes", "reopens"), [(29, True), (31, False)], ids=["soon", "later"])
async def test_a_recurrence_within_30_minutes_reopens(room: Alerted, minutes: int, reopens: bool) -> None:
    await room.tell(alert())
    await room.tell(alert(status="resolved"))
    await resolve(room)
    room.clock.advance(60 * minutes)
    await room.tell(alert(began="12:20"))
    incidents = await room.bot.store.listed(open_only=True, limit=10)
    assert [one.id for one in incidents] == [1 if reopens else 2]
    assert ("reopened" in await kinds(room)) is reopens
    figures = await room.bot.store.alert_figures(incidents[0].id)
    assert figures is not None
    assert (figures.firing, figures.resolved) == ((1, 1) if reopens else (1, 0))


async def test_a_firing_that_was_sent_before_the_end_and_arrives_after_it_is_nothing_new(room: Alerted) -> None:
    await room.tell(alert())
    await room.tell(alert(status="resolved"))
    await resolve(room)
    room.clock.advance(240)
    await room.tell(alert())
    assert await room.bot.store.listed(open_only=True, limit=10) == []
    room.clock.advance(120)
    await room.tell(alert())
    assert len(await room.bot.store.listed(open_only=True, limit=10)) == 1, "it is told still, so it fires"


async def test_what_is_only_proposed_is_one_card_that_says_how_it_ended(room: Alerted) -> None:
    await room.tell(alert(**WARNING))
    (card,) = room.said("An incident?")
    assert card.channel == "C0INCIDENTS"
    assert "(`rate_limited`" in card.all_text
    assert await room.bot.store.listed(open_only=False, limit=10) == []
    await room.tell(alert(**WARNING), alert(labels={"severity": "warning", "pod": "b"}, began="11:50"))
    assert room.said("An incident?") == [card]
    assert "pod=b" in card.all_text
    await room.tell(alert(status="resolved", **WARNING))
    await room.tell(alert(status="resolved", labels={"severity": "warning", "pod": "b"}, began="11:50"))
    assert "Resolved by itself" in card.text
    with pytest.raises(LookupError):
        await room.slack.click(card, "declare")
    room.clock.advance(60)
    await room.tell(alert(began="12:01", **WARNING))
    assert room.said("An incident?") == [card], "soon after, it is the same"
    await room.tell(alert(status="resolved", began="12:01", **WARNING))
    room.clock.advance(3600)
    await room.tell(alert(began="13:01", **WARNING))
    assert len(room.said("An incident?")) == 1
    assert room.said("An incident?") != [card]


async def test_a_proposal_is_declared_with_one_click_and_keeps_its_alerts(room: Alerted) -> None:
    await room.tell(alert(**WARNING))
    (card,) = room.said("An incident?")
    stale = card.as_seen()
    await room.slack.click(card, "declare", user=ADA)
    view = await form(room.slack, ADA)
    assert "more than 5 % of requests fail" in str(view.blocks)
    await room.slack.submit(view, {})
    await room.settle()
    assert "Declared as *INC-1*" in card.text
    (made,) = await room.bot.store.listed(open_only=True, limit=10)
    assert (made.declared_by, made.severity, made.cause) == (ADA, "P3", "rate_limited")
    assert made.milestones[Milestone.FIRST_ALERT].isoformat() == "2026-07-01T11:55:00.123456+00:00"
    assert "Alerts: 1 fires" in cards(room.slack)[0].all_text
    await room.slack.click(stale, "declare", user="U0COMMANDER")
    await room.whispered("INC-1 is open for these alerts already.", "U0COMMANDER")
    await room.tell(alert(status="resolved", **WARNING))
    assert len(room.said("All alerts of INC-1 are resolved. Resolve?")) == 1


async def test_of_two_who_declare_the_same_proposal_one_does(room: Alerted) -> None:
    await room.tell(alert(**WARNING))
    (card,) = room.said("An incident?")
    for user in (ADA, "U0COMMANDER"):
        await room.slack.click(card, "declare", user=user)
    first, second = await form(room.slack, ADA), await form(room.slack, "U0COMMANDER")
    assert await room.slack.submit(first, {}) == {}
    answer = await room.slack.submit(second, {})
    assert answer["errors"] == {"title": "INC-1 is open for these alerts already."}


async def test_what_is_only_noted_stands_in_the_timeline_and_nowhere_else(room: Alerted) -> None:
    noted: dict[str, Any] = {"labels": {"severity": "info"}}
    await room.tell(alert("Deployed", **noted))
    assert room.slack.messages == []
    await room.tell(alert())
    count = len(room.slack.messages)
    await room.tell(alert("Deployed", began="11:58", **noted))
    assert len(room.slack.messages) == count
    ended, begun = [entry.event for entry in await room.bot.store.timeline(1)][-2:]
    assert (ended.kind, begun.kind) == (Kind.ALERT, Kind.ALERT)
    assert ended.text == "Deployed: more than 5 % of requests fail is over", "since it began anew"
    assert begun.text == "Deployed: more than 5 % of requests fail fires"
    assert room.said("Deployed") == []


async def test_a_stronger_alert_of_the_same_key_opens_and_takes_the_proposal_along(room: Alerted) -> None:
    await room.tell(alert(**WARNING))
    (card,) = room.said("An incident?")
    await room.tell(alert())
    assert "Declared as *INC-1*" in card.text
    figures = await room.bot.store.alert_figures(1)
    assert figures is not None
    assert figures.firing == 2


async def test_the_generic_form_goes_the_same_way(room: Alerted) -> None:
    told = {"title": "Queue is <!channel> full", "severity": "P1", "key": 17, "url": "https://queue.example/17"}
    for _ in range(2):
        assert await room.post(told, "/alerts/generic") == (200, "ok\n")
        await room.settle()
    (card,) = cards(room.slack)
    assert "P1 INC-1: Queue is &lt;!channel&gt; full" in card.text.replace("<!channel>", "&lt;!channel&gt;")
    assert await room.post({**told, "status": "resolved"}, "/alerts/generic") == (200, "ok\n")
    await room.settle()
    assert len(room.said("All alerts of INC-1 are resolved. Resolve?")) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_storm_of_200_keys_is_200_incidents_and_one_triage(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rule = Rule(match=(Matcher(label="quiet", operator="!=", value="yes"),), does=Does.OPEN)
    async with alerted(copy_of(kind, tmp_path, request), Alerts(key=("pod",), rules=(rule,))) as room:
        storm = [alert(labels={"pod": f"pod-{number}"}) for number in range(200)]
        assert await room.post({"alerts": storm}) == (200, "ok\n")
        await room.bot.alerts.tick()
        opened = await room.bot.store.listed(open_only=True, limit=500)
        assert len(opened) == 200
        assert len({one.triage for one in opened}) == 1
        assert None not in {one.triage for one in opened}


async def test_a_triage_that_fails_is_tried_three_times_and_then_told(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # a target that the settings have lost since
    rules = Alerts(rules=(Rule(does=Does.OPEN, target="gone"),))
    async with alerted(copy_of("SQLite", tmp_path, request), rules) as room:
        await room.tell(alert())
        for _ in range(2):
            assert cards(room.slack), "the incident is there before its triage ends"
            assert room.said("failed several times") == []
            room.clock.advance(20)
            await room.settle()
        (told,) = room.said("The triage of INC-1 failed several times")
        assert "gone" in told.all_text
        room.clock.advance(3600)
        await room.settle()
        assert room.said("The triage of INC-1 failed several times") == [told]
        assert await kinds(room) == ["declared", "alert", "triage"]


async def test_an_incident_of_the_bots_own_makes_its_channel_without_inviting_the_bot(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    config = tmp_path / "bot.yaml"
    config.write_text("policy: {own_channel: true}")
    async with alerted(copy_of("SQLite", tmp_path, request), MISTRAL_BOT_CONFIG=str(config)) as room:
        await room.tell(alert())
        incident = await room.bot.store.incident(1)
        assert incident is not None
        assert incident.own_channel is not None
        assert await room.bot.store.dead_letters(10) == []
        assert len(cards(room.slack)) == 2
