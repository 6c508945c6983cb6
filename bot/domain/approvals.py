"""Who may approve a mitigation, and whether it has been approved by enough of them; pure."""

from collections.abc import Set as AbstractSet

from bot.domain.causes import Severity
from bot.domain.incident import TEXT_CHARS, Refusal, plain
from bot.domain.policy import ApprovalRule, Mitigations
from bot.domain.runs import REVERT, Approval, Run

# At P1 and P2 these need somebody beside whoever asked, where the rule says nothing else.
_SECOND_PERSON = frozenset({"rotate_key", "rollback"})
_SEVERE = frozenset({Severity.P1, Severity.P2})
GLASS_CHARS = 15
_NOBODY = "nobody"

HOW_TO_CONFIGURE = (
    "Nobody may approve yet: list `approvers:` in the YAML file, such as `[{users: [U012AB3CD], approvals: 1}]`."
)


def rule_for(run: Run, policy: Mitigations) -> ApprovalRule | None:
    """The first rule that fits; None: nobody may approve."""
    for rule in policy.approvers:
        if (rule.remedies is None or _name(run) in rule.remedies) and (
            rule.severities is None or run.severity in rule.severities
        ):
            return rule
    return None


def second_person(run: Run, rule: ApprovalRule) -> bool:
    """Whether whoever asked may not be among the approvers."""
    if rule.requester is not None:
        return not rule.requester
    return _name(run) in _SECOND_PERSON and run.severity in _SEVERE


def _name(run: Run) -> str:
    """A revert is approved as what it takes back; of any other run, ``arguments`` is what people have filled in."""
    return run.arguments.get("remedy", run.remedy) if run.remedy == REVERT else run.remedy


def check(run: Run, user: str, groups: AbstractSet[str], policy: Mitigations, *, glass: bool = False) -> ApprovalRule:
    """Raises Refusal, which says who may. ``groups``: the user groups that ``user`` is in.

    ``glass``: alone, though more approvals or a second person are asked for; an approver all the same.
    """
    rule = rule_for(run, policy)
    if rule is None:
        raise Refusal(HOW_TO_CONFIGURE)
    if user not in rule.users and not groups & rule.groups:
        raise Refusal(f"You may not approve {run.remedy}; {who_may(run, rule)} may.")
    if not glass and any(approval.user == user for approval in run.approvals):
        raise Refusal("You have approved it already; it needs somebody else, too.")
    if not glass and user == run.requested_by and second_person(run, rule):
        others = who_may(run, rule)
        if others == _NOBODY:
            others = "nobody else may; list others in `approvers:`, or break the glass"
        raise Refusal(f"You asked for it, so somebody else has to approve: {others}.")
    return rule


def enough(run: Run, rule: ApprovalRule, more: Approval) -> bool:
    """Whether with ``more`` there are enough."""
    given = {approval.user for approval in (*run.approvals, more)}
    return bool(more.reason) or len(given) >= rule.approvals


def glass_reason(reason: str) -> str:
    """The reason, or Refusal where it is too short to be one."""
    held = " ".join(plain(reason).split())
    if sum(map(str.isprintable, held)) < GLASS_CHARS:
        raise Refusal(f"Say in at least {GLASS_CHARS} characters why it cannot wait.")
    return held[:TEXT_CHARS]


def who_may(run: Run, rule: ApprovalRule) -> str:
    """Such as ``<@U1> or <!subteam^S1>``, for people to see; without whoever asked where that has to be another."""
    users = rule.users - {run.requested_by} if second_person(run, rule) else rule.users
    held = [*(f"<@{user}>" for user in sorted(users)), *(f"<!subteam^{one}>" for one in sorted(rule.groups))]
    return " or ".join(held) or _NOBODY
