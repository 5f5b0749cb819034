"""Who asks for a document that nobody was shown is told where it is, if it is his."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import grpc

from edoccore.errors import DocumentUnknownError, EdocError
from edoccore.office_errors import DocumentQuarantinedError
from edoccore.wire.status import raise_for
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.app.scanning import encrypted_archive
from edocnode.app.scanning import test_file as eicar
from tests.integration.scanning.asking import came_to, released
from tests.integration.scanning.conftest import scanning
from tests.support.accounts import Metadata, account, offices
from tests.support.clamd import clamd
from tests.support.nodes import TestNode, make_pair, running


async def told(node: TestNode, name: str, who: Metadata | None = None) -> EdocError | None:
    """What somebody is told who asks for a document: the operator, or an office with its token."""
    request = office.GetDocumentRequest(id=name)
    try:
        if who is None:
            async with node.office() as own:
                await own.GetDocument(request)
        else:
            async with offices(node) as stub:
                await stub.GetDocument(request, metadata=who)
    except grpc.aio.AioRpcError as error:
        return raise_for(error)
    return None


def with_offices(node: TestNode, place: Path) -> None:
    values = node.settings.model_dump() | {"office_socket": str(place / "offices" / "socket")}
    node.settings = type(node.settings).model_validate(values)


async def test_office_is_told_where_its_document_is_and_others_are_told_nothing(
    tmp_path: Path, place: Path
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    async with clamd(place) as scanner:
        scanning(recipient, scanner.address)
        with_offices(recipient, place)
        async with running(sender, recipient):
            mine = await account(recipient, "van-thu", "G01")
            other = await account(recipient, "khac", "G01.22")
            bad = await sender.send(eicar(), to=["G01"])
            locked = await sender.send(encrypted_archive(), to=["G01"])
            await came_to(recipient, bad, "infected")
            await came_to(recipient, locked, "held")
            expected: Sequence[tuple[bytes, str]] = [
                (bad.document_id, "malware was found"),
                (bad.message_id, "malware was found"),
                (locked.document_id, "could not be scanned"),
            ]
            for item, why in expected:
                for name in (str(UUID(bytes=item)), item.hex()):
                    for who in (None, mine):
                        error = await told(recipient, name, who)
                        assert isinstance(error, DocumentQuarantinedError)
                        assert why in error.message
                        assert "edocnode quarantine list" in error.hint
                    nothing = await told(recipient, name, other)
                    assert isinstance(nothing, DocumentUnknownError)
                    assert nothing.message == f"No document here has an id that begins with {name}."
            await released(recipient, locked)
            assert await told(recipient, locked.document_id.hex(), mine) is None
            await scanner.kill()
            late = await sender.send(b"%PDF", to=["G01"])
            await came_to(recipient, late, "waiting")
            waits = await told(recipient, late.document_id.hex(), mine)
            assert isinstance(waits, DocumentQuarantinedError)
            assert "waits for its scan" in waits.message
            assert isinstance(await told(recipient, "0" * 32), DocumentUnknownError)
