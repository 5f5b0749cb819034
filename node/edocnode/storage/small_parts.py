"""Parts that lie in the database, and documents that are not whole: see ``RepairStore``.

A disk changes bits of a database as it does of files, and SQLite sees it in its own structures
only. The parts of a document are compared with the digests that were sealed; what is not that
makes the document incomplete, and whoever has had it gives the bytes back.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import EdocError
from edoccore.signing import canonical
from edoccore.signing.statements import Envelope, Part, Result, uuid_text
from edockit.database import Database
from edocnode.domain.dead_letters import PARTS_LOST
from edocnode.domain.model import DocumentId, MessageId
from edocnode.domain.repair import (
    PART_DAMAGED,
    SOURCES,
    Incomplete,
    IncompleteDocument,
    PartName,
    PartSourceAt,
    SmallParts,
)
from edocnode.domain.signature_checks import Side
from edocnode.storage.alarms import drop_alarm, put_alarm
from edocnode.storage.listing import decode_parts, large_parts
from edocnode.storage.repair_tables import DamagedMessageRow
from edocnode.storage.signature_checks import check_repaired
from edocnode.storage.sql import AnyRow, among, insert_missing, select_by
from edocnode.storage.tables import (
    DELIVERY_WITH_ENVELOPE,
    BlobUseRow,
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    InboxRow,
    IncomingRow,
    table_of,
)
from edocnode.storage.workflow_tables import DestroyedRow

# Why deliveries are held that go on when the parts are back.
_HELD_FOR_PARTS = (PARTS_LOST, "STORAGE_DAMAGED", "PART_DIGEST_MISMATCH")

_BLOB_USE = table_of(BlobUseRow)
_DAMAGED = table_of(DamagedMessageRow)
_DELIVERY = table_of(DeliveryRow)
_DESTROYED = table_of(DestroyedRow)
_DOCUMENT = table_of(DocumentRow)
_ENVELOPE = table_of(DeliveryEnvelopeRow)
_INBOX = table_of(InboxRow)
_INCOMING = table_of(IncomingRow)

_AFTER: sa.BindParameter[int] = sa.bindparam("after")
_LIMIT: sa.BindParameter[int] = sa.bindparam("limit")
_SENT = sa.select(
    _DOCUMENT.c.id, _DOCUMENT.c.document_id, _DOCUMENT.c.parts, _DOCUMENT.c.inline
).order_by(_DOCUMENT.c.id)
_RECEIVED = sa.select(
    _INCOMING.c.id,
    _INCOMING.c.document_id,
    _INCOMING.c.message_id,
    _INCOMING.c.signer,
    _INCOMING.c.digest,
    _INCOMING.c.envelope,
    _INCOMING.c.inline,
).order_by(_INCOMING.c.id)
_WHOLE_SENT = _SENT.where(_DOCUMENT.c.complete == 1)
_WHOLE_RECEIVED = _RECEIVED.where(
    _INCOMING.c.result == Result.RECEIVED.value,
    _INCOMING.c.id.not_in(sa.select(_DAMAGED.c.incoming_id)),
    _INCOMING.c.id.not_in(sa.select(_DESTROYED.c.incoming_id)),
)
_PLACES_SENT = (
    sa.select(_DOCUMENT.c.id.label("place"), _DOCUMENT.c.document_id)
    .where(sa.text("complete = 0"), _DOCUMENT.c.id > _AFTER)
    .order_by(_DOCUMENT.c.id)
    .limit(_LIMIT)
)
# The few damaged rows first: a join would walk all arrivals in their order.
_DAMAGED_ROWS = (
    sa.select(_DAMAGED.c.incoming_id)
    .where(_DAMAGED.c.incoming_id > _AFTER)
    .order_by(_DAMAGED.c.incoming_id)
    .limit(_LIMIT)
)
_PLACES_RECEIVED = (
    sa.select(_INCOMING.c.id.label("place"), _INCOMING.c.document_id)
    .where(among(_INCOMING.c.id))
    .order_by(_INCOMING.c.id)
)
_IS_DAMAGED = sa.exists().where(_DAMAGED.c.incoming_id == _INCOMING.c.id)
_SENT_AT = _SENT.where(_DOCUMENT.c.id == sa.bindparam("row"), _DOCUMENT.c.complete == 0)
_RECEIVED_AT = _RECEIVED.where(_INCOMING.c.id == sa.bindparam("row"), _IS_DAMAGED)
_NAMED_SENT = _WHOLE_SENT.where(_DOCUMENT.c.document_id == sa.bindparam("document_id"))
_NAMED_RECEIVED = _WHOLE_RECEIVED.join(_INBOX, _INBOX.c.incoming_id == _INCOMING.c.id).where(
    _INBOX.c.document_id == sa.bindparam("document_id")
)
_DELIVERED = (
    sa.select(_DELIVERY.c.to_node, _DELIVERY.c.message_id, _ENVELOPE.c.data)
    .select_from(DELIVERY_WITH_ENVELOPE)
    .where(_DELIVERY.c.document_row == sa.bindparam("row"), _DELIVERY.c.state == "delivered")
    .order_by(_DELIVERY.c.id)
    .limit(SOURCES)
)
_SPOIL = sa.update(_DOCUMENT).where(
    _DOCUMENT.c.id == sa.bindparam("row"), _DOCUMENT.c.complete == 1
)
_SPOIL = _SPOIL.values(complete=0)
_COMPLETE = (
    sa.update(_DOCUMENT)
    .where(_DOCUMENT.c.id == sa.bindparam("row"))
    .values(complete=1, inline=sa.bindparam("bytes"))
)
_COMPLETE_RECEIVED = (
    sa.update(_INCOMING)
    .where(_INCOMING.c.id == sa.bindparam("row"))
    .values(inline=sa.bindparam("bytes"))
)
_MEND = (
    sa.update(_INCOMING)
    .where(_INCOMING.c.id == sa.bindparam("row"), _INCOMING.c.digest == sa.bindparam("of_digest"))
    .values(envelope=sa.bindparam("bytes"))
)
_END_DAMAGE = sa.delete(_DAMAGED).where(_DAMAGED.c.incoming_id == sa.bindparam("row"))
_QUEUE_HELD = (
    sa.update(_DELIVERY)
    .where(
        _DELIVERY.c.document_row == sa.bindparam("row"),
        _DELIVERY.c.state == "held",
        _DELIVERY.c.reason.in_(_HELD_FOR_PARTS),
    )
    .values(state="queued", reason="", message="", ended_at=None, next_at=None, digest_failures=0)
)


class SqlSmallParts:
    """See ``domain.repair.RepairStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def small_parts(self, after: int, limit: int, *, received: bool) -> Sequence[SmallParts]:
        """Small parts of documents that should be whole, by row, after one."""
        table, wanted = (_INCOMING, _WHOLE_RECEIVED) if received else (_DOCUMENT, _WHOLE_SENT)
        page = wanted.where(table.c.id > _AFTER).limit(_LIMIT)
        place = {"after": after, "limit": limit}
        return await self._database.aread(
            lambda connection: [
                _small_parts(row, received=received) for row in connection.execute(page, place)
            ]
        )

    async def small_parts_of(self, document_id: DocumentId) -> Sequence[SmallParts]:
        """Small parts of a document, received or sent, that should be whole."""
        place = {"document_id": document_id}

        def read(connection: Connection) -> list[SmallParts]:
            received = connection.execute(_NAMED_RECEIVED, place).all()
            sent = connection.execute(_NAMED_SENT, place).all()
            return [
                *(_small_parts(row, received=True) for row in received),
                *(_small_parts(row, received=False) for row in sent),
            ]

        return await self._database.aread(read)

    async def note_small_damage(self, found: SmallParts, message: str, at: datetime) -> bool:
        """Notes that small parts must be fetched, with an alarm. Returns False when it was noted.

        The document is incomplete from then on, unless it was sent and what was kept of its parts
        cannot be read.
        """
        return await self._database.awrite(
            lambda connection: _note_damage(connection, found, message, at)
        )

    async def incomplete_documents(
        self, after: int, limit: int, *, received: bool
    ) -> Sequence[Incomplete]:
        """Documents without all their parts, by row, after one."""
        place = {"after": after, "limit": limit}

        def read(connection: Connection) -> list[Incomplete]:
            rows = [*connection.execute(_PLACES_SENT, place)] if not received else []
            if received:
                damaged = connection.scalars(_DAMAGED_ROWS, place).all()
                rows = [*select_by(connection, _PLACES_RECEIVED, damaged)]
            return [Incomplete(row.place, DocumentId(row.document_id), received) for row in rows]

        return await self._database.aread(read)

    async def incomplete_document(self, item: Incomplete) -> IncompleteDocument | None:
        """One of them, with those who can give it back."""
        incomplete = _incomplete_received if item.received else _incomplete_sent
        return await self._database.aread(lambda connection: incomplete(connection, item.place))

    async def mend_envelope(self, document: IncompleteDocument, envelope: bytes) -> None:
        """Puts a received envelope back in its place."""
        place = {"row": document.row, "bytes": envelope, "of_digest": sha256(envelope).digest()}
        await self._database.awrite(lambda connection: connection.execute(_MEND, place))

    async def found_sound(self, found: SmallParts) -> None:
        """Has a document checked again of which a check found a part missing."""
        side = Side.RECEIVED if found.received else Side.SENT
        await self._database.awrite(
            lambda connection: check_repaired(connection, side, [found.row])
        )

    async def complete_document(self, document: IncompleteDocument, inline: bytes) -> int:
        """Notes that all parts are here; deliveries held for it are queued again: how many."""
        return await self._database.awrite(
            lambda connection: _complete(connection, document, inline)
        )


