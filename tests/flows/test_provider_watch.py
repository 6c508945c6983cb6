"""The provider watched while an incident is open: its page and its API over HTTP, and what people are told in Slack."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.configuration import load
from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import AnswerSpec, MistralSpec, ProviderStatusSpec, load_scenarios
from bot.sandbox.slack import Message
from bot.serve import wired
from bot.web.routes import application
from bot.worlds import prober
from tests.databases import copy_of, store_at
from tests.fakes import FakeClock
from tests.flows.leaking import leaks_of
from tests.flows.test_incident_answers import Served
from tests.flows.test_incidents import form, said
from tests.handlers.conftest import World
from tests.handlers.test_delivery_runs import asked, in_place, proposed
from tests.planted import PLANTED, cut_at

MODEL = "mistral-small-latest"
ERRORS = {"name": "Elevated <!channel> errors on chat completions", "impact": "major", "components": ["API"]}
DOWN = MistralSpec(models=AnswerSpec(status=503), canary={MODEL: AnswerSpec(status=503)})
WELL = MistralSpec(canary={MODEL: AnswerSpec()})


@dataclass(frozen=True)
class Watched(Served):
    """The clock goes on by hand; each look is one tick of the bot's scheduler."""

    clock: FakeClock

    async def look(self, seconds: float = 30) -> None:
        self.clock.advance(seconds)
        await self.bot.watch.tick()
        await self.send()

    def page(self, *incidents: Mapping[str, object], fail: str | None = None) -> None:
        spec = ProviderStatusSpec(incidents=incidents, indicator="major" if incidents else "none", fail=fail)
        self._now(provider_status=spec)

    def api(self, spec: MistralSpec) -> None:
        self._now(mistral=spec)

    def _now(self, **changes: object) -> None:
        self.sandbox.world.scenario = replace(self.sandbox.world.scenario, **changes)  # type: ignore[arg-type]

    async def outage(self) -> Message:
        """Declared as it is from a triage that says that it is the provider's."""
        told = Declaration(
            target="default",
            title="Mistral answers with errors",
            severity=Severity.P1,
            cause="provider_outage",
            channel="C0INCIDENTS",
        )
        await self.bot.incidents.declare(told, "U0REQUESTER", "view:outage")
        await self.send()
        return next(one for one in self.slack.messages if "*Status*" in one.all_text)

    async def fallback_in_place(self) -> None:
        world = World(self.sandbox, self.bot.store, self.clock, self.bot.deliveries, self.bot.incidents)  # type: ignore[arg-type]
        await in_place(world, await proposed(world, await asked(world, 1)))

    async def told(self) -> list[str]:
        return [one.event.text for one in await self.bot.store.timeline(1) if one.event.kind == "provider"]

    def asked(self, upstream: str) -> int:
        return sum(one.upstream == upstream for one in self.sandbox.world.requests)


@pytest.fixture
async def watched(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Watched]:
    scenario = replace(load_scenarios()["all is well"], mistral=DOWN, provider_status=ProviderStatusSpec())
    sandbox = Sandbox(scenario, http_mode=True)
    sandbox.slack.workspace.scopes = set(SCOPES)
    await sandbox.start()
    settings, store = load(sandbox.environment()), store_at(copy_of("SQLite", tmp_path, request))
    clock = FakeClock()
    async with prober(settings) as asks:
        bot = wired(settings, replace(asks, clock=clock), store, pace_s=0)
        sandbox.slack.request_url = await sandbox.serve(application(bot.readiness, bot.slack.app)) + "/slack/events"
        yield Watched(bot, sandbox, clock)
        await bot.tasks.drain(5)
    await store.close()
    await sandbox.close()


async def test_an_outage_is_followed_from_the_page_to_the_recovery(watched: Watched) -> None:
    card = await watched.outage()
    await watched.fallback_in_place()
    watched.page(ERRORS)
    await watched.look()
    assert "Mistral's status page: Elevated &lt;!channel&gt; errors on chat completions (major)" in card.all_text
    watched.page()
    watched.api(WELL)
    await watched.look(60)
    assert "Mistral's status page: " not in card.all_text
    await watched.look()
    assert said(watched.slack, "in a row") == []
    await watched.look()
    (told,) = said(watched.slack, "Mistral's API was well 3 times in a row. Is *INC-1* over?")
    assert told.thread_ts == card.ts
    for _ in range(4):
        await watched.look()
    assert said(watched.slack, "in a row") == [told], "it is said once"
    assert await watched.told() == [
        "Mistral's status page says: Elevated <!channel> errors on chat completions (major)",
        "Mistral's status page no longer lists: Elevated <!channel> errors on chat completions (major)",
        "Mistral's API was well 3 times in a row",
    ]
    await watched.slack.click(told, "resolve")
    view = await form(watched.slack)
    assert view.body["callback_id"] == "resolve"
    assert "`fallback` is still in place." in told.all_text
    await watched.slack.click(told, "revert")
    views = watched.slack.views
    await watched.slack.wait_for(lambda: views["U0REQUESTER"].body["title"]["text"] == "Take it back")


