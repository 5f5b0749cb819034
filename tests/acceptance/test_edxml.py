"""edXML over real processes: packages go in and come out, by command and by folder."""

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edocnode.edxml.model import ActionKind
from edocnode.rpc.office_client import open_office
from tests.integration.edxml.packages import action_and_files, sample
from tests.support.commands import launch_forked
from tests.support.disks import fill, small_disk_of
from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for

LARGE_MIB = int(os.environ.get("EDOC_LARGE_MIB", "64"))
ROUNDS = int(os.environ.get("EDOC_CRASH_ROUNDS", "10"))
KILL_MOMENTS = ROUNDS // 5  # of each kind
CODE = "H29,2026/11/20,7816/VPCP-TTĐT"
ADDING = (
    b"<edXML:BussinessDocumentInfo><edXML:ReceiverList><edXML:Receiver><edXML:OrganId>H29.5"
    b"</edXML:OrganId><edXML:ReceiverType>1</edXML:ReceiverType></edXML:Receiver>"
    b"</edXML:ReceiverList></edXML:BussinessDocumentInfo>"
)


def package(name: str = "Văn bản mới.edxml", *, mark: str = "", sender: str = HA_TINH) -> bytes:
    """A sample, from one agency of the test network to the other."""
    text = sample(name).decode().replace("000.00.00.G22", sender)
    text = text.replace("000.00.00.H41", NOI_VU).replace("000.00.00.H14", "G01.22")
    return text.replace(",7816/VPCP-TTĐT", f",7816{mark}/VPCP-TTĐT").encode()


def test_a_package_is_imported_once_arrives_and_is_exported_with_all_it_said(
    network: Network, tmp_path: Path
) -> None:
    sender, recipient = network[HA_TINH], network[NOI_VU]
    file = tmp_path / "Văn bản.edxml"
    file.write_bytes(package("Hỏa tốc hẹn giờ, phần tử riêng.edxml"))
    first = sender.done("edxml", "import", file)
    again = sender.done("edxml", "import", file)
    assert first["document_id"] == again["document_id"]
    assert first["schema"] == "edoc.edxml-import/v1"
    waited_for(lambda: len(received(recipient)) == 2, what="both recipients")
    entry = received(recipient)[0]
    assert entry["urgency"] == "hoa_toc"
    out = tmp_path / "đến.edxml"
    recipient.done("edxml", "export", entry["message_id"], "--out", out)
    action, files = action_and_files(out.read_bytes())
    wanted, wanted_files = action_and_files(file.read_bytes())
    trace = action.fields.pop("trace")
    assert trace[:-1] == wanted.fields.pop("trace")
    assert trace[-1]["agency"] in (NOI_VU, "G01.22")
    assert action.fields == wanted.fields
    assert (files, action.recipients) == (wanted_files, wanted.recipients)
    assert recipient.run("edxml", "export", entry["message_id"], "--out", out).error == (
        6,
        "FILE_EXISTS",
    )


def test_statuses_go_both_ways(network: Network, tmp_path: Path) -> None:
    sender, recipient = network[HA_TINH], network[NOI_VU]
    file = tmp_path / "a.edxml"
    file.write_bytes(package())
    sent = sender.done("edxml", "import", file)["document_id"]
    waited_for(lambda: len(received(recipient)) == 2)
    accept = tmp_path / "status.edxml"
    told = sample("Trạng thái 03, phong bì SOAP.edxml").decode()
    told = told.replace("000.00.00.G22", HA_TINH).replace("000.00.00.H41", NOI_VU)
    accept.write_text(told)
    done = recipient.done("edxml", "import", accept)
    assert done["state"] == "accepted"
    assert recipient.done("edxml", "import", accept)["state"] == "accepted"
    waited_for(lambda: "accepted" in recipient_states(sender, sent))
    out = tmp_path / "sent.edxml"
    written = sender.done("edxml", "export", sent, "--out", out, "--statuses")["statuses"]
    codes = sorted(action_and_files(Path(path).read_bytes())[0].status.code for path in written)
    assert codes == ["01", "01", "03"]
    accepted = next(path for path in written if path.endswith("-03.edxml"))
    status = action_and_files(Path(accepted).read_bytes())[0].status
    assert status is not None
    assert status.staff["full_name"] == "Trần Thị Hạnh"
    assert status.target.receiver == HA_TINH


