"""Received documents whose time is over: listed, destroyed when told to, never by themselves."""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from edoccore.errors import DecisionConflictError, DocumentUnknownError
from edoccore.office_errors import DocumentHeldError
from edocnet.access.v1 import access_service_pb2 as access
from edocnet.office.v1 import office_service_pb2 as office
from tests.integration.office.support import Refused, read_part
from tests.integration.office.test_revoking import LARGE, delivered, files, shown
from tests.support.accounts import administer
from tests.support.nodes import TestNode, make_pair, running, until

Pair = tuple[TestNode, TestNode]
THREE_YEARS_MS = 3 * 366 * 24 * 3600 * 1000


@pytest.fixture
async def keeping(tmp_path: Path) -> AsyncIterator[Pair]:
    """H29 sends to G01, which keeps documents for two years."""
    _, sender, recipient = make_pair(tmp_path)
    recipient.settings = recipient.settings.model_copy(update={"retention": {"other": 2}})
    async with running(sender, recipient):
        yield sender, recipient


def grow_old(node: TestNode) -> None:
    node.write(f"UPDATE inbox SET received_at = received_at - {THREE_YEARS_MS}")


async def due(node: TestNode) -> list[tuple[bytes, bool]]:
    found = await administer(node, access.ListDueRequest())
    assert found.next == ""
    return [(item.document_id, item.held) for item in found.documents]


async def test_a_document_is_destroyed_only_when_it_is_due_not_held_and_somebody_says_so(
    keeping: Pair,
) -> None:
    _, recipient = keeping
    sent, document = await delivered(keeping, b"noi dung", LARGE, subject="Trích yếu")
    assert await due(recipient) == []
    destroy = access.DestroyDocumentRequest(id=document, actor="An")
    with Refused(DecisionConflictError):
        await administer(recipient, destroy)
    grow_old(recipient)
    young, _ = await delivered(keeping, b"moi")
    assert await due(recipient) == [(sent.document_id, False)]
    hold = access.HoldDocumentRequest(id=document, reason="Thanh tra", actor="An")
    await administer(recipient, hold)
    assert await due(recipient) == [(sent.document_id, True)]
    with Refused(DocumentHeldError):
        await administer(recipient, destroy)
    assert await read_part(recipient, document, 1) == b"noi dung"
    release = access.ReleaseDocumentRequest(id=document, reason="Xong", actor="An")
    await administer(recipient, release)
    assert not (await administer(recipient, destroy)).repeated_request
    assert (await administer(recipient, destroy)).repeated_request
    (entry,) = (await shown(recipient, document)).received
    assert (entry.document.subject, entry.state) == ("", office.DOCUMENT_STATE_RECEIVED)
    for index in (0, 1, 2):
        with Refused(DocumentUnknownError):
            await read_part(recipient, document, index)
    await until(lambda: sha256(LARGE).hexdigest() not in files(recipient))
    assert await due(recipient) == []
    kept = "SELECT count(*) FROM receipt_given"
    assert recipient.count(kept) == 2
    assert recipient.count("SELECT count(*) FROM incoming WHERE length(envelope) > 100") == 2
    assert await read_part(recipient, str(young.document_id.hex()), 1) == b"moi"
    assert not recipient.alarms()
    effects = b"".join(row[0] for row in recipient.rows("SELECT data FROM effect"))
    assert b"document.destroyed" in effects


async def test_without_the_setting_documents_are_kept_for_ever(pair: Pair) -> None:
    _, recipient = pair
    _, document = await delivered(pair, b"noi dung")
    grow_old(recipient)
    assert await due(recipient) == []
    with Refused(DecisionConflictError):
        await administer(recipient, access.DestroyDocumentRequest(id=document, actor="An"))
