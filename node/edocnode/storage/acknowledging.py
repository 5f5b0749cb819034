"""Alarms as an administrator looks after them: all of them, and what was acknowledged."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edockit.database import Database
from edocnode.domain.alarms import Acknowledged, Acknowledgement, Alarm
from edocnode.storage.alarms import read_alarms
from edocnode.storage.people_tables import AlarmRow
from edocnode.storage.sealing import add_effect
from edocnode.storage.sql import without_nul
from edocnode.storage.tables import table_of

_ALARM = table_of(AlarmRow)
_ALL = sa.select(_ALARM).order_by(_ALARM.c.since, _ALARM.c.kind, _ALARM.c.subject, _ALARM.c.proof)
_THIS = (
    _ALARM.c.kind == sa.bindparam("of_kind"),
    _ALARM.c.subject == sa.bindparam("of"),
    _ALARM.c.proof == sa.bindparam("proven"),
)
_ONE = sa.select(_ALARM).where(*_THIS)
_ACKNOWLEDGE = sa.update(_ALARM).where(
    *_THIS, _ALARM.c.proof != "", _ALARM.c.acknowledged_at.is_(None)
)


class SqlAcknowledging:
    """See ``domain.alarms.AlarmBook``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def every_alarm(self) -> Sequence[Alarm]:
        """The alarms that have not ended, those that were acknowledged too, oldest first."""
        return await self._database.aread(lambda connection: read_alarms(connection.execute(_ALL)))

    async def acknowledge(
        self, alarm: Alarm, word: Acknowledgement, *, salt: bytes, effect: bytes
    ) -> Acknowledged | None:
        """Acknowledges an alarm that lasts, and keeps the effect for the journal.

        Returns:
            None: it is there no more, another proof has taken its place.
        """
        key = {"of_kind": alarm.kind, "of": alarm.subject, "proven": alarm.proof}
        said = {
            "acknowledged_at": word.at,
            "actor": without_nul(word.actor),
            "reason": without_nul(word.reason),
        }

        def write(connection: Connection) -> Acknowledged | None:
            is_new = connection.execute(_ACKNOWLEDGE.values(said), key).rowcount == 1
            if is_new:
                add_effect(connection, salt, effect)
            kept = read_alarms(connection.execute(_ONE, key))
            return Acknowledged(kept[0], repeated=not is_new) if kept else None

        return await self._database.awrite(write)
