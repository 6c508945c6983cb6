"""Mitigations asked for in Slack: commands, forms and buttons, the real Bolt app, a real database and cluster API."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.policy import Act
from bot.domain.runs import State
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import Message
from tests.fakes import FakeClock
from tests.flows.rooms import CHRIS, ELSEWHERE, GUEST, HERE, ON_CALL, ROBIN, Room, policy, policy_of, room
from tests.flows.test_incident_answers import ADA
from tests.flows.test_incidents import cards, said

__all__ = ["policy", "room"]


async def test_a_remedy_is_asked_for_by_its_form_and_has_one_card(room: Room) -> None:
    await room.declared()
    await room.slack.command("mitigate fallback")
    view = await room.open_form()
    assert "FALLBACK" in view.all_text.upper()
    assert "For INC-1" in view.all_text
    await room.slack.submit(view, {"reason": {"value": "completions fail"}})
    await room.settle()
    (run,) = await room.runs()
    assert (run.state, run.remedy, run.requested_by, run.reason) == (
        State.PROPOSED,
        "fallback",
        ROBIN,
        "completions fail",
    )
    card = room.card("waits for approval")
    assert card.channel == HERE
    assert card.thread_ts is None
    assert len(room.run_cards()) == 1
    assert f"Asked for by <@{ROBIN}>" in card.all_text
    assert "<!subteam^S0ONCALL> may approve" in card.all_text
    assert run.plan is not None
    assert run.plan.diff[0] in card.all_text
    assert card.ts not in room.slack.channels[HERE].pins


async def test_a_form_that_is_sent_twice_asks_once(room: Room) -> None:
    view = await room.ask(title="Completions fail", severity="P3")
    await room.slack.submit(view, {"reason": {"value": "again"}, "title": {"value": "x"}, "severity": {"value": "P3"}})
    await room.slack.redeliver_last()
    await room.settle()
    assert len(await room.runs()) == 1
    assert len(cards(room.slack)) == 1


async def test_where_no_incident_is_open_asking_declares_one(room: Room) -> None:
    await room.slack.command("mitigate fallback", channel=ELSEWHERE)
    view = await room.open_form()
    assert "this declares one" in view.all_text
    answer = await room.slack.submit(
        view, {"reason": {"value": "down"}, "title": {"value": "\u00a0 \x00"}, "severity": {"value": "P2"}}
    )
    assert answer["errors"] == {"reason": "An incident needs a title."}
    told = {"reason": "down", "title": "Completions fail", "severity": "P2"}
    await room.slack.submit(view, {block: {"value": value} for block, value in told.items()})
    await room.settle()
    incident = await room.bot.incidents.one(1)
    (run,) = await room.runs()
    assert (incident.title, incident.severity, incident.channel) == ("Completions fail", Severity.P2, HERE)
    assert run.severity is Severity.P2
    told_here = await room.whispered("is asked for; its card is in <#C0INCIDENTS>", ROBIN)
    assert told_here.channel == ELSEWHERE


async def test_where_several_are_open_the_one_of_the_channel_is_offered_first(room: Room) -> None:
    await room.declared(title="First")
    await room.declared(title="Second")
    await room.ask("mitigate fallback", incident="1")
    assert [run.remedy for run in await room.runs(1)] == ["fallback"]
    assert await room.runs(2) == []


async def test_a_triages_remedies_are_buttons_in_its_order_and_its_diagnosis_fills_the_form_in(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # however slow the machine is that tests
    monkeypatch.setattr("bot.serve._KEPT_WITHIN_S", 20.0)
    room.sandbox.world.scenario = load_scenarios()["rate limited under the usual traffic"]
    await room.slack.command("triage")
    card = await room.slack.wait_for(
        lambda: next((one for one in room.slack.messages if "`rate_limited`" in one.all_text), None), timeout_s=30
    )
    buttons = [
        element["action_id"] for block in card.blocks if block["type"] == "actions" for element in block["elements"]
    ]
    assert buttons == ["mitigate_rate_limit_queue", "mitigate_limit_concurrency", "declare"]
    await room.slack.click(card, "mitigate_limit_concurrency")
    view = await room.open_form()
    title = next(block for block in view.blocks if block.get("block_id") == "title")
    assert title["element"]["initial_value"] == "Mistral's rate limit is reached"
    assert "The triage says" not in view.all_text
    await room.slack.submit(view, {"reason": {"value": "too much at once"}})
    await room.settle()
    incident = await room.bot.incidents.one(1)
    assert incident.cause == "rate_limited"


async def test_a_click_that_comes_before_the_triage_is_stored_opens_a_form_with_what_it_found(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeps = type(room.bot.store).keep_triage

    async def slowly(*told: Any, **more: Any) -> str:
        await asyncio.sleep(0.3)
        return await keeps(*told, **more)

    monkeypatch.setattr(type(room.bot.store), "keep_triage", slowly)
    monkeypatch.setattr("bot.serve._KEPT_WITHIN_S", 0.0)
    room.sandbox.world.scenario = load_scenarios()["rate limited under the usual traffic"]
    await room.slack.command("triage")
    card = await room.slack.wait_for(
        lambda: next((one for one in room.slack.messages if "`rate_limited`" in one.all_text), None), timeout_s=30
    )
    await room.slack.click(card, "declare")
    title = next(block for block in (await room.open_form()).blocks if block.get("block_id") == "title")
    assert title["element"]["initial_value"] == "Mistral's rate limit is reached"


async def test_what_the_diagnosis_says_never_to_use_needs_a_tick_that_quotes_why(room: Room) -> None:
    report = {"target": "default", "cause": "rate_limited", "headline": "The limit is reached", "severity": "P2"}
    kept = await room.bot.store.keep_triage(report, target="default", at=FakeClock().now())
    listed = await _remedies(room)
    button = next(
        e
        for b in listed.blocks
        if b["type"] == "actions"
        for e in b["elements"]
        if e["action_id"] == "mitigate_restart"
    )
    button["value"] = kept
    await room.slack.click(listed, "mitigate_restart")
    view = await room.open_form()
    assert "The triage says: The limit is reached. restart must not be used for that." in view.all_text
    told = {"reason": {"value": "the pods leak"}}
    with pytest.raises(LookupError, match="never"):
        await room.slack.submit(view, told)
    await room.slack.submit(view, {**told, "never": {"value": ["yes"]}})
    await room.settle()
    assert (
        "The limit is reached. restart must not be used for that. Whoever asked has read this."
        in room.card(remedy="restart").all_text
    )


async def _remedies(room: Room, user: str = ROBIN) -> Message:
    await room.slack.command("mitigate", user=user)
    return await room.whispered("*Remedies*", user)


async def test_an_incidents_own_cause_speaks_against_a_remedy_too(room: Room) -> None:
    await room.slack.command("mitigate fallback")
    view = await room.open_form()
    metadata = view.body["private_metadata"]
    view.body["private_metadata"] = metadata.replace('"cause": null', '"cause": "rate_limited"')
    await room.slack.submit(view, {block: {"value": held} for block, held in _declaring().items()})
    await room.settle()
    await room.slack.command("mitigate restart")
    assert "restart must not be used for that" in (await room.open_form()).all_text


async def test_of_several_open_incidents_any_cause_speaks_against_a_remedy(room: Room) -> None:
    for title, cause in (("First", "rate_limited"), ("Second", None)):
        declaration = Declaration(
            target="default", title=title, severity=Severity.P2, cause=cause, channel="C0INCIDENTS"
        )
        await room.bot.incidents.declare(declaration, ROBIN, f"view:{title}")
    await room.slack.command("mitigate restart")
    assert "restart must not be used for that" in (await room.open_form()).all_text


def _declaring() -> dict[str, str]:
    return {"reason": "down", "title": "Completions fail", "severity": "P2"}


async def test_without_a_name_the_remedies_are_listed_to_whoever_asks_with_a_button_each(room: Room) -> None:
    listed = await _remedies(room, ADA)
    names = [e["action_id"] for b in listed.blocks if b["type"] == "actions" for e in b["elements"]]
    assert names == [f"mitigate_{name}" for name in room.bot.mitigations.remedies]
    await room.slack.click(listed, "mitigate_fallback", user=ADA)
    assert "`fallback`" in (await room.open_form(ADA)).all_text


async def test_freezing_takes_a_reason_is_announced_and_lets_nothing_be_asked_for(room: Room) -> None:
    await room.declared()
    await room.slack.command("freeze")
    await room.whispered("Say why", ROBIN)
    await room.slack.command("freeze a <!channel> deploy")
    await room.settle()
    await room.whispered("Mitigations are frozen", ROBIN)
    (announced,) = [one for one in said(room.slack, "*Mitigations are frozen*") if not one.only_for]
    assert "a &lt;!channel&gt; deploy" in announced.all_text
    await room.slack.command("mitigate fallback", user=ADA)
    await room.whispered("Mitigations are frozen by <@U0REQUESTER>", ADA)
    await room.slack.command("unfreeze", user=ADA)
    await room.settle()
    assert [one for one in said(room.slack, "*Mitigations may begin again*") if not one.only_for]
    await room.slack.command("unfreeze", user=CHRIS)
    await room.whispered("Mitigations were not frozen", CHRIS)


async def test_a_freeze_between_the_form_and_its_sending_declares_nothing(room: Room) -> None:
    await room.slack.command("mitigate fallback")
    view = await room.open_form()
    await room.slack.command("freeze a deploy", user=ADA)
    await room.settle()
    answer = await room.slack.submit(view, {block: {"value": held} for block, held in _declaring().items()})
    assert "frozen" in answer["errors"]["reason"]
    assert await room.bot.store.listed(open_only=True, limit=5) == []


async def test_a_key_in_the_wrong_field_goes_nowhere(room: Room) -> None:
    key = "sk-planted-0123456789abcdef0123"
    await room.declared()
    await room.slack.command("mitigate rotate_key")
    view = await room.open_form()
    answer = await room.slack.submit(view, {"reason": {"value": "it leaked"}, "argument_secret": {"value": f"{key}!"}})
    assert "errors" in answer
    assert key not in str(answer)
    assert await room.runs() == []


@pytest.mark.parametrize(
    "words", ["mitigate", "mitigate fallback", "rollback", "revert", "freeze it burns", "unfreeze"]
)
async def test_a_guest_may_ask_for_nothing(room: Room, words: str) -> None:
    await room.slack.command(words, user=GUEST)
    await room.whispered("To mitigate is for everybody but guests", GUEST)


@pytest.mark.parametrize(
    "policy", [replace(policy_of(ON_CALL), may={Act.DECLARE: frozenset({ADA})})], ids=["only Ada declares"]
)
async def test_whoever_may_not_declare_asks_only_where_an_incident_is_open(room: Room) -> None:
    await room.slack.command("mitigate fallback")
    await room.whispered("To declare is for those whom the policy names", ROBIN)


async def test_a_rollback_is_asked_for_with_its_revision_filled_in(room: Room) -> None:
    await room.declared()
    await room.slack.command("rollback 12")
    view = await room.open_form()
    (revision,) = [one for one in view.blocks if one.get("block_id") == "argument_revision"]
    assert revision["element"]["initial_value"] == "12"
