"""Versions of documents in tables, where revocations and holds meet them."""

import sqlalchemy as sa

from edoccore.signing import canonical
from edoccore.signing.records import DocumentRecord
from edoccore.signing.records import Office as NamedOffice
from edoccore.signing.statements import Operation, Urgency, uuid_text
from edockit.database import Database
from edocnode.domain.holds import Hold
from edocnode.domain.model import Submission
from edocnode.storage.holds import SqlHolds
from edocnode.storage.store import NodeStore
from edocnode.storage.tables import IncomingRow, table_of
from edocnode.storage.workflow_tables import DestroyedRow, RevocationRow
from tests.integration.storage.offices import (
    LATER,
    NOW,
    Office,
    arrival,
    submission,
    submission_of,
)
from tests.integration.storage.test_scope import filled

INCOMING, REVOCATION = table_of(IncomingRow), table_of(RevocationRow)
DESTROYED = table_of(DestroyedRow)


def update_of(made: Submission) -> Submission:
    record = DocumentRecord(
        network="test",
        document_id=uuid_text(made.document_id),
        issuer=NamedOffice(code="G01"),
        subject="Bản hai",
        reason="Bổ sung phụ lục còn thiếu",
    )
    return submission_of(
        canonical.encode(record),
        b"second",
        document_id=made.document_id,
        sender="G01",
        to=["H29"],
        request=None,
        urgency=Urgency.NORMAL,
        operation=Operation.UPDATE,
        large=0,
        at=NOW,
        expires=LATER,
    )


async def test_version_that_comes_after_its_held_document_was_taken_back_is_kept_until_release(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    made = submission("G01", ["H29"])
    await store.keep([arrival(peer.envelope(made), made.inline)])
    await office.seal_all()
    holds = SqlHolds(database)
    hold = Hold(document_id=made.document_id, reason="Điều tra", actor="An", at=NOW)
    await holds.hold(hold, salt=b"s" * 16, effect=b"{}")
    revoked = filled(
        REVOCATION,
        incoming_id=99,
        document_id=made.document_id,
        sender="G01",
        recipient="H29",
        state="agreed",
    )

    def take_back(connection: sa.Connection) -> None:
        connection.execute(sa.insert(REVOCATION), revoked)
        connection.execute(sa.text("UPDATE inbox SET state = 'revoked'"))

    await database.awrite(take_back)
    update = update_of(made)
    await store.keep([arrival(peer.envelope(update), update.inline)])
    await office.seal_all()

    def left() -> tuple[list[int], int]:
        return database.read(
            lambda connection: (
                [len(data) for data in connection.scalars(sa.select(INCOMING.c.inline))],
                connection.scalar(sa.select(sa.func.count()).select_from(DESTROYED)) or 0,
            )
        )

    kept, destroyed = left()
    assert (all(kept), len(kept), destroyed) == (True, 2, 0)
    assert await holds.release(made.document_id, salt=b"t" * 16, effect=b"{}", at=NOW)
    assert left() == ([0, 0], 2)
