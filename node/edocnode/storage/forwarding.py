"""Deliveries that go to another node: see ``domain.forwarding.ForwardStore``.

A message keeps its id and its row. Its envelopes of before, and receipts for them, stay beside the
new one, which the sealer makes: they are out of force, so whoever asks for their numbers hears that
the message went elsewhere.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.statements import Operation
from edockit.database import Database
from edocnode.domain.encryption import is_encrypted
from edocnode.domain.forwarding import TURNED_AWAY, ForwardPlan, Stranded, Stranding
from edocnode.domain.model import DocumentId, MessageId
from edocnode.domain.setting_aside import Waiting
from edocnode.storage.copies import pass_over
from edocnode.storage.events import EventKind, event_values, tell
from edocnode.storage.listing import decode_parts
from edocnode.storage.sealing import add_effect
from edocnode.storage.sql import AnyRow, among, select_by
from edocnode.storage.tables import (
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    ReceiptGotRow,
    ScheduleRow,
    table_of,
)
from edocnode.storage.waiting import waiting

_DELIVERY, _DOCUMENT = table_of(DeliveryRow), table_of(DocumentRow)
_ENVELOPE, _SCHEDULE = table_of(DeliveryEnvelopeRow), table_of(ScheduleRow)
_RECEIPT = table_of(ReceiptGotRow)
_ANSWERS = (Operation.STATUS.value, Operation.REVOKE.value)

_PLACE = (_DELIVERY.c.id.label("place"), _DELIVERY.c.document_id)
_STRANDED = (
    sa.select(*_PLACE)
    .select_from(_DELIVERY.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row))
    .where(_DELIVERY.c.to_node == sa.bindparam("node"), _DELIVERY.c.id > sa.bindparam("after"))
    .order_by(_DELIVERY.c.id)
    .limit(sa.bindparam("limit"))
)
STRANDED_AT = (
    sa.select(
        _DELIVERY.c.id,
        _DELIVERY.c.message_id,
        _DELIVERY.c.document_id,
        _DELIVERY.c.recipient,
        _DELIVERY.c.to_node,
        _DELIVERY.c.document_row,
        _DOCUMENT.c.parts,
        _DOCUMENT.c.operation,
    )
    .select_from(_DELIVERY.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row))
    .where(among(_DELIVERY.c.id), _DELIVERY.c.state.in_(("queued", "waiting")))
    .order_by(_DELIVERY.c.id)
)
_QUEUED = _STRANDED.where(sa.text("delivery.state = 'queued'"))
_WAITING = _STRANDED.where(sa.text("delivery.state = 'waiting'"))
_IS_NEW = _DOCUMENT.c.operation.not_in(_ANSWERS)
STRANDED = {
    Stranding.TURNED_AWAY: (_WAITING.where(_DELIVERY.c.reason == TURNED_AWAY),),
    Stranding.DOCUMENTS: (_QUEUED.where(_IS_NEW), _WAITING.where(_IS_NEW)),
    Stranding.ALL: (_QUEUED, _WAITING),
}
UNSEALED = (
    sa.select(*_PLACE)
    .select_from(_DELIVERY.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row))
    .where(_DOCUMENT.c.operation != Operation.STATUS.value)
    .limit(sa.bindparam("limit"))
)
NEVER_SEALED = (
    UNSEALED.where(sa.text("delivery.state = 'unsealed'")),
    UNSEALED.where(  # of a submission that is cut off nobody was told
        sa.text("delivery.state = 'scheduled'"),
        sa.exists().where(
            _SCHEDULE.c.document_row == _DELIVERY.c.document_row, _SCHEDULE.c.due_at.is_not(None)
        ),
    ),
)
_RANKS = (
    sa.select(_ENVELOPE.c.message_id, sa.func.max(_ENVELOPE.c.rank).label("rank"))
    .where(among(_ENVELOPE.c.message_id))
    .group_by(_ENVELOPE.c.message_id)
)
_OUT_OF_FORCE = (
    sa.update(_ENVELOPE)
    .where(_ENVELOPE.c.message_id == sa.bindparam("of"))
    .values(rank=_ENVELOPE.c.rank + sa.bindparam("up"))
)
_RECEIPT_RANKS = (
    sa.select(_RECEIPT.c.message_id, sa.func.max(_RECEIPT.c.rank).label("rank"))
    .where(among(_RECEIPT.c.message_id))
    .group_by(_RECEIPT.c.message_id)
)
_RECEIPTS_OUT_OF_FORCE = (  # of a node that forgot, and does not take it any more
    sa.update(_RECEIPT)
    .where(_RECEIPT.c.message_id == sa.bindparam("of"))
    .values(rank=_RECEIPT.c.rank + sa.bindparam("up"))
)
_FORWARD = (
    sa.update(_DELIVERY)
    .where(
        _DELIVERY.c.message_id == sa.bindparam("of"),
        _DELIVERY.c.state.in_(("queued", "waiting", "held")),
    )
    .values(
        state="unsealed",
        recipient=sa.bindparam("to"),
        to_node=sa.bindparam("node"),
        message=sa.bindparam("said"),
        reason="",
        envelope_rank=0,
        attempts=0,
        digest_failures=0,
        next_at=None,
        ended_at=None,
    )
)
_HOLD = (
    sa.update(_DELIVERY)
    .where(
        _DELIVERY.c.id == sa.bindparam("of"),
        _DELIVERY.c.state.in_(("unsealed", "scheduled")),
    )
    .values(
        state="held",
        reason=sa.bindparam("why"),
        message=sa.bindparam("said"),
        next_at=None,
        ended_at=sa.bindparam("at", type_=_DELIVERY.c.ended_at.type),
    )
)
READERS = (
    sa.select(_DELIVERY.c.to_node).where(_DELIVERY.c.document_row == sa.bindparam("row")).distinct()
)
_DOCUMENTS_OF = sa.select(_DELIVERY.c.message_id, _DELIVERY.c.document_id).where(
    among(_DELIVERY.c.message_id)
)
_NAMES_AT = sa.select(
    _DELIVERY.c.id, _DELIVERY.c.message_id, _DELIVERY.c.document_id, _DELIVERY.c.recipient
).where(among(_DELIVERY.c.id))


class SqlForwarding:
    """See ``domain.forwarding.ForwardStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def stranded(
        self, to_node: str, which: Stranding, after: int, limit: int
    ) -> Sequence[Waiting]:
        """Sealed deliveries to a node that wait and that it will not take, in order of place."""

        def read(connection: Connection) -> list[Waiting]:
            found = [
                item
                for wanted in STRANDED[which]
                for item in waiting(connection, wanted, limit, node=to_node, after=after)
            ]
            return sorted(found, key=lambda item: item.place)[:limit]

        return await self._database.aread(read)

    async def stranded_at(self, places: Sequence[int]) -> Sequence[Stranded]:
        """Those of these sealed deliveries that still wait, in order of place."""
        return await self._database.aread(lambda connection: _stranded_at(connection, places))

    async def forward(
        self, plans: Sequence[ForwardPlan], salts: Sequence[bytes], at: datetime
    ) -> int:
        """Makes deliveries that still wait new envelopes to other nodes; returns how many."""
        return await self._database.awrite(lambda connection: forward(connection, plans, salts, at))

    async def pass_over(self, message_ids: Sequence[MessageId], at: datetime) -> None:
        """Notes that the nodes of sealed documents are silent and may have them."""
        await self._database.awrite(lambda connection: pass_over(connection, message_ids, at))

    async def unsealed_documents(
        self, limit: int, *, without: Collection[Waiting] = ()
    ) -> Sequence[Waiting]:
        """Deliveries of documents that were never sealed, also those for later, in no order."""
        return await self._database.aread(
            lambda connection: [
                item
                for wanted in NEVER_SEALED
                for item in waiting(connection, wanted, limit, without)
            ]
        )

    async def hold_unsealed(
        self, places: Sequence[int], *, reason: str, message: str, at: datetime
    ) -> int:
        """Holds documents that were never sealed; returns how many."""
        values = {"why": reason, "said": message, "at": at}
        return await self._database.awrite(lambda connection: _hold(connection, places, values, at))


