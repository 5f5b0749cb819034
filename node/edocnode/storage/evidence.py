"""Collects all that proves one message, sent or received, from the tables."""

from dataclasses import replace
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import Envelope, Operation, uuid_bytes
from edockit.database import Database
from edocnode.domain.evidence import (
    MAX_STATUSES,
    MessageEvidence,
    SealedEffect,
    StatusEvidence,
)
from edocnode.domain.model import INLINE_PART_BYTES, MessageId
from edocnode.storage.scan_gate import is_blocked
from edocnode.storage.seals import load_seals, sealed_statement
from edocnode.storage.sql import AnyRow
from edocnode.storage.tables import (
    DELIVERY_WITH_ENVELOPE,
    BlobUseRow,
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    EffectRow,
    IncomingRow,
    ReceiptGivenRow,
    ReceiptGotRow,
    StatusGotRow,
    table_of,
)
from edocnode.storage.timestamps import time_proofs

_BLOB = table_of(BlobUseRow)
_DELIVERY = table_of(DeliveryRow)
_DOCUMENT = table_of(DocumentRow)
_EFFECT = table_of(EffectRow)
_ENVELOPE = table_of(DeliveryEnvelopeRow)
_GIVEN = table_of(ReceiptGivenRow)
_GOT = table_of(ReceiptGotRow)
_INCOMING = table_of(IncomingRow)
_STATUS = table_of(StatusGotRow)

_SENT_KIND, _RECEIVED_KIND = "document", "incoming"  # as in blob_use

_SENT = sa.select(
    _ENVELOPE.c.seal_id,
    _ENVELOPE.c.leaf,
    _ENVELOPE.c.proof,
    _ENVELOPE.c.data,
    _DELIVERY.c.message_id,
    _DOCUMENT.c.id.label("owner"),
    _DOCUMENT.c.inline,
    sa.literal(_SENT_KIND).label("kind"),
).select_from(DELIVERY_WITH_ENVELOPE.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row))
_RECEIVED = sa.select(
    _INCOMING.c.seal_id,
    _INCOMING.c.leaf,
    _INCOMING.c.proof,
    _INCOMING.c.envelope.label("data"),
    _INCOMING.c.message_id,
    _INCOMING.c.id.label("owner"),
    _INCOMING.c.inline,
    sa.literal(_RECEIVED_KIND).label("kind"),
)
_SENT_BY_ID = _SENT.where(_DELIVERY.c.message_id == sa.bindparam("message_id"))
_RECEIVED_BY_ID = _RECEIVED.where(
    _INCOMING.c.message_id == sa.bindparam("message_id"), _INCOMING.c.rank == 0
).order_by(_INCOMING.c.id)
_STATUSES_SENT = (
    _SENT.where(
        _DOCUMENT.c.document_id == sa.bindparam("document_id"),
        _DOCUMENT.c.about == sa.bindparam("about"),
        _DOCUMENT.c.operation == Operation.STATUS.value,
    )
    .order_by(_DELIVERY.c.id)
    .limit(MAX_STATUSES)
)
_STATUSES_RECEIVED = (
    _RECEIVED.select_from(_INCOMING.join(_STATUS, _STATUS.c.incoming_id == _INCOMING.c.id))
    .where(
        _STATUS.c.document_id == sa.bindparam("document_id"),
        _INCOMING.c.about == sa.bindparam("about"),
    )
    .order_by(_INCOMING.c.id)
    .limit(MAX_STATUSES)
)
_ANSWER_GOT = sa.select(_GOT.c.seal_id, _GOT.c.leaf, _GOT.c.proof, _GOT.c.data).where(
    _GOT.c.message_id == sa.bindparam("message_id"), _GOT.c.rank == 0
)
_ANSWER_GIVEN = sa.select(_GIVEN.c.seal_id, _GIVEN.c.leaf, _GIVEN.c.proof, _GIVEN.c.data).where(
    _GIVEN.c.incoming_id == sa.bindparam("owner")
)
_NO_RECEIPT = (
    sa.select(_EFFECT.c.seal_id, _EFFECT.c.leaf, _EFFECT.c.proof, _EFFECT.c.data, _EFFECT.c.salt)
    .where(_EFFECT.c.message_id == sa.bindparam("message_id"), _EFFECT.c.seal_id.is_not(None))
    .order_by(_EFFECT.c.id)
    .limit(1)
)
_BLOBS = sa.select(_BLOB.c.sha256).where(
    _BLOB.c.kind == sa.bindparam("kind"), _BLOB.c.owner == sa.bindparam("owner")
)


