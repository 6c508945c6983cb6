"""When something is due: pure functions from moments (aware, UTC) and the policy to moments.

Durations are counted in real time; only days, working hours and quiet hours look at the policy's time zone.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from bot.domain.causes import Severity
from bot.domain.policy import Calendar, Policy

_DAY = timedelta(days=1)
# A year and a half without a business day is a mistake in the calendar, which must not hang a handler.
_MOST_DAYS = 550


def respond_by(severity: Severity, begun: datetime, policy: Policy) -> datetime:
    """Until when somebody must have taken command; where that is a business day, until the end of its work."""
    within = policy.promises[severity].respond
    if within is not None:
        return begun + within
    calendar = policy.calendar
    day = _local(begun, calendar).date()
    for _ in range(_MOST_DAYS):
        day += _DAY
        due = _moment(day, calendar.end, calendar)
        # where a zone crosses the date line a day is left out, and nobody works on it
        if is_business_day(day, calendar) and _local(due, calendar).date() == day:
            break
    return due


def next_update(severity: Severity, now: datetime, policy: Policy) -> datetime | None:
    """When the next update is due if one is made now; None: none is promised.

    After quiet hours it leaves room for the reminder, which has waited for their end as well.
    """
    every = policy.promises[severity].update
    if every is None:
        return None
    due = after_quiet(severity, now + every, policy)
    notice = min(policy.remind_before, every / 2)
    return after_quiet(severity, max(due, after_quiet(severity, due - notice, policy) + notice), policy)


def after_quiet(severity: Severity, at: datetime, policy: Policy) -> datetime:
    """``at``, or the end of the quiet hours in which it falls."""
    quiet = policy.quiet
    if quiet is None or severity not in quiet.severities or quiet.begin == quiet.end:
        return at
    over_midnight = quiet.end < quiet.begin
    today = _local(at, policy.calendar).date()
    # compared as moments: a clock that is set forward or back shows times that begin and end nothing
    for day in (today - _DAY, today, today + _DAY):
        begin = _moment(day, quiet.begin, policy.calendar)
        end = _moment(day + _DAY if over_midnight else day, quiet.end, policy.calendar)
        if begin <= at < end:
            at = end
    return at


def is_business_day(day: date, calendar: Calendar) -> bool:
    """A day on which people work: neither a free day of the week nor a public holiday."""
    return day.weekday() in calendar.weekdays and day not in _holidays(calendar.country, calendar.region, day.year)


def _local(at: datetime, calendar: Calendar) -> datetime:
    return at.astimezone(ZoneInfo(calendar.timezone))


def _moment(day: date, at: time, calendar: Calendar) -> datetime:
    return datetime.combine(day, at, ZoneInfo(calendar.timezone)).astimezone(UTC)


@lru_cache(maxsize=64)
def _holidays(country: str | None, region: str | None, year: int) -> frozenset[date]:
    if country is None:
        return frozenset()
    import holidays  # 0.4 s, for those who name a country

    return frozenset(holidays.country_holidays(country, subdiv=region, years=year))
