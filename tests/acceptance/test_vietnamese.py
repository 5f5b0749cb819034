"""A clerk and an operator whose locale is Vietnamese read Vietnamese; programs read what they did.

Real processes: the node runs in another locale than the person who asks it, as under systemd.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.network import Network, Node, Outcome
from tests.support.vietnamese import TIMEOUT_S, told

STARTS = 20
SLOWER_BY_S = 1.0  # of a start in Vietnamese, on a busy machine; usually 0.03


def answer(outcome: Outcome) -> list[str]:
    """Lines of an error, without those that tell a request id."""
    return [line for line in outcome.talk.splitlines() if "--request-id" not in line]


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "held"  # a name that is also the name of a state
    path.write_text("Kính gửi: Bộ Nội vụ", encoding="utf-8")
    return path


def test_a_clerk_reads_vietnamese_from_a_node_that_knows_no_language(
    network: Network, letter: Path, tmp_path: Path
) -> None:
    node, other = network["H29"], network["G01"]
    _errors_come_over_the_wire(node, letter)
    sent = node.done("send", letter, "--to", "G01", "--subject", "Về việc báo cáo", "--wait", 60)
    given_back = told(
        other, "reject", sent["document_id"], "--code", "WRONG_RECIPIENT", "--reason", "ngắn"
    )
    assert answer(given_back) == [
        "lỗi: Lý do phải có từ 10 đến 1000 ký tự, để bên kia biết cần làm gì.",
        "gợi ý: Hãy viết một câu nói rõ sai ở đâu: --reason TEXT.",
    ]
    other.done("accept", sent["document_id"])
    late = answer(told(node, "retry", sent["document_id"]))[0]
    assert late == "lỗi: Lượt gửi đến G01 ở trạng thái đã đến, không phải giữ lại."
    (tmp_path / "đến").mkdir()
    (tmp_path / "đến" / "held").touch()
    there = told(other, "save", sent["document_id"], "--to", tmp_path / "đến")
    assert answer(there)[0] == f"lỗi: {tmp_path}/đến/held đã có sẵn và không bị ghi đè."
    _states_are_told(node)


def _errors_come_over_the_wire(node: Node, letter: Path) -> None:
    unknown = ("send", letter, "--to", "G99", "--subject", "Thử")
    vietnamese, english = told(node, *unknown), told(node, *unknown, "--lang", "en")
    assert vietnamese.code == english.code == 3
    assert answer(vietnamese) == [
        "lỗi: Trong danh bạ không có cơ quan nào mang mã 'G99'.",
        "gợi ý: Hãy kiểm tra lại mã; cơ quan mới sẽ có trong danh bạ vài phút sau khi ghi danh.",
    ]
    assert answer(english) == [
        "error: No agency in the directory has the code 'G99'.",
        "hint: Check the code; a new agency appears within minutes of its enrolment.",
    ]
    read = json.loads(answer(told(node, *unknown, "--json"))[-1])
    assert (read["schema"], read["reason"]) == ("edoc.error/v1", "AGENCY_UNKNOWN")
    past = told(node, *unknown[:3], "G01", *unknown[4:], "--send-at", "2020-01-01T08:00")
    assert answer(past)[0] == (
        "lỗi: Văn bản được hẹn gửi lúc 01/01/2020 08:00:00, là thời điểm đã qua."
    )


def _states_are_told(node: Node) -> None:
    status = told(node, "status").output
    assert "danh bạ   còn mới, phiên bản " in status
    assert "chờ gửi   không có gì; mọi văn bản đã đến nơi hoặc đã có trả lời" in status
    assert "G01 tại " in told(node, "ping", "G01").output
    assert "thông suốt" in told(node, "peers").output
    assert told(node, "journal", "verify").output.startswith("nhật ký: đúng\n")
    assert json.loads(told(node, "journal", "verify", "--json").output)["verdict"] == "ok"


def test_a_stopped_node_and_wrong_use_are_told_in_vietnamese(stopped_network: Network) -> None:
    node = stopped_network["H29"]
    stopped = told(node, "inbox")
    assert stopped.code == 5
    assert answer(stopped) == [
        f"lỗi: Nút trong {node.data} chưa chạy.",
        f"gợi ý: Hãy khởi động: edocnode serve --data {node.data}",
    ]
    for words, text in (
        (
            ("inbox", "--limit", "abc"),
            "Giá trị của '--limit' không hợp lệ: giá trị phải là số nguyên",
        ),
        (("save", "0198"), "Thiếu tùy chọn '--to'."),
        (("chek",), "Không có lệnh 'chek'."),
        (("inbox", "--nhanh"), "Không có tùy chọn: --nhanh"),
    ):
        wrong = told(node, *words)
        assert (wrong.code, answer(wrong)[0]) == (2, f"lỗi: {text}")
    assert answer(told(node, "inbox", lang="C.UTF-8"))[0].startswith("error: The node in ")


def test_an_officer_reads_vietnamese_from_the_registry(stopped_network: Network) -> None:
    registry = stopped_network.registry
    listed = told(registry, "agency", "list").output
    assert "đang hoạt động" in listed
    assert "VẤN ĐỀ Không có gì trả lời tại " in told(registry, "status").output
    closing = told(registry, "agency", "close", "H29")
    assert answer(closing) == [
        "lỗi: Chấm dứt H29 là việc không thể hoàn lại.",
        "gợi ý: Thêm --yes để thực hiện.",
    ]
    assert json.loads(told(registry, "agency", "show", "H29", "--json").output)["state"] == "active"


def test_help_in_vietnamese_is_as_fast_as_in_english() -> None:
    """Prints what it costs; what a machine under test takes beside says nothing."""
    call = [sys.executable, "-c", "from edocnode.cli.main import main; main()", "--help", "--lang"]
    took = {}
    for lang in ("en", "vi"):
        times = []
        for _ in range(STARTS):
            begun = time.perf_counter()
            subprocess.run([*call, lang], capture_output=True, timeout=TIMEOUT_S, check=True)
            times.append(time.perf_counter() - begun)
        took[lang] = statistics.median(times)
    print({lang: f"{seconds * 1000:.0f} ms" for lang, seconds in took.items()})
    assert took["vi"] < took["en"] + SLOWER_BY_S
