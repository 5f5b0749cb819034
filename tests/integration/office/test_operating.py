"""What an operator sees and may do, over the real socket."""

from edoccore.errors import AgencyUnknownError, PeerUnreachableError, RequestInvalidError
from edockit.grpc_client import unix_channel
from edocnet.admin.v1 import admin_service_pb2 as admin
from edocnet.admin.v1 import admin_service_pb2_grpc as services
from tests.integration.office.support import Refused, submit, text
from tests.support.nodes import TestNode, until

Pair = tuple[TestNode, TestNode]


async def status(node: TestNode) -> admin.GetStatusResponse:
    assert node.where is not None
    async with unix_channel(node.where.socket) as channel:
        return await services.AdminServiceStub(channel).GetStatus(admin.GetStatusRequest())


async def ping(node: TestNode, agency: str) -> admin.PingPeerResponse:
    assert node.where is not None
    async with unix_channel(node.where.socket) as channel:
        request = admin.PingPeerRequest(agency=agency)
        return await services.AdminServiceStub(channel).PingPeer(request)


async def test_status_of_a_healthy_node_has_what_the_ready_line_says(pair: Pair) -> None:
    node = pair[0]
    await until(lambda: node.count("SELECT count(*) FROM own_statement"))
    found = await status(node)
    assert (found.agency, list(found.serves)) == ("H29", ["H29", "H29.5"])
    assert found.listen == node.address
    assert found.directory.state == admin.DIRECTORY_STATE_FRESH
    assert found.sealer.sealing
    assert not found.queues
    assert not found.HasField("oldest_undelivered_time")


async def test_status_tells_what_waits_since_when_and_why(alone: TestNode) -> None:
    await submit(alone, b"one")

    async def down() -> admin.PeerQueue | None:
        queues = (await status(alone)).queues
        return queues[0] if queues and queues[0].reason else None

    queue = await until(down)
    assert (queue.agency, queue.waiting, queue.reason) == ("G01", 1, "PEER_UNREACHABLE")
    assert queue.HasField("oldest_time")
    assert queue.HasField("down_time")
    assert (await status(alone)).HasField("oldest_undelivered_time")


async def test_ping_says_hello_to_the_node_that_serves_the_code(pair: Pair) -> None:
    first, second = pair  # the second one started when the first was up
    found = await ping(second, "H29.5")
    assert (found.agency, found.address) == ("H29", first.address)
    assert 0 < found.round_trip.ToTimedelta().total_seconds() < 30
    assert found.protocol == "TLSv1.3"


async def test_ping_tells_unknown_own_and_silent_agencies_apart(alone: TestNode) -> None:
    with Refused(AgencyUnknownError):
        await ping(alone, "X99")
    with Refused(RequestInvalidError):
        await ping(alone, "H29.5")
    with Refused(PeerUnreachableError):
        await ping(alone, "G01")


async def test_takeover_opens_a_new_epoch_and_names_who_did_it(pair: Pair) -> None:
    node = pair[0]
    before = (await status(node)).sealer.epoch
    assert node.where is not None
    async with unix_channel(node.where.socket) as channel:
        stub = services.AdminServiceStub(channel)
        with Refused(RequestInvalidError):
            await stub.TakeOver(admin.TakeOverRequest())
        answer = await stub.TakeOver(admin.TakeOverRequest(actor="Lan"))
    assert answer.epoch > before
    (data,) = node.rows("SELECT data FROM effect")[0]
    assert b'"kind":"admin.takeover"' in data
    assert b'"actor":"Lan"' in data


async def test_evidence_and_journal_come_over_the_socket(pair: Pair) -> None:
    sender, recipient = pair
    sent = await submit(sender, b"one", to=("G01", "G01.22"))
    await until(lambda: recipient.inbox() == 2)
    assert sender.where is not None
    async with unix_channel(sender.where.socket) as channel:
        stub = services.AdminServiceStub(channel)
        document = text(sent.document_id)
        with Refused(RequestInvalidError):  # two deliveries, none named
            async for _ in stub.ExportEvidence(admin.ExportEvidenceRequest(id=document)):
                pass
        request = admin.ExportEvidenceRequest(id=document, recipient="G01.22")
        chunks = [item.chunk async for item in stub.ExportEvidence(request)]
        report = await stub.VerifyJournal(admin.VerifyJournalRequest())
    assert b"".join(chunks).startswith(b"PK")
    assert (report.verdict, len(report.findings)) == ("ok", 0)
