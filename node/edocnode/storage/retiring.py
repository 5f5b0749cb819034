"""Counts what is still open on a node that is to end: see ``domain.retiring``.

Every count reads what waits, by its partial index, and not what was done.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edockit.database import Database
from edocnode.domain.retiring import OpenWork
from edocnode.storage.awaiting import count_waiting
from edocnode.storage.repair_tables import DamagedMessageRow, DamagedPartRow
from edocnode.storage.scan_tables import ScanRow
from edocnode.storage.sealing import add_effect
from edocnode.storage.tables import (
    DeliveryRow,
    EffectRow,
    InboxRow,
    StageRow,
    table_of,
)
from edocnode.storage.workflow_tables import DestroyedRow, RevocationRow, VersionRow

_ON_THEIR_WAY = ("scheduled", "unsealed", "queued", "waiting", "sending")


def _count(row: Any, *wanted: str | sa.TextClause) -> tuple[sa.Select[Any], ...]:  # noqa: ANN401 - a row class
    """A count for each condition; written as literals, as partial indexes want them."""
    table = table_of(row)
    counts = sa.select(sa.func.count()).select_from(table)
    return tuple(counts.where(sa.text(str(each))) for each in wanted) or (counts,)


_UNSEALED_EFFECTS = _count(EffectRow, "seal_id IS NULL")
_COUNTS = {
    "undelivered": _count(DeliveryRow, *(f"delivery.state = '{each}'" for each in _ON_THEIR_WAY)),
    "held": _count(DeliveryRow, "delivery.state = 'held'"),
    "arriving": _count(StageRow, "ended = 0"),
    "damaged": (*_count(DamagedPartRow), *_count(DamagedMessageRow)),
    "undestroyed": _count(DestroyedRow, "files = 1"),
    "asked": (
        *_count(RevocationRow, "state = 'pending'"),
        *_count(VersionRow, "state = 'pending'"),
    ),
    "unscanned": _count(ScanRow, "state = 'waiting'", "state = 'again'"),
    "quarantined": _count(ScanRow, "state IN ('infected', 'held')"),
    "undecided": _count(InboxRow, "state = 'received'"),
    "due": _count(  # the first two conditions are those of its index
        InboxRow,
        sa.text(
            "due_date <> '' AND state IN ('received', 'accepted', 'assigned', 'processing') "
            "AND state <> 'received'"
        ),
    ),
    "unanswered": _count(DeliveryRow, sa.text("state = 'delivered' AND answered = 0")),
}
_DROP_EFFECT = sa.delete(table_of(EffectRow)).where(
    sa.text("seal_id IS NULL"), table_of(EffectRow).c.salt == sa.bindparam("of")
)
_NEWEST_SALT = sa.select(table_of(EffectRow).c.salt).order_by(table_of(EffectRow).c.id.desc())


class SqlOpenWork:
    """What is open in a node's database."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def count(self) -> OpenWork:
        """Counts it, at one moment."""
        return await self._database.aread(_open_work)

    async def has_effect(self, salt: bytes) -> bool:
        """Whether the newest local effect is the one with this salt."""
        newest = _NEWEST_SALT.limit(1)
        found = await self._database.aread(lambda connection: connection.scalar(newest))
        return found == salt

    async def take_back(self, salt: bytes, by: bytes, effect: bytes) -> None:
        """Drops a local effect that no seal covers yet, and adds the one that says so.

        Args:
            salt: Of the effect to be dropped; one that was sealed stays.
            by: Salt of the new one, 16 bytes; repeating it changes nothing.
            effect: Exact bytes of the new one.
        """
        if not await self.has_effect(by):
            await self._database.awrite(lambda connection: _take_back(connection, salt, by, effect))


def _take_back(connection: Connection, salt: bytes, by: bytes, effect: bytes) -> None:
    connection.execute(_DROP_EFFECT, {"of": salt})
    add_effect(connection, by, effect)


def _open_work(connection: Connection) -> OpenWork:
    def total(statements: tuple[sa.Select[Any], ...]) -> int:
        return sum(connection.scalar(each) or 0 for each in statements)

    counts = {name: total(statements) for name, statements in _COUNTS.items()}
    return OpenWork(unsealed=total(_UNSEALED_EFFECTS) + count_waiting(connection), **counts)
