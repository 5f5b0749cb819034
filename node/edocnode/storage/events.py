"""Events for offices, written in the transaction of what they tell."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy.engine import Connection

from edocnode.storage.people_tables import EventRow
from edocnode.storage.sql import Row, in_order, insert_rows
from edocnode.storage.tables import table_of

_EVENT = table_of(EventRow)


class EventKind(StrEnum):
    """What happened."""

    DOCUMENT_RECEIVED = "document.received"
    DOCUMENT_DUPLICATE = "document.duplicate"  # looks like one that came before
    DELIVERY_QUEUED = "delivery.queued"  # again, by a person
    DELIVERY_DELIVERED = "delivery.delivered"
    DELIVERY_REJECTED = "delivery.rejected"
    DELIVERY_HELD = "delivery.held"
    DELIVERY_EXPIRED = "delivery.expired"
    STATUS_RECEIVED = "status.received"
    DOCUMENT_ACCEPTED = "document.accepted"
    DOCUMENT_REJECTED = "document.rejected"
    DOCUMENT_ASSIGNED = "document.assigned"
    DOCUMENT_PROCESSING = "document.processing"
    DOCUMENT_FINISHED = "document.finished"
    DOCUMENT_RELEASED = "document.released"  # after a scan had rejected it
    DOCUMENT_QUARANTINED = "document.quarantined"  # kept apart: malware, or not scanned
    DOCUMENT_DISCARDED = "document.discarded"  # destroyed, and shown to nobody
    DOCUMENT_REVOKED = "document.revoked"  # destroyed here
    DOCUMENT_UPDATED = "document.updated"
    DOCUMENT_KEPT = "document.kept"  # although its sender took it back
    DELIVERY_VOID = "delivery.void"
    SIGNATURES_CHECKED = "signatures.checked"


def event_values(
    kind: EventKind, document_id: bytes, message_id: bytes, *, agency: str, at: datetime
) -> Row:
    """The values of one event; ``agency`` is the other side."""
    return {
        "kind": kind.value,
        "document_id": document_id,
        "message_id": message_id,
        "agency": agency,
        "at": at,
    }


def tell(connection: Connection, events: Sequence[Row]) -> None:
    """Adds events at the end."""
    if events:
        in_order(connection)
        insert_rows(connection, _EVENT, events)
