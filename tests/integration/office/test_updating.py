"""Documents that are updated, replaced or corrected: both sides show what is in force."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from edoccore.errors import (
    DecisionConflictError,
    DocumentRevokedError,
    DocumentUnknownError,
    RequestInvalidError,
)
from edoccore.wire.status import raise_for
from edocnet.office.v1 import office_service_pb2 as office
from tests.integration.office.support import Refused, read_part, text
from tests.integration.office.test_revoking import decide, delivered, outcome, revoke, shown
from tests.integration.office.test_signatures import figures
from tests.support.nation import new_uuid7
from tests.support.nodes import TestNode, make_pair, running, until, utc_now

Pair = tuple[TestNode, TestNode]
WHY = "Bổ sung phụ lục còn thiếu"


async def change(
    node: TestNode,
    operation: "office.Operation.ValueType",
    earlier: str,
    *contents: bytes,
    request_id: str = "",
    to: tuple[str, ...] = (),
    encrypt: bool = False,
    **fields: Any,
) -> str:
    """Hands a later document in; returns its document id."""
    record = json.dumps({"subject": "Bản sửa đổi", "reason": WHY, **fields}).encode()
    header = office.SubmitHeader(
        request_id=request_id or new_uuid7(utc_now()),
        operation=operation,
        earlier=earlier,
        recipients=to,
        encrypt=encrypt,
        record_size=len(record),
        parts=[
            office.PartDeclaration(name=f"{number}.pdf", size=len(content))
            for number, content in enumerate(contents, 1)
        ],
    )

    async def requests() -> AsyncIterator[office.SubmitRequest]:
        yield office.SubmitRequest(header=header)
        yield office.SubmitRequest(chunk=b"".join([record, *contents]))

    async with node.office() as stub:
        return text((await stub.Submit(requests())).document_id)


async def update(node: TestNode, earlier: str, *contents: bytes, **fields: Any) -> str:
    return await change(node, office.OPERATION_UPDATE, earlier, *contents, **fields)


async def replace(node: TestNode, earlier: str, *contents: bytes, **fields: Any) -> str:
    named = [{"document_id": earlier}]
    return await change(
        node, office.OPERATION_REPLACE, earlier, *contents, replaces=named, **fields
    )


async def in_force(node: TestNode, document: str, subject: str) -> office.InboxDocument:
    """A received document once a version of it is in force."""

    async def look() -> office.InboxDocument | None:
        (entry,) = (await shown(node, document)).received
        return entry if entry.document.subject == subject else None

    found: office.InboxDocument = await until(look)
    return found


async def test_update_takes_the_place_of_the_version_before_which_can_still_be_read(
    pair: Pair,
) -> None:
    sender, recipient = pair
    sent, document = await delivered(pair, b"first")
    await decide(recipient, document, accept=office.Accept())
    before = (await shown(recipient, document)).received[0].position
    assert await update(sender, document, b"second", subject="Bản hai") == document
    entry = await in_force(recipient, document, "Bản hai")
    assert entry.state == office.DOCUMENT_STATE_ACCEPTED
    assert entry.document.operation == office.OPERATION_UPDATE
    assert entry.position > before  # whoever fetches documents meets it again
    first, second = entry.versions
    assert (first.state, second.state, second.reason) == (
        office.VERSION_STATE_SUPERSEDED,
        office.VERSION_STATE_IN_FORCE,
        WHY,
    )
    assert await read_part(recipient, document, 1) == b"second"
    assert await read_part(recipient, text(first.message_id), 1) == b"first"
    assert await read_part(recipient, text(second.message_id), 1) == b"second"
    assert await read_part(sender, document, 1) == b"second"
    assert recipient.inbox() == 1
    await decide(recipient, document, finish=office.Finish())

    async def told() -> bool:
        (delivery,) = (await shown(sender, document)).sent.deliveries
        kinds = [step.kind for step in delivery.timeline]
        return kinds[1:] == [
            office.STEP_KIND_ACCEPTED,
            office.STEP_KIND_AGREED,
            office.STEP_KIND_FINISHED,
        ]

    await until(told)
    (later,) = (await shown(sender, document)).updates
    assert await read_part(sender, text(sent.message_id), 1) == b"first"
    assert await read_part(sender, text(later.deliveries[0].message_id), 1) == b"second"
    assert later.deliveries[0].state == office.DELIVERY_STATE_DELIVERED
    assert ((await figures(sender)).sent, (await figures(sender)).updates) == (1, 1)
    assert ((await figures(recipient)).received, (await figures(recipient)).updated) == (1, 1)
    assert sent.document_id == later.document.document_id


async def test_version_is_checked_for_signatures_and_found_by_its_subject_and_is_no_duplicate(
    pair: Pair,
) -> None:
    sender, recipient = pair
    _, document = await delivered(pair, b"first")
    await update(sender, document, b"second", subject="Bản hai", number="28", notation="QĐ")
    await in_force(recipient, document, "Bản hai")
    assert recipient.count("SELECT count(*) FROM signature_check WHERE side = 'received'") == 2
    assert recipient.count("SELECT count(*) FROM duplicate") == 0
    async with sender.office() as stub:
        for wanted in (office.DocumentFilter(text="ban hai"), office.DocumentFilter(number="28")):
            found = await stub.ListOutbox(office.ListOutboxRequest(filter=wanted))
            assert [each.document.subject for each in found.documents] == ["Bản hai"]
    async with recipient.office() as stub:
        found = await stub.ListInbox(office.ListInboxRequest(filter=wanted))
        assert [text(each.document.document_id) for each in found.documents] == [document]


async def test_updated_document_is_found_by_the_ids_of_all_its_messages(pair: Pair) -> None:
    sender, recipient = pair
    _, document = await delivered(pair, b"first")
    await update(sender, document, b"second", subject="Bản hai")
    entry = await in_force(recipient, document, "Bản hai")
    for version in entry.versions:
        found = await shown(recipient, text(version.message_id))
        assert text(found.received[0].document.document_id) == document


async def test_update_of_a_document_that_was_given_back_brings_it_to_the_clerk_again(
    pair: Pair,
) -> None:
    sender, recipient = pair
    _, document = await delivered(pair, b"first")
    why = office.Reject(code="INCOMPLETE", reason="Thiếu phụ lục số 2 kèm theo")
    await decide(recipient, document, reject=why)
    await update(sender, document, b"second", subject="Bản hai")
    entry = await in_force(recipient, document, "Bản hai")
    assert entry.state == office.DOCUMENT_STATE_RECEIVED
    await decide(recipient, document, accept=office.Accept())


async def test_update_whose_document_never_came_is_taken_as_the_document(
    tmp_path: Path,
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender):
        sent = await sender.send(b"first", to=["G01"])
        document = text(sent.document_id)
        await until(lambda: sender.state(sent.message_id) in ("queued", "waiting"))
        await update(sender, document, b"second", subject="Bản hai")
        await until(lambda: sender.count("SELECT count(*) FROM delivery_envelope") == 2)
        sender.write("UPDATE delivery SET state = 'void' WHERE id = 1")  # held up on the way
        async with running(recipient):
            await until(lambda: recipient.inbox() == 1)
            entry = await in_force(recipient, document, "Bản hai")
            assert not entry.versions
            sender.write("UPDATE delivery SET state = 'queued', next_at = NULL WHERE id = 1")
            await sender.stop()
            await sender.start()
            await sender.delivered(sent)
            entry = await in_force(recipient, document, "Bản hai")
            assert [version.state for version in entry.versions] == [
                office.VERSION_STATE_SUPERSEDED,
                office.VERSION_STATE_IN_FORCE,
            ]
            assert recipient.inbox() == 1
            assert await read_part(recipient, document, 1) == b"second"


async def of_update(node: TestNode, document: str) -> int:
    """What became of the only update of a document since it was taken back."""
    (updated,) = (await shown(node, document)).updates
    (delivery,) = updated.deliveries
    return delivery.revocation


async def test_older_of_two_updates_that_comes_later_is_not_put_in_force(pair: Pair) -> None:
    sender, recipient = pair
    _, document = await delivered(pair, b"first")
    await update(sender, document, b"second", subject="Bản hai")
    await in_force(recipient, document, "Bản hai")
    recipient.write("UPDATE version SET created_at = created_at + 3600000")
    await update(sender, document, b"third", subject="Bản ba")
    await until(lambda: recipient.count("SELECT count(*) FROM version WHERE state = 'agreed'") == 2)
    await in_force(recipient, document, "Bản hai")


async def test_clerk_who_is_asked_may_decline_an_update(tmp_path: Path) -> None:
    _, sender, recipient = make_pair(tmp_path, updates="ask")
    why = office.Decline(code="UNCLEAR", reason="Không nêu rõ nội dung sửa đổi")
    async with running(sender, recipient):
        _, document = await delivered((sender, recipient), b"first")
        await update(sender, document, b"second", subject="Bản hai")
        await until(lambda: recipient.count("SELECT count(*) FROM version"))
        await asyncio.sleep(1.2)
        (entry,) = (await shown(recipient, document)).received
        assert [version.state for version in entry.versions] == [
            office.VERSION_STATE_IN_FORCE,
            office.VERSION_STATE_PENDING,
        ]
        await decide(recipient, document, decline=why)
        (entry,) = (await shown(recipient, document)).received
        assert entry.versions[1].state == office.VERSION_STATE_DECLINED
        assert await read_part(recipient, document, 1) == b"first"
        await revoke(sender, document)  # what was declined was the update, not this
        await outcome(sender, document, office.REVOCATION_STATE_AGREED)


async def test_revocation_destroys_every_version_and_what_comes_later(pair: Pair) -> None:
    sender, recipient = pair
    _, document = await delivered(pair, b"first")
    await update(sender, document, b"second", subject="Bản hai")
    entry = await in_force(recipient, document, "Bản hai")
    await revoke(sender, document)
    await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    assert await of_update(sender, document) == office.REVOCATION_STATE_AGREED  # asked once
    assert sender.count("SELECT count(*) FROM document WHERE operation = 'revoke'") == 1
    for version in entry.versions:
        with Refused(DocumentRevokedError):
            await read_part(recipient, text(version.message_id), 1)
    contents = recipient.rows("SELECT inline FROM incoming WHERE operation IN ('new', 'update')")
    assert contents == [(b"",), (b"",)]
    with Refused(DecisionConflictError):
        await update(sender, document, b"third")
    with Refused(DecisionConflictError):
        await replace(sender, document, b"third")


async def test_replacement_is_shown_at_both_sides_and_can_be_replaced_itself_once(
    pair: Pair,
) -> None:
    sender, recipient = pair
    _, first = await delivered(pair, b"first")
    second = await replace(sender, first, b"second", request_id="r-2")
    await until(lambda: recipient.inbox() == 2)
    assert await replace(sender, first, b"second", request_id="r-2") == second  # repeated
    with Refused(DecisionConflictError) as refused:
        await replace(sender, first, b"another")
    assert second in refused.error.message
    with Refused(DecisionConflictError):
        await update(sender, first, b"another")
    third = await replace(sender, second, b"third")
    await until(lambda: recipient.inbox() == 3)
    for node in pair:
        assert await links(node, first) == [("REPLACED_BY", second)]
        assert await links(node, second) == [("REPLACES", first), ("REPLACED_BY", third)]
        assert await links(node, third) == [("REPLACES", second)]


async def links(node: TestNode, document: str) -> list[tuple[str, str]]:
    found = await shown(node, document)
    entry = found.received[0] if found.received else found.sent
    return [
        (office.LinkKind.Name(link.kind).removeprefix("LINK_KIND_"), text(link.document_id))
        for link in entry.links
    ]


async def test_of_two_replacements_at_once_one_is_kept(pair: Pair) -> None:
    _, first = await delivered(pair, b"first")
    answers = await asyncio.gather(
        *(replace(pair[0], first, b"second") for _ in range(4)), return_exceptions=True
    )
    refused = [raise_for(answer) for answer in answers if isinstance(answer, grpc.RpcError)]
    assert [type(error) for error in refused] == [DecisionConflictError] * 3


async def test_correction_is_shown_at_both_sides(pair: Pair) -> None:
    sender, recipient = pair
    _, first = await delivered(pair, b"first")
    letter = await change(
        sender,
        office.OPERATION_NEW,
        "",
        b"letter",
        to=("G01",),
        document_type="CV",
        corrects=[{"document_id": first}],
    )
    await until(lambda: recipient.inbox() == 2)
    for node in pair:
        assert await links(node, first) == [("CORRECTED_BY", letter)]
        assert await links(node, letter) == [("CORRECTS", first)]


async def test_document_of_another_agency_replaces_nothing(pair: Pair) -> None:
    sender, recipient = pair
    _, first = await delivered(pair, b"first")
    back = await recipient.send(b"x", to=["H29"])
    await until(lambda: sender.inbox() == 1)
    with Refused(DocumentUnknownError):
        await replace(recipient, first, b"forged")
    forged = await change(
        recipient,
        office.OPERATION_REPLACE,
        text(back.document_id),
        b"forged",
        replaces=[{"document_id": text(back.document_id)}, {"document_id": first}],
    )
    await until(lambda: sender.inbox() == 2)
    assert forged not in [document for _, document in await links(sender, first)]


@pytest.mark.parametrize(
    "fields", [{"reason": "Nhầm"}, {"replaces": []}], ids=["hardly a reason", "names nothing"]
)
async def test_replacement_says_why_and_what(pair: Pair, fields: dict[str, Any]) -> None:
    _, first = await delivered(pair, b"first")
    given = {"replaces": [{"document_id": first}], **fields}
    if not given["replaces"]:
        del given["replaces"]
    with Refused(RequestInvalidError):
        await change(pair[0], office.OPERATION_REPLACE, first, b"second", **given)