def test_a_package_with_errors_is_refused_with_its_line_and_nothing_is_sent(
    network: Network, tmp_path: Path
) -> None:
    node = network[HA_TINH]
    file = tmp_path / "a.edxml"
    file.write_bytes(package().replace(b"JVBER", b"JV!ER"))
    done = node.run("edxml", "validate", file)
    found = done.read()["findings"][0]
    assert done.code == 4
    assert (found["code"], found["element"]) == ("NOT_BASE64", "ContentTransferEncoded")
    lines = file.read_text().splitlines()
    assert "JV!ER" in lines[found["line"] - 1]
    assert "dòng" in found["vi"]
    assert node.run("edxml", "import", file).error == (4, "EDXML_INVALID")
    assert node.sent() == []
    vietnamese, english = (
        node.run_text("edxml", "validate", file, "--lang", language).output
        for language in ("vi", "en")
    )
    place = f"{found['line']}, phần tử ContentTransferEncoded: "
    assert f"dòng {place}Nội dung tệp đính kèm không phải base64" in vietnamese
    assert "Mã hóa lại tệp bằng base64" in vietnamese
    assert "Encode the file again as base64" in english
    assert "Encode the" not in vietnamese
    assert "Mã hóa" not in english
    refused = node.run_text("edxml", "import", file, "--lang", "vi").talk.splitlines()
    assert refused[0].startswith(f"lỗi: Gói edXML bị từ chối: dòng {place}")
    assert refused[1].startswith("gợi ý: Mã hóa lại tệp bằng base64")


def test_updates_and_replacements_go_from_folder_to_folder_once_and_are_shown(
    network: Network, tmp_path: Path
) -> None:
    ours, theirs = network[HA_TINH], network[NOI_VU]
    with (
        watching(ours, tmp_path / "a") as sending,
        watching(theirs, tmp_path / "b", "--agency", NOI_VU) as arriving,
    ):
        box = arriving / NOI_VU / "in"
        drop(sending, "1.edxml", package())
        first = only(waited_for(lambda: documents(box, 1), within_s=60))
        update, replacement = changing("Cập nhật.edxml", "1"), changing("Thay thế.edxml", "2")
        drop(sending, "2.edxml", update)
        drop(sending, "2 lần nữa.edxml", update)
        second = only(waited_for(lambda: documents(box, 2), within_s=60) - {first})
        drop(sending, "3.edxml", replacement)
        drop(sending, "3 lần nữa.edxml", replacement)
        third = only(waited_for(lambda: documents(box, 3), within_s=60) - {first, second})
        waited_for(lambda: len(names(sending / "done")) == 5)
        drop(sending, "2 lần ba.edxml", update)
        waited_for(lambda: len(names(sending / "done")) == 6)
        drop(arriving / NOI_VU, "03.edxml", accepting(CODE))
        waited_for(lambda: names(arriving / NOI_VU / "done") == {"03.edxml"})
        assert documents(box, 3) == {first, second, third}, "each once"
    assert names(sending / "failed") | names(arriving / NOI_VU / "failed") == set()
    came = [action_and_files(path.read_bytes())[0] for path in (first, second, third)]
    assert [each.kind for each in came] == [
        ActionKind.NEW,
        ActionKind.UPDATE,
        ActionKind.REPLACE,
    ]
    assert [each.document_code for each in came] == [CODE, code_of("1"), code_of("2")]
    assert [each.document_code for each in came[1].targets] == [CODE]
    assert [each.document_code for each in came[2].targets] == [CODE]
    assert came[1].reason == "Cập nhật nơi nhận và trích yếu"
    whole = f"{received_as(theirs, code_of('2'))['document_id']}"
    shown = theirs.done("show", received_as(theirs, code_of("1"))["document_id"])
    entry = only(each for each in shown["received"] if each["recipient"] == NOI_VU)
    assert [each["state"] for each in entry["versions"]] == ["superseded", "in_force"]
    assert entry["links"] == [{"kind": "replaced_by", "document_id": whole}]
    assert entry["state"] == "accepted", "by the number it had before the update"
    assert len(ours.sent()) == 3, "a document, its newer version, and its replacement"
    out = tmp_path / "sent.edxml"
    ours.done("edxml", "export", entry["document_id"], "--out", out)
    sent, _ = action_and_files(out.read_bytes())
    assert (sent.kind, sent.targets[0].document_code) == (ActionKind.UPDATE, CODE)
    ours.done("edxml", "export", whole, "--out", tmp_path / "replacement.edxml")
    assert action_and_files((tmp_path / "replacement.edxml").read_bytes())[0].kind == "replace"


