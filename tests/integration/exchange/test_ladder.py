"""The registry is lost: what three nodes still do, and for how long. Real TLS, real databases."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import pytest

from edoccore.directory.bundle import encode_bundle
from edoccore.directory.layout import ROLE_LIFE, ROLE_RESIGN_AFTER
from edoccore.directory_errors import DirectoryFileError, ExtensionInvalidError
from edoccore.wire.status import raise_for
from edockit.grpc_client import unix_channel
from edocnet.admin.v1 import admin_service_pb2 as admin
from edocnet.admin.v1 import admin_service_pb2_grpc as admin_services
from edocnode.domain import directory as rules
from tests.support.nation import Nation
from tests.support.nodes import Sent, TestNode, make_node, running, until, utc_now
from tests.support.ports import free_port

SIGNED_BEFORE = ROLE_RESIGN_AFTER - timedelta(minutes=1)  # the worst moment to lose the registry


@dataclass
class Clock:
    """The clock of all nodes, and of the officers."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dataclass
class Country:
    """Three nodes without a registry."""

    nation: Nation
    nodes: Sequence[TestNode]
    clock: Clock

    async def send_all_ways(self) -> list[tuple[TestNode, Sent]]:
        """One document from each node to each other one."""
        return [
            (one, await one.send(b"noi dung", to=[other.agency.code]))
            for one, other in itertools.permutations(self.nodes, 2)
        ]

    async def after(self, ahead: timedelta) -> None:
        """Stops all nodes and starts them at a later time."""
        for node in self.nodes:
            await node.stop()
        self.clock.ahead = ahead
        for node in self.nodes:
            await node.start()


@pytest.fixture
def country(tmp_path: Path) -> Country:
    clock = Clock()
    nation = Nation.create(utc_now())
    ports = [free_port() for _ in range(3)]
    agencies = [
        nation.add_agency(code, code, address=f"127.0.0.1:{port}")
        for code, port in zip(("H29", "G01", "H30"), ports, strict=True)
    ]
    nation.directory()
    nodes = [
        make_node(nation, agency, tmp_path / agency.code, port=port)
        for agency, port in zip(agencies, ports, strict=True)
    ]
    for node in nodes:
        node.clock = clock
    return Country(nation, nodes, clock)


async def bring(node: TestNode, data: bytes) -> admin.ImportDirectoryResponse:
    """Imports a file, as the command does."""
    assert node.where is not None
    async with unix_channel(node.where.socket) as channel:
        stub = admin_services.AdminServiceStub(channel)
        call = stub.ImportDirectory()
        await call.write(admin.ImportDirectoryRequest(actor="Trực ban"))
        await call.write(admin.ImportDirectoryRequest(chunk=data))
        await call.done_writing()
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise raise_for(error) from error


async def state_of(node: TestNode) -> str:
    """The rung as ``status`` shows it."""
    assert node.where is not None
    async with unix_channel(node.where.socket) as channel:
        status = await admin_services.AdminServiceStub(channel).GetStatus(admin.GetStatusRequest())
    return admin.DirectoryState.Name(status.directory.state).removeprefix("DIRECTORY_STATE_")


async def test_t34_29_days_after_the_worst_moment_to_lose_the_registry_all_pairs_deliver(
    country: Country,
) -> None:
    async with running(*country.nodes):
        await country.after(SIGNED_BEFORE + timedelta(days=29))
        for node in country.nodes:
            assert await state_of(node) == "STALE"
            await until(lambda node=node: rules.STALE in node.alarms())
        for sender, sent in await country.send_all_ways():
            await sender.delivered(sent)


async def test_t34_an_expired_directory_keeps_all_and_an_extension_delivers_it_until_its_end(
    country: Country,
) -> None:
    first, second, third = country.nodes
    expired = ROLE_LIFE + timedelta(days=1)
    async with running(*country.nodes):
        await country.after(expired)
        assert {await state_of(node) for node in country.nodes} == {"EXPIRED"}
        kept = await country.send_all_ways()
        await until(lambda: rules.EXPIRED in first.alarms())
        country.nation.now = country.clock()
        extension = country.nation.extend(timedelta(days=2))
        # A node that was helped offers; the others keep nothing and say why.
        answer = await bring(first, extension)
        assert answer.directory.state == admin.DIRECTORY_STATE_EMERGENCY
        sent = next(sent for sender, sent in kept if sender is first)
        shown = await until(lambda: told_why(first, sent))
        assert "DIRECTORY_EXPIRED" in shown
        assert [node.inbox() for node in country.nodes] == [0, 0, 0]
        for node in (second, third):
            await bring(node, extension)
        for sender, document in kept:
            await sender.delivered(document, within_s=60)
        for node in country.nodes:
            await until(lambda node=node: rules.EMERGENCY in node.alarms())
            await until(lambda node=node: rules.EXPIRED not in node.alarms())
            query = "SELECT count(*) FROM effect WHERE CAST(data AS TEXT) LIKE ?"
            assert node.count(query, "%admin.directory_import%") == 1
        await country.after(expired + timedelta(days=1))  # the extension survives a restart
        assert await state_of(first) == "EMERGENCY"
        await country.after(expired + timedelta(days=2))
        assert await state_of(first) == "EXPIRED"
        closed = await first.send(b"qua han", to=["G01"])
        await until(lambda: rules.EXPIRED in first.alarms())
        await until(lambda: rules.EMERGENCY not in first.alarms())
        await until(lambda: first.state(closed.message_id) == "queued")


async def told_why(node: TestNode, sent: Sent) -> str:
    """What the sender is told about a delivery that waits."""
    delivery = await node.delivery(sent)
    return f"{delivery}" if "DIRECTORY_EXPIRED" in f"{delivery}" else ""


async def test_a_newer_directory_brought_as_a_file_opens_an_expired_node(
    country: Country,
) -> None:
    node = country.nodes[0]
    async with running(*country.nodes):
        await country.after(ROLE_LIFE + timedelta(days=1))
        country.nation.now = country.clock()
        country.nation.resign()
        bundle = encode_bundle(country.nation.directory().files)
        answer = await bring(node, bundle)
        assert answer.changed
        assert await state_of(node) == "FRESH"
        assert not (await bring(node, bundle)).changed
        await until(lambda: rules.EXPIRED not in node.alarms())


async def test_what_is_brought_and_does_not_hold_changes_nothing(country: Country) -> None:
    node = country.nodes[0]
    async with running(*country.nodes):
        await country.after(ROLE_LIFE + timedelta(days=1))
        country.nation.now = country.clock()
        for data in (b"", b"edoc", encode_bundle(country.nation.files)[:-1]):
            with pytest.raises(DirectoryFileError):
                await bring(node, data)
        with pytest.raises(ExtensionInvalidError, match="signed by 1/2"):
            await bring(node, country.nation.extend(timedelta(days=2), officers=1))
        country.nation.now -= timedelta(days=3)
        with pytest.raises(ExtensionInvalidError, match="ended"):
            await bring(node, country.nation.extend(timedelta(days=2)))
        assert await state_of(node) == "EXPIRED"
