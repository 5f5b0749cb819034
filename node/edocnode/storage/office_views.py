"""Rows become what an office sees: entries of inbox and outbox, complete with parts and states.

Queries and mapping only, inside a connection that the caller holds; ``office`` has the port.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.records import DocumentState
from edoccore.signing.statements import Envelope, Operation, Part, Receipt, Urgency, parse_time
from edocnode.domain.copies import CopyView
from edocnode.domain.dead_letters import what_to_do
from edocnode.domain.model import (
    DeliveryState,
    DocumentId,
    IncomingId,
    MessageId,
)
from edocnode.domain.office_model import (
    DeliveryView,
    DocumentLink,
    DocumentView,
    Event,
    InboxEntry,
    OutboxEntry,
    RevocationState,
    TakenBack,
)
from edocnode.domain.revoking import outcome
from edocnode.domain.signature_checks import Side, SignatureCheck
from edocnode.domain.workflow import Step, answer_to, timeline, workflow_of
from edocnode.storage.copies import copy_views
from edocnode.storage.duplicates import duplicates_of
from edocnode.storage.links import RECEIVED, SENT, links_of
from edocnode.storage.listing import LISTED, decode_listing, decode_parts
from edocnode.storage.official_numbers import arrival_numbers
from edocnode.storage.revoking import Asked, orders_of, revoked_among
from edocnode.storage.signature_checks import checks_of
from edocnode.storage.sql import among, select_by
from edocnode.storage.steps import step_in, steps_taken, steps_told
from edocnode.storage.submitting import shown_state
from edocnode.storage.tables import (
    DeliveryRow,
    DocumentRow,
    InboxRow,
    IncomingRow,
    PeerRow,
    ReceiptGotRow,
    ScheduleRow,
    table_of,
)
from edocnode.storage.version_views import versions_of, versions_shown
from edocnode.storage.workflow_tables import RevocationRow

INBOX, INCOMING = table_of(InboxRow), table_of(IncomingRow)
DOCUMENT, DELIVERY = table_of(DocumentRow), table_of(DeliveryRow)
_REVOCATION = table_of(RevocationRow)
_PEER, _RECEIPT, _SCHEDULE = table_of(PeerRow), table_of(ReceiptGotRow), table_of(ScheduleRow)

SCHEDULED = "SCHEDULED"  # reason of a delivery that is to be sent later
_SCHEDULED = "The office wants it sent at this moment."

SHOWN_IN_LISTS = 20  # deliveries of one document
SHOWN_ALONE = 100

WAITING_STATES = ("unsealed", "queued", "waiting")
QUEUED_STATES = ("scheduled", *WAITING_STATES)  # what people see as queued

INBOX_ENTRIES = (
    sa.select(INBOX, INCOMING.c.signer, INCOMING.c.digest, INCOMING.c.envelope)
    .select_from(INBOX.join(INCOMING, INCOMING.c.id == INBOX.c.incoming_id))
    .where(INBOX.c.operation != Operation.STATUS.value)
)
DOCUMENTS = sa.select(
    *(column for column in DOCUMENT.c if column.name not in ("inline", "request_hash"))
).where(
    DOCUMENT.c.operation.not_in((Operation.STATUS.value, Operation.REVOKE.value)),
    # Of a document to many not all deliveries may be here yet: then nobody was answered.
    ~sa.exists().where(_SCHEDULE.c.document_row == DOCUMENT.c.id, _SCHEDULE.c.due_at.is_(None)),
)
_DELIVERIES = sa.select(DELIVERY).where(among(DELIVERY.c.document_row)).order_by(DELIVERY.c.id)
_COUNTS = (
    sa.select(
        DELIVERY.c.document_row,
        DELIVERY.c.state,
        sa.func.count().label("number"),
        sa.func.min(DELIVERY.c.next_at, type_=DELIVERY.c.next_at.type).label("next_at"),
    )
    .where(among(DELIVERY.c.document_row))
    .group_by(DELIVERY.c.document_row, DELIVERY.c.state)
)
_RECEIPTS = sa.select(_RECEIPT.c.message_id, _RECEIPT.c.data).where(
    among(_RECEIPT.c.message_id), _RECEIPT.c.rank == 0, _RECEIPT.c.result == "delivered"
)
_GIVEN_BACK = sa.select(DOCUMENT.c.inline).where(
    among(DOCUMENT.c.document_id),
    DOCUMENT.c.operation == Operation.STATUS.value,
    DOCUMENT.c.request_id.is_(None),  # by a peer, after a restore
)
_REVOCATIONS = (
    sa.select(_REVOCATION)
    .where(among(_REVOCATION.c.document_id))
    .order_by(_REVOCATION.c.incoming_id)
)
_PEERS = sa.select(_PEER).where(among(_PEER.c.agency))


@dataclass(frozen=True, slots=True)
class _Beside:
    """What belongs to received documents beside their rows."""

    steps: Mapping[int, tuple[Step, ...]]
    given_back: Mapping[bytes, Sequence[Step]]
    taken_back: Mapping[tuple[bytes, str, str], TakenBack]
    versions: Mapping[tuple[bytes, str, str], Sequence[sa.Row[Any]]]
    links: Mapping[tuple[bytes, str], tuple[DocumentLink, ...]]
    arrival_numbers: Mapping[int, int]
    duplicates: Mapping[int, tuple[bytes, ...]]
    checks: Mapping[int, SignatureCheck]
    shown: Collection[bytes]


def inbox_entries(
    connection: Connection, rows: Sequence[sa.Row[Any]], shown: Collection[bytes] = ()
) -> tuple[InboxEntry, ...]:
    """Entries of rows of ``INBOX_ENTRIES``, in their order.

    Args:
        shown: Messages whose version is to be shown, instead of the one in force.
    """
    ids = [row.incoming_id for row in rows]
    documents = sorted({row.document_id for row in rows})
    versions = versions_of(connection, documents, shown)
    arrivals = [*ids, *(row.incoming_id for each in versions.values() for row in each)]
    beside = _Beside(
        steps=steps_taken(connection, ids),
        given_back=_steps_given_back(connection, documents),
        taken_back=_taken_back(connection, documents),
        versions=versions,
        links=links_of(connection, [(row.document_id, row.sender) for row in rows], RECEIVED),
        arrival_numbers=arrival_numbers(connection, ids),
        duplicates=duplicates_of(connection, ids),
        checks=checks_of(connection, Side.RECEIVED, arrivals),
        shown=shown,
    )
    return tuple(_inbox_entry(row, beside) for row in rows)


def outbox_entries(
    connection: Connection, rows: Sequence[sa.Row[Any]], *, shown: int, states: Sequence[str] = ()
) -> tuple[OutboxEntry, ...]:
    """Entries of rows of ``DOCUMENTS``, in their order.

    Args:
        shown: Deliveries of each at most, those in ``states`` first.
    """
    counts: dict[int, list[sa.Row[Any]]] = {}
    for count in select_by(connection, _COUNTS, [row.id for row in rows]):
        counts.setdefault(count.document_row, []).append(count)
    few = [row.id for row in rows if _total(counts.get(row.id, ())) <= shown]
    deliveries = list(select_by(connection, _DELIVERIES, few))
    for row in rows:
        if _total(counts.get(row.id, ())) > shown:
            deliveries += connection.execute(_first_of(row.id, shown, states))
    views = _views(connection, deliveries, {row.id: row for row in rows})
    orders = orders_of(connection, sorted({row.document_id for row in rows}))
    links = links_of(connection, [(row.document_id, row.sender) for row in rows], SENT)
    checks = checks_of(connection, Side.SENT, [row.id for row in rows])
    return tuple(
        replace(
            _outbox_entry(row, views.get(row.id, ()), counts.get(row.id, ()), checks.get(row.id)),
            taken_back=orders.get(row.document_id),
            links=links.get((row.document_id, row.sender), ()),
        )
        for row in rows
    )


def delivery_views(
    connection: Connection, document: sa.Row[Any], deliveries: Sequence[sa.Row[Any]]
) -> tuple[DeliveryView, ...]:
    """Views of some deliveries of a row of ``DOCUMENTS``, in their order."""
    views = _views(connection, deliveries, {document.id: document})
    return tuple(views.get(document.id, ()))


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


def _inbox_entry(row: sa.Row[Any], beside: _Beside) -> InboxEntry:
    place = (row.document_id, row.sender, row.recipient)
    taken = beside.steps.get(row.incoming_id, ())
    steps = timeline([*beside.given_back.get(row.digest, ()), *taken])
    versions, content = versions_shown(row, beside.versions.get(place, []), beside.shown)
    check = beside.checks.get(content.incoming_id)
    envelope = canonical.decode(content.envelope, Envelope)
    listing = {name: getattr(row, name) for name in LISTED if getattr(row, name)}
    return InboxEntry(
        incoming_id=IncomingId(row.incoming_id),
        message_id=MessageId(row.message_id),
        document=_document(row, listing, envelope.parts, urgency=envelope.urgency, check=check),
        signer=row.signer,
        recipient=row.recipient,
        envelope_digest=row.digest,
        received_at=row.received_at,
        state=steps[-1].state if steps else DocumentState(row.state),
        position=row.position,
        steps=steps,
        taken_back=beside.taken_back.get(place),
        arrival_number=beside.arrival_numbers.get(row.incoming_id, 0),
        duplicate_of=tuple(map(DocumentId, beside.duplicates.get(row.incoming_id, ()))),
        versions=versions,
        content_id=IncomingId(content.incoming_id),
        links=beside.links.get((row.document_id, row.sender), ()),
    )


def _first_of(document_row: int, shown: int, states: Sequence[str]) -> sa.Select[Any]:
    wanted = sa.select(DELIVERY).where(DELIVERY.c.document_row == document_row)
    if states:
        wanted = wanted.order_by(DELIVERY.c.state.in_(states).desc())
    return wanted.order_by(DELIVERY.c.id).limit(shown)


def _total(counts: Sequence[sa.Row[Any]]) -> int:
    return sum(count.number for count in counts)


def _views(
    connection: Connection,
    deliveries: Sequence[sa.Row[Any]],
    documents: Mapping[int, sa.Row[Any]],
) -> dict[int, list[DeliveryView]]:
    """Views of deliveries by the row of their document."""
    messages = [row.message_id for row in deliveries]
    revoked = revoked_among(connection, messages)
    others = {message for asked in revoked.values() for message in asked.versions}
    copies = copy_views(connection, {row.message_id: row.to_node for row in deliveries}, revoked)
    told = steps_told(connection, [*messages, *sorted(others - set(messages))])
    arrived = _arrivals(connection, messages)
    nodes = sorted({row.to_node for row in deliveries})
    peers = {row.agency: row for row in select_by(connection, _PEERS, nodes)}
    views: dict[int, list[DeliveryView]] = {}
    for item in deliveries:
        asked = revoked.get(item.message_id)
        view = _delivery(
            item,
            documents[item.document_row],
            peers.get(item.to_node),
            steps=told.get(item.message_id, ()),
            arrived_at=arrived.get(item.message_id),
            revoked=asked,
            answer=None if asked is None else _answer(asked, told),
            copies=copies.get(item.message_id, ()),
        )
        views.setdefault(item.document_row, []).append(view)
    return views


def _outbox_entry(
    row: sa.Row[Any],
    deliveries: Sequence[DeliveryView],
    counts: Sequence[sa.Row[Any]],
    check: SignatureCheck | None,
) -> OutboxEntry:
    by_state: Counter[DeliveryState] = Counter()
    for count in counts:
        by_state[shown_state(count.state)] += count.number
    later = [count.next_at for count in counts if count.state == "scheduled"]
    return OutboxEntry(
        document=_document(
            row,
            _listed(row.listing),
            decode_parts(row.parts),
            urgency=Urgency(row.urgency),
            check=check,
        ),
        created=row.created_at,
        expires=row.expires_at,
        send_at=later[0] if later else None,
        deliveries=tuple(deliveries),
        counts=by_state,
        position=row.id,
    )


def _listed(data: bytes) -> dict[str, str]:
    listing = decode_listing(data)
    return {name: listing[name] for name in LISTED if name in listing}


def _document(
    row: sa.Row[Any],
    listing: Mapping[str, str],
    parts: tuple[Part, ...],
    *,
    urgency: Urgency,
    check: SignatureCheck | None,
) -> DocumentView:
    return DocumentView(
        document_id=DocumentId(row.document_id),
        sender=row.sender,
        urgency=urgency,
        operation=Operation(row.operation),
        listing=listing,
        parts=parts,
        signatures=check,
    )


def _delivery(
    row: sa.Row[Any],
    document: sa.Row[Any],
    peer: sa.Row[Any] | None,
    *,
    steps: tuple[Step, ...],
    arrived_at: datetime | None,
    revoked: Asked | None,
    answer: Step | None,
    copies: tuple[CopyView, ...],
) -> DeliveryView:
    told = workflow_of(steps)
    waits = row.state in WAITING_STATES
    scheduled = row.next_at if row.state == "scheduled" else None
    down = peer if waits and peer is not None and peer.down_since is not None else None
    moments = [scheduled, row.next_at if row.state == "waiting" else None]
    moments += [down.next_at] if down else []
    return DeliveryView(
        message_id=MessageId(row.message_id),
        recipient=row.recipient,
        to_node=row.to_node,
        state=shown_state(row.state),
        since=row.ended_at or document.created_at,
        attempts=row.attempts,
        reason=SCHEDULED if scheduled else row.reason or (down.reason if down else ""),
        message=_SCHEDULED if scheduled else row.message or (down.message if down else ""),
        advice="" if waits else what_to_do(shown_state(row.state), row.reason),
        next_at=max((moment for moment in moments if moment is not None), default=None),
        peer_down_since=down.down_since if down else None,
        recipient_state=told.state if steps else None,
        recipient_reason=told.reason,
        position=row.id,
        arrived_at=arrived_at,
        timeline=steps,
        revocation=None
        if revoked is None
        else outcome(shown_state(row.state), answer, sent=revoked.sent, reached=revoked.reached),
        copies=copies,
        answer=answer,
    )


def _answer(asked: Asked, told: Mapping[bytes, tuple[Step, ...]]) -> Step | None:
    """What a recipient answered to the revocation of a document, whatever version it spoke of."""
    steps = [step for message_id in asked.versions for step in told.get(message_id, ())]
    return answer_to(steps, asked.envelope)


def _arrivals(connection: Connection, message_ids: Sequence[bytes]) -> dict[bytes, datetime]:
    """When recipients had verified and kept deliveries, as their receipts say."""
    return {
        row.message_id: parse_time(canonical.decode(row.data, Receipt).time)
        for row in select_by(connection, _RECEIPTS, message_ids)
    }


def _steps_given_back(
    connection: Connection, document_ids: Sequence[bytes]
) -> dict[bytes, list[Step]]:
    """Steps that a restore lost and peers gave back, by the envelope that they speak of."""
    found: dict[bytes, list[Step]] = {}
    for row in select_by(connection, _GIVEN_BACK, document_ids):
        if row.inline:
            envelope, step = step_in(row.inline)
            found.setdefault(envelope, []).append(step)
    return found


def _taken_back(
    connection: Connection, document_ids: Sequence[bytes]
) -> dict[tuple[bytes, str, str], TakenBack]:
    """The newest revocations of received documents, by document, sender and recipient."""
    return {
        (row.document_id, row.sender, row.recipient): TakenBack(
            actor=row.actor, reason=row.reason, at=row.at, state=RevocationState(row.state)
        )
        for row in select_by(connection, _REVOCATIONS, document_ids)
    }