def test_what_a_package_cannot_change_stays_and_the_reason_names_document_line_and_remedy(
    network: Network, tmp_path: Path
) -> None:
    ours, theirs = network[HA_TINH], network[NOI_VU]
    document = tmp_path / "1.edxml"
    document.write_bytes(package())
    sent = ours.done("edxml", "import", document)["document_id"]
    letter = tmp_path / "thư.txt"
    letter.write_text("Kính gửi")
    words = ("--to", HA_TINH, "--subject", "Của Bộ", "--wait", 60)
    foreign = theirs.done("send", letter, *words)["document_id"]
    fields = tmp_path / "fields.json"
    fields.write_text(json.dumps({"replaces": [{"document_id": sent}, {"document_code": CODE}]}))
    forged = theirs.done("send", letter, *words, "--fields", fields)["document_id"]
    ours.done("edxml", "export", forged, "--out", tmp_path / "forged.edxml")
    assert b"ReplacementInfo" not in (tmp_path / "forged.edxml").read_bytes(), "not its to replace"
    first = re.compile(rb"<edXML:To>\s*<edXML:OrganId>G01<.*?</edXML:To>", re.DOTALL)
    fewer = first.sub(b"", package())
    refused = {
        "UNKNOWN": changing("Cập nhật.edxml", "a", target="H29,2026/11/01,1/X"),
        "NOT_OURS": changing("Thay thế.edxml", "b", target=foreign),
        "MISSING": changing("Thay thế.edxml", "c", of=fewer),
        "ADDED": changing("Cập nhật.edxml", "d", of=package()).replace(
            b"<edXML:Paper>", ADDING + b"<edXML:Paper>"
        ),
        "SHORT": changing("Cập nhật.edxml", "e").replace(
            "Cập nhật nơi nhận và trích yếu".encode(), b"Sai"
        ),
    }
    for name, data in refused.items():
        drop(tmp_path / "a", f"{name}.edxml", data)
    ours.done("edxml", "import", written_to(tmp_path, changing("Thay thế.edxml", "f")))
    drop(tmp_path / "a", "REPLACED.edxml", changing("Thay thế.edxml", "g"))
    ours.done(
        "revoke", received_as(theirs, code_of("f"))["document_id"], "--reason", "Ban hành nhầm"
    )
    revoked = changing("Cập nhật.edxml", "h", target=code_of("f"))
    drop(tmp_path / "a", "REVOKED.edxml", revoked)
    before = ours.sent()
    ours.run("edxml", "watch", "--folder", tmp_path / "a", "--once")
    wanted = {**refused, "REPLACED": b"", "REVOKED": b""}
    failed = tmp_path / "a" / "failed"
    assert names(failed) == {f"{each}.edxml{end}" for each in wanted for end in ("", ".reason.txt")}
    assert ours.sent() == before
    told = {each: (failed / f"{each}.edxml.reason.txt").read_text() for each in wanted}
    line = line_of(refused["UNKNOWN"], "H29,2026/11/01,1/X")
    assert (
        f"dòng {line}, phần tử DocumentId: Không tìm thấy văn bản H29,2026/11/01" in told["UNKNOWN"]
    )
    assert f"line {line}, element DocumentId: The document H29,2026/11/01,1/X" in told["UNKNOWN"]
    assert "Cách xử lý: Ghi đúng DocumentId" in told["UNKNOWN"]
    assert f"{foreign} do {NOI_VU} gửi, không phải do {HA_TINH} gửi" in told["NOT_OURS"]
    assert "gói này không gửi cho các nơi đó" in told["MISSING"]
    assert f"{CODE} đã gửi cho {NOI_VU}" in told["MISSING"]
    assert "chưa từng được gửi cho H29.5" in told["ADDED"]
    assert "ít nhất 10 ký tự" in told["SHORT"]
    assert f"{CODE} đã được thay thế bằng {code_of('f')}" in told["REPLACED"]
    assert f"{code_of('f')} đã bị thu hồi" in told["REVOKED"]
    assert all("Remedy: " in each and "line " in each for each in told.values())
    assert ours.done("show", sent)["updates"] == []


