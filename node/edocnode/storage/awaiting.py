"""Which arrivals wait for their receipt: found, not listed.

A list beside the arrivals would cost two rows and two deletes of each document. Instead the lease
of the sealing agency holds a mark: every arrival up to that row has its receipt. What waits is
found above it, by the receipt that is not there. The mark follows behind, read from the tables
themselves in the transaction that adds receipts, so it can be late but not ahead.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.statements import Operation, Result
from edocnode.domain.lanes import shared
from edocnode.domain.model import DocumentId, IncomingId, Lane, MessageId, ReceiptDraft
from edocnode.storage.listing import decode_listing
from edocnode.storage.sql import AnyRow, among, select_by
from edocnode.storage.tables import IncomingRow, LeaseRow, ReceiptGivenRow, table_of

MARK_EVERY = 32  # arrivals between two places of the mark; so many more are looked at for each read
_KEEPING_LOCK = 0x6B656570  # on PostgreSQL: held by all that keep arrivals, and against the mark

_GIVEN = table_of(ReceiptGivenRow)
_INCOMING = table_of(IncomingRow)
_LEASE = table_of(LeaseRow)

_MARK = sa.select(sa.func.coalesce(sa.func.min(_LEASE.c.answered_to), 0))
_NO_RECEIPT = ~sa.exists().where(_GIVEN.c.incoming_id == _INCOMING.c.id)
_WAITS = sa.and_(_INCOMING.c.id > sa.bindparam("mark"), _NO_RECEIPT)
ARRIVALS = sa.select(  # what ``receipt_draft`` needs
    _INCOMING.c.id,
    _INCOMING.c.signer,
    _INCOMING.c.sender,
    _INCOMING.c.recipient,
    _INCOMING.c.message_id,
    _INCOMING.c.document_id,
    _INCOMING.c.lane,
    _INCOMING.c.operation,
    _INCOMING.c.about,
    _INCOMING.c.digest,
    _INCOMING.c.listing,
    _INCOMING.c.result,
    _INCOMING.c.reason,
    _INCOMING.c.kept_at,
)
_IN_LANE = (
    ARRIVALS.where(_INCOMING.c.lane == sa.bindparam("lane"), _WAITS)
    .order_by(_INCOMING.c.id)
    .limit(sa.bindparam("limit"))
)
_IN_URGENT_LANE = _IN_LANE.where(sa.text("incoming.lane < 3"))  # has an index, see tables
_FIRST = (
    sa.select(_INCOMING.c.id)
    .where(_WAITS, _INCOMING.c.id <= sa.bindparam("last"))
    .order_by(_INCOMING.c.id)
    .limit(1)
)
_COUNT = sa.select(sa.func.count()).select_from(_INCOMING).where(_WAITS)
_SET_MARK = (
    sa.update(_LEASE)
    .where(_LEASE.c.agency == sa.bindparam("of"))
    .values(answered_to=sa.bindparam("mark"))
)
_LOWER_MARK = (
    sa.update(_LEASE)
    .where(_LEASE.c.answered_to > sa.bindparam("mark"))
    .values(answered_to=sa.bindparam("mark"))
)
_KEPT = sa.select(_INCOMING.c.id).where(among(_INCOMING.c.id))
_KEPT_BETWEEN = sa.select(sa.func.count()).where(
    _INCOMING.c.id >= sa.bindparam("first"), _INCOMING.c.id <= sa.bindparam("last")
)


def waiting_arrivals(connection: Connection, limit: int) -> Sequence[AnyRow]:
    """Arrivals that wait, urgent lanes first, with a share for those below."""
    mark = connection.execute(_MARK).scalar_one()

    def found(above: int, count: int) -> list[AnyRow]:
        rows: list[AnyRow] = []
        for lane in Lane:
            if lane > above and len(rows) < count:
                statement = _IN_LANE if lane is Lane.NORMAL else _IN_URGENT_LANE
                place = {"mark": mark, "lane": lane.value, "limit": count - len(rows)}
                rows += connection.execute(statement, place)
        return rows

    rows = found(-1, limit)
    return shared(rows, limit, found, last=Lane(rows[-1].lane)) if rows else rows


def receipt_draft(row: AnyRow) -> ReceiptDraft:
    """What the sealer needs of an arrival."""
    return ReceiptDraft(
        incoming_id=IncomingId(row.id),
        signer=row.signer,
        sender=row.sender,
        recipient=row.recipient,
        message_id=MessageId(row.message_id),
        document_id=DocumentId(row.document_id),
        lane=Lane(row.lane),
        operation=Operation(row.operation),
        about=row.about,
        envelope_digest=row.digest,
        listing=decode_listing(row.listing),
        result=Result(row.result),
        reason=row.reason,
        kept_at=row.kept_at,
    )


def count_waiting(connection: Connection) -> int:
    """How many arrivals wait."""
    mark = connection.execute(_MARK).scalar_one()
    return connection.execute(_COUNT, {"mark": mark}).scalar_one()


def before_keeping(connection: Connection) -> None:
    """Keeps the mark where it is until this transaction has ended.

    On PostgreSQL rows of several workers become visible in another order than they were numbered.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_KEEPING_LOCK)))


def after_answering(
    connection: Connection, agency: str, mark: int, ids: Sequence[IncomingId]
) -> None:
    """Moves the mark of an agency on, now that these arrivals have their receipts.

    Raises:
        RuntimeError: One of them was never kept; nothing may be committed.
    """
    _check_kept(connection, ids)
    last = max(ids)
    if last - mark < MARK_EVERY or _others_keep(connection):
        return
    waits = connection.execute(_FIRST, {"mark": mark, "last": last}).scalar_one_or_none()
    reached = last if waits is None else waits - 1
    if reached > mark:
        connection.execute(_SET_MARK, {"of": agency, "mark": reached})


def look_again(connection: Connection, ids: Sequence[IncomingId]) -> None:
    """Lowers the mark to arrivals that were found without a receipt, if it ever passed them."""
    if ids:
        connection.execute(_LOWER_MARK, {"mark": min(ids) - 1})


def _check_kept(connection: Connection, ids: Sequence[IncomingId]) -> None:
    first, last = min(ids), max(ids)
    if last - first + 1 == len(ids):  # nearly always: then a count tells
        place = {"first": first, "last": last}
        kept = connection.execute(_KEPT_BETWEEN, place).scalar_one()
    else:
        kept = sum(1 for _ in select_by(connection, _KEPT, ids))
    if kept != len(ids):
        raise RuntimeError("a receipt was worded for an arrival that was never kept")


def _others_keep(connection: Connection) -> bool:
    """Whether other transactions may hold arrivals below visible ones that are not visible yet."""
    if connection.dialect.name != "postgresql":
        return False  # SQLite has one writer
    alone = sa.select(sa.func.pg_try_advisory_xact_lock(_KEEPING_LOCK))
    return not connection.execute(alone).scalar_one()
