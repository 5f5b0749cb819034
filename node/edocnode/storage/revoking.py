"""Documents that are taken back from here: see ``domain.revoking.SentRevocations``."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from operator import attrgetter

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.records import RevocationRecord
from edoccore.signing.statements import Operation, parse_time, uuid_bytes, uuid_text
from edockit.database import Database
from edocnode.domain.copies import NOT_REACHED
from edocnode.domain.model import DocumentId, MessageId
from edocnode.domain.office_model import TakenBack
from edocnode.domain.revoking import WITHDRAWN, RevokePlan, SentDelivery, asking
from edocnode.storage.copies import passed_over
from edocnode.storage.events import EventKind, event_values, tell
from edocnode.storage.sealing import add_effect
from edocnode.storage.sql import AnyRow, among, insert_missing, select_by
from edocnode.storage.submitting import keep_submission
from edocnode.storage.tables import (
    DELIVERY_WITH_ENVELOPE,
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    table_of,
)
from edocnode.storage.workflow_tables import RevokedDeliveryRow

_DELIVERY, _DOCUMENT = table_of(DeliveryRow), table_of(DocumentRow)
_ENVELOPE, _REVOKED = table_of(DeliveryEnvelopeRow), table_of(RevokedDeliveryRow)
_MOMENT = _DELIVERY.c.ended_at.type

_NO_DOCUMENT = (Operation.STATUS.value, Operation.REVOKE.value)
_FIRST_ORDER = (
    sa.select(_REVOKED.c.actor, _REVOKED.c.reason, _REVOKED.c.at)
    .where(_REVOKED.c.document_id == sa.bindparam("document_id"))
    .order_by(_REVOKED.c.at, _REVOKED.c.message_id)
    .limit(1)
)
_ORDERS = (  # one row for each order, however many deliveries it took back
    sa.select(
        _REVOKED.c.document_id,
        _REVOKED.c.actor,
        _REVOKED.c.reason,
        sa.func.min(_REVOKED.c.at, type_=_MOMENT).label("at"),
    )
    .where(among(_REVOKED.c.document_id))
    .group_by(_REVOKED.c.document_id, _REVOKED.c.actor, _REVOKED.c.reason)
)
_REVOKED_AMONG = sa.select(_REVOKED).where(among(_REVOKED.c.message_id))
_REVOKED_AT = (
    sa.select(_REVOKED, _DELIVERY.c.to_node)
    .select_from(_REVOKED.join(_DELIVERY, _DELIVERY.c.message_id == _REVOKED.c.message_id))
    .where(among(_REVOKED.c.message_id))
)
_SENT_AMONG = _REVOKED_AMONG.where(_REVOKED.c.sent == 1)
_UPDATED_AMONG = (
    sa.select(_DOCUMENT.c.document_id)
    .where(among(_DOCUMENT.c.document_id), _DOCUMENT.c.operation == Operation.UPDATE.value)
    .distinct()
)
_VERSIONS_AMONG = (  # a document and its updates: every delivery of it
    sa.select(
        _DELIVERY.c.message_id,
        _DELIVERY.c.document_id,
        _DELIVERY.c.recipient,
        _DELIVERY.c.to_node,
    )
    .select_from(_DELIVERY.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row))
    .where(among(_DOCUMENT.c.document_id), _DOCUMENT.c.operation.not_in(_NO_DOCUMENT))
    .order_by(_DELIVERY.c.id)
)
_SEALED_AMONG = sa.select(_ENVELOPE.c.message_id).where(among(_ENVELOPE.c.message_id)).distinct()
_DELIVERIES = (
    sa.select(
        _DELIVERY.c.id,
        _DELIVERY.c.message_id,
        _DELIVERY.c.recipient,
        _DELIVERY.c.to_node,
        _DELIVERY.c.state,
        _DELIVERY.c.reason,
        _ENVELOPE.c.data,
        _REVOKED.c.sent,
    )
    .select_from(
        _DELIVERY.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row)
        .outerjoin(
            _ENVELOPE,
            sa.and_(
                _ENVELOPE.c.message_id == _DELIVERY.c.message_id,
                _ENVELOPE.c.rank == _DELIVERY.c.envelope_rank,
            ),
        )
        .outerjoin(_REVOKED, _REVOKED.c.message_id == _DELIVERY.c.message_id)
    )
    .where(
        _DOCUMENT.c.document_id == sa.bindparam("document_id"),
        _DOCUMENT.c.operation.not_in(_NO_DOCUMENT),
    )
    .order_by(_DELIVERY.c.id)
)
_WITHDRAW = (
    sa.update(_DELIVERY)
    .where(
        _DELIVERY.c.message_id == sa.bindparam("of"),
        _DELIVERY.c.state.not_in(("delivered", "rejected", "expired", "void")),
    )
    .values(
        state="void",
        reason=WITHDRAWN,
        message="",
        next_at=None,
        ended_at=sa.bindparam("moment", type_=_MOMENT),
    )
)
_NAMES = sa.select(_DELIVERY.c.document_id, _DELIVERY.c.recipient, _DELIVERY.c.state).where(
    _DELIVERY.c.message_id == sa.bindparam("of")
)
_SENT_ENVELOPES = (
    sa.select(_DELIVERY.c.message_id, _ENVELOPE.c.data)
    .select_from(
        _DOCUMENT.join(_DELIVERY, _DELIVERY.c.document_row == _DOCUMENT.c.id).join(
            _ENVELOPE, _ENVELOPE.c.message_id == _DELIVERY.c.message_id
        )
    )
    .where(
        _DOCUMENT.c.document_id == sa.bindparam("document_id"),
        _DELIVERY.c.recipient == sa.bindparam("recipient"),
    )
)
_ASKED = (
    sa.select(_DOCUMENT.c.request_id, _DELIVERY.c.to_node, _DELIVERY.c.reason, _ENVELOPE.c.data)
    .select_from(DELIVERY_WITH_ENVELOPE.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row))
    .where(among(_DOCUMENT.c.request_id))
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a recipient was asked about a document when a delivery was taken back.

    Attributes:
        sent: This delivery is the one by which it was asked.
        envelope: Digest of the revocation's envelope; empty while there is none.
        versions: Messages by which the document and its updates went to the recipient's node; what
            it says may be about any of them.
        reached: It went to the node that has the document, and not too late.
    """

    sent: bool
    envelope: bytes
    versions: tuple[bytes, ...]
    reached: bool = True


