"""Repair after a restore: what a peer lost is offered again, what was lost here comes back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import UNSET
from sqlalchemy.engine import Connection

from edoccore.errors import RecordInvalidError
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import (
    Envelope,
    Operation,
    Receipt,
    Result,
    Seal,
    parse_time,
    uuid_bytes,
)
from edocnode.domain.checks import read_record
from edocnode.domain.dead_letters import PARTS_LOST
from edocnode.domain.model import (
    DeliveryOutcome,
    DeliveryState,
    DocumentId,
    EpochHead,
    Lane,
    MessageId,
)
from edocnode.storage import recording
from edocnode.storage.journals import lost_seals
from edocnode.storage.listing import decode_listing, encode_listing, encode_parts
from edocnode.storage.recording import ANSWERED, adopt_envelopes
from edocnode.storage.revoking import note_given_back
from edocnode.storage.sealing import note_seqs
from edocnode.storage.search_tables import SentRow
from edocnode.storage.searching import sent_values
from edocnode.storage.sql import among, change_each, insert_returning, insert_rows, select_by
from edocnode.storage.submitting import NOT_ANSWERED
from edocnode.storage.tables import (
    DeliveryRow,
    DocumentRow,
    ReceiptGotRow,
    table_of,
)
from edocnode.storage.workflow_tables import RevokedDeliveryRow

_NOT_SEALED = ("scheduled", "unsealed")  # as far as this database knows

_DELIVERY = table_of(DeliveryRow)
_DOCUMENT = table_of(DocumentRow)
_RECEIPT = table_of(ReceiptGotRow)
_REVOKED = table_of(RevokedDeliveryRow)
_SENT = table_of(SentRow)

_ACKNOWLEDGED = sa.select(_RECEIPT.c.message_id).where(among(_RECEIPT.c.seal_id)).distinct()
_OFFER_AGAIN = (
    sa.update(_DELIVERY)
    .where(
        _DELIVERY.c.message_id == sa.bindparam("of"),
        sa.text("state IN ('delivered', 'rejected')"),
        # Of what came back after an own restore only the record is here: nothing to offer.
        sa.exists().where(_DOCUMENT.c.id == _DELIVERY.c.document_row, _DOCUMENT.c.complete == 1),
        # What was taken back does not go out again: its revocation does.
        ~sa.exists().where(_REVOKED.c.message_id == _DELIVERY.c.message_id),
    )
    .values(state="queued", next_at=None, ended_at=None)
)
_STATE_OF = sa.select(_DELIVERY.c.state).where(_DELIVERY.c.message_id == sa.bindparam("of"))
_SET_STATE = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.message_id == sa.bindparam("of"))
    .values(state=sa.bindparam("to_state"))
)
_DOCUMENT_OF = (
    sa.select(_DOCUMENT.c.id)
    .where(
        _DOCUMENT.c.document_id == sa.bindparam("of"),
        _DOCUMENT.c.operation == sa.bindparam("its_operation"),
        _DOCUMENT.c.parts == sa.bindparam("its_parts"),
    )
    .order_by(_DOCUMENT.c.id)
    .limit(1)
)


def requeue_lost(
    connection: Connection, agency: str, *, kept: EpochHead | None, epoch: bytes
) -> int:
    """Queues again what was acknowledged in seals that the agency's journal left out.

    The receipts stay: they still prove what was acknowledged.
    """
    seal_ids = lost_seals(connection, agency, kept, epoch)
    messages = [{"of": row.message_id} for row in select_by(connection, _ACKNOWLEDGED, seal_ids)]
    return change_each(connection, _OFFER_AGAIN, messages)


def adopt(
    connection: Connection,
    envelope: SealedStatement,
    receipt: SealedStatement | None,
    *,
    record: bytes,
    at: datetime,
) -> bool:
    """Takes back an own envelope, and its receipt, that a peer held. Both were verified.

    A delivery that is here keeps its content and ends with the receipt; one that is not comes
    back with what the peer returned of it: its record.

    Returns:
        False when nothing of it was missing.
    """
    stated = canonical.decode(envelope.statement, Envelope)
    message_id = MessageId(uuid_bytes(stated.message_id))
    state = connection.execute(_STATE_OF, {"of": message_id}).scalar_one_or_none()
    if state is None:
        _add(connection, stated, record)
    elif state in ANSWERED or (receipt is None and state not in _NOT_SEALED):
        return False
    adopted = DeliveryOutcome(
        message_id=message_id,
        document_id=DocumentId(uuid_bytes(stated.document_id)),
        recipient=stated.to,
        state=DeliveryState.QUEUED if receipt is None else _answer(receipt),
        receipt=receipt,
        reason=_reason(receipt),
        adopted=envelope,
    )
    _take(connection, adopted, known_as=state, at=at)
    if stated.operation == Operation.REVOKE and record:
        note_given_back(connection, record, stated.to)
    _note_seq(connection, envelope, stated)
    return True


def _take(
    connection: Connection, adopted: DeliveryOutcome, *, known_as: str | None, at: datetime
) -> None:
    if adopted.receipt is not None:
        recording.record(connection, [adopted], at)
        return
    adopt_envelopes(connection, [adopted], at)
    if known_as in _NOT_SEALED:  # it was sealed before: that envelope goes on
        connection.execute(_SET_STATE, {"of": adopted.message_id, "to_state": "queued"})


def _answer(receipt: SealedStatement) -> DeliveryState:
    result = canonical.decode(receipt.statement, Receipt).result
    return DeliveryState.DELIVERED if result == Result.RECEIVED else DeliveryState.REJECTED


def _reason(receipt: SealedStatement | None) -> str:
    if receipt is None:
        return ""
    reason = canonical.decode(receipt.statement, Receipt).reason
    return "" if reason is UNSET else str(reason)


def _add(connection: Connection, stated: Envelope, record: bytes) -> None:
    """Adds a document and its delivery as far as the envelope and the record tell of them."""
    values = _document(stated, record)
    place = {
        "of": values["document_id"],
        "its_operation": values["operation"],
        "its_parts": values["parts"],
    }
    row = connection.execute(_DOCUMENT_OF, place).scalar_one_or_none()
    document_row = row if row is not None else _add_document(connection, stated, values)
    whole = row is not None or values["complete"]
    insert_rows(
        connection,
        _DELIVERY,
        [
            {
                "message_id": uuid_bytes(stated.message_id),
                "document_row": document_row,
                "document_id": values["document_id"],
                "sender": stated.from_,
                "recipient": stated.to,
                "to_node": stated.to_node,
                "lane": Lane.of(stated.urgency).value,
                "state": "queued" if whole else "held",
                "envelope_rank": 0,
                "attempts": 0,
                "digest_failures": 0,
                "answered": int(stated.operation in NOT_ANSWERED),
                "next_at": None,
                "expires_at": values["expires_at"],
                "reason": "" if whole else PARTS_LOST,
                "message": "",
            }
        ],
    )


def _add_document(connection: Connection, stated: Envelope, values: Mapping[str, Any]) -> int:
    row = insert_returning(connection, _DOCUMENT, values)
    assert row is not None  # it has no key but its row
    if stated.operation not in NOT_ANSWERED:
        listed = sent_values(
            row,
            decode_listing(values["listing"]),
            sender=stated.from_,
            urgency=stated.urgency,
            created=values["created_at"],
        )
        insert_rows(connection, _SENT, [listed])
    return row


def _document(stated: Envelope, record: bytes) -> dict[str, Any]:
    try:
        listing = read_record(stated, record)
    except RecordInvalidError:  # rejected, or too large to have come back
        listing = {}
    return {
        "document_id": uuid_bytes(stated.document_id),
        "sender": stated.from_,
        "urgency": stated.urgency.value,
        "operation": stated.operation.value,
        "about": None if stated.about is UNSET else bytes.fromhex(stated.about),
        "created_at": parse_time(stated.created),
        "expires_at": parse_time(stated.expires),
        "complete": int(len(stated.parts) == 1 and len(record) == stated.parts[0].size),
        "listing": encode_listing(listing),
        "parts": encode_parts(stated.parts),
        "inline": record,
    }


def _note_seq(connection: Connection, envelope: SealedStatement, stated: Envelope) -> None:
    """A seq that was given once is never given again."""
    signer = canonical.decode(envelope.seal.data, Seal).signer
    note_seqs(connection, signer, {stated.to_node: stated.seq})
