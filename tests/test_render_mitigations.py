"""What is said of mitigations: outside text is text, and Slack's limits hold however odd or large a plan is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.approvals import HOW_TO_CONFIGURE
from bot.domain.causes import Family, Severity
from bot.domain.diagnosis import diagnose
from bot.domain.incident import Incident
from bot.domain.policy import ApprovalRule
from bot.domain.remedies import ENV_REMEDIES
from bot.domain.runs import IN_FLIGHT, MOVES, REVERT, Approval, Outcome, Run, State
from bot.mitigations import load
from bot.ports import Reply
from bot.render import Message, Renderer
from bot.sandbox.slack.limits import blocks_of, view_of
from tests.domain.cases import world
from tests.fakes import NOW
from tests.runs import a_plan, a_run
from tests.subjects import ASKED
from tests.test_render import HOSTILE

ADA, ROBIN = "U0APPROVER", "U0REQUESTER"
ODD = {
    "hostile": HOSTILE,
    "long": "x" * 5000,
    "long to escape": "&" * 5000,
    "lines": "a\n" * 900,
    "code": "```" * 900,
    "nothing": "",
}
OVER = [state for state in State if not MOVES[state] and state is not State.ENDED]
ALL_OF_THEM = ApprovalRule(
    users=frozenset(f"U{number:09d}" for number in range(300)), groups=frozenset({"S0ONCALL"}), approvals=3
)


def an_incident(**fields: Any) -> Incident:
    usual = Incident(
        id=3,
        target="default",
        title="Completions fail",
        severity=Severity.P1,
        declared_by=ROBIN,
        declared_at=NOW,
        updated_at=NOW,
        channel="C0INCIDENTS",
    )
    return replace(usual, **fields)


def rendered(template: str, **context: Any) -> Message:
    """Within Slack's limits, and with nothing left over: what did not fit would be posted again at every update."""
    message = Renderer().message(Reply(template=template, context={"incident": an_incident(), **context}))
    assert blocks_of({"blocks": message.blocks}) == message.blocks
    assert message.overflow == ()
    # plain text is shown as it is
    everything = message.text + texts(message) + str([one.get("text") for one in message.blocks])
    assert "<!channel>" not in everything
    assert "<https" not in everything
    assert "\u202e" not in everything
    return message


def card(run: Run, rule: ApprovalRule | None = ALL_OF_THEM, **context: Any) -> Message:
    usual = {"second_person": False, "how_to_configure": HOW_TO_CONFIGURE, "revertible": False}
    return rendered("mitigation_card", run=run, rule=rule, **{**usual, **context})


def form(template: str, **context: Any) -> Mapping[str, Any]:
    view = Renderer().view(Reply(template=template, context=context))
    blocks = view_of({"view": dict(view)}, "modal")["blocks"]
    assert [dict(one, block_id=None) for one in blocks] == [dict(one, block_id=None) for one in view["blocks"]]
    return view


def texts(message: Message) -> str:
    held = [block.get("text") or block["elements"][0] for block in message.blocks if block["type"] != "actions"]
    return "\n".join(one["text"] for one in held)


def buttons(message: Message) -> list[str]:
    return [one["action_id"] for block in message.blocks if block["type"] == "actions" for one in block["elements"]]


def in_state(state: State, **fields: Any) -> Run:
    applied = NOW if state in (*IN_FLIGHT, State.ENDED) else None
    usual = {
        "state": state,
        "plan": None if state is State.PLANNING else a_plan(),
        "approve_by": NOW,
        "applied_at": applied,
        "outcome": Outcome.WORSE if state is State.ENDED else None,
        "approvals": (Approval(user=ADA, at=NOW),),
    }
    return a_run(**{**usual, **fields})


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
@pytest.mark.parametrize("state", State)
def test_a_card_fits_and_stays_text_whatever_is_in_it(state: State, text: str) -> None:
    plan = a_plan(
        cluster=text,
        namespace=text,
        deployment=text,
        shown=((text, text, text),) * 40,
        diff=(text,) * 200,
        warnings=(text,) * 30,
        commands=(text,) * 30,
        strategy=text,
        replicas=0,
        last_rollout_s=None,
    )
    given = tuple(Approval(user=f"U0{number:07d}", at=NOW, reason=text) for number in range(30))
    run = in_state(
        state,
        plan=plan,
        target=text,
        remedy=text or "x",
        said=text,
        reason=text,
        never=text,
        kept=text,
        approvals=given,
    )
    card(run, second_person=True, revertible=True)
    card(replace(run, remedy=REVERT, arguments={"of": "run0", "remedy": text}), None)


