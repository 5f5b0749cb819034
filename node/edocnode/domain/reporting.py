"""The monthly statement of statistics that each node sends to the Government Office's node.

It is a document like any other, so it is sealed, delivered, answered and proven like any other: its
record says in words what it is, its ``document_code`` names the month, and one extension of the
record has the figures. The newest of an agency for a month counts. An agency counts only what it
seals itself, with all whom its node serves, so nobody is counted twice.

Source: Decision 28/2018/QD-TTg, Articles 11 and 15; proto/README.md, Records.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from msgspec import DecodeError, UnsetType

from edoccore.signing.readers import reader_of
from edoccore.signing.records import DocumentRecord
from edocnode.domain.calendar import WorkingCalendar, day_in_viet_nam
from edocnode.domain.statistics import (
    FIGURES,
    REPORT_CODE,
    Figures,
    Statistics,
    StatisticsRequest,
)

EXTENSION = "edoc.statistics/v1"
DOCUMENT_TYPE = "BC"  # báo cáo
MAX_FIGURE = (1 << 53) - 1  # what a statement may hold

_read_numbers = reader_of(dict[str, int])


@dataclass(frozen=True, slots=True)
class Month:
    """A month of a year."""

    year: int
    month: int

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, self.month, 1)

    @property
    def last(self) -> date:
        """Its last day."""
        return date(self.year + self.month // 12, self.month % 12 + 1, 1) - timedelta(days=1)

    @property
    def before(self) -> "Month":
        """The month before."""
        day = self.first - timedelta(days=1)
        return Month(day.year, day.month)

    def __str__(self) -> str:
        """As codes name it: 2026-11."""
        return f"{self.year:04}-{self.month:02}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DueReport:
    """A statement that is to be sent; ``request_id`` makes it be sent once."""

    month: Month
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Nation:
    """The sums of a month over all agencies.

    Attributes:
        reported: Figures by agency.
        missing: Agencies with a node that have not reported, in order.
    """

    total: Figures
    reported: Mapping[str, Figures]
    missing: tuple[str, ...]


class Counts(Protocol):
    """Counts documents."""

    async def statistics(self, wanted: StatisticsRequest) -> tuple[Statistics, bool]:
        """The figures of a period, and whether all that is here is counted in them."""

    async def nation(self, month: Month) -> tuple[Nation, bool]:
        """The sums of a month over all agencies, and whether all that is here is counted."""


def due_reports(now: datetime, calendar: WorkingCalendar, agency: str) -> tuple[DueReport, ...]:
    """What is to have been sent by now: nothing before work begins on a month's first working day.

    The month before, and once more the one before that, with what became of it since.
    """
    today = day_in_viet_nam(now)
    this = Month(today.year, today.month)
    first = calendar.working_day_from(this.first)
    if today < first or (today == first and not calendar.is_working_time(now)):
        return ()
    last = this.before
    return (
        DueReport(month=last, request_id=f"statistics-{agency}-{last}"),
        DueReport(month=last.before, request_id=f"statistics-{agency}-{last.before}-final"),
    )


def report_fields(month: Month, figures: Figures) -> bytes:
    """The fields of the record of a statement, as an office would hand them in."""
    named = f"{month.month:02}/{month.year}"
    fields = {
        "subject": f"Báo cáo thống kê gửi, nhận văn bản điện tử tháng {named}",
        "document_type": DOCUMENT_TYPE,
        "document_code": f"{REPORT_CODE}{month}",
        "extensions": [
            {"name": EXTENSION, "value": json.dumps(asdict(figures), separators=(",", ":"))}
        ],
    }
    return json.dumps(fields, ensure_ascii=False).encode()


def read_report(record: DocumentRecord) -> Figures | None:
    """The figures in a record; None when it has none, or they are none."""
    if isinstance(record.extensions, UnsetType):
        return None
    for extension in record.extensions:
        if extension.name == EXTENSION:
            return _figures(extension.value)
    return None


def _figures(text: str) -> Figures | None:
    try:
        numbers: dict[str, int] = _read_numbers.decode(text.encode())
    except DecodeError:
        return None
    if not numbers.keys() <= set(FIGURES):
        return None
    if any(not 0 <= number <= MAX_FIGURE for number in numbers.values()):
        return None
    return Figures(**numbers)
