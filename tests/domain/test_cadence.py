"""When something is due: business days, holidays, quiet hours, and clocks that are set forward and back."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from bot.domain.cadence import after_quiet, is_business_day, next_update, respond_by
from bot.domain.causes import Severity
from bot.domain.policy import Calendar, Policy, QuietHours
from tests.domain.incidents import HOUR, MINUTE, NIGHTS, calendars, moments, policies, severities, unhurried

PARIS = ZoneInfo("Europe/Paris")
IN_PARIS = Policy(calendar=Calendar(timezone="Europe/Paris", country="FR"), quiet=NIGHTS)


def paris(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS).astimezone(UTC)


@pytest.mark.parametrize(
    ("begun", "due"),
    [
        ("2026-07-01 12:00", "2026-07-02 17:00"),
        ("2026-07-01 23:59", "2026-07-02 17:00"),
        ("2026-07-03 12:00", "2026-07-06 17:00"),
        ("2026-07-13 12:00", "2026-07-15 17:00"),
        ("2026-12-24 12:00", "2026-12-28 17:00"),
        ("2026-12-31 12:00", "2027-01-04 17:00"),
        ("2026-03-27 18:00", "2026-03-30 17:00"),
    ],
    ids=[
        "tomorrow",
        "by the zone's day",
        "Friday",
        "14 July",
        "Christmas",
        "the year's end",
        "over the change of time",
    ],
)
def test_p4_is_responded_to_by_the_end_of_the_next_business_day(begun: str, due: str) -> None:
    assert respond_by(Severity.P4, paris(begun), IN_PARIS) == paris(due)


def test_the_holidays_of_a_region_count() -> None:
    calendar = Calendar(country="DE", region="BY")
    assert not is_business_day(date(2026, 1, 6), calendar)
    assert is_business_day(date(2026, 1, 6), Calendar(country="DE", region="BE"))


def test_a_day_that_a_zone_left_out_is_no_business_day() -> None:
    policy = Policy(calendar=Calendar(timezone="Pacific/Apia"))
    thursday = datetime(2011, 12, 29, 12, tzinfo=ZoneInfo("Pacific/Apia")).astimezone(UTC)
    due = respond_by(Severity.P4, thursday, policy).astimezone(ZoneInfo("Pacific/Apia"))
    assert due.strftime("%a %d %b %H:%M") == "Mon 02 Jan 17:00"


def test_a_calendar_without_a_business_day_does_not_hang() -> None:
    never = Policy(calendar=Calendar(weekdays=frozenset()))
    assert respond_by(Severity.P4, paris("2026-07-01 12:00"), never) > paris("2027-07-01 12:00")


@pytest.mark.parametrize(
    ("at", "loud"),
    [
        ("2026-07-01 21:59", "2026-07-01 21:59"),
        ("2026-07-01 22:00", "2026-07-02 07:00"),
        ("2026-07-02 00:00", "2026-07-02 07:00"),
        ("2026-07-02 06:59", "2026-07-02 07:00"),
        ("2026-07-02 07:00", "2026-07-02 07:00"),
        ("2026-12-31 23:00", "2027-01-01 07:00"),
        ("2026-03-28 23:00", "2026-03-29 07:00"),
        ("2026-10-24 23:00", "2026-10-25 07:00"),
    ],
)
def test_what_falls_into_quiet_hours_comes_at_their_end(at: str, loud: str) -> None:
    assert after_quiet(Severity.P3, paris(at), IN_PARIS) == paris(loud)
    assert after_quiet(Severity.P1, paris(at), IN_PARIS) == paris(at)


def test_quiet_hours_within_a_day_end_on_it() -> None:
    policy = Policy(quiet=QuietHours(begin=time(12), end=time(14)))
    at = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert after_quiet(Severity.P3, at, policy) == at + 2 * HOUR
    assert after_quiet(Severity.P3, at - MINUTE, policy) == at - MINUTE


def test_an_hour_that_comes_twice_stays_quiet_once_it_has_begun() -> None:
    policy = Policy(calendar=Calendar(timezone="Europe/Paris"), quiet=QuietHours(begin=time(2, 30), end=time(7)))
    second = datetime(2026, 10, 25, 2, 10, tzinfo=PARIS, fold=1).astimezone(UTC)
    assert after_quiet(Severity.P3, second, policy) == paris("2026-10-25 07:00")


def test_after_quiet_hours_an_update_leaves_room_for_its_reminder() -> None:
    assert next_update(Severity.P3, paris("2026-07-01 20:00"), IN_PARIS) == paris("2026-07-02 07:05")
    assert next_update(Severity.P3, paris("2026-07-01 17:59"), IN_PARIS) == paris("2026-07-01 21:59")
    assert next_update(Severity.P3, paris("2026-07-02 03:02"), IN_PARIS) == paris("2026-07-02 07:05")
    assert next_update(Severity.P3, paris("2026-07-02 03:10"), IN_PARIS) == paris("2026-07-02 07:10")
    assert next_update(Severity.P4, paris("2026-07-01 12:00"), IN_PARIS) is None


@unhurried
@given(at=moments, severity=severities, policy=policies())
def test_a_response_is_never_due_before_it_is_asked_for(at: datetime, severity: Severity, policy: Policy) -> None:
    assert respond_by(severity, at, policy) > at


@unhurried
@given(at=moments, calendar=calendars())
def test_a_business_day_it_is_and_none_before_it_was_left_out(at: datetime, calendar: Calendar) -> None:
    zone = ZoneInfo(calendar.timezone)
    due = respond_by(Severity.P4, at, Policy(calendar=calendar)).astimezone(zone)
    begun = at.astimezone(zone).date()
    assert is_business_day(due.date(), calendar)
    between = (begun + timedelta(days=1 + count) for count in range((due.date() - begun).days - 1))
    assert not any(is_business_day(day, calendar) for day in between if _exists(day, zone))
    # a wall clock's time that is skipped comes later, by as much as is skipped
    assert due.time() == calendar.end or not _plain(due, zone)


@unhurried
@given(at=moments, later=moments, calendar=calendars())
def test_who_asks_later_is_not_answered_earlier(at: datetime, later: datetime, calendar: Calendar) -> None:
    policy = Policy(calendar=calendar)
    first, second = sorted((at, later))
    assert respond_by(Severity.P4, first, policy) <= respond_by(Severity.P4, second, policy)


@unhurried
@given(at=moments, severity=severities, policy=policies())
def test_quiet_hours_end_and_are_never_broken(at: datetime, severity: Severity, policy: Policy) -> None:
    loud = after_quiet(severity, at, policy)
    assert at <= loud <= at + timedelta(days=2)
    assert after_quiet(severity, loud, policy) == loud
    quiet = policy.quiet
    local = loud.astimezone(ZoneInfo(policy.calendar.timezone))
    if quiet is not None and severity in quiet.severities and _plain(local, local.tzinfo):
        assert not _within(local.time(), quiet)


@unhurried
@given(at=moments, later=moments, severity=severities, policy=policies())
def test_quiet_hours_keep_the_order_of_what_they_put_off(
    at: datetime, later: datetime, severity: Severity, policy: Policy
) -> None:
    first, second = sorted((at, later))
    assert after_quiet(severity, first, policy) <= after_quiet(severity, second, policy)


@unhurried
@given(now=moments, severity=severities, policy=policies())
def test_an_update_is_due_when_it_was_promised_or_after_quiet_hours(
    now: datetime, severity: Severity, policy: Policy
) -> None:
    due, every = next_update(severity, now, policy), policy.promises[severity].update
    if every is None:
        assert due is None
        return
    assert due is not None
    assert due >= now + every
    assert due == after_quiet(severity, due, policy)
    quiet = policy.quiet
    if quiet is None or severity not in quiet.severities:
        assert due == now + every


def _within(at: time, quiet: QuietHours) -> bool:
    if quiet.begin < quiet.end:
        return quiet.begin <= at < quiet.end
    return at >= quiet.begin or at < quiet.end


def _plain(local: datetime, zone: object) -> bool:
    """Whether no clock is set within a day and a half of it, in ``zone``."""
    assert isinstance(zone, ZoneInfo)
    instants = [local.astimezone(UTC) + timedelta(hours=hours) for hours in range(-36, 37)]
    return len({at.astimezone(zone).utcoffset() for at in instants}) == 1


def _exists(day: date, zone: ZoneInfo) -> bool:
    return datetime.combine(day, time(12), zone).astimezone(UTC).astimezone(zone).date() == day
