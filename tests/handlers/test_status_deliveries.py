"""Status pages beside Slack: each is told as soon as its own way is open, in order, and holds up nothing else."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from bot.domain import acts
from bot.domain.acts import Declaration, Update
from bot.domain.causes import Severity
from bot.domain.incident import Change, Incident
from bot.domain.policy import Policy
from bot.domain.publication import ComponentState, Impact, Publication, PublicIncident, PublicStatus, PublicView
from bot.domain.telling import to_public
from bot.errors import Forbidden, StoreError, Unreachable
from bot.ports import Delivery, Lane
from tests.fakes import FakePage
from tests.handlers.conftest import HERE, ROBIN, World

PAGES = ("fake", "other")
TOLD = Publication(
    status=PublicStatus.INVESTIGATING,
    title="Slow answers",
    text="Some answers take longer than usual.",
    components={"Chat": ComponentState.DEGRADED},
    impact=Impact.MINOR,
    by=ROBIN,
)


class Stage:
    """The world with two status pages."""

    def __init__(self, held: World) -> None:
        self.pages = [FakePage(name=name) for name in PAGES]
        self.world = replace(
            held, deliveries=replace(held.deliveries, pages=self.pages, components=("Chat", "Search"), _wanted={})
        )

    async def publish(self, incident: Incident, told: Publication = TOLD, pages: tuple[str, ...] = PAGES) -> Incident:
        def act(one: Incident, now: object) -> Change:
            at = self.world.clock.now()
            return to_public(acts.update(one, Update(action="looking"), ROBIN, at, Policy()), told, at, pages)

        return await self.world.incidents.act(incident.id, act)

    def card(self) -> str:
        return next(one.all_text for one in self.world.slack.messages if "*Status*" in one.all_text)


@pytest.fixture
async def stage(world: World) -> Stage:
    return Stage(world)


async def test_every_page_is_told_and_the_card_links_to_it(stage: Stage) -> None:
    incident = await stage.world.declare()
    await stage.publish(incident)
    await stage.world.settle()
    for page in stage.pages:
        assert page.said == [(1, PublicStatus.INVESTIGATING, None)]
        assert page.states == {"Chat": ComponentState.DEGRADED, "Search": ComponentState.OPERATIONAL}
    await stage.publish(incident, replace(TOLD, status=PublicStatus.RESOLVED))
    await stage.world.settle()
    public = await stage.world.store.public(incident.id)
    assert public is not None
    assert stage.pages[0].said[1:] == [(2, PublicStatus.RESOLVED, f"fake-{public.slug}")]
    assert stage.pages[0].states["Chat"] is ComponentState.OPERATIONAL
    assert f"Public, resolved: <https://status.example/{public.slug}|fake>, <" in stage.card()


async def test_a_page_that_is_down_holds_up_neither_slack_nor_another_page_and_catches_up(stage: Stage) -> None:
    stage.pages[0].error = Unreachable("the page cannot be reached")
    incident = await stage.world.declare()
    for _ in range(3):
        await stage.publish(incident)
    for _ in range(6):
        await stage.world.deliveries.send_some()
    assert stage.pages[1].said[-1][0] == 3
    assert len(stage.world.said("Current action", HERE)) > 0
    assert "|fake> (not told yet: the page cannot be reached)" in stage.card()
    stage.pages[0].error = None
    await stage.world.settle()
    assert stage.pages[0].said == [(3, PublicStatus.INVESTIGATING, None)]
    assert "(not told yet" not in stage.card()


async def test_a_page_is_told_while_slack_is_down_and_slack_in_order_when_it_is_back(stage: Stage) -> None:
    incident = await stage.world.declare()
    stage.world.sandbox.slack.down = True
    for number in range(2):
        await stage.publish(incident, replace(TOLD, text=f"Update {number}"))
        for page in PAGES:
            await stage.world.deliveries.send_some(Lane(destination=f"status:{page}"))
    assert [count for count, _, _ in stage.pages[0].said] == [1, 2]
    stage.world.sandbox.slack.down = False
    await stage.world.settle()
    assert len(stage.world.said("is INVESTIGATING")) == 2
    assert await stage.world.dead() == 0


async def test_what_is_published_while_a_page_is_told_is_on_it_in_the_end(stage: Stage) -> None:
    first = await stage.world.declare()
    also = Declaration(target="default", title="Search is slow", severity=Severity.P2, channel=HERE)
    second = await stage.world.incidents.declare(also, ROBIN, "view:2")

    class Slow(FakePage):
        """Another incident is published, and told by another process, while this one writes what it has read."""

        async def publish(self, incident: PublicIncident, view: PublicView, *, known: str | None) -> str:
            if not self.said:
                await stage.publish(second, replace(TOLD, components={"Search": ComponentState.MAJOR}), ("other",))
            return await super().publish(incident, view, known=known)

    page = Slow(name="fake")
    deliveries = replace(stage.world.deliveries, pages=[page, stage.pages[1]], _wanted={})
    await stage.publish(first, pages=("fake",))
    while await deliveries.send_some():
        pass
    assert page.states == {"Chat": ComponentState.DEGRADED, "Search": ComponentState.MAJOR}
    assert len(page.said) == 2


async def test_a_page_that_hangs_holds_up_nothing_while_all_is_sent_as_the_bot_does(stage: Stage) -> None:
    begun, hanging = asyncio.Event(), asyncio.Event()

    class Hanging(FakePage):
        async def publish(self, incident: PublicIncident, view: object, *, known: str | None) -> str:
            begun.set()
            await hanging.wait()
            return "late"

    pages = [Hanging(name="fake"), stage.pages[1]]
    deliveries = replace(stage.world.deliveries, pages=pages, _wanted={})
    work = asyncio.create_task(deliveries.work())
    try:
        incident = await stage.world.declare()
        await stage.publish(incident)
        deliveries.wake()
        await until(begun.is_set)
        await until(lambda: bool(stage.pages[1].said))
        await stage.world.slack.wait_for(lambda: stage.world.said("is INVESTIGATING"))
        told = {one.page: one.state for one in await stage.world.store.published(incident.id)}
        assert told["fake"] == "sending", "it still hangs"
    finally:
        hanging.set()
        deliveries.end()
        await asyncio.wait_for(work, 60)


async def test_what_a_page_refuses_for_good_is_told_to_the_incidents_people(stage: Stage) -> None:
    stage.pages[0].error = Forbidden("Statuspage refuses the key: check STATUSPAGE_API_KEY")
    await stage.publish(await stage.world.declare())
    await stage.world.settle()
    (told,) = stage.world.said("was not told of *INC-1*")
    assert "check STATUSPAGE_API_KEY" in told.text
    assert "mistral-bot deliveries retry" in told.text
    assert "|fake> (not told yet: Statuspage refuses the key" in stage.card()
    stage.pages[0].error = None
    await stage.world.store.revive()
    await stage.world.settle()
    assert stage.pages[0].said == [(1, PublicStatus.INVESTIGATING, None)]
    assert "(not told yet" not in stage.card()


async def test_who_dies_as_it_gives_up_has_told_the_incidents_people(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.pages[0].error = Forbidden("Statuspage refuses the key: check STATUSPAGE_API_KEY")
    await stage.publish(await stage.world.declare())
    dead = stage.world.store.dead

    async def dies(delivery: Delivery, error: str) -> None:
        await dead(delivery, error)
        raise StoreError("The database cannot be used just now.")

    with monkeypatch.context() as once:
        once.setattr(stage.world.store, "dead", dies)
        with contextlib.suppress(StoreError):
            while await stage.world.deliveries.send_some():
                pass
    stage.world.clock.advance(60)
    await stage.world.settle()
    assert len(stage.world.said("was not told of *INC-1*")) == 1
    assert await stage.world.dead() == 1


async def test_a_page_that_is_not_configured_any_more_is_said_to_be_so(stage: Stage) -> None:
    await stage.publish(await stage.world.declare(), pages=("gone",))
    await stage.world.settle()
    assert stage.world.said("the status page gone is not configured any more")


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - a fake tells of nothing
            await asyncio.sleep(0.01)
