"""A clerk's day, over real processes: what is sent is dealt with, and both sides see it."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from edockit.language import VIET_NAM
from edocnode.cli.record import nfc
from tests.support.network import Network, Node, waited_for

REASON = "Văn bản gửi nhầm cơ quan, đề nghị gửi lại Bộ Nội vụ"


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / nfc("Công văn số 28.txt")
    path.write_text("Kính gửi: Bộ Nội vụ", encoding="utf-8")
    return path


@pytest.mark.slow
def test_clerks_send_accept_assign_finish_answer_refuse_and_take_back(
    network: Network, letter: Path
) -> None:
    province, ministry = network["H29"], network["G01"]
    today = datetime.now(VIET_NAM).date()
    asked = send(province, letter, "Về việc báo cáo biên chế", "--due", "2030-01-31")
    deal_with(ministry, asked)
    assert told(province, asked) == ["arrived", "accepted", "assigned", "processing", "finished"]
    answer = send(ministry, letter, "Trả lời về biên chế", "--reply-to", asked, to="H29")
    shown = province.done("show", answer)
    assert shown["record"]["in_reply_to"][0]["document_id"] == asked
    refused = send(province, letter, "Gửi nhầm")
    ministry.done("reject", refused, "--code", "WRONG_RECIPIENT", "--reason", REASON)
    assert told(province, refused) == ["arrived", "rejected"]
    assert province.delivery(refused)["recipient_reason"] == REASON
    taken_place_of(province, ministry, asked, letter)
    withdrawn = send(province, letter, "Ban hành nhầm")
    province.done("revoke", withdrawn, "--reason", "Ban hành nhầm phụ lục")
    waited_for(lambda: province.delivery(withdrawn)["revocation"] == "agreed", within_s=60)
    assert ministry.done("show", withdrawn)["received"][0]["state"] == "revoked"
    check_figures(province, ministry, today)


def send(node: Node, letter: Path, subject: str, *options: str, to: str = "G01") -> str:
    """Sends a document and waits until it arrived."""
    words = ("send", letter, "--to", to, "--subject", subject, "--type", "cv", *options)
    sent = node.done(*words, "--wait", 60)
    assert sent["deliveries"][0]["state"] == "delivered"
    document: str = sent["document_id"]
    return document


def deal_with(node: Node, document: str) -> None:
    """Takes a document from its arrival to its end; each step again changes nothing."""
    for words in (
        ("accept", document),
        ("assign", document, "--to", "Vụ Tổ chức biên chế"),
        ("process", document),
        ("finish", document),
    ):
        assert not node.done(*words)["repeated"]
        assert node.done(*words)["repeated"]


def taken_place_of(province: Node, ministry: Node, before: str, letter: Path) -> None:
    """Replaces a document, which is dealt with anew; both see which replaces which."""
    words = ("--reason", "Bổ sung biểu số 2", "--wait", 60)
    now = province.done("replace", before, letter, *words)["document_id"]
    for node in (province, ministry):
        shown = node.done("show", before)
        entry = shown["sent"] or shown["received"][0]
        assert [(link["kind"], link["document_id"]) for link in entry["links"]] == [
            ("replaced_by", now)
        ]
    deal_with(ministry, now)
    assert told(province, now)[-1] == "finished"


def told(sender: Node, document: str) -> list[str]:
    """The steps that the sender knows of, once the last one is told."""

    def steps() -> list[str]:
        return [step["step"] for step in sender.delivery(document)["timeline"]]

    waited_for(lambda: steps()[-1:] in (["finished"], ["rejected"]), within_s=60)
    return steps()


def check_figures(province: Node, ministry: Node, began: date) -> None:
    until = began + timedelta(days=1)  # the day may have ended meanwhile
    days = ("--from", began.isoformat(), "--to", until.isoformat())
    sent = province.done("stats", *days)["total"]
    received = ministry.done("stats", *days)
    assert (sent["sent"], sent["revocations"]) == (4, 1)
    total = received["total"]
    assert (total["received"], total["accepted"], total["refused"]) == (4, 2, 1)
    assert total["finished"] == 2
    assert received["refusals"] == {"WRONG_RECIPIENT": 1}
