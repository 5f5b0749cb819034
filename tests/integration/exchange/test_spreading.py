"""The registry is down: what one node has reaches all others, by the nodes alone. Real nodes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from edoccore.directory.bundle import encode_bundle
from edoccore.directory.layout import RevocationKind
from edoccore.directory.packing import pieces
from edocnet.directory.v1 import directory_service_pb2 as messages
from edocnet.directory.v1 import directory_service_pb2_grpc as services
from edocnode.domain import directory as rules
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder
from tests.integration.exchange.test_ladder import bring
from tests.support.bad_peer import BadPeer
from tests.support.nation import Nation
from tests.support.nodes import TestNode, make_node, running, until, utc_now
from tests.support.ports import free_port

CODES = ("H29", "G01", "H30", "H31", "G02")
BOUND_S = 75  # one round and its questions; usually a second


@dataclass
class Country:
    """Some nodes of one nation, whose registry does not run."""

    nation: Nation
    nodes: Sequence[TestNode]

    def newer(self) -> bytes:
        """A newer directory as a file; an agency without a node is new in it."""
        self.nation.now += timedelta(seconds=5)
        self.nation.add_agency(f"K{len(self.nation.agencies)}", "Mới")
        return encode_bundle(self.nation.directory().files)


@pytest.fixture
def country(tmp_path: Path) -> Country:
    nation = Nation.create(utc_now())
    ports = [free_port() for _ in CODES]
    agencies = [
        nation.add_agency(code, code, address=f"127.0.0.1:{port}")
        for code, port in zip(CODES, ports, strict=True)
    ]
    nation.directory()
    nodes = [
        make_node(nation, agency, tmp_path / agency.code, port=port)
        for agency, port in zip(agencies, ports, strict=True)
    ]
    return Country(nation, nodes)


def held(node: TestNode) -> int:
    """Version of the directory on a node's disk."""
    folder = DataFolder(node.data)
    return DirectoryFiles(folder.directory, folder.identity().root_sha256).load().mark.version


def revoked_is_known(node: TestNode, sha256: str) -> bool:
    """Whether a node knows that a certificate was revoked."""
    folder = DataFolder(node.data)
    directory = DirectoryFiles(folder.directory, folder.identity().root_sha256).load()
    return directory.revocations.find(sha256) is not None


async def test_t08_a_newer_directory_that_one_node_has_reaches_all_without_the_registry(
    country: Country,
) -> None:
    nation, first = country.nation, country.nodes[0]
    revoked = nation.agencies["G02"].tls_sha256
    async with running(*country.nodes):
        await until(lambda: first.alarms() is not None)
        await asyncio.sleep(1.5)  # all have found the registry silent
        nation.now += timedelta(seconds=5)
        nation.revoke("G02", RevocationKind.TLS)
        version = nation.directory().mark.version
        await bring(first, encode_bundle(nation.files))
        others = country.nodes[1:4]  # all but the one whose certificate was revoked
        await until(lambda: all(held(node) == version for node in others), within_s=BOUND_S)
        assert all(revoked_is_known(node, revoked) for node in others)


async def test_t08_a_node_that_reaches_nobody_is_lent_a_newer_directory_by_whoever_calls(
    tmp_path: Path,
) -> None:
    nation = Nation.create(utc_now())
    ports = [free_port(), free_port()]
    behind = nation.add_agency("H29", "H29", address=f"127.0.0.1:{ports[0]}")
    moved = nation.add_agency("G01", "G01", address="127.0.0.1:9")  # where nobody listens now
    old = make_node(nation, behind, tmp_path / "H29", port=ports[0])
    nation.now += timedelta(seconds=5)
    nation.set_address("G01", f"127.0.0.1:{ports[1]}")
    version = nation.directory().mark.version
    new = make_node(nation, moved, tmp_path / "G01", port=ports[1])
    async with running(old):
        await asyncio.sleep(1.2)
        assert held(old) < version
        async with running(new):  # its hello tells both what the other has
            await until(lambda: held(old) == version, within_s=60)
        sent_to = DirectoryFiles(DataFolder(old.data).directory, nation.anchor).load()
        endpoint = sent_to.endpoint("G01", utc_now())
        assert endpoint is not None
        assert endpoint.addresses == (f"127.0.0.1:{ports[1]}",)


