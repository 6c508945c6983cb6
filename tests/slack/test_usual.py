"""The texts that updates come filled in with: for every cause and status ready to send, and nothing internal in any."""

import re
from dataclasses import replace
from itertools import product

import pytest

from bot.domain.causes import CAUSES, Family, Severity
from bot.domain.incident import Incident
from bot.domain.publication import TEXT_CHARS, TITLE_CHARS, PublicStatus
from bot.render import Renderer
from bot.slack.usual import UsualTexts
from tests.subjects import INCIDENT

NAMES = (*CAUSES, None)
STATUSES = [status.value for status in PublicStatus]
GOING_ON = ("investigating", "identified", "monitoring")
RENDERER = Renderer()
# What only those who run computers say, what is secret, and what the bot itself calls things.
JARGON = re.compile(
    r"(?i)\d|\b(?:pods?|keys?|tokens?|kubernetes|k8s|cluster|prometheus|alertmanager|api|apis|https?|dns|tls|ssl|tcp|"
    r"nodes?|deploy\w*|rollout|rollback|release|canary|endpoint|backend|upstream|time-?outs?|namespace|secret|quota|"
    r"rate.?limit\w*|latency|regression|throttl\w*|egress|proxy|certificates?|payload|config\w*|env|memory|cpu|"
    r"replicas?|restart\w*|inc|triage|mitigation|incident|runbook|postmortem|slack|5xx)\b|[_`<>{}]|none\b"
)
# Where the provider has a part in it, and so a name that is told or not.
WITH_PROVIDER = {Family.PROVIDER, Family.NETWORK, Family.AUTH}


def texts(*, names_provider: bool = False) -> UsualTexts:
    return UsualTexts(renderer=RENDERER, names_provider=names_provider)


def about(cause: str | None, severity: Severity = Severity.P2) -> Incident:
    return replace(INCIDENT, cause=cause, severity=severity)


def all_of(usual: UsualTexts, incident: Incident) -> dict[str, str]:
    """By what each is; empty ones are workarounds."""
    held = {"title": usual.title(incident)}
    for status, again in product(STATUSES, (False, True)):
        held[f"public {status} {again}"] = usual.public(incident, status, again=again)
        held[f"stakeholders {status} {again}"] = usual.stakeholders(incident, status, again=again)
        held[f"workaround {status}"] = usual.workaround(incident, status)
    return held


@pytest.mark.parametrize("names_provider", [False, True])
@pytest.mark.parametrize("cause", NAMES)
def test_the_texts_of_a_cause_can_be_sent_as_they_are(cause: str | None, names_provider: bool) -> None:
    for severity in Severity:
        for what, text in all_of(texts(names_provider=names_provider), about(cause, severity)).items():
            if what.startswith("workaround") and not text:
                continue
            assert 10 < len(text) <= (TITLE_CHARS if what == "title" else TEXT_CHARS) // 2, what
            assert text == " ".join(text.split()), what
            assert text[0].isupper(), what
            assert text.endswith(".") or what == "title", what
            assert not JARGON.search(text), (what, text)
            assert names_provider or "mistral" not in text.lower(), (what, text)
            assert cause is None or CAUSES[cause].headline not in text


@pytest.mark.parametrize("cause", NAMES)
def test_each_status_has_a_text_of_its_own_and_so_has_the_second_of_the_same(cause: str | None) -> None:
    usual, incident = texts(), about(cause)
    for say in (usual.public, usual.stakeholders):
        told = [say(incident, status, again=again) for status in GOING_ON for again in (False, True)]
        told.append(say(incident, "resolved", again=False))
        assert len(set(told)) == len(told)
    assert usual.public(incident, "postmortem", again=False) not in told
    worse, better = (
        usual.public(about(cause, one), "investigating", again=False) for one in (Severity.P1, Severity.P3)
    )
    assert worse != better, "how many users see it"


@pytest.mark.parametrize("cause", CAUSES)
def test_what_is_looked_for_is_not_told_and_what_was_found_is(cause: str) -> None:
    incident, family = about(cause), CAUSES[cause].family
    named, unnamed = texts(names_provider=True), texts()
    assert named.public(incident, "investigating", again=False) == unnamed.public(
        incident, "investigating", again=False
    )
    found = named.public(incident, "identified", again=False)
    if family in WITH_PROVIDER:
        assert "Mistral AI" in found
    if family not in (Family.VANTAGE, Family.HEALTHY, Family.INCONCLUSIVE):
        assert found != named.public(about(None), "identified", again=False)
        assert "the reason: " in found


def test_causes_that_users_see_differently_are_told_differently() -> None:
    names = ("provider_slow", "bad_input", "one_pod", "model_unavailable", "rate_limited", "provider_outage", "healthy")
    for say in (texts().title, lambda one: texts().public(one, "investigating", again=False)):
        assert len({say(about(name)) for name in names}) == len(names)
    reasons = ("provider_outage", "rate_limited", "invalid_key", "model_unavailable", "dns_cluster", "bad_release")
    assert len({texts().public(about(name), "identified", again=False) for name in reasons}) == len(reasons)


@pytest.mark.parametrize("cause", NAMES)
def test_nothing_is_to_be_done_by_users_once_it_is_over(cause: str | None) -> None:
    for status in ("resolved", "postmortem"):
        assert texts().workaround(about(cause), status) == ""
    assert texts().workaround(about("provider_slow"), "identified")


def test_an_incident_whose_cause_is_no_longer_known_has_the_texts_of_one_without() -> None:
    assert all_of(texts(), about("a cause of old")) == all_of(texts(), about(None))
