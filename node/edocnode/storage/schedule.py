"""When kept deliveries go to the sealer: see ``domain.ports.Schedule``.

Scheduled deliveries are in no queue: nothing that looks for work meets them before their moment.
They go in bounded pieces, urgent lanes first, so that thousands that are due at one moment neither
block the writer nor hold up what is urgent.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edockit.database import Database
from edocnode.storage.listing import decode_parts, large_parts
from edocnode.storage.sql import among, change_each, select_by
from edocnode.storage.submitting import FANOUT_PIECE
from edocnode.storage.tables import BlobUseRow, DeliveryRow, DocumentRow, ScheduleRow, table_of

_BLOB_USE = table_of(BlobUseRow)
_DELIVERY = table_of(DeliveryRow)
_DOCUMENT = table_of(DocumentRow)
_SCHEDULE = table_of(ScheduleRow)
_MOMENT = _SCHEDULE.c.due_at.type

_NEXT_DUE = sa.select(sa.func.min(_SCHEDULE.c.due_at))
_DUE = (
    sa.select(_SCHEDULE.c.document_row)
    .where(_SCHEDULE.c.due_at <= sa.bindparam("now", type_=_MOMENT))
    .order_by(_SCHEDULE.c.lane, _SCHEDULE.c.due_at, _SCHEDULE.c.document_row)
    .limit(FANOUT_PIECE)
)
_CUT_OFF = (
    sa.select(_SCHEDULE.c.document_row)
    .where(
        _SCHEDULE.c.due_at.is_(None),
        _SCHEDULE.c.kept_at < sa.bindparam("before", type_=_MOMENT),
    )
    .limit(1)
)
_SCHEDULED_OF = (
    sa.select(_DELIVERY.c.id)
    .where(
        sa.text("delivery.state = 'scheduled'"),
        _DELIVERY.c.document_row == sa.bindparam("document_row"),
    )
    .order_by(_DELIVERY.c.id)
    .limit(sa.bindparam("limit"))
)
_TO_SEALER = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.id == sa.bindparam("of"), _DELIVERY.c.state == "scheduled")
    .values(state="unsealed", next_at=sa.null())
)
_STILL_SCHEDULED = (
    sa.select(_DELIVERY.c.document_row)
    .where(sa.text("delivery.state = 'scheduled'"), among(_DELIVERY.c.document_row))
    .distinct()
)
_DONE = sa.delete(_SCHEDULE).where(_SCHEDULE.c.document_row == sa.bindparam("of"))
_DROP_DELIVERY = sa.delete(_DELIVERY).where(_DELIVERY.c.id == sa.bindparam("of"))
_PARTS = sa.select(_DOCUMENT.c.parts).where(_DOCUMENT.c.id == sa.bindparam("of"))
_DROP_USE = sa.delete(_BLOB_USE).where(
    _BLOB_USE.c.sha256 == sa.bindparam("digest"),
    _BLOB_USE.c.kind == "document",
    _BLOB_USE.c.owner == sa.bindparam("of"),
)
_DROP_DOCUMENT = sa.delete(_DOCUMENT).where(_DOCUMENT.c.id == sa.bindparam("of"))


class SqlSchedule:
    """See ``domain.ports.Schedule``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def next_due(self) -> datetime | None:
        """When the next scheduled deliveries are for the sealer; None when there are none."""
        return await self._database.aread(lambda connection: connection.scalar(_NEXT_DUE))

    async def release(self, now: datetime) -> int:
        """Gives the sealer what is due, at most ``FANOUT_PIECE`` deliveries; returns how many."""
        return await self._database.awrite(lambda connection: _release(connection, now))

    async def forget_cut_off(self, before: datetime) -> int:
        """Forgets deliveries of one submission to many that was cut off before it counted.

        At most ``FANOUT_PIECE`` of them; the document goes with the last.

        Returns:
            How many; 0 when there is no such submission.
        """
        values = {"before": before}
        if await self._database.aread(lambda connection: connection.scalar(_CUT_OFF, values)):
            return await self._database.awrite(lambda connection: _forget(connection, before))
        return 0


def _release(connection: Connection, now: datetime) -> int:
    documents = list(connection.scalars(_DUE, {"now": now}))
    ids: list[int] = []
    for row in documents:
        if (room := FANOUT_PIECE - len(ids)) <= 0:
            break
        ids += connection.scalars(_SCHEDULED_OF, {"document_row": row, "limit": room})
    change_each(connection, _TO_SEALER, [{"of": each} for each in ids])
    rest = {row.document_row for row in select_by(connection, _STILL_SCHEDULED, documents)}
    change_each(connection, _DONE, [{"of": row} for row in documents if row not in rest])
    return len(ids)


def _forget(connection: Connection, before: datetime) -> int:
    row = connection.scalar(_CUT_OFF, {"before": before})
    if row is None:  # another worker was faster
        return 0
    ids = list(connection.scalars(_SCHEDULED_OF, {"document_row": row, "limit": FANOUT_PIECE}))
    change_each(connection, _DROP_DELIVERY, [{"of": each} for each in ids])
    if len(ids) < FANOUT_PIECE:
        parts = large_parts(decode_parts(connection.execute(_PARTS, {"of": row}).scalar_one()))
        uses = [{"of": row, "digest": bytes.fromhex(part.sha256)} for part in parts]
        change_each(connection, _DROP_USE, uses)
        change_each(connection, _DROP_DOCUMENT, [{"of": row}])
        change_each(connection, _DONE, [{"of": row}])
    return max(len(ids), 1)