# --- Peers that lie ------------------------------------------------------------------------------


@pytest.fixture
async def lied_to(tmp_path: Path) -> AsyncIterator[tuple[Nation, TestNode, BadPeer]]:
    """A node, and a peer that lends what the test wants."""
    nation = Nation.create(utc_now())
    port = free_port()
    agency = nation.add_agency("G01", "G01", address=f"127.0.0.1:{port}")
    liar = nation.add_agency("H29", "H29", address="127.0.0.1:9")
    node = make_node(nation, agency, tmp_path / "G01", port=port)
    async with running(node):
        yield nation, node, BadPeer(nation, liar, agency, f"127.0.0.1:{port}")


async def lend(peer: BadPeer, files: Mapping[str, bytes], version: int = 1 << 50) -> str:
    """Lends files, as a node would, and says that they are of a version; tells how it ended."""
    async with peer.connect() as connection:
        call = services.LendingServiceStub(connection.channel).Lend(timeout=60)
        mark = messages.GetMarkResponse(version=version, hash=bytes(32))
        await call.write(messages.LendRequest(mark=mark))
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while isinstance(asked := await call.read(), messages.LendResponse):
                for index, path in enumerate(asked.paths):
                    data = files.get(path, b"")
                    for chunk in pieces(data):
                        piece = messages.GetFilesResponse(index=index, size=len(data), chunk=chunk)
                        await call.write(messages.LendRequest(piece=piece))
        return str((await call.code()).name)


def garbage(nation: Nation) -> dict[str, bytes]:
    """Files that are none."""
    return dict.fromkeys(nation.files, b"\xff" * 999)


def other_network(nation: Nation) -> dict[str, bytes]:
    """A directory of another network, whole and signed."""
    return Nation.create(nation.now, "vn-other").publish()


def endless(nation: Nation) -> dict[str, bytes]:
    """A timestamp without end."""
    return {**nation.files, "timestamp.json": bytes(64 * 1024 * 1024)}


def older(nation: Nation) -> dict[str, bytes]:
    """What was in force before."""
    return nation.publish()


@pytest.mark.parametrize("lie", [garbage, other_network, endless, older])
async def test_t09_a_peer_that_lends_lies_changes_nothing_and_frames_nobody(
    lied_to: tuple[Nation, TestNode, BadPeer], lie: Callable[[Nation], Mapping[str, bytes]]
) -> None:
    nation, node, liar = lied_to
    files = lie(nation)
    nation.now += timedelta(seconds=5)
    nation.add_agency("H30", "H30")
    bundle = encode_bundle(nation.directory().files)
    await bring(node, bundle)
    version = held(node)
    assert await lend(liar, files) == "OK"  # it was heard, and that is all
    assert held(node) == version
    alarms = node.alarms()
    assert rules.TWO_DIRECTORIES not in alarms
    if lie is older:  # whoever is late accuses nobody, and is not accused
        assert rules.INVALID not in alarms
    else:
        assert "The node of H29 offered" in alarms[rules.INVALID]
        assert "proves nothing against anybody but that node" in alarms[rules.INVALID]
    assert not DirectoryFiles(DataFolder(node.data).directory, nation.anchor).proofs()


async def test_a_peer_lends_at_most_once_a_minute(
    lied_to: tuple[Nation, TestNode, BadPeer],
) -> None:
    nation, node, peer = lied_to
    for code in ("H30", "H31"):
        nation.now += timedelta(seconds=5)
        nation.add_agency(code, code)
        assert await lend(peer, nation.publish()) == "OK"
    assert held(node) == nation.directory().mark.version - 5000  # milliseconds
