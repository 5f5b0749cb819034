"""Documents that are taken back: frozen here, destroyed there, and both sides know."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from edoccore.errors import (
    AgencyUnknownError,
    DecisionConflictError,
    DocumentRevokedError,
    DocumentUnknownError,
    RequestInvalidError,
)
from edockit.database import Database
from edocnet.office.v1 import office_service_pb2 as office
from edocnode.storage.evidence import SqlEvidence
from edocnode.storage.folder import DataFolder
from tests.integration.office.support import Refused, submit, text
from tests.support.nodes import Sent, TestNode, make_pair, running, until, utc_now

Pair = tuple[TestNode, TestNode]
REASON = "Ban hành nhầm phụ lục số 2"
SECRET = b"noi dung se bi huy cua van ban nay " * 20
FIELDS = '{"subject":"Văn bản gửi sau"}'.encode()
LARGE = sha256(b"seed").digest() * 9000  # 288 KB: its parts travel apart


async def revoke(
    node: TestNode, document: str, *to: str, reason: str = REASON
) -> office.RevokeResponse:
    async with node.office() as stub:
        request = office.RevokeRequest(id=document, recipients=to, actor="Lan", reason=reason)
        return await stub.Revoke(request)


async def decide(node: TestNode, document: str, **decision: object) -> office.DecideResponse:
    async with node.office() as stub:
        return await stub.Decide(office.DecideRequest(id=document, actor="Hà", **decision))


async def shown(node: TestNode, document: str) -> office.GetDocumentResponse:
    async with node.office() as stub:
        return await stub.GetDocument(office.GetDocumentRequest(id=document))


async def delivered(pair: Pair, *contents: bytes, subject: str = "Thử") -> tuple[Sent, str]:
    """A document that G01 received."""
    sender, recipient = pair
    before = recipient.inbox()
    sent = await sender.send(*contents, to=["G01"], subject=subject)
    await sender.delivered(sent)
    await until(lambda: recipient.inbox() == before + 1)
    return sent, text(sent.document_id)


async def outcome(node: TestNode, document: str, state: int) -> office.Delivery:
    """The delivery of a document once its revocation is in a state."""

    async def look() -> office.Delivery | None:
        (delivery,) = (await shown(node, document)).sent.deliveries
        return delivery if delivery.revocation == state else None

    found: office.Delivery = await until(look)
    return found


def files(node: TestNode) -> list[str]:
    """Digests of all files of parts."""
    folder = DataFolder(node.data).blobs
    return sorted(
        path.parent.name + path.name
        for path in folder.glob("??/*")
        if path.is_file() and len(path.parent.name) == 2
    )


def database_bytes(node: TestNode) -> bytes:
    """All that the database of a stopped node has on disk."""
    file = DataFolder(node.data).database_file
    return b"".join(path.read_bytes() for path in file.parent.glob(file.name + "*"))


async def test_document_that_is_taken_back_is_destroyed_and_its_sender_is_told(pair: Pair) -> None:
    sender, recipient = pair
    subject = "Trích yếu cũng bị hủy theo văn bản"
    sent, document = await delivered(pair, SECRET, LARGE, subject=subject)
    assert sha256(LARGE).hexdigest() in files(recipient)
    answer = await revoke(sender, document)
    assert (answer.taken_back, answer.repeated_request) == (1, False)
    told = await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    assert told.recipient_state == office.DOCUMENT_STATE_REVOKED
    assert "backups" in told.still_held[0]
    assert told.timeline[-1].edxml_code == "15"
    (entry,) = (await shown(recipient, document)).received
    assert entry.state == office.DOCUMENT_STATE_REVOKED
    assert (entry.document.subject, entry.taken_back.reason) == ("", REASON)
    assert [part.sha256 for part in entry.document.parts][1] == sha256(LARGE).digest()
    for index in range(3):
        with Refused(DocumentRevokedError):
            await recipient.part(sent.message_id, index)
    await until(lambda: sha256(LARGE).hexdigest() not in files(recipient))
    assert await sender.part(sent.message_id, 1) == SECRET  # the original stays where it was made
    await recipient.stop()
    left = database_bytes(recipient)
    assert SECRET[:40] not in left
    assert subject.encode() not in left
    await recipient.start()
    assert recipient.alarms() == {}


async def test_signers_and_number_of_a_document_go_with_it(pair: Pair) -> None:
    sender, recipient = pair
    fields = {"subject": "Thử", "number": "28", "notation": "QĐ-UBND", "issued_date": "2026-11-23"}
    answer = await submit(sender, b"%PDF-1.7", fields=fields)
    document = text(answer.document_id)
    rows = "SELECT (SELECT count(*) FROM signature_check) + (SELECT count(*) FROM received_number)"
    await until(lambda: recipient.inbox() == 1 and recipient.count(rows) == 2)
    await revoke(sender, document)
    await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    assert recipient.count(rows) == 0


async def test_part_that_another_document_needs_stays(pair: Pair) -> None:
    sender, recipient = pair
    _, document = await delivered(pair, LARGE)
    other, _ = await delivered(pair, LARGE)
    await revoke(sender, document)
    await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    await until(lambda: recipient.count("SELECT count(*) FROM destroyed WHERE files = 0") == 1)
    assert await recipient.part(other.message_id, 1) == LARGE


async def test_repeating_changes_nothing_and_another_reason_is_a_conflict(pair: Pair) -> None:
    sender, recipient = pair
    _, document = await delivered(pair, b"a")
    answers = await asyncio.gather(*(revoke(sender, document) for _ in range(4)))
    assert sum(answer.taken_back for answer in answers) == 1
    assert (await revoke(sender, document)).repeated_request
    with Refused(DecisionConflictError):
        await revoke(sender, document, reason="Một lý do khác hẳn")
    await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    assert recipient.count("SELECT count(*) FROM revocation") == 1
    assert recipient.count("SELECT count(*) FROM step") == 1


@pytest.mark.parametrize("reason", ["", "Nhầm", " " * 20])
async def test_taking_back_needs_a_reason(pair: Pair, reason: str) -> None:
    _, document = await delivered(pair, b"a")
    with Refused(RequestInvalidError):
        await revoke(pair[0], document, reason=reason)


async def test_only_its_sender_takes_a_document_back(pair: Pair) -> None:
    _, document = await delivered(pair, b"a")
    with Refused(DocumentUnknownError):
        await revoke(pair[1], document)
    with Refused(DocumentUnknownError):
        await revoke(pair[0], document, "H29")
    with Refused(AgencyUnknownError):
        await revoke(pair[0], document, "H30")


async def test_a_document_is_taken_back_from_the_recipient_that_is_named(pair: Pair) -> None:
    _, document = await delivered(pair, b"a")
    assert (await revoke(pair[0], document, "G01")).taken_back == 1


async def test_document_that_is_to_be_sent_later_never_leaves(pair: Pair) -> None:
    sender, recipient = pair
    document = await scheduled(sender)
    assert (await revoke(sender, document)).taken_back == 1
    told = await outcome(sender, document, office.REVOCATION_STATE_WITHDRAWN)
    assert (told.state, told.reason) == (office.DELIVERY_STATE_VOID, "WITHDRAWN")
    assert sender.count("SELECT count(*) FROM document WHERE operation = 'revoke'") == 0
    await until(lambda: sender.count("SELECT count(*) FROM schedule") == 0, within_s=60)
    assert recipient.inbox() == 0


async def scheduled(node: TestNode) -> str:
    """A document that is kept and not sealed for some seconds."""
    header = office.SubmitHeader(request_id="later", recipients=["G01"], record_size=len(FIELDS))
    header.send_time.FromDatetime(utc_now() + timedelta(seconds=5))

    async def requests() -> AsyncIterator[office.SubmitRequest]:
        yield office.SubmitRequest(header=header)
        yield office.SubmitRequest(chunk=FIELDS)

    async with node.office() as stub:
        return text((await stub.Submit(requests())).document_id)


async def test_document_taken_back_while_its_recipient_is_down_is_never_shown_there(
    tmp_path: Path,
) -> None:
    _, sender, recipient = make_pair(tmp_path)
    async with running(sender):
        sent = await sender.send(SECRET, to=["G01"])
        document = text(sent.document_id)
        await until(lambda: sender.state(sent.message_id) in ("queued", "waiting"))
        assert (await revoke(sender, document)).taken_back == 1
        told = await outcome(sender, document, office.REVOCATION_STATE_PENDING)
        assert told.state == office.DELIVERY_STATE_VOID
        async with running(recipient):
            told = await outcome(sender, document, office.REVOCATION_STATE_AGREED)
            assert not told.still_held  # nothing ever was there
            assert recipient.inbox() == 0
            assert recipient.alarms() == sender.alarms() == {}


async def test_document_that_comes_after_its_revocation_gets_its_receipt_and_is_never_shown(
    pair: Pair,
) -> None:
    sender, recipient = pair
    sent, document = await late(pair, SECRET, LARGE)
    async with recipient.office() as stub:
        assert not (await stub.ListInbox(office.ListInboxRequest())).documents
    assert recipient.count("SELECT count(*) FROM incoming WHERE operation = 'new'") == 1
    await until(lambda: files(recipient) == [])
    told = await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    assert told.state == office.DELIVERY_STATE_DELIVERED
    with Refused(DocumentUnknownError):
        await recipient.part(sent.message_id, 1)
    await recipient.stop()
    assert SECRET[:40] not in database_bytes(recipient)
    await recipient.start()
    assert recipient.alarms() == {}


async def late(pair: Pair, *contents: bytes) -> tuple[Sent, str]:
    """A document that is delivered after its revocation."""
    sender, recipient = pair
    await recipient.stop()
    sent = await sender.send(*contents, to=["G01"])
    document = text(sent.document_id)
    await until(lambda: sender.state(sent.message_id) in ("queued", "waiting"))
    await revoke(sender, document)
    await recipient.start()
    await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    sender.write("UPDATE delivery SET state = 'queued', next_at = NULL WHERE state = 'void'")
    await sender.stop()
    await sender.start()  # as a courier that held it would: it offers it all the same
    await sender.delivered(sent)
    return sent, document


async def test_finished_document_can_be_taken_back_too(pair: Pair) -> None:
    sender, recipient = pair
    _, document = await delivered(pair, b"a")
    await decide(recipient, document, accept=office.Accept())
    await decide(recipient, document, finish=office.Finish())
    await revoke(sender, document)
    told = await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    assert [step.order for step in told.timeline] == [0, 1, 2, 3]
    with Refused(DecisionConflictError):
        await decide(recipient, document, process=office.Process())


async def test_clerk_who_is_asked_may_decline_and_later_agree(tmp_path: Path) -> None:
    _, sender, recipient = make_pair(tmp_path, revocations="ask")
    why = office.Decline(code="LEGAL_HOLD", reason="Đang bị phong tỏa theo yêu cầu điều tra")
    async with running(sender, recipient):
        sent, document = await delivered((sender, recipient), SECRET)
        with Refused(DocumentUnknownError):
            await decide(recipient, document, agree=office.Agree())
        await revoke(sender, document)
        await until(lambda: recipient.count("SELECT count(*) FROM revocation"))
        await asyncio.sleep(1.5)
        await outcome(sender, document, office.REVOCATION_STATE_PENDING)
        assert await recipient.part(sent.message_id, 1) == SECRET
        await decide(recipient, document, decline=why)
        assert (await decide(recipient, document, decline=why)).repeated_request
        told = await outcome(sender, document, office.REVOCATION_STATE_DECLINED)
        assert (told.decline_reason, told.timeline[-1].code) == (why.reason, "LEGAL_HOLD")
        assert await recipient.part(sent.message_id, 1) == SECRET
        await decide(recipient, document, agree=office.Agree())
        assert (await decide(recipient, document, agree=office.Agree())).repeated_request
        await outcome(sender, document, office.REVOCATION_STATE_AGREED)
        with Refused(DecisionConflictError):
            await decide(recipient, document, decline=why)


async def test_recipient_restored_from_yesterdays_backup_destroys_it_again(
    pair: Pair, tmp_path: Path
) -> None:
    sender, recipient = pair
    sent, document = await delivered(pair, SECRET, LARGE)
    await recipient.stop()
    copy = recipient.backup(tmp_path / "copy")
    await recipient.start()
    await revoke(sender, document)
    await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    await recipient.stop()
    recipient.restore(copy)
    await recipient.start()

    async def gone() -> bool:
        (entry,) = (await shown(recipient, document)).received
        return entry.state == office.DOCUMENT_STATE_REVOKED and not entry.document.subject

    await until(gone, within_s=60)
    with Refused(DocumentRevokedError):
        await recipient.part(sent.message_id, 1)


async def test_document_that_a_restore_lost_does_not_come_again_once_it_was_taken_back(
    pair: Pair, tmp_path: Path
) -> None:
    sender, recipient = pair
    await delivered(pair, b"before")
    await recipient.stop()
    copy = recipient.backup(tmp_path / "copy")
    await recipient.start()
    _, document = await delivered(pair, SECRET)
    await revoke(sender, document)
    await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    await recipient.stop()
    recipient.restore(copy)
    await recipient.start()
    query = "SELECT count(*) FROM revocation WHERE state = 'agreed'"
    await until(lambda: recipient.count(query) == 1, within_s=60)
    await until(lambda: recipient.count("SELECT count(*) FROM explained WHERE state = 'void'"))
    assert recipient.count("SELECT count(*) FROM incoming WHERE operation = 'new'") == 1
    # Until the next hello, and until its own journal is given back.
    assert recipient.alarms().keys() <= {"SEQUENCE_GAP", "OWN_TAIL_LOST"}


async def test_evidence_of_the_receipt_survives_the_document(pair: Pair) -> None:
    sender = pair[0]
    sent, document = await delivered(pair, SECRET)
    await revoke(sender, document)
    await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    for node in pair:
        evidence = await SqlEvidence(Database.open(database_url(node))).find(sent.message_id)
        assert evidence is not None
        assert evidence.receipt is not None
        assert len(evidence.statuses) == 1
    assert not evidence.inline


def database_url(node: TestNode) -> str:
    return f"sqlite:///{DataFolder(node.data).database_file}"
