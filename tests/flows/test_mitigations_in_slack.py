"""Mitigations through Slack: commands, cards, forms and buttons, the real Bolt app, a real database and cluster API."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bot.configuration import load
from bot.domain.acts import Declaration
from bot.domain.approvals import HOW_TO_CONFIGURE
from bot.domain.causes import Severity
from bot.domain.incident import Refusal
from bot.domain.policy import Act, ApprovalRule, Mitigations, Policy
from bot.domain.runs import Outcome, Run, State
from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import Message, View
from bot.sandbox.slack.faults import server_error
from bot.serve import Bot, wired
from bot.web.routes import application
from bot.worlds import prober
from tests.databases import copy_of, store_at
from tests.fakes import FakeClock
from tests.flows.test_incident_answers import ADA, Served
from tests.flows.test_incidents import cards, form, said

ROBIN, CHRIS, GUEST = "U0REQUESTER", "U0COMMANDER", "U0GUEST"
HERE, ELSEWHERE = "C0INCIDENTS", "C0GENERAL"
ON_CALL = ApprovalRule(groups=frozenset({"S0ONCALL"}))
BOTH = ApprovalRule(users=frozenset({ADA, CHRIS}), approvals=2)


@dataclass(frozen=True)
class Room(Served):
    """One bot, whose policy can be chosen, with nothing that runs by itself: ``settle`` does what is to be done."""

    async def settle(self) -> None:
        await self.bot.tasks.drain(10)
        for _ in range(4):
            await self.bot.driver.claim()
            await self.bot.driver.idle()
        await self.send()

    async def open_form(self, user: str = ROBIN) -> View:
        return await form(self.slack, user)

    async def ask(self, words: str = "mitigate fallback", user: str = ROBIN, **values: Any) -> View:
        """By the command and its form; the form as it was."""
        await self.slack.command(words, user=user)
        view = await self.open_form(user)
        told = {"reason": "completions fail", **values}
        await self.slack.submit(view, {block: {"value": value} for block, value in told.items()})
        await self.settle()
        return view

    def card(self, part: str = "", remedy: str = "fallback") -> Message:
        """The newest card of a run."""
        return self.run_cards(part, remedy)[-1]

    def run_cards(self, part: str = "", remedy: str = "fallback") -> list[Message]:
        begin = f" `{remedy}` for *INC-"
        return [
            one
            for one in self.slack.messages
            if begin in one.text and "revert of" not in one.text and part in one.all_text
        ]

    async def runs(self, number: int = 1) -> list[Run]:
        return list(await self.bot.store.runs(number))

    async def click(self, card: Message, action: str, user: str = ADA) -> None:
        await self.slack.click(card, action, user=user)
        await self.settle()

    async def because(self, card: Message, action: str, reason: str, user: str = ADA) -> dict[str, Any]:
        """Clicks, and fills in the form that opens; what the bot acknowledged with."""
        await self.slack.click(card, action, user=user)
        answer = await self.slack.submit(await self.open_form(user), {"reason": {"value": reason}})
        await self.settle()
        return answer


def policy_of(*approvers: ApprovalRule) -> Policy:
    return Policy(mitigations=Mitigations(approvers=approvers))


@pytest.fixture
def policy() -> Policy:
    return policy_of(ON_CALL)


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest, policy: Policy) -> AsyncIterator[Room]:
    sandbox = Sandbox(load_scenarios()["all is well"], http_mode=True)
    sandbox.slack.workspace.scopes = set(SCOPES)
    await sandbox.start()
    settings = replace(load(sandbox.environment()), policy=policy)
    store = store_at(copy_of("SQLite", tmp_path, request))
    async with prober(settings) as asks:
        bot: Bot = wired(settings, asks, store)
        sandbox.slack.request_url = await sandbox.serve(application(bot.readiness, bot.slack.app)) + "/slack/events"
        yield Room(bot, sandbox)
        await bot.tasks.drain(10)
    await store.close()
    await sandbox.close()


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
    await room.click(room.card(), "kubectl", GUEST)
    told = await room.whispered("The same by kubectl", GUEST)
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
    assert "In place: `fallback` since <!date^" in card.all_text
    await room.slack.open_home(ADA)
    home = await room.slack.wait_for(lambda: room.slack.homes.get(ADA))
    assert "`fallback` since <!date^" in home.all_text
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
    with pytest.raises(LookupError):
        await room.slack.click(back, "revert")


async def test_several_in_place_are_listed_with_buttons_and_one_by_its_name_opens_its_form(room: Room) -> None:
    await room.declared()
    for remedy in ("fallback", "raise_timeout"):
        await room.ask(f"mitigate {remedy}")
        await room.click(room.card(remedy=remedy), "approve")
    await room.slack.command("revert", user=CHRIS)
    listed = await room.whispered("`raise_timeout` since", CHRIS)
    assert "`fallback` since" in listed.all_text
    fallback = next(run for run in await room.runs() if run.remedy == "fallback")
    await room.slack.click(listed, "keep", user=CHRIS, value=fallback.id)
    assert "`fallback` of *INC-1*" in (await room.open_form(CHRIS)).all_text
    await room.slack.command("revert raise_timeout", user=ADA)
    assert "`raise_timeout` of *INC-1*" in (await room.open_form(ADA)).all_text


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
