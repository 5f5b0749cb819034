"""Documents on their way from one agency's clerk to another's, by the commands that clerks use."""

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import APPENDIX, DECISION
from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for

BECAUSE = ("--code", "WRONG_RECIPIENT")

SUBJECT = "Về việc ban hành Quy chế quản lý văn bản điện tử"
DEPARTMENT = "H29.5"  # served by the node of H29
OFFICE = "G01.22"  # served by the node of G01
WAIT = ("--wait", "60")


@pytest.fixture(scope="module")
def exchange(joined_network: Network, tmp_path_factory) -> Iterator[Network]:
    """A running network for all these tests."""
    network = joined_network.copied(tmp_path_factory.mktemp("exchange"))
    try:
        network.start()
        yield network
    finally:
        network.close()


def send(node: Node, *words: object, to: str = NOI_VU, subject: str = SUBJECT) -> Any:
    """Sends a document and waits until it is delivered."""
    sent = node.done("send", DECISION, *words, "--to", to, "--subject", subject, *WAIT)
    assert {item["state"] for item in sent["deliveries"]} == {"delivered"}
    return sent


def received(node: Node, document_id: str) -> Any:
    """The one row of a document in an inbox."""
    found = [item for item in node.done("inbox")["documents"] if item["document_id"] == document_id]
    assert len(found) == 1
    return found[0]