@pytest.mark.parametrize("name", ["Thu hồi.edxml", "Cập nhật.edxml", "Thay thế.edxml"])
def test_an_agency_changes_no_document_of_another_one_behind_the_same_node(
    name: str, network: Network, tmp_path: Path
) -> None:
    ours = network[HA_TINH]
    sent = ours.done("edxml", "import", written_to(tmp_path, package()))["document_id"]
    if name == "Thu hồi.edxml":
        other = package(name, sender="H29.5")
        data = other.replace(b"H29.5,2026/11/02,7806/", b"H29,2026/11/20,7816/")
        assert data != other
    else:
        data = changing(name, "x", target=CODE).replace(b">H29<", b">H29.5<")
    refused = ours.run("edxml", "import", written_to(tmp_path, data), "--lang", "en")
    assert refused.error == (3, "DOCUMENT_UNKNOWN")
    assert f"The document {CODE} was sent by H29, not by H29.5" in refused.talk
    shown = ours.done("show", sent)
    assert (shown["sent"]["taken_back"], shown["updates"], shown["sent"]["links"]) == (None, [], [])


def test_a_package_takes_a_document_back_and_local_software_is_told(
    network: Network, tmp_path: Path
) -> None:
    ours, theirs = network[HA_TINH], network[NOI_VU]
    with watching(theirs, tmp_path / "b", "--agency", NOI_VU) as arriving:
        drop(tmp_path / "a", "1.edxml", package())
        ours.run("edxml", "watch", "--folder", tmp_path / "a", "--once")
        box = arriving / NOI_VU / "in"
        first = waited_for(lambda: list(box.glob("*.edxml")))[0]
        revocation = package("Thu hồi.edxml").replace(b"2026/11/02,7806/", b"2026/11/20,7816/")
        drop(tmp_path / "a", "2.edxml", revocation)
        done = ours.run("edxml", "watch", "--folder", tmp_path / "a", "--once")
        assert names(tmp_path / "a" / "done") == {"1.edxml", "2.edxml"}, done
        told = waited_for(lambda: list(box.glob("*-thu-hoi.edxml")))
        action, _ = action_and_files(told[0].read_bytes())
        assert action.kind is ActionKind.REVOKE
        assert action.reason == "Thu hồi do ban hành nhầm thẩm quyền"
        document_code = action_and_files(first.read_bytes())[0].document_code
        assert [(each.receiver, each.document_code) for each in action.targets] == [
            (NOI_VU, document_code)
        ]
        again = tmp_path / "again.edxml"
        again.write_bytes(revocation)
        assert ours.done("edxml", "import", again)["taken_back"] == 0
    with watching(ours, tmp_path / "a") as sending:
        answers = waited_for(lambda: list((sending / "in").glob("*-15.edxml")))
        assert action_and_files(answers[0].read_bytes())[0].kind is ActionKind.STATUS


