"""Mitigations decided on in Slack: approved or rejected on their cards, and once in place kept or taken back."""

from dataclasses import replace

import pytest

from bot.domain.approvals import HOW_TO_CONFIGURE
from bot.domain.incident import Refusal
from bot.domain.policy import Act, ApprovalRule
from bot.domain.runs import Outcome, State
from bot.sandbox.slack.faults import server_error
from tests.flows.rooms import CHRIS, ELSEWHERE, GUEST, ON_CALL, ROBIN, Room, policy, policy_of, room
from tests.flows.test_incident_answers import ADA
from tests.flows.test_incidents import said

__all__ = ["policy", "room"]

BOTH = ApprovalRule(users=frozenset({ADA, CHRIS}), approvals=2)


async def test_whoever_is_in_the_group_approves_at_once_and_others_are_told_who_may(room: Room) -> None:
    await room.declared()
    await room.ask()
    card = room.card()
    stale = card.as_seen()
    await room.click(card, "approve", GUEST)
    told = await room.whispered("You may not approve fallback", GUEST)
    assert "<!subteam^S0ONCALL> may" in told.all_text
    assert "could not be asked" not in told.all_text
    await room.click(card, "approve", ADA)
    (run,) = await room.runs()
    assert [approval.user for approval in run.approvals] == [ADA]
    assert run.applied_at is not None
    assert f"Approved by <@{ADA}>" in card.all_text
    await room.click(stale, "approve", CHRIS)
    await room.whispered("Too late", CHRIS)
    assert len(room.run_cards()) == 1


@pytest.mark.parametrize("policy", [policy_of()], ids=["no approvers"])
async def test_without_approvers_the_card_and_the_click_say_how_to_configure_them(room: Room) -> None:
    await room.declared()
    await room.ask()
    card = room.card("Nobody may approve yet")
    assert "`approvers:`" in card.all_text
    await room.click(card, "approve")
    await room.whispered(HOW_TO_CONFIGURE.replace("<", "&lt;"), ADA)
    assert (await room.runs())[0].state is State.PROPOSED


async def test_a_group_that_cannot_be_looked_up_has_nobody_in_it_and_that_is_said(room: Room) -> None:
    await room.declared()
    await room.ask()
    room.sandbox.slack.faults.add("usergroups.users.list", server_error())
    await room.click(room.card(), "approve")
    await room.whispered("Slack could not be asked who is in the group", ADA)
    assert (await room.runs())[0].approvals == ()
    await room.click(room.card(), "approve")
    assert (await room.runs())[0].approvals[0].user == ADA


@pytest.mark.parametrize("policy", [policy_of(BOTH)], ids=["two approve"])
async def test_the_glass_is_broken_with_a_reason_that_says_something(room: Room) -> None:
    await room.declared()
    await room.ask()
    card = room.card("2 approvals are missing")
    await room.slack.click(card, "glass", user=ADA)
    view = await room.open_form(ADA)
    assert "At least 15 characters" in view.all_text
    answer = await room.slack.submit(view, {"reason": {"value": "it burns"}})
    assert "at least 15 characters" in answer["errors"]["reason"]
    await room.slack.submit(view, {"reason": {"value": "nobody else is awake <!channel>"}})
    await room.settle()
    (announced,) = [one for one in said(room.slack, "The glass is broken") if not one.only_for]
    assert "nobody else is awake &lt;!channel&gt;" in announced.all_text
    assert (await room.runs())[0].applied_at is not None


@pytest.mark.parametrize("policy", [policy_of(BOTH)], ids=["two approve"])
async def test_the_first_of_two_approvals_is_shown_and_nothing_begins(room: Room) -> None:
    await room.declared()
    await room.ask()
    await room.click(room.card(), "approve", ADA)
    room.card("1 approval is missing")
    await room.slack.redeliver_last()
    await room.settle()
    assert said(room.slack, "You have approved", only_for=ADA) == [], "the same click again is no second one"
    await room.click(room.card(), "approve", CHRIS)
    assert (await room.runs())[0].applied_at is not None


async def test_a_rejection_takes_a_reason_and_ends_it(room: Room) -> None:
    await room.declared()
    await room.ask()
    card = room.card()
    stale = card.as_seen()
    answer = await room.because(card, "reject", " \u00a0")
    assert "Say why it is rejected." in answer["errors"]["reason"]
    await room.slack.close(await room.open_form(ADA))
    await room.because(card, "reject", "not while we deploy")
    assert "is rejected" in card.text
    assert "not while we deploy" in card.text
    for action in ("reject", "approve"):
        await room.click(stale, action)
        await room.whispered("Too late: it is rejected already", ADA)


@pytest.mark.parametrize(
    "policy", [replace(policy_of(ON_CALL), may={Act.MITIGATE: frozenset({ROBIN})})], ids=["only Robin asks"]
)
async def test_approvers_may_reject_what_they_may_not_ask_for_and_others_may_not(room: Room) -> None:
    await room.declared()
    await room.ask()
    card = room.card()
    await room.slack.click(card, "reject", user=GUEST)
    await room.whispered("To mitigate is for those whom the policy names", GUEST)
    await room.slack.command("mitigate fallback", user=ADA)
    await room.whispered("To mitigate is for those whom the policy names", ADA)
    await room.because(card, "reject", "not now", ADA)
    assert "is rejected" in card.text