class SqlSentRevocations:
    """See ``domain.revoking.SentRevocations``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def revoked(self, document_id: DocumentId) -> TakenBack | None:
        """The first order by which any delivery of a document was taken back."""
        place = {"document_id": document_id}
        row = await self._database.aread(
            lambda connection: connection.execute(_FIRST_ORDER, place).one_or_none()
        )
        return None if row is None else _taken_back(row)

    async def revocable(
        self, document_id: DocumentId, recipients: Sequence[str], after: int, limit: int
    ) -> Sequence[SentDelivery]:
        """Deliveries of a document that were not taken back, oldest first."""
        rows = await self._database.aread(
            lambda connection: connection.execute(_DELIVERIES, {"document_id": document_id}).all()
        )
        asks = asking(map(_sent, rows), {(row.recipient, row.to_node) for row in rows if row.sent})
        left = (
            row
            for row in rows
            if row.sent is None
            and row.id > after
            and (not recipients or row.recipient in recipients)
        )
        page = list(itertools.islice(left, limit))
        copies = await self._database.aread(
            lambda connection: passed_over(connection, [row.message_id for row in page])
        )
        return [
            replace(
                _sent(row),
                asks=row.message_id in asks,
                copies=tuple(copies.get(row.message_id, ())),
            )
            for row in page
        ]

    async def revoke(self, plans: Sequence[RevokePlan], salts: Sequence[bytes]) -> int:
        """Takes deliveries back, each with its effect; returns how many were not before."""
        return await self._database.awrite(lambda connection: _revoke(connection, plans, salts))


def orders_of(connection: Connection, document_ids: Sequence[bytes]) -> dict[bytes, TakenBack]:
    """By whom and why documents were first taken back, by document."""
    rows = sorted(select_by(connection, _ORDERS, document_ids), key=attrgetter("at"), reverse=True)
    return {row.document_id: _taken_back(row) for row in rows}


def revoked_among(connection: Connection, message_ids: Sequence[bytes]) -> dict[bytes, Asked]:
    """Those deliveries that were taken back, with what their recipients were asked."""
    rows = {row.message_id: row for row in select_by(connection, _REVOKED_AT, message_ids)}
    versions = _versions(connection, rows)
    asked = {
        f"revoke/{uuid_text(row.message_id)}": row.message_id
        for row in select_by(
            connection, _SENT_AMONG, sorted({*itertools.chain(*versions.values())})
        )
    }
    orders = {asked[row.request_id]: row for row in select_by(connection, _ASKED, sorted(asked))}
    return {
        message_id: _asked(
            row,
            versions[message_id],
            next((orders[each] for each in versions[message_id] if each in orders), None),
        )
        for message_id, row in rows.items()
    }


def _asked(row: AnyRow, versions: tuple[bytes, ...], order: AnyRow | None) -> Asked:
    if order is None:  # none went, or it has no envelope yet
        return Asked(sent=bool(row.sent), envelope=b"", versions=versions)
    return Asked(
        sent=bool(row.sent),
        envelope=sha256(order.data).digest(),
        versions=versions,
        # Once its node is silent the order goes to another one, which cannot destroy that copy.
        reached=order.reason != NOT_REACHED and order.to_node == row.to_node,
    )


def _versions(
    connection: Connection, rows: Mapping[bytes, AnyRow]
) -> dict[bytes, tuple[bytes, ...]]:
    """By delivery, all by which its document went to the same recipient; most have no update."""
    documents = sorted({row.document_id for row in rows.values()})
    updated = [row.document_id for row in select_by(connection, _UPDATED_AMONG, documents)]
    place_of = {
        row.message_id: (row.document_id, row.recipient, row.to_node)
        for row in select_by(connection, _VERSIONS_AMONG, updated)
    }
    together: dict[tuple[bytes, str, str], list[bytes]] = {}
    for message_id, place in place_of.items():
        together.setdefault(place, []).append(message_id)
    return {
        message_id: tuple(together[place_of[message_id]])
        if message_id in place_of
        else (message_id,)
        for message_id in rows
    }


def note_given_back(connection: Connection, record: bytes, recipient: str) -> None:
    """Notes a revocation of this node's own that a peer gave back after a restore."""
    stated = canonical.decode(record, RevocationRecord)
    document_id = uuid_bytes(stated.document_id)
    place = {"document_id": document_id, "recipient": recipient}
    for row in connection.execute(_SENT_ENVELOPES, place).all():
        if sha256(row.data).hexdigest() == stated.envelope:
            values = {
                "message_id": row.message_id,
                "document_id": document_id,
                "actor": stated.actor,
                "reason": stated.reason,
                "at": parse_time(stated.time),
                "sent": 1,
            }
            insert_missing(connection, _REVOKED, [values])
            connection.execute(_WITHDRAW, {"of": row.message_id, "moment": values["at"]})