def test_a_folder_sends_what_lies_in_out_and_writes_what_arrives_to_in(
    network: Network, tmp_path: Path
) -> None:
    with (
        watching(network[HA_TINH], tmp_path / "a") as ours,
        watching(network[NOI_VU], tmp_path / "b", "--agency", NOI_VU) as theirs,
    ):
        drop(ours, "Công văn.edxml", package())
        drop(ours, "hỏng.edxml", package()[:3000])
        waited_for(lambda: names(ours / "failed") == {"hỏng.edxml", "hỏng.edxml.reason.txt"})
        reason = (ours / "failed" / "hỏng.edxml.reason.txt").read_text()
        assert "Tệp kết thúc giữa chừng" in reason
        assert "The file ends in the middle" in reason
        arrived = waited_for(lambda: sorted((theirs / NOI_VU / "in").glob("*.edxml")))
        assert len(arrived) == 1, "the other recipient has no folder here"
        action, _ = action_and_files(arrived[0].read_bytes())
        assert action.document_code == "H29,2026/11/20,7816/VPCP-TTĐT"
        waited_for(lambda: names(ours / "done") == {"Công văn.edxml"})
        told = waited_for(lambda: sorted((ours / "in").glob("*-01.edxml")))
        waited_for(lambda: len(list((ours / "in").glob("*-01.edxml"))) == 2, what="both receipts")
        assert action_and_files(told[0].read_bytes())[0].status is not None
        assert names(ours / "out") == set()


def test_a_file_that_is_still_written_is_left_alone(network: Network, tmp_path: Path) -> None:
    data = package()
    with watching(network[HA_TINH], tmp_path / "a") as ours:
        with (ours / "out" / "dài.edxml").open("wb") as file:
            for start in range(0, len(data), 2500):
                file.write(data[start : start + 2500])
                file.flush()
                time.sleep(0.7)
                assert names(ours / "failed") == set()
        waited_for(lambda: names(ours / "done") == {"dài.edxml"})


def test_a_folder_works_on_when_the_node_was_down(network: Network, tmp_path: Path) -> None:
    node = network[HA_TINH]
    with watching(node, tmp_path / "a") as ours:
        node.kill()
        drop(ours, "a.edxml", package())
        time.sleep(4)
        assert names(ours / "out") == {"a.edxml"}
        node.start()
        waited_for(lambda: names(ours / "done") == {"a.edxml"}, within_s=60)


def test_a_folder_with_strange_names_and_links_is_worked_on_by_one_process_alone(
    network: Network, tmp_path: Path
) -> None:
    node = network[HA_TINH]
    with watching(node, tmp_path / "a") as ours:
        second = node.run("edxml", "watch", "--folder", ours, "--once")
        assert second.error == (6, "FOLDER_IN_USE")
        out, secret = ours / "out", tmp_path / "secret.edxml"
        secret.write_bytes(package(mark="9"))
        (out / "link.edxml").symlink_to(secret)
        (out / "folder.edxml").mkdir()
        os.mkfifo(out / "pipe.edxml")
        long = "Công văn rất dài "[:16] * 11 + ".edxml"
        drop(ours, long, package()[:3000])
        drop(ours, "a..\\..\\b.edxml", package(mark="1"))
        name = os.fsdecode(b"\xff\n.edxml")
        drop(ours, name, package()[:2000])
        drop(ours, "cuối.edxml", package(mark="2"))
        waited_for(lambda: "cuối.edxml" in names(ours / "done"), within_s=60)
        waited_for(lambda: len(names(ours / "failed")) == 4, within_s=60)
        assert names(out) == {"link.edxml", "folder.edxml", "pipe.edxml"}
        assert names(ours / "done") == {"cuối.edxml", "a..\\..\\b.edxml"}
        assert {name, f"{name}.reason.txt"} < names(ours / "failed")
    assert len(node.sent()) == 2


