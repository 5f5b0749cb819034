"""Handing documents in, over the real socket into a real database and folder."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from edoccore.errors import (
    AgencyUnknownError,
    DocumentUnknownError,
    IdAmbiguousError,
    RecordInvalidError,
    RequestConflictError,
    RequestInvalidError,
    StorageDamagedError,
)
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.storage.folder import DataFolder
from tests.integration.office.support import Refused, read_part, submit, text
from tests.support.nodes import TestNode, until

MIB = 1024 * 1024


def staged(node: TestNode) -> list[str]:
    """Files of parts that are still growing."""
    return [path.name for path in (DataFolder(node.data).blobs / "staging").iterdir()]


async def test_same_request_twice_is_one_document(alone: TestNode) -> None:
    first, second = await submit(alone, b"one"), await submit(alone, b"one")
    assert (first.repeated_request, second.repeated_request) == (False, True)
    assert first.document_id == second.document_id
    assert first.deliveries[0].message_id == second.deliveries[0].message_id
    assert alone.count("SELECT count(*) FROM document") == 1


async def test_other_request_under_the_same_id_is_a_conflict(alone: TestNode) -> None:
    await submit(alone, b"one")
    with Refused(RequestConflictError):
        await submit(alone, b"two")
    assert alone.count("SELECT count(*) FROM document") == 1


async def test_hundred_equal_requests_at_once_are_one_document(alone: TestNode) -> None:
    answers = await asyncio.gather(*(submit(alone, b"one") for _ in range(100)))
    assert len({answer.document_id for answer in answers}) == 1
    assert alone.count("SELECT count(*) FROM delivery") == 1


async def test_one_unknown_recipient_of_two_sends_nothing(alone: TestNode) -> None:
    with Refused(AgencyUnknownError) as refused:
        await submit(alone, b"one", to=("G01", "X99"))
    assert "X99" in refused.error.message
    assert alone.count("SELECT count(*) FROM document") == 0


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 5 * MIB])
async def test_part_comes_back_as_it_was(alone: TestNode, size: int) -> None:
    content = secrets.token_bytes(size)
    sent = await submit(alone, content)
    assert await read_part(alone, text(sent.document_id), 1) == content
    async with alone.office() as stub:
        shown = await stub.GetDocument(office.GetDocumentRequest(id=text(sent.document_id)))
    (part,) = shown.sent.document.parts
    assert (part.size, part.sha256) == (size, sha256(content).digest())
    assert staged(alone) == []


async def test_record_may_be_larger_than_a_message(alone: TestNode) -> None:
    notes = [{"name": f"note-{number}", "value": "ghi chú " * 8000} for number in range(40)]
    fields = {"subject": "Hồ sơ lớn", "extensions": notes}
    sent = await submit(alone, fields=fields)
    record = await read_part(alone, text(sent.document_id), 0)
    assert len(record) > 2 * MIB
    assert b'"type":"edoc.document/v1"' in record


@pytest.mark.parametrize("declared", [2, 4, 70_000])
async def test_wrong_size_keeps_nothing(alone: TestNode, declared: int) -> None:
    with Refused(RequestInvalidError):
        await submit(alone, b"abc", sizes=(declared,))
    assert alone.count("SELECT count(*) FROM document") == 0
    assert staged(alone) == []


async def test_submission_that_breaks_off_leaves_nothing(alone: TestNode) -> None:
    header = office.SubmitHeader(
        request_id="r-1",
        recipients=["G01"],
        record_size=15,
        parts=[office.PartDeclaration(name="a.pdf", size=50 * MIB)],
    )
    waiting = asyncio.Event()

    async def requests() -> AsyncIterator[office.SubmitRequest]:
        yield office.SubmitRequest(header=header)
        yield office.SubmitRequest(chunk=b'{"subject":"a"}' + b"x" * 500_000)
        await waiting.wait()

    async with alone.office() as stub:
        call = stub.Submit(requests())
        await until(lambda: staged(alone))
        call.cancel()
    await until(lambda: not staged(alone))
    assert alone.count("SELECT count(*) FROM document") == 0


async def test_leftovers_of_a_killed_node_go_at_its_next_start(alone: TestNode) -> None:
    await alone.stop()
    left = DataFolder(alone.data).blobs / "staging" / "submit-left"
    left.write_bytes(b"half")
    await alone.start()
    assert not left.exists()


async def test_damaged_part_is_never_handed_out_as_whole(alone: TestNode) -> None:
    sent = await submit(alone, bytes(3 * MIB))
    (blob,) = [path for path in DataFolder(alone.data).blobs.rglob("*") if path.is_file()]
    with blob.open("r+b") as file:
        file.seek(MIB)
        file.write(b"\x01")
    with Refused(StorageDamagedError):
        await read_part(alone, text(sent.document_id), 1)


async def test_document_is_found_by_any_unique_beginning(alone: TestNode) -> None:
    sent = await submit(alone, b"one", to=("G01", "G01.22"))
    names = [text(sent.document_id), *(text(item.message_id) for item in sent.deliveries)]
    for name in [*names, *(name.replace("-", "").upper() for name in names), names[0][:8]]:
        async with alone.office() as stub:
            shown = await stub.GetDocument(office.GetDocumentRequest(id=name))
        assert shown.sent.document.document_id == sent.document_id


async def test_beginning_of_two_documents_is_ambiguous(alone: TestNode) -> None:
    first = await submit(alone, b"one", request_id="r-1")
    await submit(alone, b"one", request_id="r-2")
    with Refused(IdAmbiguousError):
        await read_part(alone, text(first.document_id)[:8], 0)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("01a206a", RequestInvalidError),
        ("not an id", RequestInvalidError),
        ("%' OR 1=1", RequestInvalidError),
        ("ffffffff", DocumentUnknownError),
    ],
)
async def test_what_is_no_id_is_told(alone: TestNode, name: str, error: type) -> None:
    with Refused(error):
        await read_part(alone, name, 0)


async def test_outbox_says_why_and_when_it_goes_on(alone: TestNode) -> None:
    sent = await submit(alone, b"one")

    async def trouble() -> office.Delivery | None:
        async with alone.office() as stub:
            page = await stub.ListOutbox(office.ListOutboxRequest())
        (delivery,) = page.documents[0].deliveries
        return delivery if delivery.reason else None

    delivery = await until(trouble)
    assert delivery.message_id == sent.deliveries[0].message_id
    assert delivery.state == office.DELIVERY_STATE_QUEUED
    assert (delivery.reason, bool(delivery.message)) == ("PEER_UNREACHABLE", True)
    assert delivery.HasField("peer_down_time")
    assert delivery.HasField("next_attempt_time")


async def test_pages_of_the_outbox_join_without_gap_or_double(alone: TestNode) -> None:
    sent = [(await submit(alone, request_id=f"r-{number}")).document_id for number in range(7)]
    found, after = [], ""
    async with alone.office() as stub:
        while True:
            page = await stub.ListOutbox(office.ListOutboxRequest(limit=3, after=after))
            found += [item.document.document_id for item in page.documents]
            after = page.next
            if not after:
                break
    assert found == sent[::-1]


async def test_day_that_does_not_exist_is_refused_by_its_name(alone: TestNode) -> None:
    bent = {"issued_date": "9999-12-31", "due_date": "2026-02-31"}
    for name, day in bent.items():
        with Refused(RecordInvalidError) as refused:
            await submit(alone, b"x", fields={"subject": "Thử", name: day})
        assert day in refused.error.message
    assert alone.count("SELECT count(*) FROM document") == 0
