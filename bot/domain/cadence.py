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
        if is_business_day(day, calendar):
            break
    return _moment(day, calendar.end, calendar)


def next_update(severity: Severity, now: datetime, policy: Policy) -> datetime | None:
    """When the next update is due if one is made now; None: none is promised."""
    every = policy.promises[severity].update
    return None if every is None else after_quiet(severity, now + every, policy)


def after_quiet(severity: Severity, at: datetime, policy: Policy) -> datetime:
    """``at``, or the end of the quiet hours in which it falls."""
    quiet = policy.quiet
    if quiet is None or severity not in quiet.severities or quiet.begin == quiet.end:
        return at
    local = _local(at, policy.calendar)
    over_midnight = quiet.end < quiet.begin
    past_begin, before_end = local.time() >= quiet.begin, local.time() < quiet.end
    inside = (past_begin or before_end) if over_midnight else (past_begin and before_end)
    if not inside:
        return at
    day = local.date() + _DAY if over_midnight and past_begin else local.date()
    # an end that the clock skips or repeats in spring or autumn must not lie before ``at``
    return max(at, _moment(day, quiet.end, policy.calendar))


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