def test_packages_wait_while_the_folder_or_the_space_for_attachments_is_full(
    network: Network, tmp_path: Path
) -> None:
    ours, theirs = network[HA_TINH], network[NOI_VU]
    with small_disk_of(tmp_path / "scratch", 1 << 20) as scratch:
        full = fill(scratch, leave_bytes=1 << 16)
        with watching(ours, tmp_path / "a", scratch=scratch) as sending:
            larger = b64encode(bytes(300_000)) + b"\nJVBERi0"
            drop(sending, "1.edxml", package().replace(b"JVBERi0", larger, 1))
            log = tmp_path / "a.log"
            waited_for(lambda: "waiting" in log.read_text(), within_s=60)
            assert names(sending / "out") == {"1.edxml"}
            assert names(sending / "failed") == set()
            full.unlink()
            waited_for(lambda: names(sending / "done") == {"1.edxml"}, within_s=60)
    with small_disk_of(tmp_path / "b", 4 << 20) as arriving, watching(theirs, arriving):
        waited_for(lambda: len(documents(arriving / "in", 2)) == 2, within_s=60)
        filler = fill(arriving, leave_bytes=0)
        ours.done("edxml", "import", written_to(tmp_path, package(mark="2")))
        waited_for(lambda: len(received(theirs)) == 4, within_s=60)
        waited_for(lambda: "waiting" in (tmp_path / "b.log").read_text(), within_s=60)
        assert len(documents(arriving / "in", 1)) == 2
        filler.unlink()
        found = waited_for(lambda: documents(arriving / "in", 4), within_s=60)
        assert all(action_and_files(path.read_bytes())[1] for path in found)


@pytest.mark.slow
def test_a_kill_between_handing_in_and_moving_gives_one_update_and_one_replacement(
    network: Network, tmp_path: Path, tool: Callable[[str], Path]
) -> None:
    ours, theirs = network[HA_TINH], network[NOI_VU]
    folder = tmp_path / "a"
    ours.done("edxml", "import", written_to(tmp_path, package()))
    for name in ("Cập nhật.edxml", "Thay thế.edxml"):
        drop(folder, name, changing(name, name[0]))
        before = len(ours.sent())
        killed_at(tool("strace"), (ours, folder), "rename:error=EIO", 1)
        assert names(folder / "out") == {name}
        assert len(ours.sent()) == before + 1, "it was handed in"
        ours.run("edxml", "watch", "--folder", folder, "--once")
        assert name in names(folder / "done")
    assert len(ours.sent()) == 3
    received_as(theirs, code_of("T"))
    entry = received_as(theirs, code_of("C"))
    shown = theirs.done("show", entry["document_id"])["received"][0]
    assert [each["state"] for each in shown["versions"]] == ["superseded", "in_force"]
    assert [link["kind"] for link in shown["links"]] == ["replaced_by"]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_large_attachment_goes_in_and_comes_out_in_little_memory(
    network: Network, tmp_path: Path
) -> None:
    ours, theirs = network[HA_TINH], network[NOI_VU]
    small = tmp_path / "small.edxml"
    small.write_bytes(package(mark="1"))
    usual = peak_mib(ours, "edxml", "import", small)
    file = tmp_path / "large.edxml"
    piece = b64encode(secrets.token_bytes(57 * 1000)) * 18
    head, tail = package(mark="2").split(b"JVBERi0", 1)
    with file.open("wb") as package_file:
        package_file.write(head)
        for _ in range(LARGE_MIB):
            package_file.write(piece)
        package_file.write(tail[tail.index(b"</ContentTransferEncoded>") :])
    assert peak_mib(ours, "edxml", "import", file) < usual + 40
    waited_for(lambda: len(received(theirs)) == 4, within_s=200)
    entry = max(received(theirs), key=lambda each: each["parts"][0]["size_bytes"])
    out = tmp_path / "out.edxml"
    assert peak_mib(theirs, "edxml", "export", entry["message_id"], "--out", out) < usual + 40
    assert out.stat().st_size > LARGE_MIB << 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_at_any_moment_lose_no_file_and_double_none(network: Network, tmp_path: Path) -> None:
    ours, theirs = network[HA_TINH], network[NOI_VU]
    out, arriving = tmp_path / "a", tmp_path / "b"
    taken: list[tuple[str, bytes]] = []
    count = max(ROUNDS, 6)
    made = {f"{number}.edxml": package(mark=str(number)) for number in range(count)}
    waiting = list(made)
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        for name in [waiting.pop() for _ in range(min(3, len(waiting)))]:
            drop(out, name, made[name])
        with watching(ours, out), watching(theirs, arriving):
            moment = time.monotonic() + 1.5 + secrets.randbelow(2500) / 1000
            while time.monotonic() < moment:
                taken += take(arriving / "in")
                time.sleep(0.005)
        if not waiting and len(taken) >= 2 * count and names(out / "done") == set(made):
            break
    with watching(theirs, arriving):
        time.sleep(3)
    taken += take(arriving / "in")
    assert names(out / "done") == set(made)
    assert names(out / "failed") | names(arriving / "failed") == set()
    found = sorted(action_and_files(data)[0].document_code for _, data in taken)
    wanted = sorted(action_and_files(data)[0].document_code for data in made.values())
    assert found == sorted(wanted * 2), "each document once for each of two recipients"
    assert len({name for name, _ in taken}) == len(taken)
    assert len(ours.sent()) == count


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_at_each_renaming_and_each_sync_loses_no_file_and_doubles_none(
    network: Network, tmp_path: Path, tool: Callable[[str], Path]
) -> None:
    """Killed as the n-th call of a kind returns, or instead of it, n counted up."""
    ours, theirs = network[HA_TINH], network[NOI_VU]
    out, arriving = tmp_path / "a", tmp_path / "b"
    moments = [
        (call, number)
        for number in range(1, KILL_MOMENTS + 1)
        for call in ("rename", "rename:error=EIO", "fsync", "fdatasync")
    ]
    taken: list[tuple[str, bytes]] = []
    made = {
        f"{call}-{number}.edxml": package(mark=f"{place}")
        for place, (call, number) in enumerate(moments)
    }
    for call, number in moments:
        drop(out, f"{call}-{number}.edxml", made[f"{call}-{number}.edxml"])
        killed_at(tool("strace"), (ours, out), call, number)
        killed_at(tool("strace"), (theirs, arriving), call, number)
        taken += take(arriving / "in")
    with watching(ours, out), watching(theirs, arriving):
        waited_for(lambda: names(out / "done") == set(made), within_s=60)
        taken += drained(arriving / "in", 2 * len(made) - len(taken))
    assert names(out / "failed") | names(arriving / "failed") == set()
    found = sorted(action_and_files(data)[0].document_code for _, data in taken)
    wanted = sorted(action_and_files(data)[0].document_code for data in made.values())
    assert found == sorted(wanted * 2)
    assert len(ours.sent()) == len(made)


