"""What the registry puts into an agency's own entry shows at the agency's own node. Real nodes."""

import asyncio
from datetime import timedelta
from pathlib import Path

from edoccore.directory.bundle import encode_bundle
from edoccore.directory.layout import AgencyState
from edockit.grpc_client import unix_channel
from edocnet.admin.v1 import admin_service_pb2 as admin
from edocnet.admin.v1 import admin_service_pb2_grpc as admin_services
from edocnode.domain.directory import OWN_ENTRY
from tests.integration.exchange.test_ladder import bring
from tests.support.nation import Nation
from tests.support.nodes import TestNode, make_pair, running, until
from tests.unit.edocnode.domain.test_own_entry import another_code


async def bring_newer(nation: Nation, *nodes: TestNode) -> None:
    """Publishes, and brings it to nodes."""
    nation.now += timedelta(seconds=5)
    bundle = encode_bundle(nation.directory().files)
    for node in nodes:
        await bring(node, bundle)


def told(node: TestNode) -> dict[str, str]:
    """Messages of alarms about the own entry, by subject."""
    return dict(node.rows("SELECT subject, message FROM alarm WHERE kind = ?", OWN_ENTRY))


async def accept(node: TestNode) -> None:
    """Accepts the codes, as the command does."""
    assert node.where is not None
    async with unix_channel(node.where.socket) as channel:
        stub = admin_services.AdminServiceStub(channel)
        await stub.AcceptOwnEntry(admin.AcceptOwnEntryRequest(actor="Trực ban"))


async def test_t06_a_foreign_seal_alarms_its_agency_at_once_and_the_exchange_goes_on(
    tmp_path: Path,
) -> None:
    nation, node, other = make_pair(tmp_path)
    async with running(node, other):
        await node.delivered(await node.send(b"truoc", to=["G01"]))
        assert told(node) == {}
        real = nation.agencies["H29"]
        nation.now += timedelta(seconds=5)
        nation.replace_seal("H29")
        nation.agencies["H29"] = real
        await bring_newer(nation, node, other)
        subjects = await until(lambda: told(node))
        assert any(subject.startswith("seal ") for subject in subjects)
        assert told(other) == {}
        await node.stop()
        await node.start()
        assert await until(lambda: told(node)) == subjects  # it lasts over restarts
        await node.delivered(await node.send(b"sau", to=["G01"]))


async def test_t06_codes_that_were_given_to_an_agency_alarm_until_its_operator_accepts_them(
    tmp_path: Path,
) -> None:
    nation, node, _ = make_pair(tmp_path)
    async with running(node):
        await until((node.data / "directory" / "own").exists)
        another_code(nation)
        await bring_newer(nation, node)
        assert set(await until(lambda: told(node))) == {"code H29.6"}
        await accept(node)
        await until(lambda: told(node) == {})
        query = "SELECT count(*) FROM effect WHERE CAST(data AS TEXT) LIKE ?"
        assert node.count(query, "%admin.own_entry_accepted%") == 1


async def test_a_suspended_agency_keeps_its_documents_and_sends_them_when_it_returns(
    tmp_path: Path,
) -> None:
    nation, node, other = make_pair(tmp_path)
    async with running(node, other):
        await node.delivered(await node.send(b"truoc", to=["G01"]))
        nation.set_state("H29", AgencyState.SUSPENDED)
        await bring_newer(nation, node, other)
        assert "state" in await until(lambda: told(node))
        sent = await node.send(b"trong khi", to=["G01"])
        attempts = "SELECT count(*) FROM peer WHERE down_since IS NOT NULL"
        await until(lambda: node.state(sent.message_id) == "queued")
        await asyncio.sleep(1)
        assert node.state(sent.message_id) == "queued"
        assert node.count(attempts) == 0  # nobody was called in vain
        nation.set_state("H29", AgencyState.ACTIVE)
        await bring_newer(nation, node, other)
        await node.delivered(sent)
        await until(lambda: told(node) == {})


async def test_t06_a_list_that_the_node_did_not_make_alarms_its_agency(tmp_path: Path) -> None:
    nation, node, other = make_pair(tmp_path)
    nation.delegate("H29", "H29.*")
    nation.directory()
    async with running(node, other):
        await until((node.data / "directory" / "own").exists)
        nation.now += timedelta(seconds=5)
        thief = nation.agencies["H29"].subagencies("H29.66", time=nation.now)
        nation.put_list("H29", thief)
        await bring_newer(nation, node, other)
        found = await until(lambda: told(node))
        assert "subagencies" in found
        assert told(other) == {}
        await accept(node)  # the operator knows of a restore
        await until(lambda: told(node) == {})
