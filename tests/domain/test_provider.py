"""What is new of the provider, said once: its page, the API that is well again, and a relapse."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.causes import CAUSES, Family
from bot.domain.policy import Watch
from bot.domain.provider import api_probed, is_the_providers, page_read, page_unread
from bot.domain.runs import State
from bot.domain.signals import Finding, ProbeName, Verdict
from bot.domain.watching import Watching
from tests.domain.incidents import declared, kinds, said
from tests.fakes import NOW
from tests.runs import a_plan, a_run

INCIDENT = replace(declared(cause="provider_outage"), id=1)
MINOR, MAJOR, OTHER = "Elevated errors (minor)", "Elevated errors (major)", "Slow embeddings"
WATCH = Watch()


def found(*verdicts: Verdict) -> list[Finding]:
    names = (ProbeName.MISTRAL_API, ProbeName.CANARY)
    return [Finding(probe=name, verdict=one, summary="") for name, one in zip(names, verdicts, strict=False)]


OK, BAD, UNKNOWN = Verdict.OK, Verdict.BAD, Verdict.UNKNOWN
WELL, FAILING = found(OK, OK), found(OK, BAD)


def texts(before: Watching, *now_said: str) -> list[str]:
    change = page_read(INCIDENT, before, now_said, NOW)
    return [] if change is None else [event.text for event in change.events]


def test_an_incident_on_the_page_is_noted_when_it_appears_changes_and_ends() -> None:
    assert texts(Watching(), MINOR) == [f"Mistral's status page says: {MINOR}"]
    assert texts(Watching(provider=(MINOR,)), MINOR) == []
    assert texts(Watching(provider=(MINOR,)), MAJOR) == [f"Mistral's status page says now: {MAJOR}"]
    assert texts(Watching(provider=(MINOR, OTHER)), OTHER) == [f"Mistral's status page no longer lists: {MINOR}"]


def test_a_page_that_cannot_be_read_is_said_to_be_so_and_ends_nothing() -> None:
    held = Watching(provider=(MINOR,))
    change = page_unread(INCIDENT, held, "the status page gives no answer")
    assert change is not None
    assert change.watching == replace(held, unread="the status page gives no answer")
    assert (kinds(change), said(change)) == ([], ["card"])
    assert change.watching is not None
    assert page_unread(INCIDENT, change.watching, "the status page gives no answer") is None
    back = page_read(INCIDENT, change.watching, [MINOR], NOW)
    assert back is not None
    assert (back.watching, kinds(back)) == (held, [])


pages = st.lists(st.lists(st.sampled_from([MINOR, OTHER, "Third"]), unique=True), max_size=8)


@given(pages)
def test_the_timeline_tells_each_beginning_and_each_end_once(looks: list[list[str]]) -> None:
    held, told = Watching(), list[str]()
    for look in looks:
        change = page_read(INCIDENT, held, look, NOW)
        if change is not None:
            assert change.watching is not None
            held, told = change.watching, told + [event.text for event in change.events]
    for one in (MINOR, OTHER, "Third"):
        listed = [one in look for look in looks]
        begins = sum(now and not before for before, now in zip([False, *listed], listed, strict=False))
        ends = sum(before and not now for before, now in pairwise(listed))
        assert sum(text.endswith(f"says: {one}") for text in told) == begins
        assert sum(text.endswith(f"lists: {one}") for text in told) == ends


def test_three_in_a_row_are_announced_once_with_what_is_still_in_place() -> None:
    standing = replace(a_run(id="run1"), plan=a_plan(), state=State.ENDED, applied_at=NOW)
    assert standing.in_place
    held = Watching()
    for count in (1, 2, 3, 4):
        change = api_probed(INCIDENT, held, WELL, NOW, WATCH, [standing, a_run(id="run2")])
        if count == 4:
            assert change is None, "nothing is written for what is known"
            continue
        assert change is not None
        assert change.watching is not None
        held = change.watching
        assert said(change) == (["card", "recovered"] if count == 3 else [])
        if count == 3:
            assert kinds(change) == ["provider"]
            context = change.messages[1].context
            assert context == {"times": 3, "in_place": [{"id": "run1", "remedy": "fallback"}]}
    assert held.announced


@pytest.mark.parametrize("between", [FAILING, found(OK, UNKNOWN), found(UNKNOWN, UNKNOWN), []], ids=str)
def test_what_is_not_well_breaks_the_row(between: list[Finding]) -> None:
    held = Watching()
    for findings in (WELL, WELL, between, WELL, WELL):
        change = api_probed(INCIDENT, held, findings, NOW, WATCH, [])
        assert change is not None
        assert change.watching is not None
        held = change.watching
        assert not held.announced


def test_a_relapse_is_noted_and_can_be_over_anew_and_unknown_is_no_relapse() -> None:
    held = Watching(successes=3, announced=True)
    unknown = api_probed(INCIDENT, held, found(OK, UNKNOWN), NOW, WATCH, [])
    assert unknown is not None
    assert (kinds(unknown), unknown.watching) == ([], replace(held, successes=0))
    relapse = api_probed(INCIDENT, held, FAILING, NOW, WATCH, [])
    assert relapse is not None
    assert [event.text for event in relapse.events] == ["Mistral's API fails again"]
    for _ in range(3):
        assert relapse is not None
        assert relapse.watching is not None
        relapse = api_probed(INCIDENT, relapse.watching, WELL, NOW, WATCH, [])
    assert relapse is not None
    assert said(relapse) == ["card", "recovered"]


@pytest.mark.parametrize("cause", CAUSES)
def test_the_api_is_watched_for_what_ends_with_the_provider(cause: str) -> None:
    outside = {"provider_unreachable", "provider_timeout", "dns_provider"}
    assert is_the_providers(cause) == (CAUSES[cause].family is Family.PROVIDER or cause in outside)


def test_without_a_known_cause_the_api_is_not_watched() -> None:
    assert not is_the_providers(None)
    assert not is_the_providers("something else")
