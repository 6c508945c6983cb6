"""What people have really done about a mitigation, and whether it may begin for that: not by the bot's own rules."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from hypothesis import strategies as st

from bot.domain.causes import Severity
from bot.domain.policy import ApprovalRule, Mitigations
from tests.domain.incidents import ADA, EVE, HOUR, ROBIN, severities

MALLORY = "U0MALLORY"
SRE = "S0SRE"
GROUPS = {ROBIN: frozenset[str](), ADA: frozenset[str](), EVE: frozenset({SRE, "S0OTHER"}), MALLORY: frozenset[str]()}
REMEDIES = ("rotate_key", "rollback", "fallback", "restart")
PEOPLE = st.sampled_from(sorted(GROUPS))
PICKS = st.integers(0, 99)
# one click in four is on a card that was drawn some time ago
STALE = st.sampled_from([False, False, False, True])
WAITS = st.sampled_from([1, 1, 10, 30, 60, 119, 300, 3600])
GLASS = st.sampled_from([None, None, "soon", "no" + " " * 20, "x" * 15])
COURSES = st.sampled_from(["well", "well", "moved", "fails"])
ASKED = st.tuples(PEOPLE, st.sampled_from(REMEDIES), severities, st.sampled_from("aab"))
_RULES = st.builds(
    ApprovalRule,
    remedies=st.none() | st.frozensets(st.sampled_from(REMEDIES), min_size=1),
    severities=st.none() | st.frozensets(severities, min_size=1),
    users=st.frozensets(st.sampled_from([ROBIN, ADA, EVE]), min_size=1),
    groups=st.frozensets(st.just(SRE)),
    approvals=st.integers(1, 2),
    requester=st.none() | st.booleans(),
)
_ANYTHING = ApprovalRule(users=frozenset({ROBIN, ADA, EVE}))
_TWO = replace(_ANYTHING, approvals=2)
LIMITS = st.builds(
    lambda some, last, per_hour: Mitigations(approvers=(*some, *last), per_hour=per_hour, remind_after=HOUR),
    st.lists(_RULES, max_size=2),
    st.sampled_from([(_ANYTHING,), (_ANYTHING,), (_TWO,), (_TWO,), ()]),
    st.integers(1, 3),
)


@dataclass(kw_only=True)
class Story:
    """What people have really done about one run. ``remedy``: of a revert, that which it takes back."""

    remedy: str
    severity: Severity
    asker: str
    deployment: str
    revert: bool = False
    vouched_by: "Story | None" = None
    """The run that the bot takes back by itself."""
    offered_at: datetime | None = None
    clicks: list[tuple[str, datetime, str]] = field(default_factory=list)
    rejected: bool = False
    entitled: bool = False
    begun_at: datetime | None = None
    harmless: bool = False
    """It began and has changed nothing."""


def entitled(story: Story, limits: Mitigations) -> bool:
    """Whether it may begin for what was clicked: the issue's own words, written down a second time."""
    if story.vouched_by is not None:
        return story.vouched_by.entitled
    for one in limits.approvers:
        if one.remedies is not None and story.remedy not in one.remedies:
            continue
        if one.severities is not None and story.severity not in one.severities:
            continue
        break
    else:
        return False
    clicks = [click for click in story.clicks if click[0] in one.users or not GROUPS[click[0]].isdisjoint(one.groups)]
    if any(len(reason.strip()) >= 15 for _, _, reason in clicks):
        return True
    people = {who for who, _, _ in clicks}
    severe = story.severity in ("P1", "P2") and story.remedy in ("rotate_key", "rollback")
    if severe if one.requester is None else not one.requester:
        people.discard(story.asker)
    return len(people) >= one.approvals


def anew(story: Story) -> Story:
    """The same asked for again: nothing that was clicked counts."""
    return replace(story, offered_at=None, clicks=[], rejected=False, entitled=False, begun_at=None, harmless=False)
