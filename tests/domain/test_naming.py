"""The name of an incident's own channel: always one that Slack takes, and of one incident alone."""

import re
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.causes import Severity
from bot.domain.naming import channel_name
from bot.domain.policy import Policy
from tests.domain.incidents import declared, moments, severities

_NUMBERS = st.integers(1, 10**9) | st.sampled_from([1, 2, 12, 123, 2026])
_TEMPLATES = st.one_of(
    st.just(Policy().channel_name),
    st.lists(st.sampled_from(["{id}", "{date}", "{title}", "-", "_", "inc", "Ünï", "7", "#", " "])).map("".join),
)
_TITLES = st.text(max_size=200) | st.sampled_from(["12", "1-2", "inc-2-", "🔥" * 150, "t" * 150, "\ud800", "1 and 2"])


def named(template: str, title: str = "Completions fail", number: int = 7) -> str:
    incident = replace(declared(), id=number, title=title)
    return channel_name(incident, Policy(channel_name=template))


@pytest.mark.parametrize(
    ("template", "title", "name"),
    [
        ("inc-{id}-{date}-{title}", "Completions fail!", "inc-7-2026-07-01-completions-fail"),
        ("inc-{id}-{date}-{title}", "Ça ne répond plus 🔥", "inc-7-2026-07-01-ca-ne-repond-plus"),
        ("inc-{id}-{title}", "<!channel> #general", "inc-7-channel-general"),
        ("inc-{id}-{title}", "🔥", "inc-7"),
        ("war_{id}", "x", "war_7"),
        ("{date}-{id}", "x", "2026-07-01-7"),
        ("{title}", "7 of 9 fail", "inc-7-7-of-9-fail"),
        ("{title}-{id}", "x", "inc-7-x-7"),
        ("{id}{date}", "x", "inc-7-72026-07-01"),
        ("{id}-{nothing}", "x", "7-nothing"),
        ("", "x", "inc-7"),
    ],
)
def test_a_name_follows_the_template_and_carries_the_number(template: str, title: str, name: str) -> None:
    assert named(template, title) == name


def test_a_name_is_cut_to_what_slack_takes() -> None:
    assert named("inc-{id}-{title}", "t" * 150) == "inc-7-" + "t" * 74
    assert named("x" * 79 + "-{id}", number=1234) == "inc-1234-" + "x" * 71


@given(template=_TEMPLATES, title=_TITLES, number=_NUMBERS, severity=severities, now=moments)
def test_whatever_is_typed_slack_takes_the_name_and_it_carries_the_number(
    template: str, title: str, number: int, severity: Severity, now: datetime
) -> None:
    incident = replace(declared(), id=number, title=title, severity=severity, declared_at=now)
    name = channel_name(incident, Policy(channel_name=template))
    assert re.fullmatch(r"[a-z0-9_-]{1,80}", name)
    assert str(number) in re.findall(r"\d+", name)


@given(
    template=_TEMPLATES,
    titles=st.tuples(_TITLES, _TITLES),
    numbers=st.lists(_NUMBERS, min_size=2, max_size=2, unique=True),
)
def test_no_two_incidents_have_one_name(template: str, titles: tuple[str, str], numbers: list[int]) -> None:
    assert named(template, titles[0], numbers[0]) != named(template, titles[1], numbers[1])
