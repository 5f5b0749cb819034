"""A node of G01, and H29 beside it without a node, whose keys the tests use as they like."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from edoccore.directory.view import Directory
from edoccore.errors import SealerStoppedError
from edoccore.identity.keys import SoftwareSigner
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement, check_membership, open_seal
from edoccore.signing.statements import Receipt, Result
from edocnode.domain.exchange import Answer, Duplicate, Received, Refused, TryLater
from edocnode.storage import seal_key
from tests.integration.exchange.land import Land, made_land
from tests.support.bad_peer import BadPeer, Stream, now
from tests.support.nation import Nation
from tests.support.nodes import TestNode, make_node, running, utc_now
from tests.support.ports import free_port


@pytest.fixture(autouse=True)
def plain_logs() -> None:
    """Writes faults as programs do; structlog's own form prints every variable, for seconds."""
    formatter = structlog.dev.plain_traceback
    structlog.configure([structlog.dev.ConsoleRenderer(exception_formatter=formatter)])


@dataclass
class Scene:
    """Where the tests of one node play."""

    nation: Nation
    node: TestNode
    peer: BadPeer
    registry_port: int
    directory: Directory

    async def good(self, stream: Stream, count: int = 100) -> list[Answer]:
        """Sends good letters, of which every one must be received; the stream is alive."""
        before = self.node.inbox()
        answers = await stream.exchange(
            *self.peer.parcels(*(self.peer.letter() for _ in range(count)))
        )
        assert {self.told(answer) for answer in answers} == {("received", "")}
        assert self.node.inbox() == before + count
        return answers

    def told(self, answer: Answer) -> tuple[str, str]:
        """What an answer says and why, after its seal was verified."""
        match answer:
            case Received(receipt=receipt):
                stated = self.verified(receipt)
                rejected = stated.result is Result.REJECTED
                return (str(stated.result), str(stated.reason) if rejected else "")
            case Refused(reason=reason):
                return ("refused", reason)
            case TryLater(reason=reason):
                return ("try_later", reason)
            case Duplicate():
                return ("duplicate", "")
            case _:
                return ("need", "")

    def verified(self, receipt: SealedStatement) -> Receipt:
        """A receipt whose seal holds."""
        seal = open_seal(receipt.seal, self.directory, network=self.nation.network, at=now())
        assert seal.seal.signer == self.node.agency.code
        check_membership(seal.seal, receipt.statement, receipt.leaf, receipt.proof)
        return canonical.decode(receipt.statement, Receipt)

    def kept(self) -> int:
        """How many messages the node remembers, rejected ones too."""
        return self.node.count("SELECT count(*) FROM incoming")

    def other(self, code: str = "H30") -> BadPeer:
        """Another agency of the nation, which the directory of the node must list already."""
        return BadPeer(self.nation, self.nation.agencies[code], self.node.agency, self.node.address)


def make_nation(registry_port: int) -> Nation:
    """H29 and H30 with known keys, G01 with a node to be."""
    nation = Nation.create(utc_now())
    nation.set_address("REGISTRY", f"127.0.0.1:{registry_port}")
    nation.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh", owns=["H29.5"])
    nation.add_agency("H30", "Ủy ban nhân dân tỉnh Hải Dương")
    nation.add_agency("G01", "Bộ Nội vụ", owns=["G01.22"])
    return nation


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    registry_port = free_port()
    nation = make_nation(registry_port)
    node = make_node(nation, nation.agencies["G01"], tmp_path / "G01")
    async with running(node):
        peer = BadPeer(nation, nation.agencies["H29"], node.agency, node.address)
        yield Scene(nation, node, peer, registry_port, nation.directory())


class Card(SoftwareSigner):
    """A signer that can be pulled out, as a card can."""

    pulled = False

    def sign(self, data: bytes) -> bytes:
        if Card.pulled:
            raise SealerStoppedError("The card of the seal is not in its reader.")
        return super().sign(data)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> type[Card]:
    monkeypatch.setattr(seal_key, "SoftwareSigner", Card)
    Card.pulled = False
    return Card


@pytest.fixture
def land(tmp_path: Path) -> Land:
    """Agencies of which some end."""
    return made_land(tmp_path)
