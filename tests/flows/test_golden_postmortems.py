"""Three whole incidents, run through the sandbox, and the postmortems that are drafted of them.

``GOLDEN=write .venv/bin/pytest tests/flows/test_golden_postmortems.py`` writes them anew; look at what has changed.
Every figure is computed again here, from what the database holds and what Prometheus says itself.
"""

import os
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from bot.domain import acts
from bot.domain.incident import Incident, Milestone
from bot.domain.policy import Afterwards, Objective
from bot.domain.runs import Outcome
from bot.domain.timeline import Kind
from bot.handlers.publishing import Publisher
from bot.running import Bot
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from tests.databases import copy_of
from tests.flows.alerting import alert, alerted
from tests.flows.rooms import ON_CALL, ROBIN, policy_of, room_in
from tests.flows.test_incident_answers import ADA

pytestmark = pytest.mark.usefixtures("patient")
GOLDEN = Path(__file__).parent.parent / "golden" / "postmortems"
OBJECTIVE = Objective(share=0.999)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is that tests, a triage is kept."""
    monkeypatch.setattr("bot.serve._KEPT_WITHIN_S", 20.0)


async def document(bot: Bot, number: int = 1) -> str:
    """As it is published, without the chart."""
    handler = replace(
        bot.postmortems, policy=replace(bot.postmortems.policy, afterwards=Afterwards(objective=OBJECTIVE))
    )
    publisher = Publisher(handler=handler, charts=None, templates=None)  # type: ignore[arg-type]
    return publisher.markdown(await handler.draft(number))


def matches(name: str, told: str) -> None:
    """What the golden file has, whenever it was run: times, days and ids are not compared here, but above."""
    stable = re.sub(r"\b[0-2]\d:[0-5]\d(?::\d\d\S*)?\b", "HH:MM", told)
    stable = re.sub(r"\b20\d\d-\d\d-\d\d(T\S+)?\b", "DATE", stable)
    stable = re.sub(r"\d+ of \d+ \([^)]*\)", "N of N (P %)", stable)
    stable = re.sub(r"Error budget: \S+ %", "Error budget: P %", stable)
    stable = re.sub(r"\b(\d+ h )?\d+ min\b", "SPAN", stable)
    stable = re.sub(r"\b\d+ ms\b", "N ms", stable)
    stable = re.sub(r"[\d.]+ % of [\d.]+ requests/s fail( \([^)]*\))?", "P % of N requests/s fail", stable)
    path = GOLDEN / f"{name}.md"
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(stable)
    assert stable == path.read_text()


async def counted(sandbox: Sandbox, counter: str, start: datetime, end: datetime) -> float:
    """What Prometheus itself says was counted meanwhile."""
    span = max(60, round((end - start).total_seconds()))
    return await _increase(sandbox, f"{counter}[{span}s]", end)


async def _increase(sandbox: Sandbox, selector: str, end: datetime) -> float:
    asked = {"query": f"sum(increase({selector}))", "start": f"{end.timestamp()}", "end": f"{end.timestamp()}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{sandbox.urls['prometheus']}/api/v1/query_range", params={**asked, "step": "60"}) as answer,
    ):
        result = (await answer.json())["data"]["result"]
    return float(result[0]["values"][0][1]) if result else 0.0


async def recomputed(told: str, bot: Bot, sandbox: Sandbox, number: int = 1) -> Incident:
    """Each figure in the document, from the record."""
    incident, entries = await bot.incidents.one(number), await bot.store.timeline(number)
    runs = await bot.store.runs(number)
    begun = min(incident.declared_at, *incident.milestones.values())
    end = incident.milestones[Milestone.RESTORED]
    minutes = round((end - begun).total_seconds() / 60)
    duration = f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    assert f"**Duration:** {duration}\\" in told
    assert f"- Duration of impact: {duration}" in told
    assert f"**Date:** {begun:%Y-%m-%d}" in told
    assert f"**Severity:** {incident.severity}" in told
    for milestone, what in (
        (Milestone.FIRST_ALERT, "First alert triggered"),
        (Milestone.DECLARED, "Incident declared"),
        (Milestone.MITIGATED, "Mitigation applied"),
        (Milestone.RESTORED, "Service restored"),
    ):
        at = incident.milestones.get(milestone)
        assert (f"| {at:%H:%M} | **{what}**" if at else f"**{what}: not recorded**") in told
    rows = told[told.index("|------|") : told.index("### Root cause")].count("\n| ")
    shown = [one for one in entries if one.event.kind is not Kind.MILESTONE]
    assert rows == len(shown) + 6
    errors = await counted(sandbox, "mistral_errors_total", begun, end)
    requests = await counted(sandbox, "mistral_requests_total", begun, end)
    window = await _increase(sandbox, "mistral_requests_total[2592000s]", end)
    found = re.search(r"Requests failed: (\d+) of (\d+) \(([\d.e+-]+) %\)", told)
    assert found
    # the sandbox's counters are those of the moment at which they are asked
    assert float(found[1]) == pytest.approx(errors, rel=0.02, abs=2)
    assert float(found[2]) == pytest.approx(requests, rel=0.02, abs=2)
    assert float(found[3]) == pytest.approx(100 * float(found[1]) / float(found[2]), rel=0.02, abs=0.01)
    budget = re.search(r"Error budget: ([\d.e+-]+) %", told)
    assert budget
    assert float(budget[1]) == pytest.approx(100 * errors / (0.001 * window), rel=0.03, abs=0.01)
    for run in runs:
        if run.applied_at is not None and run.remedy != "revert":
            assert f"- {run.remedy}: {run.outcome}. Asked for by @{run.requested_by}" in told.replace("\\", "")
    late = sum(one.event.kind is Kind.UPDATE_MISSED for one in entries)
    assert (f"{late} update" in told) == bool(late)
    return incident


async def test_a_rate_limit_that_a_mitigation_ended(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with room_in(copy_of("SQLite", tmp_path, request), policy_of(ON_CALL)) as room:
        room.sandbox.world.scenario = load_scenarios()["rate limited by a surge of our own"]
        await room.slack.command("triage", user=ROBIN)
        card = await room.slack.wait_for(
            lambda: next((one for one in room.slack.messages if "`rate_limited" in one.all_text), None), timeout_s=30
        )
        await room.bot.tasks.drain(10)
        await room.slack.click(card, "declare", user=ROBIN)
        view = await room.open_form(ROBIN)
        await room.slack.submit(view, {"impact": {"value": "some answers fail"}})
        await room.settle()
        await room.settle()
        room.sandbox.world.scenario = load_scenarios()["all is well"]
        await room.ask("mitigate fallback")
        await room.click(room.card(), "approve")
        run = (await room.runs())[0]
        assert run.outcome is Outcome.FIXED
        await room.because(room.card(), "revert", "the surge is over", user=ADA)
        await room.settle()
        await room.slack.command("milestone INC-1 mitigated 00:00", user=ADA)
        await room.settle()
        await room.bot.incidents.act(1, lambda one, now: acts.resolve(one, (), "the surge is over", ADA, now))
        told = await document(room.bot)
        await recomputed(told, room.bot, room.sandbox)
        matches("rate_limit", told)


async def test_an_alert_of_the_provider_that_nobody_answered(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with alerted(copy_of("SQLite", tmp_path, request)) as room:
        await room.tell(alert())
        for _ in range(5):
            room.clock.advance(20 * 60)
            await room.bot.incidents.tick()
        await room.bot.incidents.act(1, lambda one, now: acts.resolve(one, ("nobody looked",), "it is over", ADA, now))
        told = await document(room.bot)
        incident = await recomputed(told, room.bot, room.sandbox)
        found = incident.milestones[Milestone.DECLARED] - incident.milestones[Milestone.FIRST_ALERT]
        assert f"Time to detect: {round(found / timedelta(minutes=1))} min." in told
        assert "Nobody took command. Who should have?" in told
        matches("unanswered_alert", told)


async def test_a_release_that_was_taken_back_by_hand(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with room_in(copy_of("SQLite", tmp_path, request), policy_of(ON_CALL)) as room:
        room.sandbox.world.scenario = load_scenarios()["a release that does not start"]
        await room.slack.command("triage", user=ROBIN)
        card = await room.slack.wait_for(
            lambda: next((one for one in room.slack.messages if "`bad_release" in one.all_text), None), timeout_s=30
        )
        await room.bot.tasks.drain(10)
        await room.slack.click(card, "declare", user=ROBIN)
        await room.slack.submit(await room.open_form(ROBIN), {"impact": {"value": "no answers at all"}})
        await room.settle()
        await room.slack.command("note INC-1 rolled back by | hand, `kubectl rollout undo`", user=ROBIN)
        await room.settle()
        await room.bot.incidents.act(1, lambda one, now: acts.resolve(one, (), "rolled back", ROBIN, now))
        await room.bot.incidents.act(1, lambda one, now: acts.reopen(one, ADA, now, room.bot.incidents.policy))
        await room.bot.incidents.act(1, lambda one, now: acts.resolve(one, (), "now it is", ROBIN, now))
        told = await document(room.bot)
        await recomputed(told, room.bot, room.sandbox)
        assert "It was resolved too early, and reopened." in told
        matches("bad_release", told)
