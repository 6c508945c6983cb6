"""Many people at once, and a process that stood still: nobody is sent away, and nothing is said twice."""

import asyncio
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.incident import FILES, HOME, PAGER
from bot.domain.policy import Policy
from bot.handlers import delivery as delivering
from bot.handlers.incident import IncidentHandler
from bot.sandbox.slack.faults import CUT, HANG
from bot.slack import messenger as messaging
from bot.slack.place import Place
from tests.databases import copy_of, open_store
from tests.fakes import FakeClock
from tests.handlers.conftest import HERE, ROBIN, World


async def test_forty_who_note_something_at_once_are_all_heard(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = copy_of("PostgreSQL", tmp_path, request)
    async with open_store(url) as one_store, open_store(url) as other:
        stores = (one_store, other)
        handlers = [IncidentHandler(store=store, clock=FakeClock(), policy=Policy()) for store in stores]
        told = Declaration(target="default", title="Completions fail", severity=Severity.P2, channel=HERE)
        made = await handlers[0].declare(told, ROBIN, "view:1")
        await asyncio.gather(
            *(
                handlers[number % 2].act(
                    made.id,
                    lambda one, now, number=number: acts.note(one, f"note {number}", ROBIN, now),  # type: ignore[misc]
                    f"command:{number}",
                )
                for number in range(40)
            )
        )
        texts = sorted(entry.event.text for entry in await other.timeline(made.id) if "note" in entry.event.text)
    assert texts == sorted(f"note {number}" for number in range(40))


async def test_what_is_not_sent_within_its_lease_is_given_back_and_sent_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "_LEASE_S", delivering._LEASE_MARGIN_S + 2)
    messenger = world.deliveries.messenger
    assert isinstance(messenger, messaging.SlackMessenger)
    monkeypatch.setattr(messenger.client, "timeout", 60)  # it is the lease that ends the attempt
    await world.declare()
    world.sandbox.slack.faults.add("chat.postMessage", HANG)
    async with asyncio.timeout(45):
        # a machine that stands still has no time left to send, and gives it back untried
        while world.sandbox.slack.faults.left("chat.postMessage"):
            await world.deliveries.send_some()
            assert (await world.store.waiting()).get("sending", 0) == 0, "given back before another may take it"
            world.clock.advance(60)
    monkeypatch.undo()
    await world.settle()
    assert len(world.said("INC-1")) == len({one.ts for one in world.said("INC-1")})
    cards = [one for one in world.slack.messages if "*Incident commander*" in one.all_text]
    assert len(cards) == 1


async def test_a_claim_that_is_answered_late_leaves_less_time_to_send(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "_LEASE_S", delivering._LEASE_MARGIN_S + 0.2)
    await world.declare()
    claim = world.store.claim

    async def late(*given: Any, **more: Any) -> Any:
        claimed = await claim(*given, **more)
        await asyncio.sleep(0.3)
        return claimed

    monkeypatch.setattr(world.store, "claim", late)
    assert await world.deliveries.send_some()
    assert world.slack.messages == [], "another process may send it by now"
    monkeypatch.undo()
    await world.settle()
    assert len([one for one in world.slack.messages if "*Incident commander*" in one.all_text]) == 1


@pytest.mark.parametrize(("to", "longest_s"), [(HOME, 30), (ROBIN, 30), (PAGER, 30), (FILES, 300), ("status:one", 300)])
async def test_what_people_wait_for_is_tried_again_soon_however_long_slack_was_away(
    world: World, to: str, longest_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.declare()
    (claimed, *_) = await world.store.claim(world.clock.now(), limit=10, lease_s=60)
    tried = replace(claimed, attempts=50, message=replace(claimed.message, to=to))
    pauses: list[float] = []

    async def later(_: Any, at: datetime, *given: Any, **more: Any) -> None:
        pauses.append((at - world.clock.now()).total_seconds())

    monkeypatch.setattr(world.store, "later", later)
    for _ in range(50):
        await world.deliveries._again(tried, "Slack is away", unsure=True)
    assert longest_s / 2 <= min(pauses) <= max(pauses) <= longest_s
    assert max(pauses) > min(pauses), "not all at once"


@pytest.mark.parametrize("by_url", [True, False], ids=["by response_url", "by the Web API"])
async def test_who_asked_is_answered_though_slack_was_away_for_a_moment(
    world: World, by_url: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messaging, "_ANSWERED_AGAIN_S", (0.01, 0.01))
    messenger = world.deliveries.messenger
    assert isinstance(messenger, messaging.SlackMessenger)
    url = world.slack._response_url(HERE, ROBIN) if by_url else None
    place = Place(channel=HERE, user=ROBIN, response_url=url)
    world.sandbox.slack.faults.add("response_url" if by_url else "chat.postEphemeral", CUT)
    await replace(messenger).tell(place, "here you are")
    (answer,) = [one for one in world.slack.messages if "here you are" in one.all_text]
    assert answer.only_for == ROBIN
