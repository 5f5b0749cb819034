"""An administrator discards what is kept apart: for good, and its sender is told under seal."""

import asyncio
import os
from pathlib import Path

import grpc
import pytest

from edoccore.errors import DecisionConflictError, DocumentUnknownError, EdocError
from edoccore.office_errors import DocumentHeldError
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.app.scanning import encrypted_archive
from edocnode.app.scanning import test_file as eicar
from edocnode.storage.folder import DataFolder
from tests.integration.scanning.asking import (
    came_to,
    discarded,
    listed,
    released,
    scanned_again,
    states,
    told,
    told_rejected,
)
from tests.integration.scanning.conftest import pair, scanning
from tests.support.accounts import AsOffice, account, offices
from tests.support.clamd import MARKER, clamd
from tests.support.nodes import Sent, TestNode, make_pair, running, until

WHY = "Đã xác nhận có mã độc với cơ quan gửi"


def stored_parts(node: TestNode) -> list[Path]:
    return [each for each in DataFolder(node.data).blobs.glob("??/*") if each.is_file()]


def is_in_the_database(node: TestNode, content: bytes) -> bool:
    """Whether the bytes are anywhere in it, also where rows were deleted."""
    file = DataFolder(node.data).database_file
    return any(
        content in each.read_bytes() for each in file.parent.glob(f"{file.name}*") if each.is_file()
    )


async def test_discarding_destroys_content_and_tells_the_sender_and_the_journal(
    tmp_path: Path, place: Path
) -> None:
    async with clamd(place) as scanner, pair(tmp_path, scanner.address) as (sender, recipient):
        secret = b"content that nobody may find again"
        bad = await sender.send(
            eicar(), secret, MARKER + os.urandom(300_000), to=["G01"], subject="Trích yếu ẩn"
        )
        await came_to(recipient, bad, "infected")
        await until(lambda: told_rejected(sender, bad), within_s=60)
        assert stored_parts(recipient)
        assert not (await discarded(recipient, bad, WHY))["repeated_request"]
        assert (await discarded(recipient, bad, WHY))["repeated_request"]
        assert states(recipient) == {}
        assert await listed(recipient) == []
        await until(lambda: "QUARANTINED" not in recipient.alarms())
        await until(lambda: not stored_parts(recipient), within_s=60)
        assert recipient.rows("SELECT inline, listing FROM incoming WHERE rank = 0") == [
            (b"", b"{}")
        ]
        await until(lambda: told_twice(sender, bad), within_s=60)
        step = (await sender.delivery(bad)).timeline[-1]
        assert WHY in step.reason
        assert step.actor == "Lan"
        effects = [data for (data,) in recipient.rows("SELECT data FROM effect")]
        assert any(b'"scan.discarded"' in data and WHY.encode() in data for data in effects)
        assert await scanned_again(recipient, bad) == 0
        assert recipient.inbox() == 0
        await recipient.stop()  # its journal is in the database by now
        assert not is_in_the_database(recipient, secret)


async def told_twice(sender: TestNode, sent: Sent) -> bool:
    return await told(sender, sent) == [("rejected", "MALWARE"), ("rejected", "MALWARE")]


async def test_what_was_only_held_is_discarded_without_being_called_malware(
    tmp_path: Path, place: Path
) -> None:
    async with clamd(place) as scanner, pair(tmp_path, scanner.address) as (sender, recipient):
        locked = await sender.send(encrypted_archive(), to=["G01"])
        await came_to(recipient, locked, "held")
        await discarded(recipient, locked, WHY)

        async def is_told() -> bool:
            return await told(sender, locked) == [("rejected", "OTHER")]

        await until(is_told, within_s=60)


