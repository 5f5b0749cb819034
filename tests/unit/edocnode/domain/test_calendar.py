"""Working days and hours of Viet Nam, around Tet and by chance."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.errors import SettingsError
from edocnode.domain.calendar import VIET_NAM, WorkingCalendar, at

# Tet of 2024: 8 to 14 February off; 29 April off, made up for on Saturday 4 May.
TET = WorkingCalendar(
    days_off=frozenset(
        [date(2024, 2, day) for day in range(8, 15)]
        + [date(2024, 4, 29), date(2024, 4, 30), date(2024, 5, 1)]
    ),
    working_days=frozenset([date(2024, 5, 4)]),
)
DAYS = st.dates(date(2024, 1, 1), date(2026, 12, 31))
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=UTC)
)
AMOUNTS = st.timedeltas(timedelta(0), timedelta(days=8))
CALENDARS = st.builds(
    WorkingCalendar,
    days_off=st.frozensets(DAYS, max_size=40),
    working_days=st.frozensets(DAYS, max_size=10),
    hours=st.sampled_from(
        [((time(8), time(12)), (time(13), time(17))), ((time(7, 30), time(11, 30)),)]
    ),
)


def test_eve_of_tet_is_followed_by_the_first_day_after_it() -> None:
    assert TET.next_working_day(date(2024, 2, 7)) == date(2024, 2, 15)


def test_bridge_day_is_off_and_the_saturday_that_makes_up_for_it_is_worked() -> None:
    assert not TET.is_working_day(date(2024, 4, 29))
    assert TET.is_working_day(date(2024, 5, 4))
    assert TET.next_working_day(date(2024, 5, 3)) == date(2024, 5, 4)
    assert TET.next_working_day(date(2024, 4, 26)) == date(2024, 5, 2)


def test_moment_after_work_belongs_to_the_next_working_day() -> None:
    assert TET.day_worked(at(date(2024, 2, 7), time(16, 59))) == date(2024, 2, 7)
    assert TET.day_worked(at(date(2024, 2, 7), time(17))) == date(2024, 2, 15)
    assert TET.day_worked(at(date(2024, 2, 15), time(0))) == date(2024, 2, 15)


def test_day_is_that_of_viet_nam_not_of_greenwich() -> None:
    late_in_greenwich = datetime(2024, 2, 14, 18, tzinfo=UTC)  # 01:00 on the 15th in Ha Noi
    assert TET.day_worked(late_in_greenwich) == date(2024, 2, 15)


def test_hours_over_lunch_and_tet_are_not_worked() -> None:
    begin = at(date(2024, 2, 7), time(11))
    assert TET.add_working_time(begin, timedelta(hours=2)) == at(date(2024, 2, 7), time(14))
    assert TET.add_working_time(begin, timedelta(hours=6)) == at(date(2024, 2, 15), time(9))
    assert TET.working_time(begin, at(date(2024, 2, 15), time(9))) == timedelta(hours=6)


def test_calendar_without_working_days_is_told_and_does_not_search_for_ever() -> None:
    off = WorkingCalendar(days_off=frozenset(date(2024, 1, 1) + timedelta(n) for n in range(99)))
    with pytest.raises(SettingsError, match="no working day within 60 days"):
        off.next_working_day(date(2024, 1, 1))


@pytest.mark.parametrize(
    "hours", [(), ((time(12), time(8)),), ((time(8), time(12)), (time(11), time(17)))]
)
def test_hours_that_overlap_or_run_backwards_are_refused(
    hours: tuple[tuple[time, time], ...],
) -> None:
    with pytest.raises(SettingsError, match="not in order"):
        WorkingCalendar(hours=hours)


@given(calendar=CALENDARS, day=DAYS)
def test_next_working_day_is_worked_and_none_lies_between(
    calendar: WorkingCalendar, day: date
) -> None:
    following = calendar.next_working_day(day)
    assert calendar.is_working_day(following)
    between = range(1, (following - day).days)
    assert not any(calendar.is_working_day(day + timedelta(days=step)) for step in between)


@given(calendar=CALENDARS, moment=MOMENTS, amount=AMOUNTS)
def test_time_added_is_the_time_worked_between(
    calendar: WorkingCalendar, moment: datetime, amount: timedelta
) -> None:
    reached = calendar.add_working_time(moment, amount)
    assert reached.tzinfo is VIET_NAM
    assert calendar.working_time(moment, reached) == amount


@given(calendar=CALENDARS, moment=MOMENTS, one=AMOUNTS, other=AMOUNTS)
def test_time_added_in_two_steps_is_the_time_added_at_once(
    calendar: WorkingCalendar, moment: datetime, one: timedelta, other: timedelta
) -> None:
    steps = calendar.add_working_time(calendar.add_working_time(moment, one), other)
    assert steps == calendar.add_working_time(moment, one + other) or not other


@given(calendar=CALENDARS, moment=MOMENTS, later=st.timedeltas(timedelta(0), timedelta(days=9)))
def test_who_begins_later_is_never_done_sooner(
    calendar: WorkingCalendar, moment: datetime, later: timedelta
) -> None:
    amount = timedelta(hours=5)
    assert calendar.add_working_time(moment, amount) <= calendar.add_working_time(
        moment + later, amount
    )
    assert calendar.day_worked(moment) <= calendar.day_worked(moment + later)