def _small_parts(row: AnyRow, *, received: bool) -> SmallParts:
    return SmallParts(
        received=received,
        row=row.id,
        document_id=DocumentId(row.document_id),
        parts=_sealed_parts(row) if received else _kept_parts(row.parts),
        inline=row.inline,
    )


def _sealed_parts(row: AnyRow) -> tuple[Part, ...] | None:
    """The parts of a received envelope; None when the envelope itself is damaged."""
    if sha256(row.envelope).digest() != row.digest:
        return None
    try:
        return canonical.decode(row.envelope, Envelope).parts
    except EdocError:
        return None  # the digest beside it is damaged too


def _kept_parts(data: bytes) -> tuple[Part, ...] | None:
    try:
        return decode_parts(data)
    except (msgspec.MsgspecError, ValueError):
        return None


def _note_damage(connection: Connection, found: SmallParts, message: str, at: datetime) -> bool:
    place = {"row": found.row}
    if found.received:
        new = insert_missing(connection, _DAMAGED, [{"incoming_id": found.row}]) == 1
    elif found.parts is None:
        new = True
    else:
        new = connection.execute(_SPOIL, place).rowcount == 1
    if new:
        put_alarm(connection, PART_DAMAGED, uuid_text(found.document_id), message=message, at=at)
    return new


