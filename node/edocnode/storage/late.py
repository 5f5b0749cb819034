"""Finds what is late by its index: see ``domain.late.LateStore``.

Each kind has a partial index over what waits for somebody, by lane and beginning, so a million
documents that were dealt with cost nothing. What is not delivered is found among the deliveries
that wait; those that can be late are the ones whose message id, which begins with its time, is
old enough. Documents whose senders name a time are few and have a table of their own
(``appointed``); updates and revocations that a clerk must answer are few too, and have an index.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edockit.database import Database
from edocnode.domain.late import (
    COUNTED,
    INCOMING,
    REVOCATION_PENDING,
    UPDATE_PENDING,
    LateCuts,
    LateKind,
    LateRequest,
    LateRow,
)
from edocnode.domain.model import DocumentId, Lane, MessageId
from edocnode.domain.signature_checks import Side
from edocnode.storage.appointed_tables import AppointedRow
from edocnode.storage.listing import decode_listing
from edocnode.storage.submitting import shown_state
from edocnode.storage.tables import (
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    InboxRow,
    IncomingRow,
    SealRow,
    table_of,
)
from edocnode.storage.workflow_tables import (
    DestroyedRow,
    RevocationRow,
    RevokedDeliveryRow,
    VersionRow,
)

_DELIVERY, _DOCUMENT = table_of(DeliveryRow), table_of(DocumentRow)
_ENVELOPE, _SEAL = table_of(DeliveryEnvelopeRow), table_of(SealRow)
_INBOX, _REVOKED = table_of(InboxRow), table_of(RevokedDeliveryRow)
_APPOINTED, _VERSION = table_of(AppointedRow), table_of(VersionRow)
_INCOMING, _DESTROYED = table_of(IncomingRow), table_of(DestroyedRow)
_REVOCATION = table_of(RevocationRow)

_OPEN_STATES = ("unsealed", "queued", "waiting", "sending", "held")  # each has a partial index
_CANDIDATE = _DELIVERY.alias("candidate")
_TOO_MANY = 1000  # statuses, and what was sent later than it was handed in
_LATER = 100  # deliveries looked at behind a moment
_ALL_ROWS = (1 << 63) - 1
_MOMENT = _INBOX.c.received_at.type
_SENT_AT = sa.func.coalesce(_SEAL.c.sealed_at, _DOCUMENT.c.created_at, type_=_MOMENT)
_FOR_SENT = (_APPOINTED.c.side == Side.SENT.value, _APPOINTED.c.owner == _DELIVERY.c.document_row)
_FOR_RECEIVED = (
    _APPOINTED.c.side == Side.RECEIVED.value,
    _APPOINTED.c.owner == _INBOX.c.incoming_id,
)


def _deliver_by(*of: sa.ColumnElement[bool]) -> sa.Label[Any]:
    return sa.select(_APPOINTED.c.deliver_by).where(*of).scalar_subquery().label("deliver_by")


_OUT_COLUMNS = (
    _DELIVERY.c.id.label("place"),
    _DELIVERY.c.message_id,
    _DELIVERY.c.document_id,
    _DELIVERY.c.sender.label("agency"),
    _DELIVERY.c.recipient.label("peer"),
    _DELIVERY.c.lane,
    _DELIVERY.c.state,
    _DELIVERY.c.reason,
    _DOCUMENT.c.listing,
    _deliver_by(*_FOR_SENT),
)
_OF_DOCUMENT = _DELIVERY.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row)
_SEALED = _OF_DOCUMENT.outerjoin(
    _ENVELOPE,
    sa.and_(
        _ENVELOPE.c.message_id == _DELIVERY.c.message_id,
        _ENVELOPE.c.rank == _DELIVERY.c.envelope_rank,
    ),
).outerjoin(_SEAL, _SEAL.c.id == _ENVELOPE.c.seal_id)
_NOT_TAKEN_BACK = ~sa.exists().where(_REVOKED.c.message_id == _DELIVERY.c.message_id)
_UNDELIVERED = (
    sa.select(*_OUT_COLUMNS, _SENT_AT.label("since"))
    .select_from(_SEALED)
    .where(_NOT_TAKEN_BACK, _DOCUMENT.c.operation != "status")
)
_UNANSWERED = (
    sa.select(*_OUT_COLUMNS, _DELIVERY.c.ended_at.label("since"))
    .select_from(_OF_DOCUMENT)
    .where(sa.text("delivery.state = 'delivered' AND answered = 0"), _NOT_TAKEN_BACK)
)
_CHANGED_AT = (  # by the newest update in force, while nobody has accepted it
    sa.select(sa.func.max(_VERSION.c.received_at, type_=_MOMENT))
    .where(_VERSION.c.head == _INBOX.c.incoming_id, _VERSION.c.was_at > 0)
    .scalar_subquery()
)
_SINCE = sa.func.coalesce(_CHANGED_AT, _INBOX.c.received_at, type_=_MOMENT)
_RECEIVED_COLUMNS = (
    _INBOX.c.position.label("place"),
    _INBOX.c.document_id,
    _INBOX.c.recipient.label("agency"),
    _INBOX.c.sender.label("peer"),
    _INBOX.c.lane,
    _INBOX.c.subject,
    _INBOX.c.number,
    _INBOX.c.notation,
    _INBOX.c.due_date,
)
_RECEIVED = sa.select(
    *_RECEIVED_COLUMNS,
    _INBOX.c.message_id,
    _INBOX.c.state,
    _SINCE.label("since"),
    _deliver_by(*_FOR_RECEIVED),
).where(_INBOX.c.operation != "revoke")
_UNDECIDED = _RECEIVED.where(
    sa.text("inbox.state = 'received'"),
    ~sa.exists().where(_DESTROYED.c.incoming_id == _INBOX.c.incoming_id),
)


def _asked_for(table: sa.Table, moment: sa.ColumnElement[datetime], state: str) -> sa.Select[Any]:
    """What a sender asks for about a received document, and a clerk has not answered."""
    return (
        sa.select(
            *_RECEIVED_COLUMNS,
            _INCOMING.c.message_id,
            sa.literal(state).label("state"),
            moment.label("since"),
            sa.null().label("deliver_by"),
        )
        .select_from(
            table.join(
                _INBOX,
                sa.and_(
                    _INBOX.c.document_id == table.c.document_id,
                    _INBOX.c.sender == table.c.sender,
                    _INBOX.c.recipient == table.c.recipient,
                ),
            ).join(_INCOMING, _INCOMING.c.id == table.c.incoming_id)
        )
        .where(sa.text(f"{table.name}.state = 'pending'"))
    )


_PENDING = (
    (_asked_for(_VERSION, _VERSION.c.received_at, UPDATE_PENDING), _VERSION.c.received_at),
    (_asked_for(_REVOCATION, _REVOCATION.c.at, REVOCATION_PENDING), _REVOCATION.c.at),
)
_OVERDUE = _RECEIVED.where(
    sa.text("due_date <> '' AND state IN ('received', 'accepted', 'assigned', 'processing')")
)


class SqlLate:
    """See ``domain.late.LateStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def late(self, cuts: LateCuts, wanted: LateRequest) -> Sequence[LateRow]:
        """The oldest of each kind, by kind and age."""
        return await self._database.aread(
            lambda connection: [
                row
                for kind in wanted.kinds
                for row in _oldest(connection, kind, cuts, agency=wanted.agency, limit=wanted.limit)
            ]
        )

    async def late_counts(self, cuts: LateCuts, agency: str) -> Mapping[LateKind, int]:
        """How many there are of each kind, at most ``COUNTED`` + 1, which means more."""
        return await self._database.aread(
            lambda connection: {kind: _count(connection, kind, cuts, agency) for kind in LateKind}
        )


