"""Versions and replacements where other rules meet them: holds, retention, registers, accounts."""

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from edoccore.errors import DecisionConflictError, DocumentRevokedError, DocumentUnknownError
from edocnet.access.v1 import access_service_pb2 as access
from edocnet.office.v1 import office_service_pb2 as office
from tests.integration.office.support import Refused, read_part, text
from tests.integration.office.test_registers import TODAY, command, read_csv
from tests.integration.office.test_revoking import (
    LARGE,
    decide,
    delivered,
    files,
    outcome,
    revoke,
    shown,
)
from tests.integration.office.test_updating import in_force, replace, update
from tests.support.accounts import AsOffice, account, administer, offices
from tests.support.nodes import TestNode, make_pair, running, until

Pair = tuple[TestNode, TestNode]
DAYS = ("--from", TODAY.isoformat(), "--to", TODAY.isoformat())
CONTENTS = "SELECT max(length(inline)) FROM incoming WHERE operation IN ('new', 'update')"
YEAR_MS = 366 * 24 * 3600 * 1000


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """H29, which numbers here, sends to G01, which numbers arrivals and keeps them two years."""
    _, sender, recipient = make_pair(tmp_path)
    sender.settings = sender.settings.model_copy(
        update={"numbering": ("H29",), "office_socket": str(tmp_path / "h29" / "socket")}
    )
    recipient.settings = recipient.settings.model_copy(
        update={
            "numbering": ("G01",),
            "retention": {"other": 2},
            "office_socket": str(tmp_path / "g01" / "socket"),
        }
    )
    async with running(sender, recipient):
        yield sender, recipient


async def test_versions_of_a_held_document_that_is_taken_back_stay_until_it_is_released(
    pair: Pair,
) -> None:
    sender, recipient = pair
    _, document = await delivered(pair, b"first")
    await update(sender, document, LARGE, subject="Bản hai")
    entry = await in_force(recipient, document, "Bản hai")
    digest = sha256(LARGE).hexdigest()
    hold = access.HoldDocumentRequest(id=document, reason="Cơ quan điều tra", actor="An")
    await administer(recipient, hold)
    await revoke(sender, document)
    await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    (hidden,) = (await shown(recipient, document)).received
    assert (hidden.state, hidden.document.subject) == (office.DOCUMENT_STATE_REVOKED, "")
    assert not hidden.versions
    for version in entry.versions:
        with Refused(DocumentRevokedError):
            await read_part(recipient, text(version.message_id), 1)
    assert recipient.count(CONTENTS) > 100
    assert recipient.count("SELECT count(*) FROM destroyed") == 0
    assert digest in files(recipient)
    release = access.ReleaseDocumentRequest(id=document, reason="Đã xong", actor="An")
    await administer(recipient, release)
    await until(lambda: recipient.count("SELECT count(*) FROM destroyed WHERE files = 0") == 2)
    assert digest not in files(recipient)
    assert recipient.count(CONTENTS) == 0
    assert recipient.count("SELECT count(*) FROM version WHERE reason <> ''") == 0
    assert recipient.count("SELECT count(*) FROM signature_check WHERE side = 'received'") == 0


async def test_time_of_keeping_begins_anew_with_a_newer_version_and_ends_for_all_of_them(
    pair: Pair,
) -> None:
    sender, recipient = pair
    sent, document = await delivered(pair, b"first")
    recipient.write(f"UPDATE inbox SET received_at = received_at - {3 * YEAR_MS}")
    due = access.ListDueRequest()
    assert [each.document_id for each in (await administer(recipient, due)).documents] == [
        sent.document_id
    ]
    await update(sender, document, LARGE, subject="Bản hai")
    await in_force(recipient, document, "Bản hai")
    assert not (await administer(recipient, due)).documents
    destroy = access.DestroyDocumentRequest(id=document, actor="An")
    with Refused(DecisionConflictError):
        await administer(recipient, destroy)
    assert await read_part(recipient, document, 1) == LARGE
    recipient.write(f"UPDATE version SET received_at = received_at - {3 * YEAR_MS}")
    assert len((await administer(recipient, due)).documents) == 1
    await administer(recipient, destroy)
    assert recipient.count(CONTENTS) == 0
    await until(lambda: sha256(LARGE).hexdigest() not in files(recipient))
    assert not (await administer(recipient, due)).documents


async def test_registers_have_one_line_for_a_document_that_says_what_is_in_force(
    pair: Pair, tmp_path: Path
) -> None:
    sender, recipient = pair
    _, document = await delivered(pair, b"first", subject="Bản một")
    await decide(recipient, document, accept=office.Accept())
    signer = {"full_name": "Trần Thị Lan"}
    for subject in ("Bản hai", "Bản ba"):
        await update(sender, document, b"x", subject=subject, number="28", signer=signer)
        await in_force(recipient, document, subject)
    await replace(sender, document, b"y", subject="Văn bản thay thế")
    await until(lambda: recipient.inbox() == 2)
    out, incoming = tmp_path / "đi.csv", tmp_path / "đến.csv"
    assert (await command(sender, "register", "outgoing", *DAYS, "--out", str(out)))[0] == 0
    assert (await command(recipient, "register", "incoming", *DAYS, "--out", str(incoming)))[0] == 0
    for path, subject in ((out, "trích yếu nội dung"), (incoming, "trích yếu nội dung")):
        lines = read_csv(path)
        (column,) = [name for name in lines[0] if subject in name]
        assert [line[column] for line in lines] == ["Bản ba", "Văn bản thay thế"]
    first, second = read_csv(out)
    assert first["Người ký"] == "Trần Thị Lan"
    first, second = read_csv(incoming)
    assert (first["Số đến"], second["Số đến"]) == ("1", "")


