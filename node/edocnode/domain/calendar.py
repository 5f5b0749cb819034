"""The working calendar: which days and hours count when a deadline runs.

Days and hours are those of Viet Nam's zone, +07:00 all year. Weekends are off; holidays, days off
in lieu and other days that the Government gives come in as a set, and so do the Saturdays on which
work is made up for them. Which days these are is data, decided anew each year; here is only what
follows from them. Working hours differ between agencies and are an argument too.

Source: Labour Code 45/2019/QH14, Articles 105, 111 and 112; Decision 28/2018/QD-TTg, Article 14.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from itertools import pairwise

from edoccore.errors import SettingsError

VIET_NAM = timezone(timedelta(hours=7), "+07:00")
WEEKEND = frozenset({5, 6})  # Saturday and Sunday, as date.weekday() counts
DEFAULT_HOURS = ((time(8), time(12)), (time(13), time(17)))
LONGEST_BREAK_DAYS = 60  # no working day for longer: the data are wrong

_DAY = timedelta(days=1)

Span = tuple[time, time]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingCalendar:
    """Which days and hours are worked.

    Attributes:
        days_off: Holidays and other days off; weekends need not be among them.
        working_days: Days worked although they are a weekend or a day off.
        hours: From and to, the same on every working day, in order, at least one.

    Raises:
        SettingsError: The hours are none, not in order, or overlap.
    """

    days_off: frozenset[date] = frozenset()
    working_days: frozenset[date] = frozenset()
    hours: tuple[Span, ...] = DEFAULT_HOURS

    def __post_init__(self) -> None:
        """Checks the hours."""
        marks = [mark for span in self.hours for mark in span]
        if not marks or any(one >= other for one, other in pairwise(marks)):
            raise SettingsError(
                "The working hours are none, or not in order.",
                hint='Write them like ["08:00-12:00", "13:00-17:00"].',
            )

    def is_working_day(self, day: date) -> bool:
        """Whether a day is worked."""
        if day in self.working_days:
            return True
        return day.weekday() not in WEEKEND and day not in self.days_off

    def next_working_day(self, day: date) -> date:
        """The first working day after a day.

        Raises:
            SettingsError: There is none within 60 days: the data are wrong.
        """
        return self.working_day_from(day + _DAY)

    def working_day_from(self, day: date) -> date:
        """The day itself when it is worked, otherwise the next that is.

        Raises:
            SettingsError: There is none within 60 days: the data are wrong.
        """
        for later in range(LONGEST_BREAK_DAYS + 1):
            if self.is_working_day(day + later * _DAY):
                return day + later * _DAY
        raise SettingsError(
            f"The calendar has no working day within {LONGEST_BREAK_DAYS} days from {day}.",
            hint="Correct the file that calendar_file names.",
        )

    def end_of(self, day: date) -> datetime:
        """When work ends on a day, as if it were a working day."""
        return at(day, self.hours[-1][1])

    def day_worked(self, moment: datetime) -> date:
        """The working day to which a moment belongs.

        Its own day as long as work has not ended, before it begins too; then the next working day.

        Raises:
            SettingsError: There is none within 60 days: the data are wrong.
        """
        local = moment.astimezone(VIET_NAM)
        if local >= self.end_of(local.date()):
            return self.next_working_day(local.date())
        return self.working_day_from(local.date())

    def is_working_time(self, moment: datetime) -> bool:
        """Whether somebody is at work at a moment."""
        local = moment.astimezone(VIET_NAM)
        return any(begin <= local < end for begin, end in self._spans(local.date()))

    def add_working_time(self, moment: datetime, amount: timedelta) -> datetime:
        """The moment at which so much time has been worked since another.

        Args:
            amount: Not negative; zero gives the first moment at work.

        Raises:
            SettingsError: The calendar has no working day within 60 days.
        """
        local, left = moment.astimezone(VIET_NAM), amount
        for begin, end in self._spans_from(local.date()):
            starts = max(begin, local)
            if starts >= end:
                continue
            if left <= end - starts:
                return starts + left
            left -= end - starts
        raise AssertionError("working days do not end")

    def working_time(self, begin: datetime, end: datetime) -> timedelta:
        """How much time is worked between two moments; zero when the second is not later."""
        total, day = timedelta(0), begin.astimezone(VIET_NAM).date()
        while day <= end.astimezone(VIET_NAM).date():
            for opens, closes in self._spans(day):
                total += max(min(closes, end) - max(opens, begin), timedelta(0))
            day += _DAY
        return total

    def _spans(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        """The hours of one day; none when it is not worked."""
        if self.is_working_day(day):
            for begin, end in self.hours:
                yield at(day, begin), at(day, end)

    def _spans_from(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        """The hours of a day and of all that follow."""
        while True:
            day = self.working_day_from(day)
            yield from self._spans(day)
            day += _DAY


def at(day: date, hour: time) -> datetime:
    """A moment of Viet Nam's time."""
    return datetime.combine(day, hour, VIET_NAM)


def day_in_viet_nam(moment: datetime) -> date:
    """On which day a moment falls in Viet Nam."""
    return moment.astimezone(VIET_NAM).date()


def end_of_day(day: date) -> datetime:
    """The midnight that ends a day."""
    return at(day + _DAY, time(0))