def _oldest(
    connection: Connection, kind: LateKind, cuts: LateCuts, *, agency: str, limit: int
) -> list[LateRow]:
    make = _incoming if kind in INCOMING else _outgoing
    rows = [
        make(kind, row)
        for query in _queries(connection, kind, cuts, agency=agency, most=limit)
        for row in connection.execute(query.limit(limit))
    ]
    if kind is LateKind.OVERDUE:
        return sorted(rows, key=lambda row: (row.due_date, row.place))[:limit]
    return sorted(rows, key=lambda row: (row.since, row.place))[:limit]


def _count(connection: Connection, kind: LateKind, cuts: LateCuts, agency: str) -> int:
    counted = 0
    for query in _queries(connection, kind, cuts, agency=agency, most=COUNTED + 1):
        few = query.order_by(None).limit(COUNTED + 1 - counted).subquery("few")
        counted += connection.scalar(sa.select(sa.func.count()).select_from(few)) or 0
        if counted > COUNTED:
            break
    return counted


def _queries(
    connection: Connection, kind: LateKind, cuts: LateCuts, *, agency: str, most: int
) -> Iterator[sa.Select[Any]]:
    """What has all late ones of a kind, each oldest first; together they are all."""
    if kind is LateKind.UNDELIVERED:
        yield from _undelivered(connection, cuts, agency=agency, most=most)
    elif kind is LateKind.OVERDUE:
        mine = _of(_OVERDUE, _INBOX.c.recipient, agency)
        over = mine.where(_INBOX.c.due_date <= cuts.overdue.isoformat())
        yield over.order_by(_INBOX.c.due_date)
    else:
        yield from _by_lane(kind, cuts, agency)
        if kind is LateKind.UNDECIDED:
            yield from _pending(cuts, agency)


