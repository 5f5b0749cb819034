"""Alarms: what a person must know until it has ended."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edockit.database import Database
from edocnode.domain.model import Alarm
from edocnode.storage.people_tables import AlarmRow
from edocnode.storage.sql import insert_missing, without_nul
from edocnode.storage.tables import table_of

_ALARM = table_of(AlarmRow)
_OF_SUBJECT = (_ALARM.c.kind == sa.bindparam("of_kind"), _ALARM.c.subject == sa.bindparam("of"))
_UPDATE = sa.update(_ALARM).where(*_OF_SUBJECT)
_DELETE = sa.delete(_ALARM).where(*_OF_SUBJECT)
_ALL = sa.select(_ALARM).order_by(_ALARM.c.since, _ALARM.c.kind, _ALARM.c.subject)


def put_alarm(
    connection: Connection, kind: str, subject: str, *, message: str, at: datetime
) -> None:
    """Notes an alarm inside another change; ``since`` of one that is there stays."""
    text = without_nul(message)
    row = {"kind": kind, "subject": subject, "message": text, "since": at, "updated_at": at}
    insert_missing(connection, _ALARM, [row])
    changed = {"message": text, "updated_at": at}
    connection.execute(_UPDATE.values(changed), {"of_kind": kind, "of": subject})


def drop_alarm(connection: Connection, kind: str, subject: str) -> None:
    """Ends an alarm inside another change."""
    connection.execute(_DELETE, {"of_kind": kind, "of": subject})


class SqlAlarms:
    """See ``domain.ports.Alarms``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def raise_alarm(self, kind: str, subject: str, message: str, at: datetime) -> None:
        """Notes an alarm; the same kind and subject again only updates it."""
        await self._database.awrite(
            lambda connection: put_alarm(connection, kind, subject, message=message, at=at)
        )

    async def clear_alarm(self, kind: str, subject: str) -> None:
        """Ends an alarm."""
        await self._database.awrite(lambda connection: drop_alarm(connection, kind, subject))

    async def alarms(self) -> Sequence[Alarm]:
        """The alarms that have not ended, oldest first."""
        rows = await self._database.aread(lambda connection: connection.execute(_ALL).all())
        return [
            Alarm(kind=row.kind, subject=row.subject, message=row.message, since=row.since)
            for row in rows
        ]
