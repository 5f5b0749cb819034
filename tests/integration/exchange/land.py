"""Agencies of which some end: G01 writes to H26, which ends; H29, and sometimes H30, follow it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from edoccore.signing import canonical
from edoccore.signing.statements import Effect, Envelope, Receipt
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder
from tests.integration.exchange.test_own_entry import bring_newer
from tests.support.nation import Nation
from tests.support.nodes import Sent, TestNode, make_node, running, until, utc_now
from tests.support.ports import free_port

NAMES = {
    "G01": "Bộ Công an",
    "H26": "Ủy ban nhân dân tỉnh Hà Nam",
    "H29": "Ủy ban nhân dân tỉnh Ninh Bình",
    "H30": "Ủy ban nhân dân tỉnh Nam Định",
}


@dataclass
class Land:
    """Agencies with their nodes; not all of them run."""

    nation: Nation
    nodes: dict[str, TestNode]

    def __getitem__(self, code: str) -> TestNode:
        return self.nodes[code]

    async def ends(self, *followers: str, known_to: tuple[str, ...], code: str = "H26") -> None:
        """Ends an agency now, and tells some of the nodes that run."""
        self.nation.now += timedelta(seconds=5)
        self.nation.end(code, utc_now(), successors=followers)
        await bring_newer(self.nation, *(self.nodes[one] for one in known_to))

    async def starts_knowing(self, code: str) -> None:
        """Starts a node that has heard of everything."""
        node = self.nodes[code]
        files = DirectoryFiles(DataFolder(node.data).directory, self.nation.anchor)
        files.save(self.nation.directory())
        await node.start()


def made_land(tmp_path: Path) -> Land:
    """Four agencies whose nodes do not run yet."""
    nation = Nation.create(utc_now())
    ports = {code: free_port() for code in NAMES}
    for code, name in NAMES.items():
        nation.add_agency(code, name, address=f"127.0.0.1:{ports[code]}")
    nation.directory()
    return Land(
        nation,
        {
            code: make_node(nation, nation.agencies[code], tmp_path / code, port=ports[code])
            for code in NAMES
        },
    )


@asynccontextmanager
async def lively(land: Land, *codes: str) -> AsyncIterator[None]:
    async with running(*(land[code] for code in codes)):
        yield


def received(node: TestNode) -> list[tuple[str, str]]:
    """Sender and recipient of what a node has, in order."""
    return node.rows("SELECT sender, recipient FROM inbox ORDER BY position")


def receipt_of(node: TestNode, sent: Sent) -> tuple[Envelope, Receipt]:
    """The envelope in force and the receipt of a delivery, which must be for it."""
    ((envelope, receipt),) = node.rows(
        "SELECT e.data, r.data FROM delivery d "
        "JOIN delivery_envelope e ON e.message_id = d.message_id AND e.rank = d.envelope_rank "
        "JOIN receipt_got r ON r.message_id = d.message_id AND r.rank = 0 WHERE d.message_id = ?",
        sent.message_id,
    )
    answered = canonical.decode(receipt, Receipt)
    assert answered.envelope == sha256(envelope).hexdigest()
    return canonical.decode(envelope, Envelope), answered


def effects(node: TestNode, kind: str) -> list[Effect]:
    rows = node.rows("SELECT data FROM effect WHERE seal_id IS NOT NULL ORDER BY id")
    found = [canonical.decode(data, Effect) for (data,) in rows]
    return [effect for effect in found if effect.kind == kind]


async def is_held(node: TestNode, sent: Sent) -> office.Delivery:
    await until(lambda: node.state(sent.message_id) == "held", within_s=60)
    return await node.delivery(sent)


async def decide(node: TestNode, document_id: bytes) -> None:
    """Accepts a received document as a clerk does."""
    async with node.office() as stub:
        await stub.Decide(
            office.DecideRequest(
                id=str(UUID(bytes=document_id)), actor="Trực ban", accept=office.Accept()
            )
        )
