"""One document to thousands of agencies, through real processes: whole or not at all."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edoccore.errors import EdocError
from edoccore.signing.statements import Urgency
from edocnode.rpc.office_client import Outgoing, open_office
from edocnode.storage.folder import DataFolder
from tests.support.nation import Nation
from tests.support.network import Node, own_host, waited_for
from tests.support.nodes import make_node, utc_now
from tests.support.ports import free_port

PROVINCES = {code: [f"{code}.{number}" for number in range(1, 1751)] for code in ("H29", "H30")}
COMMUNES = [commune for communes in PROVINCES.values() for commune in communes]
FIELDS = '{"subject":"Về việc sắp xếp đơn vị hành chính"}'.encode()
KILLS = 4
DELIVERED = "SELECT count(*) FROM delivery WHERE state = 'delivered'"
STANDING = "SELECT to_node, state, reason, message, count(*) FROM delivery GROUP BY 1, 2, 3, 4"
PATIENCE_S = 240
MIB = 1024 * 1024
MEMORY_KIB = 64 * 1024  # above what an idle node has


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    """A ministry, and two provinces whose nodes serve their communes; the registry is down."""
    nation = Nation.create(utc_now())
    host = own_host()
    owned: dict[str, list[str]] = {"G01": [], **PROVINCES}
    addresses = {code: f"{host}:{free_port(host)}" for code in owned}
    agencies = [
        nation.add_agency(code, f"Cơ quan {code}", owns=owns, address=addresses[code])
        for code, owns in owned.items()
    ]
    nation.directory()
    made = []
    for agency in agencies:
        folder = make_node(nation, agency, tmp_path / agency.code).data
        address = {"LISTEN": addresses[agency.code], "ADVERTISE": addresses[agency.code]}
        settings = {"LOG_FORMAT": "json", **address}
        made.append(Node(agency.code, "edocnode.cli.main", folder, settings))
    try:
        yield made
    finally:
        for node in made:
            node.kill()


def rows(node: Node, query: str) -> list[Any]:
    path = DataFolder(node.data).database_file
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute(query).fetchall()


def count(node: Node, query: str) -> int:
    return int(rows(node, query)[0][0])


def hand_in(node: Node, answers: list[str]) -> None:
    """Hands in the one request of these tests; notes the answer, if there is one."""
    outgoing = Outgoing(
        request_id="to-all",
        sender="",
        recipients=tuple(COMMUNES),
        urgency=Urgency.NORMAL,
        fields=FIELDS,
        files=(("a.pdf", 5),),
    )
    with contextlib.suppress(EdocError), open_office(node.socket) as office:
        sent, _ = office.submit(outgoing, [b"hello"])
        assert [item["recipient"] for item in sent["deliveries"]] == COMMUNES
        answers.append(sent["document_id"])


def kill_while_handing_in(node: Node) -> list[str]:
    """Kills the node after one of the pieces in which it keeps deliveries; its answers."""
    answers: list[str] = []
    before = count(node, "SELECT count(*) FROM delivery")
    calling = threading.Thread(target=hand_in, args=(node, answers))
    calling.start()
    while count(node, "SELECT count(*) FROM delivery") == before:
        assert calling.is_alive(), "the node did not even begin"
    node.kill()
    calling.join(PATIENCE_S)
    return answers


@pytest.mark.timeout(900)
def test_node_killed_while_it_keeps_a_document_to_thousands_sends_it_to_all_once(
    nodes: list[Node],
) -> None:
    sender, *recipients = nodes
    sender.wrapper = ("nice", "-n", "19")  # or it might be done before it is killed
    cut_off = 0
    for _ in range(KILLS):
        sender.start()
        answers = kill_while_handing_in(sender)
        counted = count(sender, "SELECT count(*) FROM document WHERE request_id IS NOT NULL")
        assert counted or not answers, "an acknowledged document is not there"
        if counted:
            break
        cut_off += 1
        assert count(sender, "SELECT count(*) FROM delivery WHERE state <> 'scheduled'") == 0
    assert cut_off, "no kill came before the last piece"
    for recipient in recipients:
        recipient.start()
    sender.wrapper = ()
    sender.start()
    final: list[str] = []
    hand_in(sender, final)
    hand_in(sender, final)
    assert len(set(final)) == 1
    waited_for(
        lambda: (
            count(sender, "SELECT count(*) FROM delivery WHERE state = 'delivered'")
            == len(COMMUNES)
        ),
        within_s=PATIENCE_S,
        what="all receipts",
    )
    for recipient in recipients:
        assert count(recipient, "SELECT count(*) FROM inbox") == 1750
        assert count(recipient, "SELECT count(DISTINCT recipient) FROM inbox") == 1750
    assert count(sender, "SELECT count(*) FROM delivery_envelope") == len(COMMUNES)
    assert sender.sent() == [final[0]]


@pytest.mark.timeout(900)
def test_document_to_thousands_is_sent_by_one_command_and_stays_readable(
    nodes: list[Node], tmp_path: Path
) -> None:
    sender, *recipients = nodes
    sender.anew = True
    for recipient in recipients:
        recipient.start()
    sender.start()
    idle = sender.peak_memory_kib()
    codes = tmp_path / "nơi nhận.txt"
    codes.write_text("\n".join(["# các xã", *COMMUNES]), encoding="utf-8")
    sent = send(sender, tmp_path, "Nghị quyết.pdf", 5, "--to-file", codes)
    assert [item["recipient"] for item in sent["deliveries"]] == COMMUNES
    for command in (("outbox",), ("show", sent["document_id"])):
        text = sender.run_text(*command).output
        assert len(text.splitlines()) < 70, text
        assert "3500 delivered" in text
    assert count(sender, "SELECT count(*) FROM document") == 1
    assert sender.peak_memory_kib() - idle < MEMORY_KIB
    some = [word for code in PROVINCES for item in PROVINCES[code][:40] for word in ("--to", item)]
    send(sender, tmp_path, "Phụ lục.pdf", MIB, *some)
    assert len([path for path in DataFolder(sender.data).blobs.rglob("*") if path.is_file()]) == 1
    moved = [event["sent"] for event in sender.events("transfer.ended") if event["part"] == 1]
    assert [size for size in moved if size] == [MIB] * len(recipients)


def send(node: Node, folder: Path, name: str, size: int, *words: object) -> dict[str, Any]:
    """Sends a file by the command and waits for all receipts."""
    document = folder / name
    document.write_bytes(bytes(size))
    more = ("--subject", "Sắp xếp", "--wait", PATIENCE_S)
    outcome = node.run("send", document, *words, *more, timeout_s=PATIENCE_S + 60)
    assert outcome.code == 0, (outcome.talk, rows(node, STANDING), node.events("peer.failed"))
    sent: dict[str, Any] = outcome.data
    assert {item["state"] for item in sent["deliveries"]} == {"delivered"}
    return sent
