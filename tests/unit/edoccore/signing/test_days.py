"""Days and hours in records exist, and can be reckoned with in every time zone."""

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.signing.days import is_day
from edoccore.signing.statements import time_text

FAR_WEST, FAR_EAST = timezone(timedelta(hours=-12)), timezone(timedelta(hours=14))


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29",
        "2026-02-31",
        "2026-19-39",
        "2026-00-01",
        "2026-01-00",
        "0000-01-01",
        "0001-01-01",
        "9999-12-31",
        "2026-02-30T00:00:00.000Z",
        "2026-01-01T24:00:01.000Z",
        "2026-01-01T00:61:00.000Z",
        "9999-12-31T23:59:59.999Z",
    ],
)
def test_what_is_no_day_is_told(text: str) -> None:
    assert not is_day(text)


@given(st.dates(date(2, 1, 1), date(9998, 12, 31)))
def test_every_day_that_is_taken_can_be_reckoned_with(day: date) -> None:
    assert is_day(day.isoformat())
    assert day + timedelta(days=60) > day - timedelta(days=60)


@given(st.datetimes(datetime(2, 1, 2), datetime(9998, 12, 30), timezones=st.just(FAR_WEST)))  # noqa: DTZ001
def test_every_moment_that_is_taken_has_a_place_in_every_time_zone(moment: datetime) -> None:
    assert is_day(time_text(moment))
    assert moment.astimezone(FAR_EAST) == moment
