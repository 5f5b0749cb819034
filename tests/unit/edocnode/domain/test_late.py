"""What is late is found by its beginning and judged by its deadlines."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import product

import pytest

from edocnode.domain.calendar import WorkingCalendar, at
from edocnode.domain.deadlines import DeadlineKind, DeadlineRules
from edocnode.domain.late import LateKind, LateRow, late_cuts, late_item
from edocnode.domain.model import DocumentId, Lane, MessageId

RULES = DeadlineRules(calendar=WorkingCalendar())
FRIDAY, MONDAY = date(2026, 11, 27), date(2026, 11, 30)
MOMENT = timedelta(milliseconds=1)


def row(kind: LateKind, since: datetime, **changes: object) -> LateRow:
    values: dict[str, object] = {
        "kind": kind,
        "place": 1,
        "message_id": MessageId(b"m" * 16),
        "document_id": DocumentId(b"d" * 16),
        "agency": "H29",
        "peer": "G01",
        "lane": Lane.NORMAL,
        "since": since,
        "subject": "Về việc kiểm tra",
        "number": "28",
        "notation": "QĐ-UBND",
        "due_date": "",
        "state": "received",
        "reason": "",
    }
    return LateRow(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "lane"), list(product(list(LateKind)[:3], Lane)))
def test_what_began_until_the_cut_is_late_and_what_began_after_it_is_not(
    kind: LateKind, lane: Lane
) -> None:
    now = datetime(2026, 11, 30, 3, 10, tzinfo=UTC)
    cut = getattr(late_cuts(RULES, now), kind.value)[lane]
    state = "queued" if kind is LateKind.UNDELIVERED else "received"
    before = late_item(row(kind, cut - MOMENT, lane=lane, state=state), RULES, now)
    after = late_item(row(kind, cut + 2 * MOMENT, lane=lane, state=state), RULES, now)
    assert before is not None
    assert before.late_by > timedelta(0)
    assert after is None


def test_first_step_is_late_by_the_last_deadline_that_is_over() -> None:
    arrived = row(LateKind.UNDECIDED, at(FRIDAY, time(10)))
    on_saturday = late_item(arrived, RULES, at(date(2026, 11, 28), time(9)))
    on_tuesday = late_item(arrived, RULES, at(date(2026, 12, 1), time(9)))
    assert on_saturday is not None
    assert on_tuesday is not None
    assert on_saturday.deadline is DeadlineKind.ACKNOWLEDGE
    assert (on_tuesday.deadline, on_tuesday.due) == (DeadlineKind.ACCEPT, at(MONDAY, time(17)))


@pytest.mark.parametrize(
    ("kind", "state", "told"),
    [
        (LateKind.UNDELIVERED, "queued", "edocnode ping G01"),
        (LateKind.UNDELIVERED, "held", "edocnode retry"),
        (LateKind.UNANSWERED, "delivered", "G01 by telephone"),
        (LateKind.UNDECIDED, "received", "edocnode accept"),
        (LateKind.OVERDUE, "received", "take it in"),
        (LateKind.OVERDUE, "processing", "finish it"),
    ],
)
def test_each_line_says_what_to_do(kind: LateKind, state: str, told: str) -> None:
    late = row(kind, at(FRIDAY, time(9)), state=state, due_date="2026-11-27")
    item = late_item(late, RULES, at(date(2026, 12, 9), time(9)))
    assert item is not None
    assert told in item.advice