async def test_only_what_is_kept_apart_and_was_never_shown_is_discarded(
    tmp_path: Path, place: Path
) -> None:
    async with clamd(place) as scanner, pair(tmp_path, scanner.address) as (sender, recipient):
        clean = await sender.send(b"%PDF", to=["G01"])
        let_through = await sender.send(eicar(), to=["G01"])
        late = await sender.send(MARKER, b"late", to=["G01"])
        held = await sender.send(eicar(), b"held", to=["G01"])
        await came_to(recipient, clean, "clean")
        for sent in (let_through, late, held):
            await came_to(recipient, sent, "infected")
        await released(recipient, let_through)
        await released(recipient, late)
        assert await scanned_again(recipient, late) == 1  # it was shown; now its content is not
        await came_to(recipient, late, "infected")
        recipient.write(
            f"INSERT INTO hold VALUES (x'{held.document_id.hex()}', 'điều tra', 'Lan', 0)"
        )
        refused: list[tuple[Sent, type[EdocError], str]] = [
            (clean, DecisionConflictError, "not kept apart any more"),
            (let_through, DecisionConflictError, "not kept apart any more"),
            (late, DecisionConflictError, "had been shown"),
            (held, DocumentHeldError, "is held"),
        ]
        for sent, error, why in refused:
            with pytest.raises(error, match=why):
                await discarded(recipient, sent)
        await scanner.kill()
        waits = await sender.send(b"%PDF waits", to=["G01"])
        await came_to(recipient, waits, "waiting")
        with pytest.raises(DecisionConflictError, match="still waits for its scan"):
            await discarded(recipient, waits)
        assert recipient.count("SELECT count(*) FROM destroyed") == 0
        assert await recipient.part(clean.message_id, 1) == b"%PDF"
        assert await recipient.part(let_through.message_id, 1) == eicar()


async def test_what_is_no_received_document_is_not_discarded(tmp_path: Path, place: Path) -> None:
    async with clamd(place) as scanner, pair(tmp_path, scanner.address) as (sender, recipient):
        await recipient.stop()
        scanning(recipient, "")
        await recipient.start()
        sent = await sender.send(b"%PDF", to=["G01"])  # it was never to be scanned
        await until(lambda: recipient.inbox() == 1)
        with pytest.raises(DocumentUnknownError):
            await discarded(recipient, sent)
        assert await recipient.part(sent.message_id, 1) == b"%PDF"


async def test_an_office_is_told_of_its_document_that_is_kept_apart_and_gets_nothing_of_it(
    tmp_path: Path, place: Path
) -> None:
    async with clamd(place) as scanner:
        _, sender, recipient = make_pair(tmp_path)
        scanning(recipient, scanner.address, office_socket=str(place / "offices" / "socket"))
        async with running(sender, recipient), offices(recipient) as stub:
            mine = AsOffice(stub, await account(recipient, "so-noi-vu", "G01.22"))
            other = AsOffice(stub, await account(recipient, "van-phong", "G01"))
            bad = await sender.send(eicar(), to=["G01.22"], subject="Trích yếu ẩn")
            await came_to(recipient, bad, "infected")
            fence = await sender.send(b"%PDF", to=["G01"])
            await came_to(recipient, fence, "clean")
            apart, decided = (
                office.EVENT_KIND_DOCUMENT_QUARANTINED,
                office.EVENT_KIND_DOCUMENT_DECIDED,
            )
            assert await events_of(mine, bad, 2) == {apart, decided}  # and it was rejected
            assert not (await mine.ListInbox(office.ListInboxRequest())).documents
            with pytest.raises(grpc.aio.AioRpcError):
                await mine.GetPart(office.GetPartRequest(id=bad.message_id.hex())).read()
            await discarded(recipient, bad)
            assert await events_of(mine, bad, 4) == {apart, decided}
            first = (await other.Watch(office.WatchRequest()).read()).events[0]
            assert first.document_id == fence.document_id  # nothing of what is another's


async def events_of(caller: AsOffice, sent: Sent, count: int) -> set[int]:
    """Kinds of the first events about a document that an office is shown."""
    call = caller.Watch(office.WatchRequest())
    found: list[int] = []
    while len(found) < count:
        answer = await asyncio.wait_for(call.read(), 60)
        found += [
            each.kind
            for each in answer.events
            if each.document_id == sent.document_id
            and each.kind != office.EVENT_KIND_DELIVERY_CHANGED  # of the status to its sender
        ]
    call.cancel()
    return set(found)
