"""Who may approve which mitigation, how many it takes, and when one may do it alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.approvals import HOW_TO_CONFIGURE, check, enough, glass_reason, rule_for, second_person, who_may
from bot.domain.causes import Severity
from bot.domain.incident import TEXT_CHARS, Refusal
from bot.domain.policy import ApprovalRule, Mitigations
from bot.domain.runs import REVERT, Approval, Run
from tests.fakes import NOW
from tests.runs import a_run

ASKER, ADA, EVE, STRANGER = "U0REQUESTER", "U0ADA", "U0EVE", "U0STRANGER"
P1, P2, P3, P4 = Severity


def rule(**fields: Any) -> ApprovalRule:
    return ApprovalRule(**{"users": frozenset({ASKER, ADA, EVE}), **fields})


def policy(*rules: ApprovalRule) -> Mitigations:
    return Mitigations(approvers=rules)


def approval(user: str = ADA, reason: str = "") -> Approval:
    return Approval(user=user, at=NOW, reason=reason)


def revert(of: str, **fields: Any) -> Run:
    return a_run(remedy=REVERT, arguments={"of": "run0", "remedy": of}, **fields)


def refused(
    run: Run, user: str, held: Mitigations, groups: frozenset[str] = frozenset(), *, glass: bool = False
) -> str:
    with pytest.raises(Refusal) as no:
        check(run, user, groups, held, glass=glass)
    return str(no.value)


ROLLBACKS = rule(remedies=frozenset({"rollback"}), users=frozenset({ADA}))
SEVERE = rule(severities=frozenset({P1, P2}), users=frozenset({EVE}))
ALL = rule()


@pytest.mark.parametrize(
    ("run", "fits"),
    [
        (a_run(remedy="rollback", severity=P1), ROLLBACKS),
        (a_run(remedy="fallback", severity=P1), SEVERE),
        (a_run(remedy="fallback", severity=P3), ALL),
        (revert("rollback", severity=P1), ROLLBACKS),
        (revert("fallback", severity=P2), SEVERE),
        (revert("fallback", severity=P4), ALL),
    ],
    ids=["remedy", "severity", "rest", "revert of the remedy", "revert by severity", "revert of the rest"],
)
def test_the_first_rule_that_fits_counts_and_a_revert_is_judged_as_what_it_takes_back(
    run: Run, fits: ApprovalRule
) -> None:
    assert rule_for(run, policy(ROLLBACKS, SEVERE, ALL)) is fits


def test_what_somebody_filled_in_does_not_pass_a_remedy_for_another() -> None:
    run = a_run(remedy="rotate_key", severity=P1, arguments={"remedy": "restart"})
    lenient = rule(remedies=frozenset({"restart"}))
    assert rule_for(run, policy(lenient, ROLLBACKS)) is None
    assert second_person(run, ALL)


def test_a_rule_of_remedies_and_severities_fits_where_both_do() -> None:
    both = rule(remedies=frozenset({"restart"}), severities=frozenset({P1}))
    fitting = [
        (remedy, severity)
        for remedy in ("restart", "fallback")
        for severity in Severity
        if rule_for(a_run(remedy=remedy, severity=severity), policy(both)) is both
    ]
    assert fitting == [("restart", P1)]


@pytest.mark.parametrize("rules", [(), (rule(remedies=frozenset({"rollback"})),)], ids=["no rule", "none that fits"])
@pytest.mark.parametrize("glass", [False, True], ids=["approve", "glass"])
def test_where_nobody_may_approve_it_says_how_to_configure_who_may(
    rules: tuple[ApprovalRule, ...], glass: bool
) -> None:
    said = refused(a_run(), ADA, policy(*rules), glass=glass)
    assert said == HOW_TO_CONFIGURE
    assert "`approvers:`" in said
    assert refused(a_run(), ADA, Mitigations()) == HOW_TO_CONFIGURE


@pytest.mark.parametrize("glass", [False, True], ids=["approve", "glass"])
def test_whoever_may_not_is_told_who_may(glass: bool) -> None:
    held = policy(rule(users=frozenset({EVE, ADA}), groups=frozenset({"S0SRE", "S0DB"})))
    said = refused(a_run(), STRANGER, held, frozenset({"S0OTHER"}), glass=glass)
    assert said == ("You may not approve fallback; <@U0ADA> or <@U0EVE> or <!subteam^S0DB> or <!subteam^S0SRE> may.")


def test_a_member_of_a_group_may_as_well_as_a_user_by_name() -> None:
    held = rule(users=frozenset({ADA}), groups=frozenset({"S0SRE"}))
    assert check(a_run(), STRANGER, {"S0OTHER", "S0SRE"}, policy(held)) is held
    assert check(a_run(), ADA, frozenset(), policy(held)) is held


@pytest.mark.parametrize("remedy", ["rotate_key", "rollback", "fallback", "restart"])
@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("requester", [None, True, False], ids=["unsaid", "may", "may not"])
@pytest.mark.parametrize("kind", ["remedy", "revert"])
def test_whoever_asked_may_approve_but_for_what_needs_a_second_person(
    remedy: str, severity: Severity, requester: bool | None, kind: str
) -> None:
    held = a_run(remedy=remedy, severity=severity) if kind == "remedy" else revert(remedy, severity=severity)
    needs_another = {
        True: False,
        False: True,
        None: remedy in ("rotate_key", "rollback") and severity in (P1, P2),
    }[requester]
    asked_by = rule(requester=requester)
    assert second_person(held, asked_by) is needs_another
    assert check(held, ADA, frozenset(), policy(asked_by)) is asked_by
    assert check(held, ASKER, frozenset(), policy(asked_by), glass=True) is asked_by
    if needs_another:
        said = refused(held, ASKER, policy(asked_by))
        assert said == "You asked for it, so somebody else has to approve: <@U0ADA> or <@U0EVE>."
    else:
        assert check(held, ASKER, frozenset(), policy(asked_by)) is asked_by


def test_where_whoever_asked_is_the_only_approver_it_says_what_can_be_done() -> None:
    alone = rule(users=frozenset({ASKER}), requester=False)
    said = refused(a_run(), ASKER, policy(alone))
    assert said == (
        "You asked for it, so somebody else has to approve: "
        "nobody else may; list others in `approvers:`, or break the glass."
    )
    assert who_may(a_run(), alone) == "nobody"
    assert who_may(a_run(requested_by=EVE), alone) == f"<@{ASKER}>"


def test_nobody_approves_twice_but_may_still_break_the_glass() -> None:
    two = rule(approvals=2)
    run = a_run(approvals=(approval(ADA),))
    assert refused(run, ADA, policy(two)) == "You have approved it already; it needs somebody else, too."
    assert check(run, ADA, frozenset(), policy(two), glass=True) is two
    assert check(run, EVE, frozenset(), policy(two)) is two


@given(
    st.integers(1, 4),
    st.lists(st.sampled_from([ASKER, ADA, EVE, STRANGER]), max_size=6),
    st.sampled_from([ADA, EVE, STRANGER]),
)
def test_it_takes_as_many_different_people_as_the_rule_says(needed: int, given_by: list[str], last: str) -> None:
    run = a_run(approvals=tuple(map(approval, given_by)))
    assert enough(run, rule(approvals=needed), approval(last)) is (len({*given_by, last}) >= needed)


def test_the_glass_is_broken_by_one_alone() -> None:
    assert enough(a_run(), rule(approvals=3), approval(ADA, "the whole shop is down"))
    # that of another, which was given before, does not count for whoever comes after
    assert not enough(a_run(approvals=(approval(ADA),)), rule(approvals=3), approval(EVE))


@pytest.mark.parametrize(
    "reason",
    ["", " " * 40, "x" * 14, f"  {'x' * 14}\n\t", "a" + " " * 30 + "b", "\x00" * 20, "\u200b" * 20, "\ud800" * 20],
    ids=["empty", "blank", "14", "padded", "spaced", "NUL", "invisible", "halves"],
)
def test_a_reason_to_break_the_glass_that_is_none_is_refused(reason: str) -> None:
    with pytest.raises(Refusal, match="Say in at least 15 characters why it cannot wait"):
        glass_reason(reason)


@pytest.mark.parametrize(
    ("reason", "held"),
    [
        ("x" * 15, "x" * 15),
        ("  all users\n see   errors ", "all users see errors"),
        ("x\x00" * 15, "x" * 15),
        ("x" * 5000, "x" * TEXT_CHARS),
    ],
    ids=["15", "spaces", "NUL", "long"],
)
def test_a_reason_to_break_the_glass_is_kept_as_a_line_that_can_be_stored(reason: str, held: str) -> None:
    assert glass_reason(reason) == held
