"""What becomes visible once its receipt is sealed: documents enter the inbox, statuses count."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.records import DocumentState
from edoccore.signing.statements import Operation
from edocnode.domain.model import IncomingId
from edocnode.storage.events import EventKind, event_values, tell
from edocnode.storage.listing import LISTED, decode_listing, search_text
from edocnode.storage.sql import AnyRow, Row, among, insert_rows, select_by
from edocnode.storage.tables import (
    DeliveryEnvelopeRow,
    DeliveryRow,
    InboxRow,
    IncomingRow,
    StatusGotRow,
    table_of,
)

_DELIVERY = table_of(DeliveryRow)
_ENVELOPE = table_of(DeliveryEnvelopeRow)
_INBOX = table_of(InboxRow)
_INCOMING = table_of(IncomingRow)
_STATUS = table_of(StatusGotRow)

_ACCEPTED = (
    sa.select(
        _INCOMING.c.id,
        _INCOMING.c.message_id,
        _INCOMING.c.document_id,
        _INCOMING.c.signer,
        _INCOMING.c.sender,
        _INCOMING.c.recipient,
        _INCOMING.c.lane,
        _INCOMING.c.operation,
        _INCOMING.c.about,
        _INCOMING.c.kept_at,
        _INCOMING.c.listing,
    )
    .where(among(_INCOMING.c.id), _INCOMING.c.result == "received")
    .order_by(_INCOMING.c.id)
)
_SENT_ENVELOPES = (
    sa.select(_DELIVERY.c.message_id, _ENVELOPE.c.data)
    .select_from(_DELIVERY.join(_ENVELOPE, _ENVELOPE.c.message_id == _DELIVERY.c.message_id))
    .where(
        _DELIVERY.c.document_id == sa.bindparam("document_id"),
        _DELIVERY.c.to_node == sa.bindparam("to_node"),
    )
)


def make_visible(connection: Connection, ids: Sequence[IncomingId]) -> None:
    """Shows accepted arrivals to offices, in the order in which they were kept."""
    inbox: list[Row] = []
    statuses: list[Row] = []
    events: list[Row] = []
    for row in select_by(connection, _ACCEPTED, sorted(ids)):
        listing = decode_listing(row.listing)
        if row.operation == Operation.STATUS:
            status = _status(connection, row, listing)
            statuses.append(status)
            if status["message_id"] is None:  # of nothing that was sent to its sender
                continue
            kind, subject = EventKind.STATUS_RECEIVED, status["document_id"]
        else:
            inbox.append(_inbox(row, listing))
            kind, subject = EventKind.DOCUMENT_RECEIVED, row.document_id
        events.append(
            event_values(kind, subject, row.message_id, agency=row.sender, at=row.kept_at)
        )
    insert_rows(connection, _INBOX, inbox)
    insert_rows(connection, _STATUS, statuses)
    tell(connection, events)


def _inbox(row: AnyRow, listing: Mapping[str, str]) -> Row:
    return {
        "incoming_id": row.id,
        "message_id": row.message_id,
        "document_id": row.document_id,
        "sender": row.sender,
        "recipient": row.recipient,
        "lane": row.lane,
        "operation": row.operation,
        "about": row.about,
        "state": DocumentState.RECEIVED.value,
        "received_at": row.kept_at,
        "search": search_text(listing),
        **{name: listing.get(name, "") for name in LISTED},
    }


def _status(connection: Connection, row: AnyRow, listing: Mapping[str, str]) -> Row:
    told = listing.get("document_id")
    document_id = UUID(told).bytes if told else row.document_id
    return {
        "incoming_id": row.id,
        "document_id": document_id,
        "message_id": _message_about(connection, row, document_id),
        "agency": row.sender,
        "received_at": row.kept_at,
        **{name: listing.get(name, "") for name in ("state", "actor", "time", "code", "reason")},
    }


def _message_about(connection: Connection, row: AnyRow, document_id: bytes) -> bytes | None:
    """The delivery of the document to that node whose envelope the status names."""
    sent = connection.execute(_SENT_ENVELOPES, {"document_id": document_id, "to_node": row.signer})
    return next((item.message_id for item in sent if sha256(item.data).digest() == row.about), None)