def _by_lane(kind: LateKind, cuts: LateCuts, agency: str) -> Iterator[sa.Select[Any]]:
    """What began too long ago; then what began since, and was to be there by now."""
    since: sa.ColumnElement[Any]
    if kind is LateKind.UNDECIDED:
        mine, began = _of(_UNDECIDED, _INBOX.c.recipient, agency), _INBOX.c.received_at
        since, lane_column, limits = _SINCE, _INBOX.c.lane, cuts.undecided
        key, side = _INBOX.c.incoming_id, Side.RECEIVED
    else:
        mine, began = _of(_UNANSWERED, _DELIVERY.c.sender, agency), _DELIVERY.c.ended_at
        since, lane_column, limits = began, _DELIVERY.c.lane, cuts.unanswered
        key, side = _DELIVERY.c.document_row, Side.SENT
    for lane, limit in limits.items():
        yield mine.where(lane_column == lane.value, began <= limit, since <= limit).order_by(began)
    newer = sa.or_(
        *(sa.and_(lane_column == lane.value, since > limit) for lane, limit in limits.items())
    )
    yield mine.where(key.in_(_to_be_there(side, cuts)), newer).order_by(key)


def _to_be_there(side: Side, cuts: LateCuts) -> sa.Select[Any]:
    """Documents whose senders named a time that is over; they are few, so the rest follows."""
    return sa.select(_APPOINTED.c.owner).where(
        _APPOINTED.c.side == side.value, _APPOINTED.c.deliver_by < cuts.now
    )


def _pending(cuts: LateCuts, agency: str) -> Iterator[sa.Select[Any]]:
    """Updates and revocations that a clerk should have answered."""
    for query, since in _PENDING:
        late = sa.or_(
            *(
                sa.and_(_INBOX.c.lane == lane.value, since <= limit)
                for lane, limit in cuts.undecided.items()
            )
        )
        yield _of(query, _INBOX.c.recipient, agency).where(late).order_by(since)


def _undelivered(
    connection: Connection, cuts: LateCuts, *, agency: str, most: int
) -> Iterator[sa.Select[Any]]:
    newest = {lane: _newest_row(connection, limit) for lane, limit in cuts.undelivered.items()}
    old = sa.or_(
        *(
            sa.and_(_CANDIDATE.c.lane == lane.value, _CANDIDATE.c.id <= row)
            for lane, row in newest.items()
        )
    )
    late = sa.or_(
        *(
            sa.and_(_DELIVERY.c.lane == lane.value, end >= _SENT_AT)
            for lane, end in cuts.undelivered.items()
        )
    )
    mine = _of(_UNDELIVERED, _DELIVERY.c.sender, agency)
    for state in _OPEN_STATES:
        candidates = (
            sa.select(_CANDIDATE.c.id)
            .where(sa.text(f"candidate.state = '{state}'"), old)
            .order_by(_CANDIDATE.c.id + 0)  # not in the order of the rows: all would be read
            .limit(most + _TOO_MANY)
        )
        yield mine.where(_DELIVERY.c.id.in_(candidates), late, ~sa.exists().where(*_FOR_SENT))
    yield mine.where(
        _DELIVERY.c.document_row.in_(_to_be_there(Side.SENT, cuts)),
        _DELIVERY.c.state.in_(_OPEN_STATES),
    ).order_by(_DELIVERY.c.document_row)


def _newest_row(connection: Connection, until: datetime) -> int:
    """A row before which all deliveries lie that were handed in until a moment.

    Some later ones too: within a millisecond ids are in no order.
    """
    floor = int((until + timedelta(milliseconds=1)).timestamp() * 1000).to_bytes(6, "big")
    later = (
        sa.select(_DELIVERY.c.id)
        .where(_DELIVERY.c.message_id >= floor)
        .order_by(_DELIVERY.c.message_id)
        .limit(_LATER)
    )
    rows = connection.scalars(later).all()
    return max(rows) if len(rows) == _LATER else _ALL_ROWS


def _of(query: sa.Select[Any], column: sa.Column[Any], agency: str) -> sa.Select[Any]:
    return query.where(column == agency) if agency else query


def _outgoing(kind: LateKind, row: sa.Row[Any]) -> LateRow:
    listing = decode_listing(row.listing)
    return LateRow(
        kind=kind,
        place=row.place,
        message_id=MessageId(row.message_id),
        document_id=DocumentId(row.document_id),
        agency=row.agency,
        peer=row.peer,
        lane=Lane(row.lane),
        since=row.since,
        subject=listing.get("subject", ""),
        number=listing.get("number", ""),
        notation=listing.get("notation", ""),
        due_date=listing.get("due_date", ""),
        deliver_by=row.deliver_by,
        state=shown_state(row.state).value,
        reason=row.reason,
    )


def _incoming(kind: LateKind, row: sa.Row[Any]) -> LateRow:
    return LateRow(
        kind=kind,
        place=row.place,
        message_id=MessageId(row.message_id),
        document_id=DocumentId(row.document_id),
        agency=row.agency,
        peer=row.peer,
        lane=Lane(row.lane),
        since=row.since,
        subject=row.subject,
        number=row.number,
        notation=row.notation,
        due_date=row.due_date,
        deliver_by=row.deliver_by,
        state=row.state,
        reason="",
    )