async def test_a_relapse_is_noted_and_the_next_recovery_said_anew(watched: Watched) -> None:
    await watched.outage()
    watched.api(WELL)
    for _ in range(3):
        await watched.look()
    watched.api(DOWN)
    await watched.look()
    watched.api(WELL)
    for _ in range(3):
        await watched.look()
    assert await watched.told() == [
        "Mistral's API was well 3 times in a row",
        "Mistral's API fails again",
        "Mistral's API was well 3 times in a row",
    ]
    assert len(said(watched.slack, "in a row")) == 2


@pytest.mark.parametrize("fail", ["challenge", "500", "timeout"])
async def test_a_page_that_cannot_be_read_is_said_to_be_so_never_to_be_fine(watched: Watched, fail: str) -> None:
    if fail == "timeout":
        timeouts = replace(watched.bot.watch.prober.timeouts, provider_status=0.3)
        prober_ = replace(watched.bot.watch.prober, timeouts=timeouts)
        watched = replace(watched, bot=replace(watched.bot, watch=replace(watched.bot.watch, prober=prober_)))
    card = await watched.outage()
    watched.page(ERRORS)
    await watched.look()
    watched.page(fail=fail)
    await watched.look(60)
    assert "Mistral's status page: Elevated" in card.all_text, "it has not ended"
    assert "(major); since then it cannot be read (" in card.all_text
    watched.page()
    await watched.look(60)
    assert "Mistral's status page: " not in card.all_text
    watched.page(fail=fail)
    await watched.look(60)
    assert "Mistral's status page: it cannot be read (" in card.all_text
    assert "operational" not in card.all_text.lower()
    assert len(await watched.told()) == 2


async def test_the_page_is_asked_once_a_minute_and_the_api_every_half_for_all_incidents_of_a_target(
    watched: Watched,
) -> None:
    await watched.outage()
    for number in range(3):
        await watched.slack.command("declare")
        told = {"title": f"Another {number}", "severity": "P2", "commander": ""}
        view = await form(watched.slack)
        await watched.slack.submit(view, {block: {"value": value} for block, value in told.items()})
    pages, apis = watched.asked("provider_status"), watched.asked("mistral")
    for _ in range(12):
        await watched.look(5)
    # three forms of a status page, four requests, are tried at once each time; the models and one canary
    assert watched.asked("provider_status") - pages == 4
    assert watched.asked("mistral") - apis == 2 * 2


async def test_what_is_over_or_not_the_providers_is_left_alone(watched: Watched) -> None:
    await watched.slack.command("declare")
    told = {"title": "Ours", "severity": "P2", "commander": ""}
    await watched.slack.submit(await form(watched.slack), {block: {"value": value} for block, value in told.items()})
    apis = watched.asked("mistral")
    await watched.look()
    assert watched.asked("mistral") == apis
    assert await watched.told() == []
    await watched.bot.incidents.act(1, lambda one, now: acts.resolve(one, (), "it was us", "U0REQUESTER", now))
    await watched.look(60)
    pages = watched.asked("provider_status")
    await watched.look(600)
    assert watched.asked("provider_status") == pages


async def test_a_target_that_is_not_configured_any_more_is_told_in_the_log_and_holds_up_no_other(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Declaration(target="gone", title="Of another time", severity=Severity.P2, channel="C0INCIDENTS")
    await watched.bot.incidents.declare(gone, "U0REQUESTER", "view:gone")
    await watched.outage()
    watched.page(ERRORS)
    for _ in range(4):
        await watched.look()
    assert caplog.text.count("the target gone is not configured any more") == 1
    assert [one.event.text for one in await watched.bot.store.timeline(2) if one.event.kind == "provider"]


async def test_a_restart_in_between_forgets_nothing_and_says_nothing_twice(watched: Watched) -> None:
    await watched.outage()
    watched.page(ERRORS)
    watched.api(WELL)
    await watched.look()
    await watched.look()
    before = watched.bot
    async with prober(load(watched.sandbox.environment())) as asks:
        settings = load(watched.sandbox.environment())
        again = wired(settings, replace(asks, clock=watched.clock), before.store, pace_s=0)  # type: ignore[arg-type]
        other = replace(watched, bot=again)
        await other.look()
        assert len(said(watched.slack, "in a row")) == 1
        assert len(await watched.told()) == 2
        await again.tasks.drain(5)


async def test_no_secret_of_the_providers_page_is_told_or_kept(watched: Watched) -> None:
    card = await watched.outage()
    for kind, text in PLANTED.items():
        watched.page(
            {"name": f"{kind}: {text}", "impact": "major", "components": ["API"]},
            {"name": cut_at(200, text), "impact": cut_at(40, text), "components": ["API"]},
            {"name": "", "impact": "major", "components": [f"API {text}", f"API {cut_at(90, text)}"]},
        )
        await watched.look(60)
        assert "status page: " in card.all_text
    assert len(await watched.told()) > len(PLANTED)
    assert await leaks_of(watched) == {}