async def test_replacement_is_numbered_by_the_node_when_it_is_asked_to(
    pair: Pair, tmp_path: Path
) -> None:
    sender, recipient = pair
    file = tmp_path / "quyết định.pdf"
    file.write_bytes(b"%PDF-1.7 x")
    (sender.data / "edocnode.toml").write_text(f'listen = "{sender.settings.listen}"\n')
    words = ("--to", "G01", "--subject", "Quyết định", "--type", "QĐ", "--notation", "QĐ-UBND")
    code, told, error = await command(
        sender, "send", str(file), *words, "--number", "auto", "--json"
    )
    assert code == 0, error
    await until(recipient.inbox)
    document = json.loads(told)["document_id"]
    words = ("--reason", "Thay thế toàn bộ nội dung", "--number", "auto", "--request-id", "r-2")
    for _ in range(2):  # repeated, it has the same number
        code, told, error = await command(sender, "replace", document, str(file), *words, "--json")
        assert code == 0, error
    await until(lambda: recipient.inbox() == 2)
    later = json.loads(told)["document_id"]
    listing = (await shown(recipient, later)).received[0]
    assert (listing.document.number, listing.document.notation) == ("2", "QĐ-UBND")
    assert listing.document.document_code.endswith(",2/QĐ-UBND")
    assert [text(link.document_id) for link in listing.links] == [document]
    assert sender.count("SELECT count(*) FROM official_number WHERE state = 'used'") == 2
    code, _, error = await command(sender, "replace", document, str(file), *words[:4])
    assert code == 6, error  # it was replaced; no number is lost by that unseen
    states = sender.rows("SELECT number, state FROM official_number ORDER BY number")
    assert states[:2] == [(1, "used"), (2, "used")]
    assert {state for _, state in states[2:]} <= {"taken"}


async def test_office_sees_no_version_or_replacement_of_what_is_another_office_s(
    pair: Pair,
) -> None:
    """H29 writes to G01 and G01.22, which have offices of their own behind one node."""
    sender, node = pair
    sent = await sender.send(b"first", to=["G01"], subject="Bản một")
    document = text(sent.document_id)
    await until(node.inbox)
    await update(sender, document, b"second", subject="Bản hai")
    entry = await in_force(node, document, "Bản hai")
    later = await replace(sender, document, b"third", to=("G01.22",), subject="Bản thay thế")
    await until(lambda: node.inbox() == 2)
    async with offices(node) as stub:
        ministry = AsOffice(stub, await account(node, "van-phong", "G01"))
        unit = AsOffice(stub, await account(node, "don-vi", "G01.22"))
        (mine,) = (await ministry.GetDocument(office.GetDocumentRequest(id=document))).received
        assert len(mine.versions) == 2
        assert not mine.links  # what replaces it went to another office
        (theirs,) = (await unit.GetDocument(office.GetDocumentRequest(id=later))).received
        assert not theirs.versions
        assert [text(link.document_id) for link in theirs.links] == [document]  # its record says so
        for version in entry.versions:
            for wanted in (version.message_id, mine.document.document_id):
                with Refused(DocumentUnknownError):
                    await unit.GetDocument(office.GetDocumentRequest(id=text(wanted)))
                with Refused(DocumentUnknownError):
                    async for _ in unit.GetPart(office.GetPartRequest(id=text(wanted), index=1)):
                        pass
        with Refused(DocumentUnknownError):
            await ministry.GetDocument(office.GetDocumentRequest(id=later))
        listed = (await unit.ListInbox(office.ListInboxRequest())).documents
        assert [text(each.document.document_id) for each in listed] == [later]


async def test_office_sees_no_update_or_replacement_that_another_office_sent(pair: Pair) -> None:
    node, peer = pair
    _, document = await delivered(pair, b"first")
    await update(node, document, b"second", subject="Bản hai")
    later = await replace(node, document, b"third", subject="Bản thay thế")
    await until(lambda: peer.inbox() == 2)
    async with offices(node) as stub:
        mine = AsOffice(stub, await account(node, "van-phong", "H29"))
        other = AsOffice(stub, await account(node, "so-noi-vu", "H29.5"))
        found = await mine.GetDocument(office.GetDocumentRequest(id=document))
        assert [text(link.document_id) for link in found.sent.links] == [later]
        assert len(found.updates) == 1
        for wanted in (document, later, text(found.updates[0].deliveries[0].message_id)):
            with Refused(DocumentUnknownError):
                await other.GetDocument(office.GetDocumentRequest(id=wanted))
        assert not (await other.ListOutbox(office.ListOutboxRequest())).documents
        listed = (await mine.ListOutbox(office.ListOutboxRequest())).documents
        assert {text(each.document.document_id) for each in listed} == {document, later}
