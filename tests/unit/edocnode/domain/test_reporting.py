"""Monthly statements: when they are due, and what is read of them."""

import json
from datetime import date, datetime, time, timedelta

import pytest

from edoccore.signing.records import DocumentRecord, Extension, Office
from edocnode.domain.calendar import WorkingCalendar, at
from edocnode.domain.reporting import (
    EXTENSION,
    Month,
    due_reports,
    read_report,
    report_fields,
)
from edocnode.domain.statistics import Figures

# 2 January 2026 was a day off: the first working day of the month is Monday the 5th.
CALENDAR = WorkingCalendar(days_off=frozenset({date(2026, 1, 1), date(2026, 1, 2)}))


@pytest.mark.parametrize(
    ("now", "months"),
    [
        (at(date(2026, 1, 2), time(10)), []),
        (at(date(2026, 1, 5), time(7, 59)), []),
        (at(date(2026, 1, 5), time(8)), ["2025-12", "2025-11"]),
        (at(date(2026, 1, 31), time(23)), ["2025-12", "2025-11"]),
        (at(date(2026, 2, 2), time(9)), ["2026-01", "2025-12"]),
    ],
)
def test_statement_is_due_when_work_begins_on_the_first_working_day(
    now: datetime, months: list[str]
) -> None:
    due = due_reports(now, CALENDAR, "H29")
    assert [str(each.month) for each in due] == months
    assert len({each.request_id for each in due}) == len(due)


def test_months_are_whole_and_follow_each_other() -> None:
    assert Month(2024, 2).last == date(2024, 2, 29)
    assert Month(2026, 12).last == date(2026, 12, 31)
    assert Month(2026, 1).before == Month(2025, 12)
    assert Month(2026, 3).first - timedelta(days=1) == Month(2026, 2).last


def record(value: str, name: str = EXTENSION) -> DocumentRecord:
    return DocumentRecord(
        network="test",
        document_id="01a206aa-0000-7000-8000-000000000000",
        issuer=Office(code="H29"),
        subject="Báo cáo",
        extensions=(Extension(name=name, value=value),),
    )


def test_what_is_written_is_read() -> None:
    figures = Figures(sent=7, received=9, finished_on_time=2)
    fields = json.loads(report_fields(Month(2026, 11), figures))
    assert fields["document_code"] == "edoc.statistics/2026-11"
    assert "11/2026" in fields["subject"]
    (extension,) = fields["extensions"]
    assert read_report(record(extension["value"])) == figures


@pytest.mark.parametrize(
    "value",
    ["", "[]", '{"sent":-1}', '{"sent":1.5}', '{"stolen":1}', '{"sent":9007199254740992}', "{"],
)
def test_figures_that_are_none_are_not_read(value: str) -> None:
    assert read_report(record(value)) is None


def test_record_without_figures_has_none() -> None:
    assert read_report(record("{}", name="khác")) is None
