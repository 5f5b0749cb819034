"""What people type for ``send`` and read of it: moments, files of recipients, counts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edoccore.errors import RequestInvalidError
from edocnode.cli import moments, reading, sending, wording

EIGHT_IN_HANOI = datetime(2026, 12, 1, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-01T08:00",
        "2026-12-01 08:00",
        "2026-12-01T08:00:00.000",
        "2026-12-01T08:00+07:00",
        "2026-12-01T08:00:00+07:00",
        "2026-12-01T01:00:00Z",
        "2026-11-30T20:00:00-05:00",
    ],
)
def test_moment_without_offset_is_one_of_viet_nam(text: str) -> None:
    assert moments.moment(text, "--send-at") == EIGHT_IN_HANOI


def test_no_moment_is_at_once() -> None:
    assert moments.moment("", "--send-at") is None


@pytest.mark.parametrize(
    "text",
    ["tomorrow", "2026-12-01", "08:00", "2026-13-01T08:00", "2026-12-01T25:00", "20261201T0800",
     "2026-W49-2T08:00", "2026-12-01T08:00+7", "２０２６-12-01T08:00", "1/12/2026 08:00"],
)  # fmt: skip
def test_what_is_no_moment_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RequestInvalidError) as refused:
        moments.moment(text, "--send-at")
    assert "2026-12-01T08:00" in refused.value.hint


def test_recipients_come_from_options_and_files(tmp_path: Path) -> None:
    path = tmp_path / "nơi nhận.txt"
    path.write_text("\ufeff# các bộ\nG01\n\n  G02  # Bộ Quốc phòng\n", encoding="utf-8")
    assert sending._recipients(["H29.5"], [path]) == ("H29.5", "G01", "G02")
    with pytest.raises(RequestInvalidError, match="No recipient"):
        sending._recipients([], [])


def delivery(code: str, state: str, **more: object) -> dict[str, object]:
    return {
        "recipient": code,
        "state": state,
        "message_id": f"id of {code}",
        "since": "2026-12-01T08:00:00.000+07:00",
        "reason": "",
        "message": "",
        "advice": "",
        "peer_down_since": None,
        "next_attempt_at": None,
        "recipient_state": "",
        "recipient_reason": "",
        "assignee": "",
        "revocation": "",
        **more,
    }


def document(*deliveries: dict[str, object], counts: dict[str, int]) -> dict[str, object]:
    return {
        "document_id": "01a206aa-0000-7000-8000-000000000000",
        "created_at": "2026-12-01T08:00:00.000+07:00",
        "send_at": None,
        "urgency": "normal",
        "number": "",
        "notation": "",
        "subject": "Thử",
        "deliveries": list(deliveries),
        "counts": counts,
        "links": [],
    }


def test_document_to_thousands_is_one_line_of_counts_and_what_was_asked_for() -> None:
    shown = [delivery("G01", "held"), *(delivery(f"G02.{n}", "queued") for n in range(19))]
    many = document(*shown, counts={"queued": 48, "delivered": 2951, "held": 1})
    lines = reading._delivery_columns(many, "")
    assert [line[:2] for line in lines] == [("3000 agencies", "48 queued, 2951 delivered, 1 held")]
    lines = reading._delivery_columns(many, "held")
    assert [line[:2] for line in lines[1:]] == [("G01", "held")]


def test_document_to_a_few_has_a_line_for_each() -> None:
    few = document(delivery("G01", "held"), delivery("G02", "queued"), counts={"held": 2})
    assert [line[0] for line in reading._delivery_columns(few, "held")] == ["G01", "G02"]


def test_scheduled_delivery_says_when_it_will_be_sent() -> None:
    later = delivery(
        "G01", "queued", reason="SCHEDULED", next_attempt_at="2026-12-01T08:00:00.000+07:00"
    )
    assert wording.delivery_trouble(later) == "to be sent 01/12/2026 08:00:00"


def test_answer_to_send_stays_short_for_thousands() -> None:
    sent = {
        "document_id": "01a206aa",
        "number": "",
        "deliveries": [delivery(f"G01.{n}", "queued") for n in range(3000)],
    }
    assert sending._sent_text(sent, None) == "document 01a206aa\n  3000: 3000 queued"
    moment = EIGHT_IN_HANOI + timedelta(hours=1)
    assert "to be sent 01/12/2026 09:00:00" in sending._sent_text(sent, moment)
