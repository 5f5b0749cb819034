"""Deliveries whose envelopes have ended: see ``domain.expiring.ExpiryStore``."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edockit.database import Database
from edocnode.domain.expiring import NO_RECEIPT, NOT_ASKED, Ending, LastWord
from edocnode.domain.model import DocumentId, MessageId, QueuedDelivery
from edocnode.storage.events import EventKind, event_values, tell
from edocnode.storage.outbox import deliveries_at
from edocnode.storage.sealing import add_effect
from edocnode.storage.sql import among, change_each, select_by
from edocnode.storage.tables import DeliveryRow, ReceiptGotRow, table_of

_DELIVERY, _RECEIPT = table_of(DeliveryRow), table_of(ReceiptGotRow)
_MOMENT = _DELIVERY.c.expires_at.type
_WAITS = sa.text("delivery.state IN ('queued', 'waiting')")

_PLACE = (_DELIVERY.c.id, _DELIVERY.c.document_id, _DELIVERY.c.to_node)
ENDING = (
    sa.select(*_PLACE)
    .where(_WAITS, _DELIVERY.c.expires_at <= sa.bindparam("now", type_=_MOMENT))
    .order_by(_DELIVERY.c.expires_at)
    .limit(sa.bindparam("limit"))
)
NEVER_ASKED = (
    sa.select(*_PLACE)
    .where(
        sa.text(f"delivery.state = 'expired' AND delivery.reason = '{NOT_ASKED}'"),
        _DELIVERY.c.to_node == sa.bindparam("agency"),
    )
    .order_by(_DELIVERY.c.id)
    .limit(sa.bindparam("limit"))
)
_MESSAGES_AT = sa.select(_DELIVERY.c.id, _DELIVERY.c.message_id).where(
    among(_DELIVERY.c.id), _WAITS
)
_RESULTS_OF = sa.select(_RECEIPT.c.message_id, _RECEIPT.c.result).where(
    among(_RECEIPT.c.message_id), _RECEIPT.c.rank == 0
)
_ANSWER = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.message_id == sa.bindparam("of"))
    .values(
        state=sa.bindparam("to_state"),
        next_at=None,
        ended_at=sa.bindparam("at", type_=_MOMENT),
    )
)
_GIVE_UP = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.message_id == sa.bindparam("of"), _WAITS)
    .values(
        state="expired",
        reason=sa.bindparam("why"),
        message=sa.bindparam("said"),
        next_at=None,
        ended_at=sa.bindparam("at", type_=_MOMENT),
    )
)
_NAMES_OF = sa.select(_DELIVERY.c.message_id, _DELIVERY.c.document_id, _DELIVERY.c.recipient).where(
    among(_DELIVERY.c.message_id)
)
_ASKED = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.message_id == sa.bindparam("of"), sa.text("state = 'expired'"))
    .values(reason=NO_RECEIPT, message=sa.bindparam("said"))
)


class SqlExpiry:
    """See ``domain.expiring.ExpiryStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def ending(
        self, now: datetime, limit: int, held: Collection[int] = ()
    ) -> Sequence[Ending]:
        """Deliveries that wait and whose envelopes have ended, oldest first."""
        return await self._database.aread(
            lambda connection: _places(connection, ENDING, limit, held, now=now)
        )

    async def ending_at(self, places: Sequence[int], now: datetime) -> Sequence[QueuedDelivery]:
        """Deliveries of rows; what was answered before a restore ends with that answer here."""
        found, answered = await self._database.aread(
            lambda connection: _ending_at(connection, places)
        )
        if answered:
            await self._database.awrite(lambda connection: _end(connection, answered, now))
        return found

    async def give_up(self, words: Sequence[LastWord], now: datetime) -> int:
        """Ends deliveries that still wait, with their effects and events; returns how many."""
        if not words:
            return 0
        return await self._database.awrite(lambda connection: _give_up(connection, words, now))

    async def never_asked(
        self, to_node: str, limit: int, held: Collection[int] = ()
    ) -> Sequence[Ending]:
        """Deliveries that were given up while their recipient could not be asked."""
        return await self._database.aread(
            lambda connection: _places(connection, NEVER_ASKED, limit, held, agency=to_node)
        )

    async def asked_now(self, message_ids: Sequence[MessageId], message: str) -> None:
        """Notes that the recipient has been asked since, and does not hold them."""
        if message_ids:
            await self._database.awrite(
                lambda connection: change_each(
                    connection, _ASKED, [{"of": item, "said": message} for item in message_ids]
                )
            )


def _places(
    connection: Connection,
    wanted: sa.Select[Any],
    limit: int,
    held: Collection[int],
    **values: object,
) -> list[Ending]:
    place: Mapping[str, object] = {"limit": limit + len(held), **values}
    rows = [row for row in connection.execute(wanted, place) if row.id not in held][:limit]
    return [Ending(row.id, DocumentId(row.document_id), row.to_node) for row in rows]


def _ending_at(
    connection: Connection, places: Sequence[int]
) -> tuple[list[QueuedDelivery], dict[bytes, str]]:
    """What ends or has ended, and the results of what was answered before a restore."""
    waiting = {row.message_id: row.id for row in select_by(connection, _MESSAGES_AT, places)}
    found = select_by(connection, _RESULTS_OF, list(waiting))
    answered = {row.message_id: row.result for row in found}
    ended = {waiting[message_id] for message_id in answered}
    return deliveries_at(connection, [item for item in places if item not in ended]), answered


def _end(connection: Connection, answered: dict[bytes, str], now: datetime) -> None:
    rows = [{"of": item, "to_state": answered[item], "at": now} for item in answered]
    change_each(connection, _ANSWER, rows)


def _give_up(connection: Connection, words: Sequence[LastWord], now: datetime) -> int:
    names = {
        row.message_id: row
        for row in select_by(connection, _NAMES_OF, [word.message_id for word in words])
    }
    events = []
    for word in words:
        values = {"of": word.message_id, "why": word.reason, "said": word.message, "at": now}
        if not connection.execute(_GIVE_UP, values).rowcount:
            continue
        add_effect(connection, word.salt, word.effect, word.message_id)
        row = names[word.message_id]
        events.append(
            event_values(
                EventKind.DELIVERY_EXPIRED,
                row.document_id,
                row.message_id,
                agency=row.recipient,
                at=now,
            )
        )
    tell(connection, events)
    return len(events)
