"""Whoever reads Vietnamese reads no English line, whichever command of the two programs was run.

The vocabulary is that of the catalogues: words of the messages that stand in no translation. What
is typed, given or named (commands, options, paths, ids, codes) counts as no language.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.edxml.packages import sample
from tests.support.network import HA_TINH, NOI_VU, Network, Program, waited_for
from tests.support.vietnamese import english_in, told

REASON = "Ghi nhầm nơi nhận trong bản đầu"
NOVEMBER = ("--from", "2026-11-01", "--to", "2026-11-30")
EVER = ("--since", "2020-01-01", "--until", "2100-01-01")


class Reader:
    """A person who reads what commands say, and notes every line with English in it."""

    def __init__(self) -> None:
        self.read_lines = 0
        self.english: list[str] = []

    def reads(self, program: Program, *commands: Sequence[object]) -> None:
        """Runs commands one after another, whatever they end with."""
        for words in commands:
            outcome = told(program, *words)
            text = f"{outcome.output}\n{outcome.talk}"
            assert text.strip(), words
            self.read_lines += len(text.splitlines())
            self.english += [f"{words[0]}: {line}" for line in english_in(text)]


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "cong-van.txt"
    path.write_text("Kính gửi: Bộ Nội vụ", encoding="utf-8")
    return path


@pytest.fixture
def numbering(stopped_network: Network) -> Network:
    """A running network whose agencies let their nodes number."""
    for code, node in stopped_network.nodes.items():
        node.settings["NUMBERING"] = f'["{code}"]'
    stopped_network.start()
    return stopped_network


@pytest.mark.timeout(400)  # many commands, one process each
def test_a_clerk_reads_no_english_line(numbering: Network, letter: Path, tmp_path: Path) -> None:
    sender, other, reader = numbering[HA_TINH], numbering[NOI_VU], Reader()
    send = ("send", letter, "--to", NOI_VU, "--wait", 60)
    first, second, third = (
        sender.done(*send, "--subject", subject, *words)["document_id"]
        for subject, words in (
            ("Báo cáo", ("--number", 28, "--notation", "BC-UBND", "--type", "BC")),
            ("Kế hoạch", ("--urgency", "khan", "--due", "2026-12-05")),
            ("Công văn", ()),
        )
    )
    reader.reads(
        sender,
        (*send, "--subject", "Báo cáo", "--number", 28, "--notation", "BC-UBND"),
        (*send, "--subject", "Tờ trình", "--number", "auto", "--notation", "TTr-UBND"),
        (*send, "--subject", "Hẹn giờ", "--send-at", "2100-01-01T08:00"),
        (*send, "--subject", "-", "--number", 7, "--type", "BC", "--signer-authority", "zz"),
        (*send, "--subject", "Thử", "--type", "ZZ"),
        (*send, "--subject", "Thử", "--secrecy", "mat"),
    )
    decided = ("--reason", REASON)
    reader.reads(
        other,
        ("accept", first),
        ("accept", first),
        ("assign", first, "--to", "Phòng Hành chính"),
        ("process", first),
        ("finish", first),
        ("reject", first, "--code", "DUPLICATE", *decided),
        ("reject", second, "--code", "INCOMPLETE", *decided),
        ("assign", third, "--to", "Phòng Hành chính"),
        ("decline", third, "--code", "UNCLEAR", *decided),
        ("agree", third),
    )
    reader.reads(
        sender,
        ("update", first, letter, *decided, "--wait", 60),
        ("replace", first, letter, *decided, "--number", 29, "--wait", 60),
        ("replace", first, letter, *decided),
        ("revoke", third, *decided),
        ("revoke", third, *decided),
        ("retry", first),
    )
    waited_for(lambda: sender.delivery(third)["revocation"] == "agreed", what="the destruction")
    for document in (first, second, third):
        reader.reads(sender, ("show", document))
        reader.reads(other, ("show", document))
    for node in (sender, other):
        _reads_lists(reader, node)
    _reads_files(reader, other, first, tmp_path)
    assert not reader.english, "\n".join(reader.english)
    assert reader.read_lines > 250


def _reads_lists(reader: Reader, node: Program) -> None:
    reader.reads(
        node,
        *(("inbox",), ("outbox",), ("inbox", "--limit", 1), ("outbox", "--limit", 1)),
        *(("inbox", "--search", "xyz"), ("outbox", "--since", "hôm qua"), ("late",)),
        *(("stats", "--by", each) for each in ("type", "urgency", "peer", "day")),
        *(("stats", "--nation"), ("stats", "--month", "x"), ("numbers", "list")),
        ("numbers", "reserve", "--for", "Văn bản giấy", "--count", 2),
        ("numbers", "list", "--arrivals"),
        ("numbers", "void", 2, "--reason", "Ghi nhầm số trong sổ"),
        ("codes", "khong-co"),
    )


def _reads_files(reader: Reader, node: Program, document: str, folder: Path) -> None:
    saved, book, out = folder / "tep", folder / "so.xlsx", folder / "xuat"
    reader.reads(
        node,
        *(("save", document, "--to", saved), ("save", document, "--to", saved)),
        *(("register", "incoming", *NOVEMBER, "--out", book) for _ in range(2)),
        *(("export", document, "--out", folder / "mot.zip"), ("export", *EVER, "--out", out)),
        *(("export", document, "--out", folder / "mot.zip"), ("save", "zz", "--to", saved)),
        ("signatures", "check", saved / "cong-van.txt"),
        ("signatures", "recheck", document),
    )


def test_an_operator_reads_no_english_line(network: Network, letter: Path, tmp_path: Path) -> None:
    node, other, reader = network[HA_TINH], network[NOI_VU], Reader()
    send = ("send", letter, "--to", NOI_VU, "--subject", "Báo cáo", "--wait", 60)
    document = node.done(*send)["document_id"]
    proof = tmp_path / "bang-chung.zip"
    reader.reads(
        node,
        *(("status",), ("peers",), ("ping", NOI_VU), ("ping", HA_TINH), ("ping", "Z9")),
        *(("config", "check"), ("config", "paths"), ("journal", "verify"), ("takeover",)),
        *(("evidence", "export", document, "--out", proof), ("evidence", "verify", proof)),
        *(("evidence", "verify", letter), ("evidence", "verify", proof, "--root", "abc")),
        ("access", "add", "mot-cua", "--subtree"),
        ("access", "add", "phong-1", "--agency", "H29.5", "--may", "read"),
        ("access", "add", "phong-2", "--agency", "Z9"),
        *(("access", "change", "mot-cua", "--may", "send"), ("access", "renew", "mot-cua")),
        *(("access", "end", "mot-cua"), ("access", "end", "mot-cua", "--yes"), ("access", "list")),
        *(("access", "restrict", document, "--to", "phong-1"), ("access", "open", document)),
        *(("access", "show", "phong-9"), ("access", "history"), ("serve",)),
    )
    reader.reads(
        other,
        ("hold", "add", document, "--reason", "Thanh tra"),
        *(("hold", "list"), ("retention", "due"), ("retention", "destroy", document, "--yes")),
        *(("hold", "release", document, "--reason", "Xong"), ("hold", "list")),
        *(("retention", "destroy"), ("retention", "destroy", "--due", "--yes")),
    )
    other.kill()
    node.done(*send[:-2])
    waited_for(lambda: node.done("peers")["peers"][0]["down_since"], what="the peer down")
    reader.reads(node, ("status",), ("peers",), ("outbox",), ("ping", NOI_VU))
    node.stop()
    reader.reads(node, ("status",), ("journal", "verify"), ("inbox",))
    assert not reader.english, "\n".join(reader.english)


def test_whoever_has_edxml_packages_reads_no_english_line(network: Network, tmp_path: Path) -> None:
    node, reader = network[HA_TINH], Reader()
    text = sample("Văn bản mới.edxml").decode().replace("000.00.00.G22", HA_TINH)
    text = text.replace("000.00.00.H41", NOI_VU).replace("000.00.00.H14", "G01.22")
    good, bad = tmp_path / "tot.edxml", tmp_path / "hong.edxml"
    good.write_text(text)
    bad.write_text(text.replace("Priority>0", "Priority>7").replace("BussinessDocType>0", "B>0", 1))
    wrong = tmp_path / "sai.edxml"
    wrong.write_text(text.replace("JVBER", "JV!ER"))
    box = tmp_path / "hop"
    (box / "out").mkdir(parents=True)
    (box / "out" / "hong.xml").write_text("<a>")
    reader.reads(
        node,
        *(("edxml", "validate", file) for file in (good, bad, wrong)),
        *(("edxml", "import", file) for file in (good, bad, wrong)),
        *(("edxml", "watch", "--folder", box, "--once"), ("edxml", "watch", "--once")),
    )
    sent = node.sent()[0]
    reader.reads(node, ("edxml", "export", sent, "--out", tmp_path / "di.edxml", "--statuses"))
    assert not reader.english, "\n".join(reader.english)


def test_an_officer_reads_no_english_line(stopped_network: Network) -> None:
    registry, reader = stopped_network.registry, Reader()
    reader.reads(
        registry,
        *(("status",), ("agency", "list"), ("agency", "show", HA_TINH), ("agency", "show", "X")),
        *(("agency", "add", "K01", "--name", "Sở Thử"), ("agency", "add", "K01", "--name", "Sở")),
        *(("agency", "suspend", "K01"), ("agency", "resume", "K01"), ("invite", "K01")),
        *(("revoke", "K01", "--yes"), ("agency", "close", "K01"), ("publish",)),
        *(("agency", "close", "K01", "--yes"), ("invite", "K01"), ("invite", NOI_VU)),
        *(("revoke", NOI_VU), ("revoke", NOI_VU, "--tls", "--yes"), ("agency", "show", NOI_VU)),
        *(("init", "--network", "x", "--listen", "127.0.0.1:0"), ("khong-co",)),
    )
    assert not reader.english, "\n".join(reader.english)


def test_the_vocabulary_tells_english_from_vietnamese() -> None:
    assert english_in("Văn bản 0198 ở trạng thái đã đến, từ 27/11/2026") == []
    assert english_in("Xem: edocnode show ID") == []
    assert english_in("lỗi: /tmp/the/file.pdf: 'not here', --not-this, retention=not.toml") == []
    assert english_in("G01: đã đến since 27/11/2026") != []
    assert english_in("Giá trị pháp lý: not checked") != []