def code_of(mark: str) -> str:
    return f"H29,2026/11/20,7816{mark}/VPCP-TTĐT"


def changing(name: str, mark: str, *, target: str = CODE, of: bytes = b"") -> bytes:
    """A sample that changes the document of ``package()``, or another one, for the same agencies.

    Args:
        of: Package whose recipients it takes; empty: those of the sample.
    """
    data = package(name, mark=mark)
    data = re.sub(rb"<edXML:ReceiverList>.*</edXML:ReceiverList>", b"", data, flags=re.DOTALL)
    second = rb"(</edXML:ReplacementInfo>)\s*<edXML:ReplacementInfo>.*</edXML:ReplacementInfo>"
    data = re.sub(second, rb"\1", data, flags=re.DOTALL)
    if of:
        to = rb"<edXML:To>.*</edXML:To>"
        meant = re.search(to, of, re.DOTALL)
        assert meant
        data = re.sub(to, lambda _: meant[0], data, flags=re.DOTALL)
    return data.replace("H29,2026/11/02,7806/VPCP-TTĐT".encode(), target.encode())


def accepting(code: str) -> bytes:
    """A status message by which software of the recipient accepts a document."""
    told = sample("Trạng thái 03, phong bì SOAP.edxml").decode()
    told = told.replace("000.00.00.G22", HA_TINH).replace("000.00.00.H41", NOI_VU)
    assert code in told
    return told.encode()


def documents(folder: Path, count: int) -> set[Path]:
    """Packages of documents in a folder; empty while there are fewer."""
    found = {path for path in folder.glob("*.edxml") if b"StatusCode" not in path.read_bytes()}
    return found if len(found) >= count else set()


def only(found: Iterable[Any]) -> Any:
    [one] = found
    return one


