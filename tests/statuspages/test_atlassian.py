"""Atlassian Statuspage over the wire: each update there once, in order, whatever is lost; and refusals in words."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web

from bot.clients.http import HttpClient
from bot.configuration import load
from bot.domain.publication import ComponentState, PublicIncident, PublicStatus, PublicUpdate
from bot.errors import BadAnswer, BotError, Forbidden, SettingsError, Unreachable
from bot.settings import Limits, Network
from bot.statuspages import status_pages
from bot.statuspages.atlassian import Atlassian, Pace
from bot.variables import Secret
from tests.fakes import NOW, FakeHttp
from tests.public import a_view, an_incident
from tests.statuspages.statuspage import KEY, PAGE, Statuspage, statuspage

NAMES = ("Chat", "Search", "Billing")


@dataclass
class Slept:
    """A clock that goes on only when it is slept by."""

    at: float = 100.0
    pauses: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.at += seconds


@dataclass(frozen=True)
class World:
    remote: Statuspage
    page: Atlassian
    clock: Slept

    async def publish(self, incident: PublicIncident, *others: PublicIncident, known: str | None = None) -> str:
        return await self.page.publish(incident, a_view(incident, *others, components=NAMES), known=known)

    def bodies(self) -> list[str]:
        """Of the only incident, the oldest first."""
        (held,) = self.remote.incidents
        return [one["body"] for one in reversed(held["incident_updates"])]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    http, clock = HttpClient(Network(), Limits().response_bytes), Slept()
    async with statuspage(*NAMES) as remote:
        pace = Pace(monotonic=lambda: clock.at, sleep=clock.sleep)
        yield World(remote, Atlassian(http=http, url=remote.url, key=Secret(KEY), page=PAGE, pace=pace), clock)
    await http.close()


FIRST = replace(an_incident(), updates=an_incident().updates[:1], status=PublicStatus.INVESTIGATING)
SECOND, ENDED = an_incident(), an_incident(ended=True)
REVIEW = PublicUpdate(number=4, status=PublicStatus.POSTMORTEM, text="What happened", workaround="", at=NOW)
REVIEWED = replace(ENDED, status=PublicStatus.POSTMORTEM, updates=(*ENDED.updates, REVIEW))
WHOLE = [
    "Some answers take longer than usual.",
    "We know why.\nA second line.\n\nWorkaround: Ask again after a minute.",
    "Answers are as fast as ever.",
]


async def test_an_incident_goes_from_its_first_update_to_its_postmortem(world: World) -> None:
    known = await world.publish(FIRST)
    (held,) = world.remote.incidents
    assert (held["name"], held["status"], held["impact_override"]) == ("Slow answers in chat", "investigating", "minor")
    assert [world.remote.state_of(name) for name in NAMES] == ["degraded_performance", "partial_outage", "operational"]
    assert world.page.link(FIRST, known) == "https://stspg.io/000000"
    assert len(known) <= 40
    for incident in (SECOND, ENDED):
        known = await world.publish(incident, known=known)
    assert world.bodies() == WHOLE
    assert held["status"] == "resolved"
    assert [world.remote.state_of(name) for name in NAMES] == ["operational"] * 3
    await world.publish(REVIEWED, known=known)
    assert held["postmortem"]["body"] == "What happened"
    assert (held["notified"], world.bodies()) == (1, WHOLE)


async def test_only_the_incidents_own_components_change_and_another_open_incident_keeps_its_own(world: World) -> None:
    world.remote.components[2]["status"] = "under_maintenance"
    other = an_incident(2, components={"Chat": ComponentState.MAJOR})
    known = await world.publish(ENDED, other)
    assert [world.remote.state_of(name) for name in NAMES] == ["major_outage", "operational", "under_maintenance"]
    asked = len(world.remote.asked)
    await world.publish(ENDED, replace(other, status=PublicStatus.RESOLVED), known=known)
    assert [world.remote.state_of(name) for name in NAMES] == ["operational", "operational", "under_maintenance"]
    assert world.bodies() == WHOLE, "a state alone is no update"
    assert len(world.remote.asked) - asked == 3, "what is as it should be is left alone"


async def test_a_component_beyond_the_first_hundred_is_found(world: World) -> None:
    for number in range(100):
        world.remote.add_component(f"Region {number}")
    await world.page.publish(
        replace(FIRST, components={"Region 99": ComponentState.MAJOR}),
        a_view(replace(FIRST, components={"Region 99": ComponentState.MAJOR})),
        known=None,
    )
    assert world.remote.state_of("Region 99") == "major_outage"


async def test_what_was_not_told_meanwhile_is_told_in_order(world: World) -> None:
    await world.publish(REVIEWED)
    assert world.bodies() == WHOLE
    assert world.remote.incidents[0]["postmortem"]["body"] == "What happened"


@pytest.mark.parametrize("lost", range(8))
async def test_each_update_is_there_once_whichever_answer_is_lost(world: World, lost: int) -> None:
    world.remote.lose = {lost}
    known: str | None = None
    for incident in (FIRST, SECOND, ENDED, REVIEWED):
        for _ in range(3):
            try:
                known = await world.publish(incident, known=known)
            except Unreachable:
                continue
            break
        else:
            raise AssertionError("it was never told")
    assert world.bodies() == WHOLE
    assert world.remote.incidents[0]["postmortem"]["body"] == "What happened"
    assert world.remote.incidents[0]["notified"] == 1, "subscribers hear of it once"
    assert len(world.remote.asked) > lost, "the answer that was to be lost was"


async def test_every_other_answer_is_lost(world: World) -> None:
    world.remote.lose = set(range(1, 80, 2))
    for _ in range(30):
        try:
            await world.publish(ENDED)
        except Unreachable:
            continue
    assert world.bodies() == WHOLE


async def test_one_request_a_second_is_kept_whoever_asks(world: World) -> None:
    await world.publish(FIRST)
    await world.publish(SECOND)
    asked = len(world.remote.asked)
    assert len(world.clock.pauses) == asked - 1
    assert world.clock.at - 100.0 >= asked - 1


async def test_it_is_asked_no_sooner_than_it_says(world: World) -> None:
    world.remote.refuse = lambda _: web.json_response({}, status=429, headers={"Retry-After": "60"})
    with pytest.raises(BadAnswer):
        await world.publish(FIRST)
    world.remote.refuse = lambda _: None
    with pytest.raises(BadAnswer, match="asks to be asked later, in 60 s"):
        await world.publish(FIRST)
    assert len(world.remote.asked) == 1
    world.clock.at += 55
    await world.publish(FIRST)
    assert world.clock.pauses[0] == pytest.approx(5)
    assert world.bodies() == WHOLE[:1]


async def test_a_component_that_the_page_does_not_have_holds_up_nothing_and_is_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.publish(replace(FIRST, components={"Chat": ComponentState.MAJOR, "Elsewhere": ComponentState.MAJOR}))
    assert world.remote.state_of("Chat") == "major_outage"
    assert len(world.bodies()) == 1
    assert "the page at Statuspage has no component called Elsewhere" in caplog.text


@pytest.mark.parametrize(
    ("status", "body", "error", "told"),
    [
        (401, {"error": "Could not authenticate"}, Forbidden, "check STATUSPAGE_API_KEY"),
        (403, {}, Forbidden, "may not change the page"),
        (404, {}, Forbidden, "check STATUSPAGE_PAGE_ID"),
        (422, {"error": ["Name is too long", "Status is <b>odd</b>"]}, Forbidden, "Name is too long; Status is <b>odd"),
        (422, {"error": "long " * 200}, Forbidden, "long long…"),
        (422, {"error": "token=abcdef0123456789"}, Forbidden, "token=***"),
        (422, {"error": f"OAuth\x00 {KEY} may not"}, Forbidden, "OAuth *** may not"),
        (400, ["?"], Forbidden, "it does not say why"),
        (420, {}, BadAnswer, "one request a second"),
        (429, {}, BadAnswer, "one request a second"),
        (500, {}, BadAnswer, "a fault of its own (500)"),
        (503, {}, BadAnswer, "a fault of its own (503)"),
    ],
)
async def test_what_it_refuses_is_told_in_words(
    world: World, status: int, body: object, error: type[BotError], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.remote.refuse = lambda _: web.json_response(body, status=status)
    with pytest.raises(error) as caught:
        await world.publish(FIRST)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert KEY not in f"{caught.value!r}{caplog.text}"


async def test_what_somebody_has_deleted_there_is_not_made_anew(world: World) -> None:
    known = await world.publish(FIRST)
    world.remote.incidents.clear()
    with pytest.raises(Forbidden, match="deleted there"):
        await world.publish(SECOND, known=known)
    assert world.remote.incidents == []


async def test_an_answer_that_is_no_statuspages_is_told(world: World) -> None:
    world.remote.refuse = lambda request: web.json_response({"hello": 1}) if request.method == "POST" else None
    with pytest.raises(BadAnswer, match="STATUSPAGE_API_URL"):
        await world.publish(FIRST)


@pytest.mark.parametrize("identity", ["../../users", "a?b", "a\x00", "", "x" * 500, None, {}])
async def test_an_id_that_would_lead_elsewhere_is_no_answer(world: World, identity: object) -> None:
    world.remote.refuse = lambda request: web.json_response({"id": identity}) if request.method == "POST" else None
    with pytest.raises(BadAnswer, match="STATUSPAGE_API_URL"):
        await world.publish(FIRST)


@pytest.mark.parametrize(
    "short", ["https://ada:pw@x.io/a", "javascript:alert(1)", "https://x.io|<!channel>", "https://x.io/a\x00", [], 7]
)
async def test_a_short_link_that_is_none_is_not_kept(world: World, short: object) -> None:
    answered = {"id": "abc", "shortlink": short}
    world.remote.refuse = lambda request: web.json_response(answered) if request.method == "POST" else None
    assert await world.publish(FIRST) == "abc"


def test_one_setting_without_the_other_stops_the_start() -> None:
    for held, missing in (("STATUSPAGE_API_KEY", "STATUSPAGE_PAGE_ID"), ("STATUSPAGE_PAGE_ID", "STATUSPAGE_API_KEY")):
        with pytest.raises(SettingsError, match=f"{held} is set and {missing} is not"):
            status_pages(load({held: "abc"}), FakeHttp())
    both = load({"STATUSPAGE_API_KEY": KEY, "STATUSPAGE_PAGE_ID": PAGE})
    assert [page.name for page in status_pages(both, FakeHttp())] == ["atlassian", "builtin"]
    assert [page.name for page in status_pages(load({}), FakeHttp())] == ["builtin"]
