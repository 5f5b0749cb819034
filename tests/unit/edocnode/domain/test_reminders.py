"""Reminders are worded in both languages, bounded, and fit into short messages."""

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edocnode.domain.model import MessageId
from edocnode.domain.reminders import (
    LISTED,
    SMS_PARTS,
    Outlet,
    ReminderItem,
    ReminderKind,
    digest_of,
    short_messages,
    wait_after,
)

OUTLET = Outlet(name="o", kinds=frozenset(ReminderKind), agency="", with_subject=True)


def item(kind: ReminderKind = ReminderKind.OVERDUE, **changes: object) -> ReminderItem:
    values: dict[str, object] = {
        "message_id": MessageId(b"m" * 16),
        "agency": "H29",
        "peer": "G01",
        "number": "28",
        "notation": "QĐ-UBND",
        "subject": "Về việc báo cáo",
        "due": datetime(2026, 11, 26, 10, tzinfo=UTC),
    }
    return ReminderItem(kind=kind, **(values | changes))  # type: ignore[arg-type]


def test_digest_counts_by_kind_and_lists_a_bounded_number() -> None:
    items = [item(ReminderKind.ARRIVED, due=None)] + [item()] * 40
    told = digest_of(items, OUTLET, "H29")
    assert told.title == "[edocnode H29] Hỏa tốc mới đến: 1; Quá hạn xử lý: 40"
    assert told.text.count("28/QĐ-UBND") == LISTED
    assert "... và 21 văn bản khác / and 21 more" in told.text
    assert "hạn 17:00 26/11/2026" in told.text


def test_subject_is_left_out_where_it_may_not_leave() -> None:
    without = Outlet(name="o", kinds=frozenset(), agency="", with_subject=False)
    told = digest_of([item()], without, "H29")
    assert "báo cáo" not in told.text + told.short + told.title


def test_text_of_another_agency_stays_in_its_line() -> None:
    told = digest_of([item(subject="a\r\nBcc: x\u202e")], OUTLET, "H29")
    assert "\r" not in told.text
    assert "\nBcc" not in told.text
    assert "\u202e" not in told.text


def test_waits_grow_to_an_hour() -> None:
    waits = [wait_after(failures) for failures in range(1, 200)]
    assert waits[0] == timedelta(minutes=1)
    assert waits == sorted(waits)
    assert waits[-1] == timedelta(hours=1)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), st.integers(0, 255))
def test_short_messages_join_to_the_text_and_break_no_letter(text: str, reference: int) -> None:
    parts = short_messages(text, reference)
    assert all(len(part) <= 140 for part in parts)
    assert len(parts) <= SMS_PARTS
    if len(parts) == 1:
        assert parts[0].decode("utf-16-be") == text
        return
    heads = [part[:6] for part in parts]
    assert heads == [
        bytes((5, 0, 3, reference, len(parts), place)) for place in range(1, len(parts) + 1)
    ]
    joined = "".join(part[6:].decode("utf-16-be") for part in parts)
    if joined != text:
        assert joined.endswith("…")
        assert text.startswith(joined[:-1])
        assert len(parts) == SMS_PARTS


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_short_message_that_is_cut_ends_behind_a_whole_letter_and_says_so(form: str) -> None:
    """Each ế of NFD is three characters; no cut may make another word of it."""
    for ahead in range(8):
        text = unicodedata.normalize(form, "x" * ahead + "tiếng Việt có dấu 𠮷 " * 40)
        parts = short_messages(text, 7)
        joined = "".join(part[6:].decode("utf-16-be") for part in parts)
        assert len(parts) == SMS_PARTS
        assert joined.endswith("…")
        kept = joined[:-1]
        assert text.startswith(kept)
        assert not unicodedata.combining(text[len(kept)])


def test_short_message_of_vietnamese_breaks_at_70_letters_not_at_160() -> None:
    [one] = short_messages("ế" * 70, 7)
    assert one.decode("utf-16-be") == "ế" * 70
    assert [len(part) for part in short_messages("ế" * 71, 7)] == [140, 14]


def test_title_is_one_line_whatever_an_agency_is_called() -> None:
    told = digest_of([item()], OUTLET, "H29\r\nBcc: x@y")
    assert "\r" not in told.title
    assert "\n" not in told.title