def forward(
    connection: Connection, plans: Sequence[ForwardPlan], salts: Sequence[bytes], at: datetime
) -> int:
    """Gives deliveries another node inside another change; see ``SqlForwarding.forward``."""
    ids = [plan.message_id for plan in plans]
    ranks = {row.message_id: row.rank for row in select_by(connection, _RANKS, ids)}
    receipts = {row.message_id: row.rank for row in select_by(connection, _RECEIPT_RANKS, ids)}
    documents = {
        row.message_id: row.document_id for row in select_by(connection, _DOCUMENTS_OF, ids)
    }
    events = []
    for plan, salt in zip(plans, salts, strict=True):
        values = {
            "of": plan.message_id,
            "to": plan.recipient,
            "node": plan.to_node,
            "said": plan.message,
        }
        if not connection.execute(_FORWARD, values).rowcount:
            continue
        for known, statement in ((ranks, _OUT_OF_FORCE), (receipts, _RECEIPTS_OUT_OF_FORCE)):
            if plan.message_id in known:
                moved = {"of": plan.message_id, "up": known[plan.message_id] + 1}
                connection.execute(statement, moved)
        add_effect(connection, salt, plan.effect, plan.message_id)
        events.append(
            event_values(
                EventKind.DELIVERY_QUEUED,
                documents[plan.message_id],
                plan.message_id,
                agency=plan.recipient,
                at=at,
            )
        )
    tell(connection, events)
    return len(events)


def _hold(
    connection: Connection, places: Sequence[int], values: dict[str, object], at: datetime
) -> int:
    held = [
        item
        for item in select_by(connection, _NAMES_AT, places)
        if connection.execute(_HOLD, {**values, "of": item.id}).rowcount
    ]
    tell(
        connection,
        [
            event_values(
                EventKind.DELIVERY_HELD,
                item.document_id,
                item.message_id,
                agency=item.recipient,
                at=at,
            )
            for item in held
        ],
    )
    return len(held)


def readers_of(
    connection: Connection, rows: Iterable[AnyRow]
) -> Mapping[int, frozenset[str] | None]:
    """Which nodes can read the encrypted files of documents, by their rows; None: not encrypted.

    Files are encrypted to the nodes of all recipients, and no delivery of them ever goes to
    another node; so those of its deliveries are the readers.

    Args:
        rows: With ``document_row`` and ``parts``.
    """
    encrypted = {
        row.document_row: any(map(is_encrypted, decode_parts(row.parts)))
        for row in {row.document_row: row for row in rows}.values()
    }
    return {
        document: frozenset(connection.scalars(READERS, {"row": document})) if is_so else None
        for document, is_so in encrypted.items()
    }


def _stranded_at(connection: Connection, places: Sequence[int]) -> list[Stranded]:
    rows = list(select_by(connection, STRANDED_AT, sorted(places)))
    readers = readers_of(connection, rows)
    return [_stranded(row, readers[row.document_row]) for row in rows]


def _stranded(row: AnyRow, readers: frozenset[str] | None) -> Stranded:
    return Stranded(
        place=row.id,
        message_id=MessageId(row.message_id),
        document_id=DocumentId(row.document_id),
        recipient=row.recipient,
        to_node=row.to_node,
        readers=readers,
        is_revocation=row.operation == Operation.REVOKE.value,
    )
