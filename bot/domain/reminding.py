"""When people are reminded of what they promised: at the beginning of work of a working day; pure."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from bot.domain.cadence import is_business_day
from bot.domain.policy import Calendar

_DAY = timedelta(days=1)
# A year and a half without a working day is a mistake in the calendar.
_MOST_DAYS = 550


def after_working_days(at: datetime, count: int, calendar: Calendar) -> datetime:
    """The beginning of work, so many working days after the day of ``at``."""
    return work_begins(shifted(local_day(at, calendar), count, calendar), calendar)


def shifted(day: date, count: int, calendar: Calendar) -> date:
    """So many working days after ``day``, or before it where ``count`` is negative."""
    step, left = (_DAY if count > 0 else -_DAY), abs(count)
    for _ in range(_MOST_DAYS):
        if not left:
            break
        day += step
        left -= is_business_day(day, calendar)
    return day


def work_begins(day: date, calendar: Calendar) -> datetime:
    return datetime.combine(day, calendar.begin, ZoneInfo(calendar.timezone)).astimezone(UTC)


def local_day(at: datetime, calendar: Calendar) -> date:
    return at.astimezone(ZoneInfo(calendar.timezone)).date()
