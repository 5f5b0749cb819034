"""A legal hold against what would destroy a document: nothing does, until it is released."""

from hashlib import sha256

import pytest

from edocnet.access.v1 import access_service_pb2 as access
from edocnet.office.v1 import office_service_pb2 as office
from tests.integration.office.test_revoking import LARGE, delivered, files, outcome, revoke, shown
from tests.support.accounts import administer
from tests.support.nodes import TestNode, until

Pair = tuple[TestNode, TestNode]
WHY = "Yêu cầu của cơ quan điều tra"
SECRET = b"noi dung bi giu theo yeu cau phap ly " * 20


@pytest.mark.parametrize("content", [SECRET, LARGE])
async def test_a_held_document_that_is_taken_back_is_hidden_kept_and_destroyed_on_release(
    pair: Pair, content: bytes
) -> None:
    sender, recipient = pair
    _, document = await delivered(pair, content, subject="Trích yếu")
    digest = sha256(content).hexdigest()
    await administer(recipient, access.HoldDocumentRequest(id=document, reason=WHY, actor="An"))
    await revoke(sender, document)
    told = await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    assert any(WHY in copy for copy in told.still_held), list(told.still_held)
    (entry,) = (await shown(recipient, document)).received
    assert (entry.state, entry.document.subject) == (office.DOCUMENT_STATE_REVOKED, "")
    kept = recipient.count("SELECT max(length(inline)) FROM incoming WHERE operation = 'new'")
    assert kept > 100, "its record is gone"
    assert content is SECRET or digest in files(recipient)
    assert recipient.count("SELECT count(*) FROM destroyed") == 0
    release = access.ReleaseDocumentRequest(id=document, reason="Đã xong", actor="An")
    await administer(recipient, release)
    await until(lambda: recipient.count("SELECT count(*) FROM destroyed WHERE files = 0") == 1)
    assert digest not in files(recipient)
    assert recipient.count("SELECT max(length(inline)) FROM incoming WHERE operation = 'new'") == 0


async def test_a_document_that_is_released_in_time_is_destroyed_as_any_other(pair: Pair) -> None:
    sender, recipient = pair
    _, document = await delivered(pair, SECRET)
    await administer(recipient, access.HoldDocumentRequest(id=document, reason=WHY, actor="An"))
    await administer(recipient, access.ReleaseDocumentRequest(id=document, reason="x", actor="An"))
    await revoke(sender, document)
    told = await outcome(sender, document, office.REVOCATION_STATE_AGREED)
    assert not any(WHY in copy for copy in told.still_held)
    assert recipient.count("SELECT count(*) FROM destroyed") == 1
    effects = b"".join(row[0] for row in recipient.rows("SELECT data FROM effect"))
    for kind in (b"hold.added", b"hold.released"):
        assert kind in effects
