"""Deliveries that a person queues again: see ``domain.dead_letters``."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edocnode.domain.dead_letters import HeldDelivery, RetryPlan
from edocnode.domain.model import DocumentId, MessageId
from edocnode.storage.events import EventKind, event_values, tell
from edocnode.storage.forwarding import readers_of
from edocnode.storage.sealing import add_effect
from edocnode.storage.sql import AnyRow, among, select_by
from edocnode.storage.submitting import shown_state
from edocnode.storage.tables import DeliveryRow, DocumentRow, table_of

_DELIVERY, _DOCUMENT = table_of(DeliveryRow), table_of(DocumentRow)

_STANDING = sa.select(
    _DELIVERY.c.id,
    _DELIVERY.c.message_id,
    _DELIVERY.c.document_id,
    _DELIVERY.c.recipient,
    _DELIVERY.c.to_node,
    _DELIVERY.c.state,
    _DELIVERY.c.reason,
    _DELIVERY.c.expires_at,
    _DELIVERY.c.document_row,
    _DOCUMENT.c.complete,
    _DOCUMENT.c.parts,
).select_from(_DELIVERY.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row))
_OF_MESSAGES = _STANDING.where(among(_DELIVERY.c.message_id)).order_by(_DELIVERY.c.id)
HELD_FOR = (
    _STANDING.where(
        sa.text("delivery.state = 'held'"),
        sa.or_(
            _DELIVERY.c.recipient == sa.bindparam("code"),
            _DELIVERY.c.to_node == sa.bindparam("code"),
        ),
        _DELIVERY.c.id > sa.bindparam("after"),
    )
    .order_by(_DELIVERY.c.id)
    .limit(sa.bindparam("limit"))
)
_QUEUE_AGAIN = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.message_id == sa.bindparam("of"), _DELIVERY.c.state == "held")
    .values(
        state="queued",
        attempts=0,
        digest_failures=0,
        next_at=None,
        ended_at=None,
        reason="",
        message="",
    )
)


def deliveries_of(
    connection: Connection, message_ids: Sequence[MessageId]
) -> Sequence[HeldDelivery]:
    """Where deliveries stand."""
    return _standing(connection, list(select_by(connection, _OF_MESSAGES, message_ids)))


def held_for(connection: Connection, code: str, after: int, limit: int) -> Sequence[HeldDelivery]:
    """Held deliveries to an agency, or to a node with all that it serves, oldest first."""
    place = {"code": code, "after": after, "limit": limit}
    return _standing(connection, connection.execute(HELD_FOR, place).all())


def queue_again(
    connection: Connection, plans: Sequence[RetryPlan], salts: Sequence[bytes], at: datetime
) -> int:
    """Queues held deliveries again, each with its effect and event; returns how many were held."""
    rows = {
        row.message_id: row
        for row in select_by(connection, _OF_MESSAGES, [plan.message_id for plan in plans])
    }
    events = []
    for plan, salt in zip(plans, salts, strict=True):
        row = rows.get(plan.message_id)
        if row is None or not connection.execute(_QUEUE_AGAIN, {"of": plan.message_id}).rowcount:
            continue
        add_effect(connection, salt, plan.effect)
        events.append(
            event_values(
                EventKind.DELIVERY_QUEUED,
                row.document_id,
                row.message_id,
                agency=row.recipient,
                at=at,
            )
        )
    tell(connection, events)
    return len(events)


def _standing(connection: Connection, rows: Sequence[AnyRow]) -> list[HeldDelivery]:
    readers = readers_of(connection, rows)
    return [
        HeldDelivery(
            place=row.id,
            message_id=MessageId(row.message_id),
            document_id=DocumentId(row.document_id),
            recipient=row.recipient,
            to_node=row.to_node,
            state=shown_state(row.state),
            reason=row.reason,
            expires=row.expires_at,
            complete=bool(row.complete),
            readers=readers[row.document_row],
        )
        for row in rows
    ]
