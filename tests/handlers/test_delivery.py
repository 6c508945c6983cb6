"""Deliveries from a real database to the sandbox's Slack over HTTP: once, in order, whatever Slack does meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bot.domain import acts
from bot.domain.acts import Update
from bot.domain.incident import Outgoing, Priority, Role, Status
from bot.domain.policy import Policy
from bot.sandbox.slack.faults import LOST, Fault, rate_limited, refused, server_error
from tests.handlers.conftest import ADA, HERE, ONE_FAULT, ROBIN, World


@pytest.mark.parametrize(("fault", "timeout_s"), ONE_FAULT.values(), ids=ONE_FAULT)
@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update", "pins.add"])
async def test_each_message_is_there_once_and_in_order(world: World, method: str, fault: Fault) -> None:
    world.sandbox.slack.faults.add(method, fault)
    incident = await world.declare()
    await world.give(incident, Role.SCRIBE)
    await world.settle()
    await world.give(incident, Role.COMMUNICATIONS)
    await world.settle()
    assert world.sandbox.slack.faults.left(method) == 0, "the fault was met"
    (card,) = world.said("*Incident commander*")
    first, second = world.said("is scribe of"), world.said("is communications of")
    assert (len(first), len(second)) == (1, 1)
    assert world.slack.messages.index(card) < world.slack.messages.index(first[0])
    assert world.slack.messages.index(first[0]) < world.slack.messages.index(second[0])
    assert "communications <@U0APPROVER>" in card.all_text
    assert world.slack.channels[HERE].pins == [card.ts]
    assert await world.dead() == 0


@pytest.mark.parametrize(("fault", "timeout_s"), ONE_FAULT.values(), ids=ONE_FAULT)
@pytest.mark.parametrize("method", ["conversations.create", "conversations.history"])
async def test_an_incidents_own_channel_is_made_once(world: World, method: str, fault: Fault) -> None:
    world = world.own_channel()
    if method == "conversations.history":
        world.sandbox.slack.faults.add("chat.postMessage", LOST)
    world.sandbox.slack.faults.add(method, fault)
    incident = await world.declare()
    await world.give(incident, Role.SCRIBE)
    await world.settle()
    assert world.sandbox.slack.faults.left(method) == 0, "the fault was met"
    (own,) = [one for one in world.slack.channels.values() if one.name.startswith("inc-1-")]
    assert len(world.said("*Incident commander*", HERE)) == 1
    assert len(world.said("*Incident commander*", own.id)) == 1
    assert len(world.said("is scribe of")) == 1
    assert await world.dead() == 0


@pytest.mark.parametrize(("fault", "timeout_s"), ONE_FAULT.values(), ids=ONE_FAULT)
async def test_the_rest_of_a_long_text_is_there_once_where_its_post_fails(world: World, fault: Fault) -> None:
    incident = await world.declare()
    await world.settle()
    # the update itself is posted, and the first of its rest meets the fault
    before = len(world.slack.messages)
    world.sandbox.slack.faults.add("chat.postMessage", Fault("pass"), fault)
    told = Update(status=Status.IDENTIFIED, impact="&" * 3000)
    await world.incidents.act(incident.id, lambda one, now: acts.update(one, told, ADA, now, Policy()))
    await world.settle()
    assert world.sandbox.slack.faults.left("chat.postMessage") == 0, "the fault was met"
    assert len(world.said("INC-1 is IDENTIFIED")) == 1
    shown = "".join(one.all_text for one in world.slack.messages[before:])
    assert sum(str(one.blocks).count("&amp;") for one in world.slack.messages[before:]) == 3000, shown[:300]


@pytest.mark.parametrize("fault", [LOST, rate_limited(1), server_error()], ids=["lost", "429", "500"])
async def test_people_are_invited_though_slack_is_away_for_a_moment(world: World, fault: Fault) -> None:
    world = world.own_channel()
    world.sandbox.slack.faults.add("conversations.invite", fault)
    incident = await world.declare(commander=ADA)
    await world.settle()
    held = await world.store.incident(incident.id)
    assert held is not None
    assert held.own_channel is not None
    assert {ROBIN, ADA} <= world.slack.channels[held.own_channel].members


async def test_a_channel_is_made_though_somebody_cannot_be_invited(world: World) -> None:
    world = world.own_channel()
    world.sandbox.slack.faults.add("conversations.invite", refused("user_disabled"))
    incident = await world.declare(commander=ADA)
    await world.settle()
    held = await world.store.incident(incident.id)
    assert held is not None
    assert held.own_channel is not None


async def test_a_card_that_somebody_deleted_is_posted_anew_once(world: World) -> None:
    incident = await world.declare()
    await world.settle()
    (card,) = world.said("*Incident commander*")
    world.slack.remove(card)
    world.sandbox.slack.faults.add("chat.postMessage", LOST)
    await world.give(incident, Role.SCRIBE)
    await world.settle()
    (anew,) = world.said("*Incident commander*")
    assert anew.ts in world.slack.channels[HERE].pins
    await world.give(incident, Role.COMMUNICATIONS)
    await world.settle()
    assert world.said("*Incident commander*") == [anew]
    assert "communications <@U0APPROVER>" in anew.all_text
    assert await world.dead() == 0


async def test_a_channel_with_too_many_pins_has_a_card_all_the_same(world: World) -> None:
    world.sandbox.slack.faults.add("pins.add", refused("too_many_pins"))
    await world.declare()
    await world.settle()
    assert len(world.said("*Incident commander*")) == 1
    assert await world.dead() == 0


@pytest.mark.parametrize("code", ["cannot_dm_bot", "user_disabled", "channel_not_found", "messages_tab_disabled"])
async def test_what_a_person_cannot_be_told_is_said_in_the_incidents_channel(world: World, code: str) -> None:
    incident = await world.declare(commander=ROBIN)
    await world.settle()
    context = {"next_update_at": world.clock.now().isoformat(), "snoozes_left": 3}
    message = Outgoing(kind="post", to=ADA, template="reminder", context=context)
    world.sandbox.slack.faults.add("chat.postMessage", refused(code))
    await world.incidents.act(incident.id, lambda one, now: acts.tell(one, message))
    await world.settle()
    (reminder,) = world.said("an update is due")
    assert reminder.channel == HERE
    assert f"<@{ADA}>" in reminder.all_text
    assert await world.dead() == 0


Lose = Callable[[World], Awaitable[None]]


async def archived(world: World) -> None:
    world.slack.channels[HERE].is_archived = True


async def expelled(world: World) -> None:
    world.slack.scopes.discard("chat:write.public")
    world.slack.expel_bot(HERE)


async def expelled_from_a_private_one(world: World) -> None:
    world.slack.channels[HERE].is_private = True
    world.slack.expel_bot(HERE)


@pytest.mark.parametrize("lose", [archived, expelled, expelled_from_a_private_one], ids=lambda one: one.__name__)
async def test_a_channel_that_is_lost_is_told_to_a_person_once_and_has_everything_once_it_is_back(
    world: World, lose: Lose
) -> None:
    incident = await world.declare()
    await world.settle()
    await lose(world)
    for role in (Role.SCRIBE, Role.COMMUNICATIONS):
        await world.give(incident, role)
        await world.settle()
    (told,) = world.said("I cannot post *INC-1*")
    assert told.channel == world.slack.direct(ROBIN).id
    assert "mistral-bot deliveries retry" in told.all_text
    assert await world.dead() > 0
    channel = world.slack.channels[HERE]
    channel.is_archived = False
    channel.members.add("U0SANDBOXBOT")
    await world.store.revive()
    await world.settle()
    posts = world.said(" of INC-1, named by", HERE)
    assert ["is scribe of" in one.all_text for one in posts] == [True, False]
    (card,) = world.said("*Incident commander*")
    assert "communications <@U0APPROVER>" in card.all_text
    assert await world.dead() == 0


async def test_an_announcement_channel_that_does_not_exist_is_told_to_whoever_declared(world: World) -> None:
    await world.declare(channel="C0NOTTHERE")
    await world.settle()
    (told,) = world.said("there is no such channel")
    assert told.channel == world.slack.direct(ROBIN).id
    assert await world.dead() == 1


async def test_slack_that_refuses_everything_for_a_minute_gets_all_of_it_in_order_afterwards(world: World) -> None:
    incident = await world.declare()
    for number in range(3):
        note = Outgoing(kind="post", to="home", template="sentence", context={"sentence": f"number {number}"})
        await world.incidents.act(incident.id, lambda one, now, note=note: acts.tell(one, note))  # type: ignore[misc]
    world.sandbox.slack.faults.add("chat.postMessage", *(rate_limited(60) for _ in range(2)))
    await world.deliveries.send_some()
    assert world.slack.messages == [], "nothing overtakes what was refused"
    world.clock.advance(59)
    assert await world.deliveries.send_some() == 0, "Slack is not asked before the time that it named"
    await world.settle()
    shown = [one.text for one in world.slack.messages]
    assert "INC-1" in shown[0]
    assert shown[1:] == ["number 0", "number 1", "number 2"]


async def test_what_waits_goes_by_its_priority_and_then_by_its_age(world: World) -> None:
    incident = await world.declare()
    await world.settle()
    for to, priority in (
        ("C1", Priority.REST),
        ("C2", Priority.INCIDENT),
        ("C3", Priority.PAGE),
        ("C4", Priority.REST),
    ):
        post = Outgoing(kind="post", to=to, template="sentence", context={"sentence": to}, priority=priority)
        await world.incidents.act(incident.id, lambda one, now, post=post: acts.tell(one, post))  # type: ignore[misc]
    claimed = await world.store.claim(world.clock.now(), limit=3, lease_s=60)
    assert [one.message.to for one in claimed] == ["C3", "C2", "C1"]


async def test_an_error_that_nobody_foresaw_is_logged_and_sending_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await world.declare()
    claim = world.store.claim

    async def broken(*_: object, **__: object) -> None:
        monkeypatch.setattr(world.store, "claim", claim)
        raise ValueError("a row that makes no sense")

    monkeypatch.setattr(world.store, "claim", broken)
    work = asyncio.create_task(world.deliveries.work())
    try:
        world.deliveries.wake()
        async with asyncio.timeout(30):
            while "sending failed" not in caplog.text:  # noqa: ASYNC110 - no event tells of a line in the log
                await asyncio.sleep(0.01)
        world.deliveries.wake()
        await world.slack.wait_for(lambda: world.said("INC-1"))
        async with asyncio.timeout(30):
            while await world.store.waiting():  # noqa: ASYNC110 - what is waited for is in the database
                await asyncio.sleep(0.02)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