def _sent(row: AnyRow) -> SentDelivery:
    return SentDelivery(
        place=row.id,
        message_id=MessageId(row.message_id),
        recipient=row.recipient,
        to_node=row.to_node,
        state=row.state,
        reason=row.reason,
        envelope_digest=None if row.data is None else sha256(row.data).digest(),
    )


def _revoke(connection: Connection, plans: Sequence[RevokePlan], salts: Sequence[bytes]) -> int:
    ids = [plan.message_id for plan in plans]
    before = {row.message_id for row in select_by(connection, _REVOKED_AMONG, ids)}
    sealed = {row.message_id for row in select_by(connection, _SEALED_AMONG, ids)}
    new = [
        (plan, salt)
        for plan, salt in zip(plans, salts, strict=True)
        # One that was sealed since may have left: it is judged again.
        if plan.message_id not in before and plan.sealed == (plan.message_id in sealed)
    ]
    for plan, salt in new:
        _revoke_one(connection, plan, salt)
    return len(new)


def _revoke_one(connection: Connection, plan: RevokePlan, salt: bytes) -> None:
    row = connection.execute(_NAMES, {"of": plan.message_id}).one()
    order = plan.order
    values = {
        "message_id": plan.message_id,
        "document_id": row.document_id,
        "actor": order.actor,
        "reason": order.reason,
        "at": order.at,
        "sent": int(plan.revocation is not None),
    }
    insert_missing(connection, _REVOKED, [values])
    add_effect(connection, salt, plan.effect)
    for revocation in (*([plan.revocation] if plan.revocation else []), *plan.to_copies):
        keep_submission(connection, revocation)
    if connection.execute(_WITHDRAW, {"of": plan.message_id, "moment": order.at}).rowcount:
        event = event_values(
            EventKind.DELIVERY_VOID,
            row.document_id,
            plan.message_id,
            agency=row.recipient,
            at=order.at,
        )
        tell(connection, [event])


def _taken_back(row: AnyRow) -> TakenBack:
    return TakenBack(actor=row.actor, reason=row.reason, at=row.at)
