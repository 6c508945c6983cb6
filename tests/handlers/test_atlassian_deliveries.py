"""Statuspage over the wire, beside Slack and another page: each told as soon as its own way is open, in order, once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from aiohttp import web

from bot.clients.http import HttpClient
from bot.domain.publication import PublicStatus
from bot.ports import Lane
from bot.settings import Limits, Network
from bot.statuspages.atlassian import Atlassian, Pace
from bot.variables import Secret
from tests.fakes import FakePage
from tests.handlers.conftest import World
from tests.handlers.test_status_deliveries import TOLD, Stage, until
from tests.statuspages.statuspage import KEY, PAGE, Statuspage, statuspage
from tests.statuspages.test_atlassian import Slept

STATUSPAGE = Lane(destination="status:atlassian")
PAGES = ("atlassian", "other")
TEXTS = ["Update 0", "Update 1", "Update 2"]


@dataclass(frozen=True)
class Told:
    stage: Stage
    remote: Statuspage
    other: FakePage

    def bodies(self) -> list[str]:
        """What Statuspage's only incident says, the oldest first."""
        return [told["body"] for one in self.remote.incidents for told in reversed(one["incident_updates"])]


@pytest.fixture
async def told(world: World) -> AsyncIterator[Told]:
    http, slept = HttpClient(Network(), Limits().response_bytes), Slept()
    pace = Pace(monotonic=lambda: slept.at, sleep=slept.sleep)
    async with statuspage("Chat", "Search") as remote:
        page = Atlassian(http=http, url=remote.url, key=Secret(KEY), page=PAGE, pace=pace)
        stage, other = Stage(world), FakePage(name="other")
        deliveries = replace(stage.world.deliveries, pages=[page, other], _wanted={})
        stage.world = replace(stage.world, deliveries=deliveries)
        yield Told(stage, remote, other)
    await http.close()


async def test_statuspage_is_told_while_slack_is_down_and_slack_when_it_is_back(told: Told) -> None:
    stage = told.stage
    incident = await stage.world.declare()
    stage.world.sandbox.slack.down = True
    for text in TEXTS:
        await stage.publish(incident, replace(TOLD, text=text), PAGES)
        await stage.world.deliveries.send_some(STATUSPAGE)
    assert told.bodies() == TEXTS
    assert told.remote.state_of("Chat") == "degraded_performance"
    stage.world.sandbox.slack.down = False
    await stage.world.settle()
    assert len(stage.world.said("is INVESTIGATING")) == len(TEXTS)
    assert "<https://stspg.io/000000|Statuspage>" in stage.card()
    assert told.bodies() == TEXTS, "nothing is there twice"


async def test_slack_is_told_while_statuspage_is_down_and_statuspage_in_order_when_it_is_back(told: Told) -> None:
    stage = told.stage
    told.remote.refuse = lambda _: web.json_response({}, status=503)
    incident = await stage.world.declare()
    for text in TEXTS:
        await stage.publish(incident, replace(TOLD, text=text), PAGES)
    while await stage.world.deliveries.send_some():
        pass
    assert len(stage.world.said("is INVESTIGATING")) == len(TEXTS)
    assert told.other.said[-1][0] == len(TEXTS)
    assert "Statuspage (not told yet: Statuspage has a fault of its own (503))" in stage.card()
    told.remote.refuse = lambda _: None
    # and the answer to its creation is lost
    told.remote.lose = {len(told.remote.asked) + 2}
    await stage.world.settle()
    assert told.bodies() == TEXTS
    assert "(not told yet" not in stage.card()
    await stage.publish(incident, replace(TOLD, text="It works.", status=PublicStatus.RESOLVED), PAGES)
    await stage.world.settle()
    assert told.bodies() == [*TEXTS, "It works."]
    assert told.remote.state_of("Chat") == "operational"


async def test_a_key_that_is_not_taken_is_told_in_the_incidents_thread_and_mended_by_a_retry(told: Told) -> None:
    stage = told.stage
    told.remote.refuse = lambda _: web.json_response({}, status=401)
    await stage.publish(await stage.world.declare(), pages=PAGES)
    await stage.world.settle()
    (said,) = stage.world.said("was not told of *INC-1*")
    assert "check STATUSPAGE_API_KEY" in said.text
    assert KEY not in "".join(one.all_text for one in stage.world.slack.messages)
    told.remote.refuse = lambda _: None
    await stage.world.store.revive()
    await stage.world.settle()
    assert told.bodies() == [TOLD.text]


async def test_a_statuspage_that_hangs_holds_up_neither_slack_nor_another_page(told: Told) -> None:
    stage, deliveries = told.stage, told.stage.world.deliveries
    told.remote.open.clear()
    work = asyncio.create_task(deliveries.work())
    try:
        await stage.publish(await stage.world.declare(), pages=PAGES)
        deliveries.wake()
        await until(lambda: bool(told.remote.asked) and bool(told.other.said))
        await stage.world.slack.wait_for(lambda: stage.world.said("is INVESTIGATING"))
        assert told.remote.incidents == []
        told.remote.open.set()
        await until(lambda: told.bodies() == [TOLD.text])
    finally:
        deliveries.end()
        await asyncio.wait_for(work, 10)
