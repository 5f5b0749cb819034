"""Deadlines of Decision 28 and Decree 30, and how they are kept."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.signing.statements import Urgency
from edocnode.domain.calendar import WorkingCalendar, at
from edocnode.domain.deadlines import (
    LOOK_BACK,
    DeadlineRules,
    latest_over,
)

FRIDAY, SATURDAY, MONDAY, TUESDAY = (
    date(2026, 11, 27),
    date(2026, 11, 28),
    date(2026, 11, 30),
    date(2026, 12, 1),
)
RULES = DeadlineRules(calendar=WorkingCalendar())


def test_document_signed_on_friday_is_sent_until_noon_on_monday() -> None:
    due = RULES.send_by(FRIDAY, at(FRIDAY, time(16)), Urgency.NORMAL)
    assert due == at(MONDAY, time(12))


def test_end_of_the_morning_is_a_setting() -> None:
    rules = replace(RULES, morning_ends=time(11, 30))
    assert rules.send_by(FRIDAY, at(FRIDAY, time(16)), Urgency.NORMAL) == at(MONDAY, time(11, 30))


def test_most_urgent_document_has_minutes_by_night_too() -> None:
    night = at(SATURDAY, time(23, 55))
    assert RULES.send_by(SATURDAY, night, Urgency.HOA_TOC) == at(date(2026, 11, 29), time(0, 5))


def test_urgent_document_handed_in_a_day_late_has_had_its_minutes() -> None:
    due = RULES.send_by(FRIDAY, at(MONDAY, time(9)), Urgency.HOA_TOC)
    assert due == at(SATURDAY, time(0, 10))


def test_urgent_minutes_count_in_working_hours() -> None:
    assert RULES.accept_by(at(FRIDAY, time(16)), Urgency.KHAN) == at(MONDAY, time(11))


def test_what_arrives_after_work_is_acknowledged_on_the_next_working_day() -> None:
    by_day = RULES.acknowledge_by(at(FRIDAY, time(10)), Urgency.NORMAL)
    by_night = RULES.acknowledge_by(at(FRIDAY, time(20)), Urgency.NORMAL)
    assert by_day == at(SATURDAY, time(0))
    assert by_night == at(TUESDAY, time(0))


def test_what_arrives_on_friday_is_registered_until_work_ends_on_monday() -> None:
    assert RULES.accept_by(at(FRIDAY, time(10)), Urgency.NORMAL) == at(MONDAY, time(17))


def test_due_date_on_a_day_off_ends_with_the_next_working_day() -> None:
    assert RULES.finish_by(FRIDAY) == at(FRIDAY, time(17))
    assert RULES.finish_by(SATURDAY) == at(MONDAY, time(17))


@pytest.mark.parametrize(
    ("now", "over"),
    [
        (at(FRIDAY, time(17)), date(2026, 11, 26)),
        (at(FRIDAY, time(17, 1)), FRIDAY),
        (at(MONDAY, time(17)), FRIDAY),
        (at(MONDAY, time(17, 1)), MONDAY),
    ],
)
def test_latest_due_date_that_is_over_turns_when_work_ends(now: datetime, over: date) -> None:
    assert RULES.overdue_on(now) == over


@pytest.mark.parametrize("urgency", list(Urgency))
@pytest.mark.parametrize("deadline", [RULES.accept_by, RULES.acknowledge_by, RULES.deliver_by])
@given(
    now=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)).map(  # noqa: DTZ001
        lambda moment: moment.replace(tzinfo=UTC)
    ),
    back=st.timedeltas(timedelta(0), timedelta(days=9)),
)
def test_all_that_began_until_the_latest_that_is_over_is_late_and_nothing_after_it(
    deadline: Callable[[datetime, Urgency], datetime],
    urgency: Urgency,
    now: datetime,
    back: timedelta,
) -> None:
    edge = latest_over(lambda began: deadline(began, urgency), now)
    began = now - back
    if deadline(began, urgency) < now:
        assert began <= edge + timedelta(milliseconds=1)
    else:
        assert began > edge
    assert edge >= now - LOOK_BACK