def test_a_proposal_says_what_changes_who_asked_who_may_and_until_when() -> None:
    run = in_state(State.PROPOSED, never="The triage says: the limit is reached. fallback must not be used for that.")
    message = card(run, ApprovalRule(users=frozenset({ADA}), approvals=2), second_person=True)
    told = texts(message)
    for part in (
        "Deployment `mistral-service`, namespace `chat`, cluster `prod-eu`",
        "• `FALLBACK`  (not set) → *on*",
        "```\n+ spec.containers[app].env[FALLBACK]: on\n```",
        "Restarts 3 replicas  |  RollingUpdate, at most 1 more and 0 fewer  |  the last rollout took 45 s",
        "The triage says: the limit is reached. fallback must not be used for that. Whoever asked has read this.",
        f"Asked for by <@{ROBIN}>",
        "completions fail",
        f"Approved by <@{ADA}>",
        f"<@{ADA}> may approve, but not <@{ROBIN}>, who asked; 1 approval is missing.",
        "The offer expires <!date^",
    ):
        assert part in told, told
    assert buttons(message) == ["approve", "reject", "glass", "kubectl"]
    (approve, *_) = message.blocks[-1]["elements"]
    assert approve["style"] == "primary"
    assert "mistral-service in chat" in approve["confirm"]["text"]["text"]
    assert {one["value"] for one in message.blocks[-1]["elements"]} == {"run1"}


def test_of_a_long_diff_the_rest_is_counted() -> None:
    diff = tuple(f"+ spec.containers[app].env[V{number}]: on" for number in range(60))
    told = texts(card(in_state(State.PROPOSED, plan=a_plan(diff=diff))))
    assert "[V24]" in told
    assert "[V25]" not in told
    assert "and 35 more lines" in told
    assert "and 1 more line" in texts(card(in_state(State.PROPOSED, plan=a_plan(diff=diff[:26]))))


def test_a_diff_cannot_end_its_own_block_of_code() -> None:
    told = texts(card(in_state(State.PROPOSED, plan=a_plan(diff=("+ ``` <!channel>", "- ``", "+ a\n```b")))))
    assert told.count("```") == 2


def test_the_glass_is_there_only_where_it_spares_somebody() -> None:
    one = ApprovalRule(users=frozenset({ADA}))
    run = in_state(State.PROPOSED, approvals=())
    assert buttons(card(run, one)) == ["approve", "reject", "kubectl"]
    assert "glass" in buttons(card(run, one, second_person=True))
    assert "glass" in buttons(card(run, replace(one, approvals=2)))


def test_without_approvers_the_card_says_how_to_configure_them() -> None:
    message = card(in_state(State.PROPOSED), None)
    assert HOW_TO_CONFIGURE in texts(message)
    assert buttons(message) == ["approve", "reject", "kubectl"]


@pytest.mark.parametrize("state", OVER)
def test_what_came_to_nothing_is_told_in_two_lines(state: State) -> None:
    message = card(in_state(state, said="Mitigations are frozen by <@U0APPROVER>."), revertible=False)
    assert [block["type"] for block in message.blocks] == ["section", "context", "actions"]
    assert "Mitigations are frozen by <@U0APPROVER>." in message.text
    assert buttons(message) == ["kubectl"]


def test_progress_is_in_the_first_line_which_a_phone_shows() -> None:
    message = card(in_state(State.WATCHING, said="2 of 3 replicas are updated"))
    assert "is rolling out" in message.text
    assert "2 of 3 replicas are updated" in message.text


@pytest.mark.parametrize(
    ("fields", "revertible", "shown", "said"),
    [
        ({}, True, ["revert", "keep", "kubectl"], "In place: `fallback`, applied <!date^"),
        ({"kept": "for <now>"}, True, ["revert", "kubectl"], "kept: for &lt;now&gt;"),
        ({"reverted_by": "run2"}, False, ["kubectl"], "It has been reverted."),
        ({"temporary": False}, True, ["revert", "kubectl"], "*worse*"),
        ({"applied_at": None, "outcome": Outcome.FAILED}, False, ["kubectl"], "*failed*"),
    ],
    ids=str,
)
def test_an_ended_one_offers_what_can_still_be_done(
    fields: dict[str, Any], revertible: bool, shown: list[str], said: str
) -> None:
    message = card(in_state(State.ENDED, **fields), revertible=revertible)
    assert buttons(message) == shown
    assert said in texts(message)


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_what_is_posted_of_mitigations_fits_and_stays_text(text: str) -> None:
    name = text[:40] or "x"
    rendered("glass_broken", remedy=name, actor=ADA, reason=text)
    rendered("mitigation_ended", remedy=name, outcome="no effect", said=text)
    for approvers in ([], [ADA] * 20):
        told = {"outcome": "not begun", "said": text, "approvers": approvers}
        rendered("mitigation_ended", remedy=REVERT, undoes=name, **told)
    rendered("still_in_place", run="run1", remedy=name, since=NOW.isoformat())
    rendered("still_in_place", run="run1", remedy=name, since=None)
    rendered("frozen", by=ADA, reason=text, on=True)
    rendered("frozen", by=ADA, reason="", on=False)


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_lists_of_what_is_in_place_fit_and_stay_text(text: str) -> None:
    run = in_state(State.ENDED, remedy=text or "x", kept=text, target=text)
    message = rendered("in_place", runs=[run] * 101, most=20)
    assert "There are more" in texts(message)
    quiet: dict[str, Any] = {
        "triage": None,
        "alerts": None,
        "watching": None,
        "public": None,
        "published": (),
        "similar": (),
    }
    card = {"incident": an_incident(title=text[:150] or "x"), "in_place": [run] * 30, **quiet}
    told = texts(rendered("incident_card", **card))
    assert "and 23 more" in told
    lists: dict[str, Any] = {name: [] for name in ("mine", "open", "recent", "figures", "actions")}
    home = {**lists, "cut": False, "counted": 9, "dead": 0, "today": None}
    held = [(run, an_incident(title=text[:150] or "x")), (run, None)] * 8
    told = texts(rendered("home", in_place=held, most=15, **home))
    assert "*Temporary mitigations in place*" in told
    assert "There are more" in told
    assert "*Temporary mitigations in place*\nNone." in texts(rendered("home", in_place=[], most=15, **home))