class SqlEvidence:
    """Finds the evidence of messages."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def find(self, message_id: MessageId) -> MessageEvidence | None:
        """All that proves one message.

        Returns:
            None when no sealed message here has this id.
        """
        return await self._database.aread(lambda connection: find_evidence(connection, message_id))


def find_evidence(connection: Connection, message_id: MessageId) -> MessageEvidence | None:
    """All that proves one message; None when no sealed message here has this id."""
    for query in (_SENT_BY_ID, _RECEIVED_BY_ID):
        message = connection.execute(query, {"message_id": message_id}).first()
        if message is not None:
            return _evidence(connection, message)
    return None


def _evidence(connection: Connection, message: AnyRow) -> MessageEvidence:
    envelope = canonical.decode(message.data, Envelope)
    place = {
        "document_id": uuid_bytes(envelope.document_id),
        "about": sha256(message.data).digest(),
    }
    query = _STATUSES_RECEIVED if message.kind == _SENT_KIND else _STATUSES_SENT
    statuses = connection.execute(query, place).all()
    inline, blobs = _parts(connection, message, envelope)
    seals = _Seals(connection)
    found = MessageEvidence(
        envelope=seals.statement(message),
        receipt=_answer(connection, message, seals),
        statuses=tuple(_status(connection, status, seals) for status in statuses),
        inline=inline,
        blobs=blobs,
        no_receipt=_no_receipt(connection, message, seals),
    )
    return replace(found, times=time_proofs(connection, seals.rows))


class _Seals:
    """Statements with their seals, and the rows of all seals that were read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.rows: dict[SignedSeal, int] = {}

    def statement(self, row: AnyRow) -> SealedStatement:
        found = sealed_statement(row, load_seals(self._connection, [row.seal_id]))
        self.rows[found.seal] = row.seal_id
        return found


def _no_receipt(connection: Connection, message: AnyRow, seals: _Seals) -> SealedEffect | None:
    if message.kind != _SENT_KIND:
        return None
    row = connection.execute(_NO_RECEIPT, {"message_id": message.message_id}).first()
    return None if row is None else SealedEffect(row.salt, seals.statement(row))


def _status(connection: Connection, status: AnyRow, seals: _Seals) -> StatusEvidence:
    envelope = canonical.decode(status.data, Envelope)
    inline, _ = _parts(connection, status, envelope)
    return StatusEvidence(
        envelope=seals.statement(status),
        record=inline.get(0),
        receipt=_answer(connection, status, seals),
    )


def _answer(connection: Connection, message: AnyRow, seals: _Seals) -> SealedStatement | None:
    if message.kind == _SENT_KIND:
        row = connection.execute(_ANSWER_GOT, {"message_id": message.message_id}).first()
    else:
        row = connection.execute(_ANSWER_GIVEN, {"owner": message.owner}).first()
    return None if row is None else seals.statement(row)


def _parts(
    connection: Connection, message: AnyRow, envelope: Envelope
) -> tuple[dict[int, bytes], frozenset[int]]:
    """The small parts, cut; and which of the large ones are in the blob folder.

    Of what is kept apart for malware there are none: envelope and receipt prove without them.
    """
    if message.kind == _RECEIVED_KIND and is_blocked(connection, message.owner):
        return {}, frozenset()
    used = {
        digest.hex()
        for digest in connection.execute(
            _BLOBS, {"kind": message.kind, "owner": message.owner}
        ).scalars()
    }
    inline: dict[int, bytes] = {}
    start = 0
    for part in envelope.parts:
        if part.size <= INLINE_PART_BYTES:
            piece = message.inline[start : start + part.size]
            start += part.size
            if len(piece) == part.size:  # destroyed, or never given back after a restore
                inline[part.index] = piece
    blobs = {
        part.index
        for part in envelope.parts
        if part.size > INLINE_PART_BYTES and part.sha256 in used
    }
    return inline, frozenset(blobs)
