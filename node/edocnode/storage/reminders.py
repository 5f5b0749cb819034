"""What people were reminded of: see ``domain.reminders.ReminderStore``."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edockit.database import Database
from edocnode.domain.model import MessageId
from edocnode.domain.reminders import ReminderItem, ReminderKind
from edocnode.storage.reminder_tables import ToldRow
from edocnode.storage.sql import among, insert_missing, select_by
from edocnode.storage.tables import InboxRow, table_of

KEPT = timedelta(days=800)  # far longer than anything is looked back at

_TOLD, _INBOX = table_of(ToldRow), table_of(InboxRow)
_TOLD_OF = sa.select(_TOLD.c.message_id, _TOLD.c.kind).where(
    _TOLD.c.outlet == sa.bindparam("outlet"), among(_TOLD.c.message_id)
)
_OLD = sa.delete(_TOLD).where(_TOLD.c.told_at < sa.bindparam("before", type_=_TOLD.c.told_at.type))
_URGENT = (
    sa.select(_INBOX)
    .where(sa.text("state = 'received' AND lane = 0"), _INBOX.c.operation != "revoke")
    .order_by(_INBOX.c.received_at.desc())
)


class SqlReminders:
    """See ``domain.reminders.ReminderStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def untold(self, outlet: str, items: Sequence[ReminderItem]) -> Sequence[ReminderItem]:
        """Those that an outlet was not told of."""
        return await self._database.aread(lambda connection: _untold(connection, outlet, items))

    async def note_told(self, outlet: str, items: Sequence[ReminderItem], at: datetime) -> None:
        """Remembers that an outlet was told."""
        rows = [
            {"outlet": outlet, "message_id": item.message_id, "kind": item.kind, "told_at": at}
            for item in items
        ]

        def write(connection: Connection) -> None:
            insert_missing(connection, _TOLD, rows)
            connection.execute(_OLD, {"before": at - KEPT})

        await self._database.awrite(write)

    async def urgent_arrivals(self, limit: int) -> Sequence[ReminderItem]:
        """The newest arrivals of ``hoa_toc`` that nobody has accepted or refused."""
        rows = await self._database.aread(
            lambda connection: connection.execute(_URGENT.limit(limit)).all()
        )
        return [
            ReminderItem(
                kind=ReminderKind.ARRIVED,
                message_id=MessageId(row.message_id),
                agency=row.recipient,
                peer=row.sender,
                number=row.number,
                notation=row.notation,
                subject=row.subject,
                due=None,
            )
            for row in rows
        ]


def _untold(
    connection: Connection, outlet: str, items: Sequence[ReminderItem]
) -> list[ReminderItem]:
    query = _TOLD_OF.params(outlet=outlet)
    ids = sorted({item.message_id for item in items})
    known = {(row.message_id, row.kind) for row in select_by(connection, query, ids)}
    return [item for item in items if (item.message_id, item.kind.value) not in known]