def received_as(node: Node, code: str) -> dict[str, Any]:
    """A received document, once it is there under a code."""

    def look() -> dict[str, Any] | None:
        return next((each for each in received(node) if each["document_code"] == code), None)

    found: dict[str, Any] = waited_for(look, within_s=60)
    return found


def written_to(folder: Path, data: bytes) -> Path:
    path = folder / f"{secrets.token_hex(4)}.edxml"
    path.write_bytes(data)
    return path


def line_of(data: bytes, text: str) -> int:
    return data[: data.index(text.encode())].count(b"\n") + 1


def peak_mib(node: Node, *words: object) -> float:
    """Runs a command, which must succeed, and returns the most memory it had."""
    code = (
        "import atexit, sys\n"
        "from pathlib import Path\n"
        "tell = lambda: print(Path('/proc/self/status').read_text(), file=sys.stderr)\n"
        "atexit.register(tell)\n"
        "from edocnode.cli.main import main\n"
        "main()"
    )
    command = [sys.executable, "-c", code, *map(str, words), "--data", str(node.data)]
    done = subprocess.run(
        command, env=node.environment(), capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def killed_at(strace: Path, where: tuple[Node, Path], call: str, number: int) -> None:
    """Runs the command until its n-th call of a kind, and kills it there."""
    node, folder = where
    name, _, more = call.partition(":")
    fault = ":".join(filter(None, (name, more, "signal=KILL", f"when={number}")))
    traced = [
        strace,
        "-f",
        "-qq",
        "--seccomp-bpf",  # stops at the calls it looks for alone
        "-o",
        "/dev/null",
        "-e",
        f"trace={name}",
        "-e",
        f"inject={fault}",
    ]
    command = node.command("edxml", "watch", "--folder", folder, "--once", "--json")
    process = subprocess.Popen(
        [*traced, *command],
        env=node.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(120)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def drained(folder: Path, count: int) -> list[tuple[str, bytes]]:
    """Takes files until so many came, and a little longer for one too many."""
    taken: list[tuple[str, bytes]] = []
    with contextlib.suppress(AssertionError):
        waited_for(lambda: taken.extend(take(folder)) or len(taken) >= count, within_s=60)
    time.sleep(3)
    return taken + take(folder)


def take(folder: Path) -> list[tuple[str, bytes]]:
    """Takes finished files away, as local software does the moment they appear."""
    found = []
    for path in folder.glob("*.edxml") if folder.is_dir() else ():
        data = path.read_bytes()
        path.unlink()
        if b"StatusCode" not in data:
            found.append((path.name, data))
    return found


@contextlib.contextmanager
def watching(
    node: Node, folder: Path, *words: object, scratch: Path | None = None
) -> Iterator[Path]:
    """The command beside a node for a block, then killed without warning.

    Args:
        scratch: Where it puts attachments on their way.
    """
    command = ("edxml", "watch", "--folder", folder, *words, "--json")
    log = (folder.parent / f"{folder.name}.log").open("ab")
    environment = node.environment() | ({"TMPDIR": str(scratch)} if scratch else {})
    given = [*map(str, command), "--data", str(node.data)]
    process = launch_forked(node.module, given, environment, log, log) or subprocess.Popen(
        node.command(*command), env=environment, stdout=log, stderr=log
    )
    try:
        waited_for(lambda: list(folder.rglob("failed")) or process.poll() is not None)
        assert process.poll() is None, Path(log.name).read_text()
        yield folder
        assert process.poll() is None, Path(log.name).read_text()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        log.close()


def drop(folder: Path, name: str, data: bytes) -> None:
    """Puts a file into out as software should: whole, by renaming."""
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    hidden = out / f".{name}.tmp"
    hidden.write_bytes(data)
    hidden.rename(out / name)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def received(node: Node) -> list[dict[str, Any]]:
    with open_office(node.socket) as office:
        found: list[dict[str, Any]] = office.inbox(agency="", state="", limit=100, after="")[
            "documents"
        ]
    return found


def recipient_states(node: Node, document_id: str) -> set[str]:
    with open_office(node.socket) as office:
        deliveries = office.deliveries(document_id)["deliveries"]
    return {json.loads(json.dumps(each))["recipient_state"] for each in deliveries}
