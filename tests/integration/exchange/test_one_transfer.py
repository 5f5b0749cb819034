"""One document to several agencies behind one node: its large parts travel once."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.nation import Nation
from tests.support.nodes import Sent, TestNode, make_node, running, until, utc_now
from tests.support.ports import free_port

MIB = 1024 * 1024
BEHIND = ("G01", "G01.22", "G01.23")
Pair = tuple[TestNode, TestNode]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """H29, and G01, whose node serves three agencies."""
    nation = Nation.create(utc_now())
    ports = [free_port(), free_port()]
    agencies = [
        nation.add_agency("H29", "Hà Tĩnh", address=f"127.0.0.1:{ports[0]}"),
        nation.add_agency(
            "G01", "Bộ Nội vụ", owns=list(BEHIND[1:]), address=f"127.0.0.1:{ports[1]}"
        ),
    ]
    nation.directory()
    sender, recipient = (
        make_node(nation, agency, tmp_path / agency.code, port=port)
        for agency, port in zip(agencies, ports, strict=True)
    )
    async with running(sender, recipient):
        yield sender, recipient


async def sent_bytes(pair: Pair, *documents: bytes) -> tuple[list[Sent], list[int]]:
    """Sends documents to all three at once; the sizes of the transfers of large parts."""
    sender, recipient = pair
    with capture_logs() as logs:
        sent = [await sender.send(content, to=BEHIND) for content in documents]
        await sender.delivered(*sent, within_s=60)
        await until(lambda: recipient.inbox() == 3 * len(sent))
    ended = [entry for entry in logs if entry["event"] == "transfer.ended" and entry["part"] == 1]
    return sent, [entry["sent"] for entry in ended if entry["sent"]]


async def test_50_mib_to_three_agencies_behind_one_node_travel_once(pair: Pair) -> None:
    content = secrets.token_bytes(50 * MIB)
    [sent], sizes = await sent_bytes(pair, content)
    assert sizes == [50 * MIB]
    for message_id in sent.message_ids:
        assert await pair[1].part(message_id, 1) == content


async def test_the_others_bring_no_part_not_even_the_record(pair: Pair) -> None:
    content = secrets.token_bytes(MIB)
    with capture_logs() as logs:
        sent = await pair[0].send(content, to=BEHIND)
        await pair[0].delivered(sent, within_s=60)
    begun = [entry["part"] for entry in logs if entry["event"] == "transfer.started"]
    assert sorted(begun) == [0, 1]
    for message_id in sent.message_ids:
        assert await pair[1].part(message_id, 0) == await pair[1].part(sent.message_id, 0)
        assert await pair[1].part(message_id, 1) == content


async def test_documents_with_the_same_attachment_do_not_wait_for_each_other(pair: Pair) -> None:
    content = secrets.token_bytes(MIB)
    _, sizes = await sent_bytes(pair, content, secrets.token_bytes(MIB), secrets.token_bytes(MIB))
    assert sizes == [MIB] * 3