def test_remedies_are_listed_with_a_button_each_however_many_there_are() -> None:
    own = {f"shed_{number:03d}": replace(ENV_REMEDIES["fallback"], what="&" * 150) for number in range(90)}
    remedies = list(load({**ENV_REMEDIES, **own}).values())
    message = rendered("remedies", target="eu", remedies=remedies)
    assert buttons(message) == [f"mitigate_{remedy.name}" for remedy in remedies[:40]]
    assert f"and {len(remedies) - 40} more" in texts(message)
    assert {one["value"] for block in message.blocks if block["type"] == "actions" for one in block["elements"]} == {
        "target:eu"
    }


@pytest.mark.parametrize("remedy", load(ENV_REMEDIES).values(), ids=lambda one: str(one.name))
def test_every_remedy_has_a_form_with_its_arguments(remedy: Any) -> None:
    view = form("mitigate_modal", **{**ASKED, "remedy": remedy})
    inputs = [block["block_id"] for block in view["blocks"] if block["type"] == "input"]
    arguments = [f"argument_{argument.name}" for argument in remedy.arguments]
    assert inputs == ["title", "severity", *arguments, "reason"]
    assert remedy.what in str(view)


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_forms_fit_whatever_they_are_filled_in_with(text: str) -> None:
    remedy = load(ENV_REMEDIES)["fallback"]
    many = [(str(number), f"INC-{number} {text}"[:75]) for number in range(100)]
    never = {"never": text[:600], "target": text, "title": text}
    for incidents in ([], many[:1], many):
        view = form("mitigate_modal", **{**ASKED, **never, "remedy": remedy, "incidents": incidents, "incident": "7"})
        assert len(view["private_metadata"]) <= 3000
        ticks = [block for block in view["blocks"] if block.get("block_id") == "never"]
        assert len(ticks) == bool(text)
        assert all(block["optional"] is False for block in ticks)
    run = a_run(target=text, remedy=text or "x")
    form("run_modal", act="keep", run=run, metadata={}, title="Keep it", submit="Keep", told="It stays.", hint="")
    held = [in_state(State.ENDED, kept=text), in_state(State.APPLYING, applied_at=None)] * 6
    nobody = {"channels": (), "page": None}
    view = form(
        "resolve_modal", metadata={}, incident=an_incident(), objections=[text], in_place=held, audiences=nobody
    )
    assert "Revert or keep them first" in str(view)
    assert "which is being applied" in str(view)


def test_a_triages_remedies_come_before_declaring_and_know_its_target() -> None:
    found = diagnose(world(), NOW)
    names = ("rotate_key", "fallback", *(f"own_{number}" for number in range(30)))
    context = {"findings": [], "duration_ms": 3, "way": (), "kept": "", "target": "eu"}
    told = replace(found, mitigations=names, family=Family.AUTH)
    message = rendered("triage", diagnosis=told, **context)
    (block,) = [one for one in message.blocks if one["type"] == "actions"]
    assert [one["action_id"] for one in block["elements"]][:2] == ["mitigate_rotate_key", "mitigate_fallback"]
    assert [one["text"]["text"] for one in block["elements"]][:2] == ["Rotate key", "Fallback"]
    assert block["elements"][-1]["action_id"] == "declare"
    assert {one["value"] for one in block["elements"]} == {"target:eu"}
    assert buttons(rendered("triage", diagnosis=replace(told, mitigations=()), **context)) == ["declare"]
    kept = rendered("triage", diagnosis=told, **{**context, "kept": "a1"})
    assert {one["value"] for one in kept.blocks[-1]["elements"]} == {"a1"}
    unkept = rendered("triage", diagnosis=told, **{**context, "target": ""})
    assert {one["value"] for one in unkept.blocks[-1]["elements"]} == {"none"}
