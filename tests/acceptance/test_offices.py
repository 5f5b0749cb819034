"""Offices of one node as processes: commands with tokens, the history, holds, export."""

import json
import os
import stat
import subprocess
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run_command
from tests.support.documents import APPENDIX, DECISION
from tests.support.network import (
    COMMAND_TIMEOUT_S,
    HA_TINH,
    NOI_VU,
    Network,
    Node,
    Outcome,
    waited_for,
)

DEPARTMENT = "H29.5"  # served by the node of H29
WAIT = ("--wait", "60")
EVER = ("--since", "2020-01-01", "--until", "2100-01-01")


@pytest.fixture(scope="module")
def province(joined_network: Network, tmp_path_factory) -> Iterator[Network]:
    """A running network whose node H29 has a socket for offices."""
    network = joined_network.copied(tmp_path_factory.mktemp("offices"))
    network[HA_TINH].settings["OFFICE_SOCKET"] = "true"
    try:
        network.start()
        yield network
    finally:
        network.close()


class Desk:
    """An office that has a token and a socket, and no data folder."""

    def __init__(self, node: Node, name: str, *words: object) -> None:
        found = node.done("access", "add", name, *words)
        self.token = found["token"]
        self.file = node.data.parent / f"{name}.token"
        self.file.write_text(self.token + "\n")
        self.file.chmod(0o600)
        self.socket = node.where["office_socket"]

    def run(self, *words: object) -> Outcome:
        """Runs a command of the office."""
        outer = {k: v for k, v in os.environ.items() if not k.startswith("EDOCNODE_")}
        own = {"EDOCNODE_OFFICE_SOCKET": self.socket, "EDOCNODE_TOKEN_FILE": str(self.file)}
        done = run_command(
            "edocnode.cli.main",
            [*map(str, words), "--json"],
            environment=outer | own,
            timeout_s=COMMAND_TIMEOUT_S,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def done(self, *words: object) -> Any:
        """Runs a command that must succeed."""
        return self.run(*words).data


def inbox_of(desk: Desk) -> set[str]:
    """Ids of the documents that an office is shown; other tests have sent some too."""
    return {item["document_id"] for item in desk.done("inbox")["documents"]}


def sent_to(network: Network, code: str) -> str:
    """A document from G01, delivered; its id."""
    sender = network[NOI_VU]
    sent = sender.done("send", DECISION, "--to", code, "--subject", f"Gửi {code}", *WAIT)
    document_id: str = sent["document_id"]
    return document_id


def history(node: Node, *words: object) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = node.done("access", "history", *words)["entries"]
    return entries


EVERY_RIGHT = ["decide", "process", "read", "send", "statistics"]


def times_shown(node: Node, document: str, account: str) -> int:
    entries = history(node, document, "--account", account)
    return sum(item["action"] == "shown" for item in entries)


def test_two_offices_work_behind_one_node_and_meet_nothing_of_each_other(province, tmp_path):
    node = province[HA_TINH]
    one = Desk(node, "van-phong", "--agency", HA_TINH)
    other = Desk(node, "so-noi-vu", "--agency", DEPARTMENT, "--may", "read,send")
    mine, theirs = sent_to(province, HA_TINH), sent_to(province, DEPARTMENT)
    assert {mine, theirs} & inbox_of(one) == {mine}
    assert {mine, theirs} & inbox_of(other) == {theirs}
    assert one.run("show", theirs).error == (3, "DOCUMENT_UNKNOWN")
    assert one.run("save", theirs, "--to", tmp_path / "x").error == (3, "DOCUMENT_UNKNOWN")
    assert one.run("accept", theirs).error == (3, "DOCUMENT_UNKNOWN")
    assert other.run("accept", theirs).error == (4, "ACCESS_DENIED")
    assert one.run("status").code == 5 or one.run("status").code == 2
    saved = one.done("save", mine, "--to", tmp_path / "đến")
    assert Path(saved["files"][0]["path"]).read_bytes() == Path(DECISION).read_bytes()
    assert one.done("accept", mine, "--actor", "Trần Bình")["state"] == "accepted"
    away = other.done(
        "send", APPENDIX, "--from", DEPARTMENT, "--to", NOI_VU, "--subject", "Trả lời", *WAIT
    )
    assert away["deliveries"][0]["state"] == "delivered"
    assert other.run("send", APPENDIX, "--to", NOI_VU, "--subject", "x").error == (
        4,
        "ACCESS_DENIED",
    )
    assert one.run("show", away["document_id"]).error == (3, "DOCUMENT_UNKNOWN")
    told = waited_for(
        lambda: [item for item in history(node, mine) if item["action"] == "decided"],
        what="the decision in the history",
    )
    assert (told[0]["account"], told[0]["document_id"]) == ("van-phong", mine)
    actions = {item["action"] for item in history(node, mine)}
    assert {"shown", "saved", "decided"} <= actions
    denied = history(node, theirs, "--account", "van-phong")
    assert {item["action"] for item in denied} == {"denied"}
    assert any(item["action"] == "listed" for item in history(node, "--account", "van-phong"))


def test_tokens_are_shown_once_and_hold_until_they_end(province):
    node = province[HA_TINH]
    desk = Desk(node, "mot-cua", "--agency", HA_TINH)
    assert desk.token not in json.dumps(node.done("access", "list"))
    assert node.done("access", "show", "mot-cua")["may"] == EVERY_RIGHT
    desk.done("inbox")
    renewed = node.done("access", "renew", "mot-cua")["token"]
    assert desk.run("inbox").error == (4, "ACCESS_TOKEN_REFUSED")
    desk.file.write_text(renewed)
    desk.done("inbox")
    node.done("access", "change", "mot-cua", "--may", "send")
    assert desk.run("inbox").error == (4, "ACCESS_DENIED")
    assert node.run("access", "end", "mot-cua").code == 2
    node.done("access", "end", "mot-cua", "--yes")
    assert node.done("access", "end", "mot-cua", "--yes")["repeated"]
    assert desk.run("inbox").error == (4, "ACCESS_TOKEN_REFUSED")
    assert node.run("access", "add", "mot-cua", "--subtree").error == (6, "REQUEST_CONFLICT")
    assert node.run("access", "renew", "mot-cua").error == (4, "ACCESS_DENIED")
    desk.file.chmod(0o644)
    assert desk.run("inbox").error == (1, "KEY_UNUSABLE")
    for words in (("Văn", "--subtree"), ("a",), ("a", "--agency", NOI_VU), ("a", "--may", "x")):
        assert node.run("access", "add", *words).code == 2
    assert node.run("access", "add", "a", "--agency", "X99").code == 3
    assert node.done("journal", "verify")["verdict"] == "ok"


def test_the_sockets_are_the_administrator_s_and_the_group_s(province):
    where = province[HA_TINH].where
    assert stat.S_IMODE(os.stat(where["socket"]).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(where["office_socket"]).st_mode) == 0o660
    assert "office_socket" not in province[NOI_VU].where


def test_history_is_there_after_a_kill_but_for_its_last_second(province):
    node = province[HA_TINH]
    desk = Desk(node, "luu-tru", "--agency", HA_TINH)
    document = sent_to(province, HA_TINH)
    reads = 5
    for _ in range(reads):
        desk.done("show", document)
    # It is written down within a second of the node, however long that takes on this machine.
    waited_for(lambda: times_shown(node, document, "luu-tru") == reads, what="the history")
    desk.done("show", document)
    node.kill()
    node.start()
    shown = times_shown(node, document, "luu-tru")
    assert reads <= shown <= reads + 1
    desk.done("show", document)
    node.restart()  # in order: nothing is lost
    assert times_shown(node, document, "luu-tru") == shown + 1


def test_history_comes_in_pages_newest_first(province):
    node = province[HA_TINH]
    for _ in range(6):  # no other test need have come before
        node.done("inbox")
    waited_for(lambda: len(history(node)) >= 6, what="six entries")
    first = node.done("access", "history", "--limit", "3")
    assert len(first["entries"]) == 3
    rest = node.done("access", "history", "--limit", "3", "--after", first["next"])
    times = [item["time"] for item in [*first["entries"], *rest["entries"]]]
    assert times == sorted(times, reverse=True)
    assert history(node, "--since", "2100-01-01") == []
    node.done("inbox")
    waited_for(lambda: history(node, "--account", "operator"), what="the operator's list")
    assert node.run("access", "history", "--since", "hôm qua").code == 2


def test_a_document_is_held_and_released_with_reason_and_actor(province):
    node = province[HA_TINH]
    document = sent_to(province, HA_TINH)
    held = node.done("hold", "add", document, "--reason", "Thanh tra", "--actor", "An")
    assert (held["reason"], held["actor"], held["repeated"]) == ("Thanh tra", "An", False)
    again = node.done("hold", "add", document, "--reason", "Khác")
    assert (again["reason"], again["repeated"]) == ("Thanh tra", True)
    assert document in {item["document_id"] for item in node.done("hold", "list")["holds"]}
    assert node.run("hold", "add", document, "--reason", " ").code == 2
    assert not node.done("hold", "release", document, "--reason", "Xong")["repeated"]
    assert node.done("hold", "release", document, "--reason", "Xong")["repeated"]
    assert node.done("hold", "list")["holds"] == []
    assert node.done("retention", "due")["documents"] == []
    assert node.run("retention", "destroy", document).code == 2
    assert node.run("retention", "destroy", document, "--yes").error == (6, "DECISION_CONFLICT")
    assert node.done("retention", "destroy", "--due", "--yes")["documents"] == []


def test_export_of_a_document_has_record_files_fields_and_states(province, tmp_path):
    node = province[HA_TINH]
    document = sent_to(province, HA_TINH)
    path = tmp_path / "bàn giao.zip"
    made = node.done("export", document, "--out", path)
    assert made["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert node.run("export", document, "--out", path).error == (6, "FILE_EXISTS")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        name = Path(DECISION).name
        assert set(names) == {
            "record.json", f"files/{name}", "document.json", "document.txt", "SHA256SUMS",
        }  # fmt: skip
        assert archive.read(f"files/{name}") == Path(DECISION).read_bytes()
        record = json.loads(archive.read("record.json"))
        assert record["subject"] == f"Gửi {HA_TINH}"
        assert json.loads(archive.read("document.json"))["received"][0]["state"] == "received"
        assert f"Gửi {HA_TINH}" in archive.read("document.txt").decode()
        sums = dict(
            reversed(line.split("  ", 1))
            for line in archive.read("SHA256SUMS").decode().splitlines()
        )
        for member in set(names) - {"SHA256SUMS"}:
            assert sums[member] == sha256(archive.read(member)).hexdigest()
    assert waited_for(
        lambda: [item for item in history(node, document) if item["action"] == "exported"]
    )


def test_export_of_a_period_has_all_of_it_and_nothing_of_another_office(province, tmp_path):
    node = province[HA_TINH]
    desk = Desk(node, "so-tai-chinh", "--agency", DEPARTMENT)
    mine = sent_to(province, DEPARTMENT)
    theirs = sent_to(province, HA_TINH)
    folder = tmp_path / "lưu trữ"
    made = desk.done("export", *EVER, "--out", folder)
    listed = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    found = {item["document_id"] for item in listed}
    assert made["documents"] == len(listed)
    assert mine in found
    assert theirs not in found
    check = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    assert check.returncode == 0
    everything = tmp_path / "tất cả"
    whole = node.done("export", *EVER, "--out", everything)
    assert whole["documents"] > made["documents"]
    again = node.run("export", *EVER, "--out", folder)
    assert again.error == (6, "FILE_EXISTS")
    early = ("--since", "2020-01-01", "--until", "2021-01-01")
    none = node.done("export", *early, "--out", tmp_path / "0")
    assert none["documents"] == 0
    assert node.run("export", "--out", tmp_path / "1").code == 2
