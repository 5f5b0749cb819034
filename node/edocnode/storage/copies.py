"""Copies at nodes that were passed over: see ``domain.copies``."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.records import DocumentState, StatusStep
from edoccore.signing.statements import Operation
from edocnode.domain.copies import NOT_REACHED, CopyOrder, CopyView, PassedOver, copy_view
from edocnode.domain.model import MessageId
from edocnode.domain.revoking import copy_request
from edocnode.storage.sql import AnyRow, Row, among, insert_missing, select_by
from edocnode.storage.tables import (
    DELIVERY_WITH_ENVELOPE,
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    table_of,
)
from edocnode.storage.workflow_tables import PassedOverRow

_DELIVERY, _DOCUMENT = table_of(DeliveryRow), table_of(DocumentRow)
_ENVELOPE, _PASSED = table_of(DeliveryEnvelopeRow), table_of(PassedOverRow)
_NO_DOCUMENT = (Operation.STATUS.value, Operation.REVOKE.value)

_OFFERED = (
    sa.select(_DELIVERY.c.message_id, _DELIVERY.c.recipient, _DELIVERY.c.to_node, _ENVELOPE.c.data)
    .select_from(DELIVERY_WITH_ENVELOPE.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row))
    .where(among(_DELIVERY.c.message_id), _DOCUMENT.c.operation.not_in(_NO_DOCUMENT))
)
_OF_MESSAGES = (
    sa.select(_PASSED)
    .where(among(_PASSED.c.message_id))
    .order_by(_PASSED.c.message_id, _PASSED.c.since)
)
_HEARD = (
    sa.update(_PASSED)
    .where(
        _PASSED.c.envelope == sa.bindparam("of"),
        _PASSED.c.node == sa.bindparam("by"),
        _PASSED.c.step_order < sa.bindparam("order"),
    )
    .values(
        step_order=sa.bindparam("order"),
        step=sa.bindparam("told"),
        state=sa.bindparam("stands"),
        answers=sa.bindparam("to"),
        reason=sa.bindparam("why"),
        at=sa.bindparam("then", type_=_PASSED.c.at.type),
    )
)
_ORDERS = (
    sa.select(_DOCUMENT.c.request_id, _DELIVERY.c.reason, _ENVELOPE.c.data)
    .select_from(
        _DELIVERY.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row).outerjoin(
            _ENVELOPE,
            sa.and_(
                _ENVELOPE.c.message_id == _DELIVERY.c.message_id,
                _ENVELOPE.c.rank == _DELIVERY.c.envelope_rank,
            ),
        )
    )
    .where(among(_DOCUMENT.c.request_id))
)


def pass_over(connection: Connection, message_ids: Sequence[MessageId], at: datetime) -> None:
    """Notes that nodes may have what they were offered; see ``domain.copies.CopyStore``."""
    rows: list[Row] = [
        {
            "message_id": row.message_id,
            "node": row.to_node,
            "recipient": row.recipient,
            "envelope": sha256(row.data).digest(),
            "since": at,
            "step_order": 0,
            "step": "",
            "state": "",
            "answers": None,
            "reason": "",
            "at": None,
        }
        for row in select_by(connection, _OFFERED, message_ids)
    ]
    insert_missing(connection, _PASSED, rows)


def heard_of_copy(connection: Connection, told: Row, about: bytes, node: str) -> bool:
    """Notes what a node that was passed over says of its copy; False when it says nothing new.

    Args:
        told: The columns of ``status_got`` that its status fills.
        about: Digest of the envelope that it speaks of.
    """
    values = {
        "of": about,
        "by": node,
        "order": told["step_order"],
        "told": told["step"],
        "stands": told["state"],
        "to": told["answers"],
        "why": told["reason"],
        "then": told["at"],
    }
    return connection.execute(_HEARD, values).rowcount > 0


def passed_over(
    connection: Connection, message_ids: Sequence[bytes]
) -> dict[bytes, list[PassedOver]]:
    """The nodes that were passed over, by message, the first one first."""
    found: dict[bytes, list[PassedOver]] = {}
    for row in select_by(connection, _OF_MESSAGES, message_ids):
        found.setdefault(row.message_id, []).append(_passed(row))
    return found


def copy_views(
    connection: Connection, nodes: Mapping[bytes, str], taken_back: Mapping[bytes, object]
) -> dict[bytes, tuple[CopyView, ...]]:
    """What is known of the copies of deliveries, beside the node that each is for.

    Args:
        nodes: To which node each delivery goes or went.
        taken_back: Those that were.
    """
    found = {
        message_id: [item for item in items if item.node != nodes[message_id]]
        for message_id, items in passed_over(connection, sorted(nodes)).items()
    }
    wanted = [
        copy_request(item.message_id, item.node)
        for message_id, items in found.items()
        if message_id in taken_back
        for item in items
    ]
    orders = {
        row.request_id: CopyOrder(
            envelope=b"" if row.data is None else sha256(row.data).digest(),
            in_time=row.reason != NOT_REACHED,
        )
        for row in select_by(connection, _ORDERS, wanted)
    }
    return {
        message_id: tuple(
            copy_view(
                item,
                taken_back=message_id in taken_back,
                order=orders.get(copy_request(item.message_id, item.node)),
            )
            for item in items
        )
        for message_id, items in found.items()
    }


def _passed(row: AnyRow) -> PassedOver:
    return PassedOver(
        message_id=MessageId(row.message_id),
        node=row.node,
        recipient=row.recipient,
        envelope=row.envelope,
        since=row.since,
        step=StatusStep(row.step) if row.step else None,
        is_destroyed=row.state == DocumentState.REVOKED.value,
        answers=row.answers,
        reason=row.reason,
        at=row.at,
    )