def test_document_with_vietnamese_names_arrives_byte_for_byte(exchange, tmp_path):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    sent = send(
        sender, APPENDIX, "--number", "28", "--notation", "QĐ-UBND", "--type", "QĐ",
        "--urgency", "thuong_khan", "--due", "2026-12-05",
    )  # fmt: skip
    document_id = sent["document_id"]
    row = received(recipient, document_id)
    expected = {
        "sender": HA_TINH, "recipient": NOI_VU, "subject": SUBJECT, "number": "28",
        "notation": "QĐ-UBND", "type": "QĐ", "urgency": "thuong_khan", "due_date": "2026-12-05",
        "state": "received", "message_id": sent["deliveries"][0]["message_id"],
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    assert row["received_at"].endswith("+07:00")
    assert [(part["index"], part["name"]) for part in row["parts"]] == [
        (1, DECISION.name),
        (2, APPENDIX.name),
    ]
    saved = recipient.done("save", document_id, "--to", tmp_path / "lưu")["files"]
    for source, file in zip((DECISION, APPENDIX), saved, strict=True):
        assert Path(file["path"]).read_bytes() == source.read_bytes()
        assert file["sha256"] == sha256(source.read_bytes()).hexdigest()
    again = recipient.run("save", document_id, "--to", tmp_path / "lưu")
    assert again.error == (6, "FILE_EXISTS")


def test_outbox_shows_the_delivery_with_its_receipt_until_when_it_was_answered(exchange):
    sender = exchange[HA_TINH]
    document_id = send(sender)["document_id"]
    [row] = [
        item
        for item in sender.done("outbox", "--state", "delivered")["documents"]
        if item["document_id"] == document_id
    ]
    [delivery] = row["deliveries"]
    assert (delivery["state"], delivery["reason"]) == ("delivered", "")
    assert row["created_at"] <= delivery["since"] < row["expires_at"]


@pytest.mark.parametrize(
    ("decision", "state"),
    [
        (("accept",), "accepted"),
        (
            ("reject", "--code", "WRONG_RECIPIENT", "--reason", "Văn bản gửi không đúng nơi nhận"),
            "rejected",
        ),
    ],
)
def test_decision_of_the_recipient_comes_back_under_seal(exchange, decision, state):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    document_id = send(sender)["document_id"]
    command, *options = decision
    for repeated in (False, True):
        decided = recipient.done(command, document_id, *options)
        assert (decided["state"], decided["repeated"]) == (state, repeated)
    waited_for(lambda: sender.delivery(document_id)["recipient_state"] == state)
    told = sender.delivery(document_id)
    assert told["state"] == "delivered"
    assert told["recipient_reason"] == ("" if state == "accepted" else options[-1])
    other = ("reject", *BECAUSE, "--reason", "Lý do khác hẳn") if command == "accept" else (
        "accept",
    )  # fmt: skip
    assert recipient.run(other[0], document_id, *other[1:]).code == 6
    assert received(recipient, document_id)["state"] == state


def test_sender_sees_who_has_its_document_and_since_when(exchange):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    document_id = send(sender)["document_id"]
    assert recipient.run("process", document_id).code == 6  # nobody accepted it
    recipient.done("accept", document_id, "--actor", "Nguyễn Thị Lan")
    recipient.done("assign", document_id, "--to", "Vụ Tổ chức cán bộ", "--actor", "Lê Văn Minh")
    recipient.done("process", document_id, "--actor", "Trần Hà")
    again = recipient.done("assign", document_id, "--to", "Vụ Pháp chế", "--actor", "Lê Văn Minh")
    assert (again["state"], again["assignee"]) == ("assigned", "Vụ Pháp chế")
    assert recipient.done("assign", document_id, "--to", "Vụ Pháp chế")["repeated"]
    recipient.done("finish", document_id, "--actor", "Phạm An")
    assert recipient.run("assign", document_id, "--to", "Vụ Tổ chức cán bộ").code == 6
    row = received(recipient, document_id)
    assert (row["state"], row["assignee"], row["last_step"]["actor"]) == (
        *("finished", "Vụ Pháp chế", "Phạm An"),
    )
    waited_for(lambda: len(timeline(sender, document_id)) == 6)
    told = timeline(sender, document_id)
    assert [(item["edxml_code"], item["step"], item["actor"]) for item in told] == [
        ("01", "arrived", NOI_VU),
        ("03", "accepted", "Nguyễn Thị Lan"),
        ("04", "assigned", "Lê Văn Minh"),
        ("05", "processing", "Trần Hà"),
        ("04", "assigned", "Lê Văn Minh"),
        ("06", "finished", "Phạm An"),
    ]
    assert [item["assignee"] for item in told if item["assignee"]] == [
        *("Vụ Tổ chức cán bộ", "Vụ Pháp chế"),
    ]
    assert [item["time"] for item in told] == sorted(item["time"] for item in told)
    text = sender.run_text("show", document_id).output
    assert "assigned to Vụ Tổ chức cán bộ  by Lê Văn Minh" in text


def test_changed_documents_show_what_is_in_force_and_what_takes_whose_place(exchange):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    why = ("--reason", "Bổ sung phụ lục còn thiếu", *WAIT)
    first = send(sender, "--number", "28", "--notation", "QĐ-UBND")["document_id"]
    updated = sender.done(
        "update", first, DECISION, APPENDIX, *why, "--subject", "Quy chế, bản hai"
    )
    assert updated["document_id"] == first
    row = waited_for(lambda: version(recipient, first, "Quy chế, bản hai"))
    assert (row["number"], len(row["parts"]), row["operation"]) == ("28", 2, "update")
    second = sender.done("replace", first, DECISION, *why)["document_id"]
    letter = send(sender, "--corrects", second, "--type", "CV", subject="Đính chính thể thức")
    for node in (sender, recipient):
        shown = node.done("show", second)
        entry = shown["sent"] or shown["received"][0]
        assert [(link["kind"], link["document_id"]) for link in entry["links"]] == [
            ("replaces", first),
            ("corrected_by", letter["document_id"]),
        ]
        assert f"replaced by   {second}" in node.run_text("show", first).output
    for command in ("inbox", "outbox"):
        node = recipient if command == "inbox" else sender
        listed = node.run_text(command).output
        assert f"replaced by {second[:13]}" in listed
        assert any(line.startswith(first[:13]) for line in listed.splitlines()), "what is replaced"
    assert sender.run("replace", first, DECISION, *why).error == (6, "DECISION_CONFLICT")
    taken_back = sender.done("revoke", second, "--reason", "Ban hành nhầm thẩm quyền")
    assert (taken_back["taken_back"], taken_back["repeated"]) == (1, False)
    waited_for(lambda: sender.delivery(second)["revocation"] == "agreed")
    assert sender.run("update", second, DECISION, *why).error == (6, "DECISION_CONFLICT")
    assert "destroyed there" in sender.run_text("outbox").output
    assert "(taken back and destroyed)" in recipient.run_text("inbox").output
    assert "taken back" in recipient.run_text("show", second).output


def version(node, document_id: str, subject: str) -> Any:
    """The row of a document once a version is in force; None before."""
    row = received(node, document_id)
    return row if row["subject"] == subject else None


def timeline(node, document_id: str) -> list[dict]:
    """What the sender of a document knows of it at its only recipient."""
    [delivery] = node.done("show", document_id)["sent"]["deliveries"]
    return delivery["timeline"]


def test_one_document_goes_to_several_agencies_and_their_sub_agencies(exchange):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    sent = send(sender, "--to", OFFICE, "--from", DEPARTMENT)
    assert [item["recipient"] for item in sent["deliveries"]] == [OFFICE, NOI_VU]
    rows = [
        item
        for item in recipient.done("inbox")["documents"]
        if item["document_id"] == sent["document_id"]
    ]
    assert {(row["sender"], row["recipient"]) for row in rows} == {
        (DEPARTMENT, NOI_VU),
        (DEPARTMENT, OFFICE),
    }
    filtered = recipient.done("inbox", "--agency", OFFICE)["documents"]
    assert {row["recipient"] for row in filtered} == {OFFICE}


def test_one_unknown_recipient_sends_nothing(exchange):
    sender = exchange[HA_TINH]
    before = sender.sent()
    outcome = sender.run("send", DECISION, "--to", NOI_VU, "--to", "H98", "--subject", SUBJECT)
    assert outcome.error == (3, "AGENCY_UNKNOWN")
    assert "H98" in outcome.talk
    assert sender.sent() == before


def test_sender_that_the_node_does_not_serve_is_refused(exchange):
    outcome = exchange[HA_TINH].run(
        "send", DECISION, "--to", NOI_VU, "--from", OFFICE, "--subject", SUBJECT
    )
    assert outcome.code == 4
    assert OFFICE in outcome.talk


def test_repeated_request_gets_the_same_answer_and_another_one_is_a_conflict(exchange):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    words = ("--request-id", "cong-van-105")
    first = send(sender, *words)
    assert send(sender, *words) == first
    other = sender.run("send", DECISION, *words, "--to", NOI_VU, "--subject", "Khác")
    assert other.error == (6, "REQUEST_CONFLICT")
    received(recipient, first["document_id"])


def test_request_id_that_the_command_made_is_told_before_the_document_is_sent(exchange):
    sender = exchange[HA_TINH]
    outcome = sender.run("send", DECISION, "--to", NOI_VU, "--subject", SUBJECT)
    assert "--request-id" in outcome.talk.splitlines()[0]
    request_id = outcome.talk.splitlines()[0].rpartition(" ")[2]
    again = sender.done(
        "send", DECISION, "--to", NOI_VU, "--subject", SUBJECT, "--request-id", request_id
    )
    assert again["document_id"] == json.loads(outcome.output)["document_id"]


def test_all_fields_of_the_decree_travel_from_options_and_a_file(exchange, tmp_path):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    first = send(sender, subject="Văn bản gốc")["document_id"]
    fields = tmp_path / "fields.json"
    fields.write_text(
        '{"content": "Nội dung", "issued_place": "Vinh", "signer": {"position": "Chánh Văn phòng"},'
        ' "extensions": [{"name": "Bussiness", "value": "0"}]}',
        encoding="utf-8",
    )
    sent = send(
        sender, "--type", "quyet dinh", "--number", "5", "--notation", "QĐ-UBND",
        "--issued-date", "2026-11-23", "--issued-place", "Hà Tĩnh", "--signer", "Nguyễn Văn An",
        "--signer-authority", "kt", "--pages", 4, "--copies", 12, "--to-place", "Như Điều 3",
        "--to-place", "Lưu: VT", "--appendix", "Bảng tổng hợp", "--urgency", "hoa_toc",
        "--deliver-by", "2026-12-01T08:00", "--dossier", "H29,2026,01-TH,12", "--language",
        "Tiếng Việt", "--description", "Gửi kèm bản giấy", "--paper-also-sent", "--reference",
        first, "--fields", fields,
    )  # fmt: skip
    shown = recipient.done("show", sent["document_id"])
    record = shown["record"]
    expected = {
        "document_type": "QĐ", "number": "5", "notation": "QĐ-UBND", "issued_date": "2026-11-23",
        "document_code": "H29,2026/11/23,5/QĐ-UBND", "issued_place": "Hà Tĩnh",
        "content": "Nội dung", "page_count": 4, "issued_count": 12, "language": "Tiếng Việt",
        "signer": {
            "authority": "KT.", "full_name": "Nguyễn Văn An", "position": "Chánh Văn phòng"
        },
        "to_places": ["Như Điều 3", "Lưu: VT"], "appendices": ["Bảng tổng hợp"],
        "deliver_by": "2026-12-01T01:00:00.000Z", "description": "Gửi kèm bản giấy",
        "dossier_file": {"agency": "H29", "year": 2026, "notation": "01-TH", "ordinal": 12},
        "paper_also_sent": True, "extensions": [{"name": "Bussiness", "value": "0"}],
        "references": [{"document_id": first, "agency": "H29"}],
    }  # fmt: skip
    assert {name: record[name] for name in expected} == expected
    assert "05/QĐ-UBND" in recipient.run_text("show", sent["document_id"]).output


def test_what_looks_wrong_is_said_and_sent_all_the_same(exchange, tmp_path):
    fields = tmp_path / "fields.json"
    fields.write_text('{"document_type": "Thông tri"}', encoding="utf-8")
    words = ("--number", "Số 5", "--notation", "QĐ UBND", "--fields", fields)
    result = exchange[HA_TINH].run("send", DECISION, *words, "--to", NOI_VU, "--subject", SUBJECT)
    assert result.data["document_id"]
    assert result.talk.count("warning: ") == 3
    assert "'Thông tri' is in no code list" in result.talk


def test_number_used_before_is_told_at_both_ends(exchange):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    words = ("--number", "77", "--notation", "BC-SNV", "--issued-date", "2026-11-23")
    first = send(sender, *words)["document_id"]
    again = sender.run("send", DECISION, *words, "--to", NOI_VU, "--subject", "Bản khác", *WAIT)
    assert f"number 77/BC-SNV in this year: {first}" in again.talk
    second = again.data["document_id"]
    assert received(recipient, first)["duplicate_of"] == []
    assert received(recipient, second)["duplicate_of"] == [first]
    assert f"duplicate of  {first}" in recipient.run_text("show", second).output
    other_year = ("--number", "77", "--notation", "BC-SNV", "--issued-date", "2025-11-23")
    quiet = sender.run("send", DECISION, *other_year, "--to", NOI_VU, "--subject", "Năm trước")
    assert "in this year" not in quiet.talk


def test_clerk_finds_documents_by_words_without_marks(exchange):
    sender, recipient = exchange[HA_TINH], exchange[NOI_VU]
    sent = send(sender, "--type", "BC", subject="Báo cáo đường sắt đô thị")["document_id"]
    for words in (
        ("--search", "do thi duong"),
        ("--search", "báo CÁO đô", "--type", "bao cao", "--from", "H29", "--since", "2020-01-01"),
    ):
        found = recipient.done("inbox", *words)["documents"]
        assert [item["document_id"] for item in found] == [sent]
    found = sender.done("outbox", "--search", "duong sat", "--to", NOI_VU)["documents"]
    assert [item["document_id"] for item in found] == [sent]
    old = recipient.done("inbox", "--search", "duong sat", "--until", "2020-01-01")
    assert old["documents"] == []


def test_threads_of_a_node_do_not_interrupt_each_other(exchange):
    for node in exchange.nodes.values():
        tasks = [int(task) for task in os.listdir(f"/proc/{node.process.pid}/task")]
        assert len(tasks) > 3
        assert {os.sched_getscheduler(task) for task in tasks} == {os.SCHED_BATCH}
