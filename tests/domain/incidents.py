"""Incidents, policies and moments for the tests of what happens to incidents."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.incident import Change, Incident
from bot.domain.policy import Calendar, Escalation, Policy, Promise, QuietHours
from tests.fakes import NOW

MINUTE = timedelta(minutes=1)
HOUR = 60 * MINUTE
ROBIN, ADA, EVE = "U0ROBIN", "U0ADA", "U0EVE"
POLICY = Policy()
NIGHTS = QuietHours(begin=time(22), end=time(7))
ZONES = (
    *("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"),
    *("Asia/Kathmandu", "Africa/Casablanca", "America/St_Johns"),
)

# The first calendar with a country loads a library, which is not what a property is about.
unhurried = settings(deadline=None)

severities = st.sampled_from(list(Severity))
times = st.times().map(lambda at: at.replace(second=0, microsecond=0, fold=0))
# more often than by chance around the hours at which clocks are set
moments = st.one_of(
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - aware by timezones
    st.sampled_from(
        [
            datetime(2026, 3, 29, 1, tzinfo=UTC),
            datetime(2026, 10, 25, 1, tzinfo=UTC),
            datetime(2026, 3, 8, 7, tzinfo=UTC),
            datetime(2026, 11, 1, 6, tzinfo=UTC),
            datetime(2026, 4, 4, 15, tzinfo=UTC),
            datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
            datetime(2027, 12, 31, 23, 59, tzinfo=UTC),
            datetime(2028, 2, 29, 23, 59, tzinfo=UTC),
            datetime(2011, 12, 30, 9, 59, tzinfo=UTC),
        ]
    ).flatmap(lambda at: st.integers(-300, 300).map(lambda minutes: at + minutes * MINUTE)),
)


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    begin, end = sorted(draw(st.tuples(times, times).filter(lambda pair: pair[0] != pair[1])))
    country, region = draw(st.sampled_from([(None, None), ("FR", None), ("DE", "BY"), ("US", "NY")]))
    return Calendar(
        timezone=draw(st.sampled_from(ZONES)),
        begin=begin,
        end=end,
        weekdays=draw(st.frozensets(st.integers(0, 6), min_size=1)),
        country=country,
        region=region,
    )


quiets = st.builds(QuietHours, begin=times, end=times, severities=st.frozensets(severities)).filter(
    lambda quiet: quiet.begin != quiet.end
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    minutes = st.integers(1, 600).map(lambda count: count * MINUTE)
    promises = {one: Promise(respond=draw(st.none() | minutes), update=draw(st.none() | minutes)) for one in Severity}
    steps = draw(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=3))
    return Policy(
        promises=promises,
        calendar=draw(calendars()),
        quiet=draw(st.none() | quiets),
        remind_before=draw(minutes),
        snoozes_most=draw(st.integers(0, 3)),
        nudges_most=draw(st.integers(0, 6)),
        escalations=tuple(Escalation(after=after * MINUTE, page=page) for after, page in sorted(steps)),
    )


def declaring(severity: Severity = Severity.P1, policy: Policy = POLICY, now: datetime = NOW, **told: Any) -> Change:
    """What declaring by Robin makes; no commander unless told."""
    fields = {"target": "default", "title": "Completions fail", "channel": "C0INCIDENTS", **told}
    return acts.declare(Declaration(severity=severity, **fields), ROBIN, now, policy)


def declared(severity: Severity = Severity.P1, policy: Policy = POLICY, now: datetime = NOW, **told: Any) -> Incident:
    return declaring(severity, policy, now, **told).incident


def kinds(change: Change) -> list[str]:
    """Of its events."""
    return [str(event.kind) for event in change.events]


def said(change: Change) -> list[str]:
    """Its messages: a post or a page by its template, anything else by its kind."""
    return [message.template or message.kind for message in change.messages]
