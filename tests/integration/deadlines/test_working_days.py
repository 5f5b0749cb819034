"""The calendar from the library of holidays and from files, and limits from the settings."""

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from edoccore.errors import SettingsError
from edoccore.signing.statements import Urgency
from edocnode.app.working_days import WorkingDays
from edocnode.domain.calendar import at
from edocnode.domain.deadlines import DEFAULT_LIMITS
from edocnode.settings import NodeSettings, read_settings

NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
OWN = """
[[year]]
year = 2026
source = "Thông báo số 123/TB-BNV"
verified = true
days_off = [2026-11-30]
working_days = [2026-12-05]
"""


def settings(folder: Path, text: str = "") -> NodeSettings:
    file = folder / "edocnode.toml"
    file.write_text(f'listen = "127.0.0.1:0"\n{text}', encoding="utf-8")
    return read_settings(file)


def test_tet_of_every_year_until_2030_is_off_and_ends(tmp_path: Path) -> None:
    calendar = WorkingDays(settings(tmp_path), tmp_path).rules(NOW).calendar
    new_years = {
        2024: date(2024, 2, 10),
        2025: date(2025, 1, 29),
        2026: date(2026, 2, 17),
        2027: date(2027, 2, 6),
        2028: date(2028, 1, 26),
        2030: date(2030, 2, 3),
    }
    for first_day in new_years.values():
        assert not calendar.is_working_day(first_day)
        break_ends = calendar.next_working_day(first_day)
        assert timedelta(days=2) < break_ends - first_day < timedelta(days=9)


def test_days_that_were_exchanged_come_from_the_library_and_the_shipped_file(
    tmp_path: Path,
) -> None:
    calendar = WorkingDays(settings(tmp_path), tmp_path).rules(NOW).calendar
    for off, worked in [
        (date(2024, 4, 29), date(2024, 5, 4)),
        (date(2026, 8, 31), date(2026, 8, 22)),
        (date(2026, 1, 2), date(2026, 1, 10)),
    ]:
        assert not calendar.is_working_day(off)
        assert calendar.is_working_day(worked)


def test_file_of_the_operator_stands_in_place_of_the_shipped_year(tmp_path: Path) -> None:
    (tmp_path / "lịch.toml").write_text(OWN, encoding="utf-8")
    days = WorkingDays(settings(tmp_path, 'calendar_file = "lịch.toml"'), tmp_path)
    calendar = days.rules(NOW).calendar
    assert calendar.next_working_day(date(2026, 11, 27)) == date(2026, 12, 1)
    assert calendar.is_working_day(date(2026, 12, 5))
    assert calendar.is_working_day(date(2026, 1, 2))


def test_calendar_goes_on_into_the_next_year_of_a_running_node(tmp_path: Path) -> None:
    days = WorkingDays(settings(tmp_path), tmp_path)
    now = days.rules(NOW)
    assert days.rules(NOW) is now
    later = days.rules(datetime(2031, 6, 1, tzinfo=UTC))
    assert not later.calendar.is_working_day(date(2036, 1, 1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("year = 2026", "year in the calendar"),
        (OWN.replace("2026-11-30", "2027-11-30"), "not a day of 2026"),
        (OWN.replace("2026-12-05", "2026-11-30"), "both off and worked"),
        (OWN.replace("days_off", "day_off"), "day_off in the calendar"),
        ("[[year", "not valid TOML"),
        (OWN.replace("[2026-11-30]", "[2026-13-30]"), "not valid TOML"),
    ],
)
def test_mistake_in_the_file_is_told_with_its_name(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "lich.toml").write_text(text, encoding="utf-8")
    days = WorkingDays(settings(tmp_path, 'calendar_file = "lich.toml"'), tmp_path)
    with pytest.raises(SettingsError, match=re.escape(told)) as caught:
        days.rules(NOW)
    assert "lich.toml" in caught.value.message


def test_missing_file_is_told(tmp_path: Path) -> None:
    days = WorkingDays(settings(tmp_path, 'calendar_file = "lich.toml"'), tmp_path)
    with pytest.raises(SettingsError, match="cannot be read"):
        days.rules(NOW)


def test_limits_that_are_set_stand_and_the_others_are_as_shipped(tmp_path: Path) -> None:
    text = """
    morning_ends = 11:30:00
    working_hours = ["07:30-11:30", "13:30-17:00"]
    [time_limits.hoa_toc]
    accept_min = 20
    [time_limits.khan]
    send_min = 0
    around_the_clock = true
    """
    rules = WorkingDays(settings(tmp_path, text), tmp_path).rules(NOW)
    day = date(2026, 11, 26)
    assert rules.accept_by(NOW, Urgency.HOA_TOC) == NOW + timedelta(minutes=20)
    assert rules.limits[Urgency.HOA_TOC].send == DEFAULT_LIMITS[Urgency.HOA_TOC].send
    assert rules.send_by(day, NOW, Urgency.KHAN) == at(date(2026, 11, 27), time(11, 30))
    assert rules.limits[Urgency.KHAN].around_the_clock
    assert rules.limits[Urgency.NORMAL] == DEFAULT_LIMITS[Urgency.NORMAL]
    assert rules.calendar.hours[1] == (time(13, 30), time(17))


@pytest.mark.parametrize(
    "text",
    [
        'working_hours = ["29:00-12:00"]',
        'working_hours = ["12:00-08:00"]',
    ],
)
def test_working_hours_that_are_none_are_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="working hours"):
        WorkingDays(settings(tmp_path, text), tmp_path).rules(NOW)
