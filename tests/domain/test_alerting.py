"""What alerts make of incidents, decided of one key at a time."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import acts
from bot.domain.alerting import ASK_EVERY, News, Worked, triaged, untriaged, work_in
from bot.domain.alerts import Alerts
from bot.domain.causes import Severity
from bot.domain.incident import BOT, Change, Incident, Milestone, Status
from tests.domain.alerts import NOTED, OPENS, PROPOSED, a_key, an_alert
from tests.domain.incidents import ADA, MINUTE, POLICY, declared, kinds, said
from tests.fakes import NOW

RULES = Alerts()
OPEN = replace(declared(), id=3)
RESOLVED = replace(acts.resolve(OPEN, (), "", ADA, NOW - 10 * MINUTE).incident, id=3)
MINE = replace(OPEN, declared_by=BOT, milestones={Milestone.DECLARED: NOW, Milestone.FIRST_ALERT: NOW})


def worked(news: News, **more: Any) -> Worked:
    return work_in(news, more.pop("rules", RULES), POLICY, "C0INCIDENTS", NOW)


def news(**more: Any) -> News:
    fields: dict[str, Any] = {"key": a_key(), "fresh": "fresh", **more}
    fields.setdefault("firing", len(fields.get("begun", ())))
    return News(**fields)


def only(changes: tuple[Change, ...]) -> Change:
    (change,) = changes
    return change


def test_an_alert_opens_an_incident_from_when_the_first_began() -> None:
    first = an_alert("B", NOW - 5 * MINUTE, summary="it fails")
    done = worked(news(begun=(an_alert("A"), first)))
    assert done.opened is not None
    incident = done.opened.incident
    assert (incident.title, incident.severity, incident.declared_by) == ("B: it fails", Severity.P2, BOT)
    assert incident.channel == "C0INCIDENTS"
    assert incident.milestones[Milestone.FIRST_ALERT] == NOW - 5 * MINUTE
    assert kinds(done.opened) == ["declared", "alert"]
    assert said(done.opened) == ["card", "alerts_fire"]
    assert done.opened.messages[1].aloud is False
    assert (done.key.triage_at, done.key.triages) == (NOW, 0)
    assert (done.changed, done.card) == ((), None)


@pytest.mark.parametrize("years", [30, 2])
def test_a_beginning_that_nobody_believes_is_cut_to_a_year(years: int) -> None:
    done = worked(news(begun=(an_alert("A", NOW - timedelta(days=365 * years)),)))
    assert done.opened is not None
    assert done.opened.incident.milestones[Milestone.FIRST_ALERT] == NOW - timedelta(days=366)


def test_the_strongest_of_what_fires_decides_and_of_those_the_worst() -> None:
    alerts = (
        an_alert("A", judged=NOTED),
        an_alert("B", judged=replace(PROPOSED, severity=Severity.P1)),
        an_alert("C", judged=replace(OPENS, severity=Severity.P3, target="eu")),
        an_alert("D", judged=OPENS),
    )
    done = worked(news(begun=alerts))
    assert done.opened is not None
    assert (done.opened.incident.severity, done.opened.incident.target) == (Severity.P2, "default")
    weaker = worked(news(begun=alerts[:1], firing=2, key=a_key(OPENS)))
    assert weaker.opened is not None, "what fires already counts too"


def test_an_open_incident_is_told_and_nothing_else() -> None:
    done = worked(news(begun=(an_alert("A"), an_alert("B")), incident=OPEN))
    change = only(done.changed)
    assert (kinds(change), said(change)) == (["alert"], ["card"])
    assert change.events[0].text == "2 alerts fire: A; B"
    assert (done.opened, done.card) == (None, None)
    mixed = only(
        worked(news(begun=(an_alert("A"),), ended=(an_alert("B", ended=NOW - MINUTE),), incident=OPEN)).changed
    )
    assert [event.text for event in mixed.events] == ["B is over", "A fires"]


def test_an_earlier_alert_that_arrives_later_moves_what_the_bot_has_noted_and_not_what_a_person_has() -> None:
    early = news(begun=(an_alert("A", NOW - MINUTE),), incident=MINE)
    assert only(worked(early).changed).incident.milestones[Milestone.FIRST_ALERT] == NOW - MINUTE
    theirs = replace(MINE, declared_by=ADA)
    change = only(worked(replace(early, incident=theirs)).changed)
    assert change.incident.milestones == theirs.milestones


def test_when_the_last_is_over_it_is_asked_at_most_once_in_ten_minutes() -> None:
    over = news(ended=(an_alert(ended=NOW),), incident=OPEN)
    done = worked(over)
    assert said(only(done.changed)) == ["card", "alerts_resolved"]
    assert (done.key.asked_at, done.key.ask_at) == (NOW, None)
    asked = replace(over, key=a_key(asked_at=NOW - ASK_EVERY + MINUTE))
    later = worked(asked)
    assert said(only(later.changed)) == ["card"]
    assert later.key.ask_at == NOW + MINUTE
    due = worked(news(key=replace(later.key, asked_at=NOW - ASK_EVERY, ask_at=NOW), incident=OPEN))
    assert said(only(due.changed)) == ["alerts_resolved"]
    again = worked(news(key=later.key, begun=(an_alert(),), incident=OPEN))
    assert again.key.ask_at is None, "it fires again"


@pytest.mark.parametrize(
    "more",
    [{"firing": 1}, {"more": True}, {"key": a_key(truncated=("group",))}, {"incident": RESOLVED}, {"incident": None}],
    ids=["others fire", "others wait", "truncated", "resolved", "none"],
)
def test_it_is_not_asked_while_it_may_go_on_or_there_is_nothing_to_resolve(more: dict[str, Any]) -> None:
    done = worked(news(**{"ended": (an_alert(ended=NOW),), "incident": OPEN, **more}))
    assert "alerts_resolved" not in [one for change in done.changed for one in said(change)]
    assert (done.key.asked_at, done.opened) == (None, None)


@pytest.mark.parametrize("judged", [OPENS, PROPOSED], ids=["opens", "proposed"])
@pytest.mark.parametrize(("within", "reopens"), [(10 * MINUTE, True), (9 * MINUTE, False)])
def test_a_recurrence_reopens_within_the_time_that_is_set(judged: Any, within: timedelta, reopens: bool) -> None:
    again = news(begun=(an_alert(judged=judged),), key=a_key(judged, asked_at=NOW), incident=RESOLVED)
    done = worked(again, rules=Alerts(reopen_within=within))
    assert bool(done.changed) is reopens
    if reopens:
        change = only(done.changed)
        assert change.incident.status is Status.INVESTIGATING
        assert kinds(change) == ["reopened", "alert"]
        assert said(change) == ["card", "incident_reopened"]
        assert done.key.asked_at is None
    else:
        assert (done.opened is not None) is (judged is OPENS)


def test_a_proposal_is_one_card_as_long_as_it_fires_or_fires_again_soon() -> None:
    first = worked(news(begun=(an_alert(judged=PROPOSED),)))
    assert (first.key.proposal, first.key.triage_at, first.proposes) == ("fresh", NOW, True)
    assert first.card is not None
    assert (first.card.kind, first.card.to, first.card.template) == ("proposal", "C0INCIDENTS", "fresh")
    held = replace(first.key, triage_at=None, triage="t")
    more = worked(news(key=held, fresh="other", begun=(an_alert("B", judged=PROPOSED),), firing=2))
    assert (more.key.proposal, more.key.triage, more.key.triage_at) == ("fresh", "t", None)
    over = worked(news(key=held, ended=(an_alert(ended=NOW),)))
    assert over.card is not None
    for quiet, proposal in ((29, "fresh"), (31, "other")):
        begun = (an_alert(judged=PROPOSED),)
        again = worked(news(key=held, fresh="other", begun=begun, quiet_since=NOW - quiet * MINUTE))
        assert again.key.proposal == proposal


def test_what_is_noted_is_an_entry_of_every_open_incident_beside_it() -> None:
    begun = (an_alert(judged=NOTED),)
    done = worked(news(begun=begun, beside=(OPEN, replace(OPEN, id=4))))
    assert [(change.incident.id, kinds(change), said(change)) for change in done.changed] == [
        (3, ["alert"], []),
        (4, ["alert"], []),
    ]
    assert worked(news(begun=begun)).changed == ()


def test_a_triage_gives_the_cause_that_it_has_found_and_takes_none_away() -> None:
    report = {"family": "rate_limit", "cause": "rate_limited", "headline": "the limit is reached"}
    change = triaged(OPEN, report, "t1", NOW)
    assert (change.incident.triage, change.incident.cause) == ("t1", "rate_limited")
    assert (kinds(change), said(change)) == (["triage"], ["card"])
    assert triaged(replace(OPEN, cause="auth"), report, "t1", NOW).incident.cause == "auth"
    assert triaged(OPEN, {**report, "family": "healthy", "cause": "healthy"}, "t1", NOW).incident.cause is None
    assert triaged(RESOLVED, report, "t1", NOW) == Change(incident=RESOLVED)
    failed = untriaged(OPEN, "there is no target called eu", NOW)
    assert (kinds(failed), said(failed)) == (["triage"], ["untriaged"])


@given(
    begun=st.lists(st.sampled_from([OPENS, PROPOSED, NOTED]), max_size=3),
    ended=st.integers(0, 3),
    others=st.integers(0, 2),
    incident=st.sampled_from([None, OPEN, RESOLVED]),
    truncated=st.booleans(),
)
def test_whatever_the_news_a_key_has_one_open_incident_at_most(
    begun: list[Any], ended: int, others: int, incident: Incident | None, truncated: bool
) -> None:
    fire = tuple(an_alert(str(number), judged=judged) for number, judged in enumerate(begun))
    over = tuple(an_alert(f"o{number}", ended=NOW) for number in range(ended))
    key = a_key(NOTED, truncated=("group",) if truncated else ())
    done = worked(news(key=key, begun=fire, ended=over, firing=len(fire) + others, incident=incident))
    is_open = incident is not None and incident.open
    opened = int(done.opened is not None) + sum(change.incident.open and not is_open for change in done.changed)
    assert opened <= (0 if is_open else 1)
    if OPENS in begun:
        assert is_open or opened == 1
    if truncated or others or fire:
        assert "alerts_resolved" not in [one for change in done.changed for one in said(change)]
