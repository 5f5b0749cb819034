"""Rows become what an office sees: entries of inbox and outbox, complete with parts and states.

Queries and mapping only, inside a connection that the caller holds; ``office`` has the port.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.records import DocumentState, StatusRecord
from edoccore.signing.statements import Envelope, Operation, Part, Urgency
from edocnode.domain.decisions import status_request_id
from edocnode.domain.model import (
    INLINE_PART_BYTES,
    DeliveryState,
    DocumentId,
    IncomingId,
    MessageId,
)
from edocnode.domain.office_model import DeliveryView, DocumentView, Event, InboxEntry, OutboxEntry
from edocnode.storage.listing import LISTED, decode_listing, decode_parts
from edocnode.storage.sql import among, select_by
from edocnode.storage.tables import (
    DeliveryRow,
    DocumentRow,
    InboxRow,
    IncomingRow,
    PeerRow,
    StatusGotRow,
    table_of,
)

INBOX, INCOMING = table_of(InboxRow), table_of(IncomingRow)
DOCUMENT, DELIVERY = table_of(DocumentRow), table_of(DeliveryRow)
_STATUS, _PEER = table_of(StatusGotRow), table_of(PeerRow)

# States of rows that people see as queued.
QUEUED_STATES = ("unsealed", "queued", "waiting")

INBOX_ENTRIES = (
    sa.select(INBOX, INCOMING.c.signer, INCOMING.c.digest, INCOMING.c.envelope)
    .select_from(INBOX.join(INCOMING, INCOMING.c.id == INBOX.c.incoming_id))
    .where(INBOX.c.operation != Operation.STATUS.value)
)
DOCUMENTS = sa.select(
    *(column for column in DOCUMENT.c if column.name not in ("inline", "request_hash"))
).where(DOCUMENT.c.operation != Operation.STATUS.value)
_DELIVERIES = sa.select(DELIVERY).where(among(DELIVERY.c.document_row)).order_by(DELIVERY.c.id)
_STATUSES = (
    sa.select(_STATUS.c.message_id, _STATUS.c.state, _STATUS.c.reason)
    .where(among(_STATUS.c.document_id))
    .order_by(_STATUS.c.incoming_id)
)
_PEERS = sa.select(_PEER).where(among(_PEER.c.agency))
_DECISIONS = sa.select(DOCUMENT.c.request_id, DOCUMENT.c.inline).where(among(DOCUMENT.c.request_id))


def inbox_entries(connection: Connection, rows: Sequence[sa.Row[Any]]) -> tuple[InboxEntry, ...]:
    """Entries of rows of ``INBOX_ENTRIES``, in their order."""
    decisions = _decisions(connection, rows)
    return tuple(_inbox_entry(row, decisions.get(row.message_id)) for row in rows)


def outbox_entries(connection: Connection, rows: Sequence[sa.Row[Any]]) -> tuple[OutboxEntry, ...]:
    """Entries of rows of ``DOCUMENTS``, in their order."""
    deliveries = list(select_by(connection, _DELIVERIES, [row.id for row in rows]))
    document_ids = sorted({row.document_id for row in rows})
    statuses = {row.message_id: row for row in select_by(connection, _STATUSES, document_ids)}
    nodes = sorted({row.to_node for row in deliveries})
    peers = {row.agency: row for row in select_by(connection, _PEERS, nodes)}
    by_document: dict[int, list[sa.Row[Any]]] = {}
    for delivery in deliveries:
        by_document.setdefault(delivery.document_row, []).append(delivery)
    return tuple(
        OutboxEntry(
            document=_document(
                row, row.sender, decode_listing(row.listing), decode_parts(row.parts)
            ),
            created=row.created_at,
            expires=row.expires_at,
            deliveries=tuple(
                _delivery(item, row, statuses.get(item.message_id), peers.get(item.to_node))
                for item in by_document.get(row.id, ())
            ),
        )
        for row in rows
    )


def event_of(row: sa.Row[Any]) -> Event:
    """An event of its row."""
    return Event(
        position=row.position,
        kind=row.kind,
        document_id=DocumentId(row.document_id),
        message_id=MessageId(row.message_id),
        agency=row.agency,
        at=row.at,
    )


def inline_piece(parts: Sequence[Part], inline: bytes, index: int) -> bytes:
    """The bytes of one inline part out of all of them joined; short when they are not all here."""
    start = sum(part.size for part in parts[:index] if part.size <= INLINE_PART_BYTES)
    return inline[start : start + parts[index].size]


def _inbox_entry(row: sa.Row[Any], decision: StatusRecord | None) -> InboxEntry:
    envelope = canonical.decode(row.envelope, Envelope)
    listing = {name: getattr(row, name) for name in LISTED if getattr(row, name)}
    told = decision if row.state == DocumentState.REJECTED else None
    return InboxEntry(
        incoming_id=IncomingId(row.incoming_id),
        message_id=MessageId(row.message_id),
        document=_document(row, row.sender, listing, envelope.parts, urgency=envelope.urgency),
        signer=row.signer,
        recipient=row.recipient,
        envelope_digest=row.digest,
        received_at=row.received_at,
        state=DocumentState(row.state),
        position=row.position,
        decision_code="" if told is None or not told.code else told.code,
        decision_reason="" if told is None or not told.reason else told.reason,
    )


def _document(
    row: sa.Row[Any],
    sender: str,
    listing: Mapping[str, str],
    parts: tuple[Part, ...],
    *,
    urgency: Urgency | None = None,
) -> DocumentView:
    return DocumentView(
        document_id=DocumentId(row.document_id),
        sender=sender,
        urgency=urgency or Urgency(row.urgency),
        operation=Operation(row.operation),
        listing=listing,
        parts=parts,
    )


def _delivery(
    row: sa.Row[Any],
    document: sa.Row[Any],
    status: sa.Row[Any] | None,
    peer: sa.Row[Any] | None,
) -> DeliveryView:
    queued = row.state in QUEUED_STATES
    down = peer if queued and peer is not None and peer.down_since is not None else None
    moments = [row.next_at if row.state == "waiting" else None, down.next_at if down else None]
    return DeliveryView(
        message_id=MessageId(row.message_id),
        recipient=row.recipient,
        to_node=row.to_node,
        state=DeliveryState.QUEUED if queued else DeliveryState(row.state),
        since=row.ended_at or document.created_at,
        attempts=row.attempts,
        reason=row.reason or (down.reason if down else ""),
        message=row.message or (down.message if down else ""),
        next_at=max((moment for moment in moments if moment is not None), default=None),
        peer_down_since=down.down_since if down else None,
        recipient_state=None if status is None else DocumentState(status.state),
        recipient_reason="" if status is None else status.reason,
    )


def _decisions(connection: Connection, rows: Sequence[sa.Row[Any]]) -> dict[bytes, StatusRecord]:
    """The rejections of rows, by message: read back from the status that told the sender."""
    wanted = {
        status_request_id(row.message_id, DocumentState.REJECTED): row.message_id
        for row in rows
        if row.state == DocumentState.REJECTED
    }
    found = select_by(connection, _DECISIONS, sorted(wanted))
    return {wanted[row.request_id]: canonical.decode(row.inline, StatusRecord) for row in found}