async def test_kubectl_is_ready_to_paste_for_whoever_asks(room: Room) -> None:
    await room.declared()
    await room.ask()
    await room.click(room.card(), "kubectl", CHRIS)
    told = await room.whispered("The same by kubectl", CHRIS)
    assert "kubectl -n default set env deployment/mistral-service" in told.all_text


async def test_the_commands_of_a_revert_take_back_before_there_is_a_preview_and_of_what_is_gone_are_refused(
    room: Room,
) -> None:
    await room.declared()
    await room.ask()
    await room.click(room.card(), "approve")
    (run,) = await room.runs()
    handler = room.bot.mitigations
    back = await handler.revert(run.id, ROBIN, "it is over", "view:back")
    assert run.plan is not None
    (changed, *_) = run.plan.commands
    (undone, *_) = await handler.commands(back.target, back.remedy, back)
    assert (changed.endswith("=true"), undone.endswith("=false")) == (True, True), (changed, undone)
    for lost in (replace(handler, remedies={}), replace(handler, targets={})):
        with pytest.raises(Refusal, match="not configured any more"):
            await lost.commands("default", "fallback")


async def test_what_is_in_place_stands_on_the_incidents_card_in_home_and_holds_up_its_end(room: Room) -> None:
    card = await room.declared()
    await room.ask()
    await room.click(room.card(), "approve")
    (run,) = await room.runs()
    assert (run.state, run.in_place) == (State.ENDED, True), run.said
    assert "In place: `fallback`, applied <!date^" in card.all_text
    await room.slack.open_home(ADA)
    home = await room.slack.wait_for(lambda: room.slack.homes.get(ADA))
    assert "`fallback`, applied <!date^" in home.all_text
    assert "*INC-1* Completions fail" in home.all_text
    await room.slack.click(card, "resolve")
    view = await room.open_form()
    assert "Revert or keep them first" in view.all_text
    answer = await room.slack.submit(view, {"reason": {"value": "it is over"}})
    assert "still in place: fallback" in answer["errors"]["reason"]
    await room.slack.close(view)
    await room.because(room.card(), "keep", "until the provider is back")
    assert "kept: until the provider is back" in card.all_text
    assert "kept: until the provider is back" in room.card().all_text
    await room.slack.click(card, "resolve")
    await room.slack.submit(await room.open_form(), {"reason": {"value": "it is over"}})
    await room.settle()
    assert "RESOLVED" in card.all_text


async def test_what_is_in_place_is_taken_back_with_a_preview_of_its_own(room: Room) -> None:
    card = await room.declared()
    await room.slack.command("revert")
    await room.whispered("Nothing temporary is in place", ROBIN)
    await room.ask()
    await room.click(room.card(), "approve")
    await room.slack.command("revert", channel=ELSEWHERE)
    view = await room.open_form()
    assert "`fallback` of *INC-1*" in view.all_text
    await room.slack.submit(view, {"reason": {"value": "the provider is back"}})
    await room.settle()
    await room.whispered("its card is in <#C0INCIDENTS>", ROBIN)
    back = next(one for one in room.slack.messages if "revert of `fallback` for" in one.text)
    await room.click(back, "approve", CHRIS)
    undone, revert = await room.runs()
    assert (revert.state, revert.outcome) == (State.ENDED, Outcome.DONE), revert.said
    assert undone.reverted_by == revert.id
    assert "It has been reverted" in room.card(remedy="fallback").all_text
    assert "In place:" not in card.all_text
    assert said(room.slack, "revert of `fallback` of *INC-1*: *done*"), "what is back as it was is named"
    told = [entry.event.text for entry in await room.bot.store.timeline(1)]
    assert [text.split(":")[0].split(".")[0] for text in told if text.startswith("revert")] == [
        "revert of fallback asked for",
        *(f"revert of fallback {did}" for did in ("proposed", "approved", "begins", "applied")),
        "revert of fallback",
    ]
    with pytest.raises(LookupError):
        await room.slack.click(back, "revert")


async def test_several_in_place_are_listed_with_buttons_and_one_by_its_name_opens_its_form(room: Room) -> None:
    await room.declared()
    for remedy in ("fallback", "raise_timeout"):
        await room.ask(f"mitigate {remedy}")
        await room.click(room.card(remedy=remedy), "approve")
    await room.slack.command("revert", user=CHRIS)
    listed = await room.whispered("`raise_timeout`, applied", CHRIS)
    assert "`fallback`, applied" in listed.all_text
    fallback = next(run for run in await room.runs() if run.remedy == "fallback")
    await room.slack.click(listed, "keep", user=CHRIS, value=fallback.id)
    assert "`fallback` of *INC-1*" in (await room.open_form(CHRIS)).all_text
    await room.slack.command("revert raise_timeout", user=ADA)
    assert "`raise_timeout` of *INC-1*" in (await room.open_form(ADA)).all_text


async def test_buttons_of_what_is_not_known_any_more_are_answered(room: Room) -> None:
    await room.declared()
    await room.ask()
    stale = room.card().as_seen()
    for block in stale.blocks:
        for element in block.get("elements", ()):
            if "value" in element:
                element["value"] = "of another database"
    for action in ("approve", "reject", "kubectl"):
        await room.click(stale, action)
        await room.whispered("That mitigation is not known any more.", ADA)
