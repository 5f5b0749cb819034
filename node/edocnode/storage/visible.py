"""What becomes visible once its receipt is sealed: documents enter the inbox, statuses count.

A document that was revoked before it came is not shown: it is destroyed here, with its receipt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from operator import attrgetter

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.records import DocumentState
from edoccore.signing.statements import Operation, Result, uuid_bytes
from edocnode.domain.model import ReceiptDraft
from edocnode.domain.signatures import TO_CHECK
from edocnode.storage.access_tables import HoldRow
from edocnode.storage.appointed import appoint_received
from edocnode.storage.copies import heard_of_copy
from edocnode.storage.destroying import add_revocations, destroy, revoked_before
from edocnode.storage.duplicates import note_duplicates
from edocnode.storage.events import EventKind, event_values, tell
from edocnode.storage.links import add_received
from edocnode.storage.listing import LISTED, search_text
from edocnode.storage.signature_checks import wait_for_received
from edocnode.storage.sql import Row, change_each, in_order, insert_rows
from edocnode.storage.steps import told_values
from edocnode.storage.tables import (
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    InboxRow,
    StatusGotRow,
    table_of,
)
from edocnode.storage.versions import add_versions, heads_of, keep_concealed

_DELIVERY, _DOCUMENT = table_of(DeliveryRow), table_of(DocumentRow)
_ENVELOPE = table_of(DeliveryEnvelopeRow)
_HOLD, _INBOX = table_of(HoldRow), table_of(InboxRow)
_STATUS = table_of(StatusGotRow)

_SENT_ENVELOPES = (
    sa.select(_DELIVERY.c.id, _DELIVERY.c.message_id, _DELIVERY.c.recipient, _ENVELOPE.c.data)
    .select_from(
        _DOCUMENT.join(_DELIVERY, _DELIVERY.c.document_row == _DOCUMENT.c.id).join(
            _ENVELOPE, _ENVELOPE.c.message_id == _DELIVERY.c.message_id
        )
    )
    .where(
        _DOCUMENT.c.document_id == sa.bindparam("document_id"),
        _DELIVERY.c.to_node == sa.bindparam("to_node"),
    )
)
_HELD = sa.select(_HOLD.c.document_id).where(_HOLD.c.document_id == sa.bindparam("of"))
_ANSWERED = (
    sa.update(_DELIVERY).where(_DELIVERY.c.message_id == sa.bindparam("of")).values(answered=1)
)


@dataclass(frozen=True, slots=True)
class _Told:
    """A status as a row, the deliveries that it answers, and whether it is of anything sent."""

    row: Row
    answered: frozenset[bytes]
    counts: bool


def make_visible(connection: Connection, drafts: Sequence[ReceiptDraft]) -> None:
    """Shows received arrivals to offices, in the order in which they were kept."""
    documents: list[ReceiptDraft] = []
    versions: list[ReceiptDraft] = []
    statuses: list[_Told] = []
    revocations: list[ReceiptDraft] = []
    events: list[Row] = []
    received = [item for item in drafts if item.result is Result.RECEIVED]
    in_order(connection)  # revocations are answered one after another with this
    gone = revoked_before(connection, received)
    heads = heads_of(connection, received)
    for item in sorted(received, key=attrgetter("incoming_id")):
        if item.operation is Operation.REVOKE:
            revocations.append(item)
            continue
        if item.operation is Operation.STATUS:
            status = _status(connection, item)
            statuses.append(status)
            if not status.counts:  # of nothing that was sent to its sender
                continue
            kind, subject = EventKind.STATUS_RECEIVED, status.row["document_id"]
        elif item.incoming_id in gone:
            _end(connection, item)
            continue
        elif item.operation is Operation.UPDATE or _place(item) in heads:
            versions.append(item)
            continue
        else:
            documents.append(item)
            kind, subject = EventKind.DOCUMENT_RECEIVED, item.document_id
        events.append(
            event_values(kind, subject, item.message_id, agency=item.sender, at=item.kept_at)
        )
    events += note_duplicates(connection, documents)
    insert_rows(connection, _INBOX, [_inbox(item) for item in documents])
    _add_statuses(connection, statuses)
    add_revocations(connection, revocations)
    add_versions(connection, versions, heads)
    add_received(connection, documents)
    _watch(connection, documents, versions)
    tell(connection, events)


def _end(connection: Connection, item: ReceiptDraft) -> None:
    """Destroys what comes of a document that was taken back; while it is held, nobody sees it."""
    if connection.execute(_HELD, {"of": item.document_id}).first() is None:
        destroy(connection, [item.incoming_id], item.kept_at)
    else:
        keep_concealed(connection, item)


def _watch(
    connection: Connection, documents: Sequence[ReceiptDraft], versions: Sequence[ReceiptDraft]
) -> None:
    """Notes what is to be looked at again: signatures, and moments that senders name."""
    shown = [*documents, *versions]  # a version waits for its own check; it is no duplicate
    wait_for_received(connection, [item for item in shown if TO_CHECK in item.listing])
    appoint_received(connection, documents)


def _add_statuses(connection: Connection, statuses: Sequence[_Told]) -> None:
    insert_rows(connection, _STATUS, [status.row for status in statuses])
    answered = {message_id for status in statuses for message_id in status.answered}
    change_each(connection, _ANSWERED, [{"of": message_id} for message_id in answered])


def _place(item: ReceiptDraft) -> tuple[bytes, str, str]:
    return item.document_id, item.sender, item.recipient


def _inbox(item: ReceiptDraft) -> Row:
    listing = item.listing
    return {
        "incoming_id": item.incoming_id,
        "message_id": item.message_id,
        "document_id": item.document_id,
        "sender": item.sender,
        "recipient": item.recipient,
        "lane": item.lane.value,
        "operation": item.operation.value,
        "about": item.about,
        "state": DocumentState.RECEIVED.value,
        "received_at": item.kept_at,
        "search": search_text(listing),
        **{name: listing.get(name, "") for name in LISTED},
    }


def _status(connection: Connection, item: ReceiptDraft) -> _Told:
    listing = item.listing
    told = listing.get("document_id")
    document_id = uuid_bytes(told) if told else item.document_id
    values = told_values(listing)
    about, answered = _deliveries_about(connection, item, document_id, values["answers"])
    row = {
        "incoming_id": item.incoming_id,
        "document_id": document_id,
        "message_id": about,
        "agency": item.sender,
        "received_at": item.kept_at,
        **values,
    }
    told_of_copy = about is None and heard_of_copy(connection, row, item.about or b"", item.signer)
    return _Told(row, answered, about is not None or told_of_copy)


def _deliveries_about(
    connection: Connection, status: ReceiptDraft, document_id: bytes, answers: bytes | None
) -> tuple[bytes | None, frozenset[bytes]]:
    """The delivery whose envelope a status names, and all that nobody waits for any more.

    Those are it, the versions before it, which it stands in place of, and what the status answers.
    """
    place = {"document_id": document_id, "to_node": status.signer}
    rows = connection.execute(_SENT_ENVELOPES, place).all()
    named = {sha256(row.data).digest(): row for row in rows}
    about = named.get(status.about or b"")
    if about is None:
        return None, frozenset()
    ended = [row for row in rows if row.id <= about.id]
    ended += [named[answers]] if answers in named else []
    mine = frozenset(row.message_id for row in ended if row.recipient == about.recipient)
    return about.message_id, mine