def _incomplete_sent(connection: Connection, place: int) -> IncompleteDocument | None:
    row = connection.execute(_SENT_AT, {"row": place}).one_or_none()
    if row is None:
        return None
    return IncompleteDocument(
        received=False,
        row=row.id,
        document_id=DocumentId(row.document_id),
        parts=decode_parts(row.parts),
        inline=row.inline,
        sources=tuple(
            _source(each.to_node, each.message_id, each.data)
            for each in connection.execute(_DELIVERED, {"row": row.id})
        ),
    )


def _incomplete_received(connection: Connection, place: int) -> IncompleteDocument | None:
    row = connection.execute(_RECEIVED_AT, {"row": place}).one_or_none()
    if row is None:
        return None
    parts = _sealed_parts(row)
    return IncompleteDocument(
        received=True,
        row=row.id,
        document_id=DocumentId(row.document_id),
        parts=parts,
        inline=row.inline,
        sources=(_sender_of(row, index=None if parts is None else 0),),
    )


def _sender_of(row: AnyRow, *, index: int | None) -> PartSourceAt:
    name = PartName(message_id=MessageId(row.message_id), envelope_digest=row.digest, index=index)
    return PartSourceAt(agency=row.signer, name=name)


def _source(agency: str, message_id: bytes, envelope: bytes) -> PartSourceAt:
    name = PartName(
        message_id=MessageId(message_id), envelope_digest=sha256(envelope).digest(), index=0
    )
    return PartSourceAt(agency=agency, name=name)


def _complete(connection: Connection, document: IncompleteDocument, inline: bytes) -> int:
    place = {"row": document.row, "bytes": inline}
    drop_alarm(connection, PART_DAMAGED, uuid_text(document.document_id))
    side = Side.RECEIVED if document.received else Side.SENT
    check_repaired(connection, side, [document.row])
    if document.received:
        connection.execute(_COMPLETE_RECEIVED, place)
        connection.execute(_END_DAMAGE, {"row": document.row})
        return 0
    connection.execute(_COMPLETE, place)
    uses = [
        {
            "sha256": bytes.fromhex(part.sha256),
            "kind": "document",
            "owner": document.row,
            "agency": "",
            "size": part.size,
        }
        for part in {part.sha256: part for part in large_parts(document.parts or ())}.values()
    ]
    insert_missing(connection, _BLOB_USE, uses)
    return connection.execute(_QUEUE_HELD, {"row": document.row}).rowcount
