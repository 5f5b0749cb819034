"""Alarms: what a person must know; see ``domain.alarms`` for what lasts and what ends."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edockit.database import Database
from edocnode.domain.alarms import Acknowledgement, Alarm, check_raise, raised
from edocnode.storage.people_tables import AlarmRow
from edocnode.storage.sql import Row, upsert, without_nul
from edocnode.storage.tables import table_of

_ALARM = table_of(AlarmRow)
_OF_SUBJECT = (_ALARM.c.kind == sa.bindparam("of_kind"), _ALARM.c.subject == sa.bindparam("of"))
_ONE = (*_OF_SUBJECT, _ALARM.c.proof == sa.bindparam("proven"))
_IS_OPEN = _ALARM.c.acknowledged_at.is_(None)
_IN_ORDER = (_ALARM.c.since, _ALARM.c.kind, _ALARM.c.subject, _ALARM.c.proof)
_OPEN = sa.select(_ALARM).where(_IS_OPEN).order_by(*_IN_ORDER)
_KNOWN = sa.select(_ALARM).where(*_OF_SUBJECT).order_by(*_IN_ORDER)
_END = sa.delete(_ALARM).where(*_OF_SUBJECT, _ALARM.c.proof == "")
_REPLACE = sa.delete(_ALARM).where(*_ONE, _IS_OPEN)


def put_alarm(
    connection: Connection, kind: str, subject: str, *, message: str, at: datetime, proof: str = ""
) -> None:
    """Notes an alarm inside another change; ``proof`` as in ``domain.ports.Alarms``."""
    check_raise(kind, proof)
    new = Alarm(
        kind=kind,
        subject=subject,
        message=without_nul(message),
        since=at,
        last_at=at,
        proof=proof,
    )
    change = raised(_known(connection, kind, subject), new)
    if change.gone is not None:
        connection.execute(_REPLACE, _key(change.gone))
    upsert(connection, _ALARM, [_row(change.put)])


def drop_alarm(connection: Connection, kind: str, subject: str) -> None:
    """Ends an alarm inside another change; what lasts stays."""
    connection.execute(_END, {"of_kind": kind, "of": subject})


class SqlAlarms:
    """See ``domain.ports.Alarms``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def raise_alarm(
        self, kind: str, subject: str, message: str, at: datetime, proof: str = ""
    ) -> None:
        """Notes an alarm; see ``domain.ports.Alarms``."""
        await self._database.awrite(
            lambda connection: put_alarm(
                connection, kind, subject, message=message, at=at, proof=proof
            )
        )

    async def clear_alarm(self, kind: str, subject: str) -> None:
        """Ends an alarm that ends by itself; what lasts stays."""
        await self._database.awrite(lambda connection: drop_alarm(connection, kind, subject))

    async def alarms(self) -> Sequence[Alarm]:
        """The alarms that have not ended and were not acknowledged, oldest first."""
        return await self._database.aread(lambda connection: read_alarms(connection.execute(_OPEN)))

    async def alarms_about(self, kind: str, subject: str) -> Sequence[Alarm]:
        """The alarms of a kind and subject, those that were acknowledged too, oldest first."""
        return await self._database.aread(lambda connection: _known(connection, kind, subject))


def _known(connection: Connection, kind: str, subject: str) -> list[Alarm]:
    return read_alarms(connection.execute(_KNOWN, {"of_kind": kind, "of": subject}))


def _key(alarm: Alarm) -> dict[str, str]:
    return {"of_kind": alarm.kind, "of": alarm.subject, "proven": alarm.proof}


def _row(alarm: Alarm) -> Row:
    """All but the acknowledgement, which another process may be writing."""
    return {
        "kind": alarm.kind,
        "subject": alarm.subject,
        "proof": alarm.proof,
        "message": alarm.message,
        "since": alarm.since,
        "updated_at": alarm.last_at,
        "times": alarm.times,
    }


def read_alarms(rows: Iterable[sa.Row[Any]]) -> list[Alarm]:
    """Alarms from whole rows of their table."""
    return [
        Alarm(
            kind=row.kind,
            subject=row.subject,
            message=row.message,
            since=row.since,
            last_at=row.updated_at,
            times=row.times,
            proof=row.proof,
            acknowledged=_acknowledgement(row),
        )
        for row in rows
    ]


def _acknowledgement(row: sa.Row[Any]) -> Acknowledgement | None:
    if row.acknowledged_at is None:
        return None
    return Acknowledgement(actor=row.actor, reason=row.reason, at=row.acknowledged_at)
