"""Documents on their way out: see ``domain.ports.Outbox``.

A delivery is found by what it waits for, never by looking at all of them: each state that waits
has its own partial index. How documents come here is in ``submitting`` and ``schedule``, answers
are recorded in ``recording``, repair after a restore is in ``repair``.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Part
from edockit.database import Database
from edocnode.domain.lanes import shared
from edocnode.domain.model import (
    DeliveryOutcome,
    DocumentId,
    EpochHead,
    Lane,
    MessageId,
    PeerQueue,
    QueuedDelivery,
)
from edocnode.storage.listing import decode_parts
from edocnode.storage.recording import record, record_plain
from edocnode.storage.repair import adopt, requeue_lost
from edocnode.storage.seals import load_seals, sealed_statement
from edocnode.storage.sql import (
    AnyRow,
    NotPlainError,
    change_each,
)
from edocnode.storage.tables import (
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    PeerRow,
    table_of,
)

COUNTED = 1_000  # a queue is counted up to this
Content = tuple[tuple[Part, ...], bytes]  # parts of a document, and the bytes of the small ones
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

_DELIVERY = table_of(DeliveryRow)
_DOCUMENT = table_of(DocumentRow)
_ENVELOPE = table_of(DeliveryEnvelopeRow)
_PEER = table_of(PeerRow)
_MOMENT = _DELIVERY.c.expires_at.type

_PEER_WAITS = sa.select(_PEER.c.next_at).where(_PEER.c.agency == sa.bindparam("agency"))
_ALL_PEERS_WAIT = sa.select(_PEER.c.agency, _PEER.c.next_at).where(_PEER.c.next_at.is_not(None))
_COME_DUE = (
    sa.update(_DELIVERY)
    .where(
        sa.text("state = 'waiting'"),
        _DELIVERY.c.to_node == sa.bindparam("agency"),
        _DELIVERY.c.next_at <= sa.bindparam("now", type_=_MOMENT),
    )
    .values(state="queued")
)
DELIVERY_WITH_ENVELOPE = sa.select(
    _DELIVERY.c.id,
    _DELIVERY.c.message_id,
    _DELIVERY.c.document_id,
    _DELIVERY.c.sender,
    _DELIVERY.c.recipient,
    _DELIVERY.c.to_node,
    _DELIVERY.c.lane,
    _DELIVERY.c.expires_at,
    _DELIVERY.c.attempts,
    _DELIVERY.c.digest_failures,
    _ENVELOPE.c.data,
    _ENVELOPE.c.leaf,
    _ENVELOPE.c.proof,
    _ENVELOPE.c.seal_id,
    _DOCUMENT.c.parts,
    _DOCUMENT.c.inline,
).select_from(
    _DELIVERY.join(
        _ENVELOPE,
        sa.and_(
            _ENVELOPE.c.message_id == _DELIVERY.c.message_id,
            _ENVELOPE.c.rank == _DELIVERY.c.envelope_rank,
        ),
    ).join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row)
)
DUE = (
    DELIVERY_WITH_ENVELOPE.where(
        sa.text("delivery.state = 'queued'"),
        _DELIVERY.c.to_node == sa.bindparam("agency"),
        _DELIVERY.c.lane > sa.bindparam("above"),
        _DELIVERY.c.expires_at > sa.bindparam("now", type_=_MOMENT),
    )
    .order_by(_DELIVERY.c.lane, _DELIVERY.c.id)
    .limit(sa.bindparam("limit"))
    .with_for_update(of=_DELIVERY, skip_locked=True)  # SQLite has one writer and leaves it out
)
_SEND = sa.update(_DELIVERY).where(_DELIVERY.c.id == sa.bindparam("of")).values(state="sending")
_GIVE_BACK = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.message_id == sa.bindparam("of"), sa.text("state = 'sending'"))
    .values(state="queued")
)
_GIVE_BACK_ALL = sa.update(_DELIVERY).where(sa.text("state = 'sending'")).values(state="queued")
# One step of an index for each peer, however much waits for it.
QUEUES = sa.text("""
WITH RECURSIVE
 queued(node) AS (
  SELECT min(to_node) FROM delivery WHERE state = 'queued'
  UNION ALL
  SELECT (SELECT min(to_node) FROM delivery WHERE state = 'queued' AND to_node > node)
  FROM queued WHERE node IS NOT NULL),
 waiting(node) AS (
  SELECT min(to_node) FROM delivery WHERE state = 'waiting'
  UNION ALL
  SELECT (SELECT min(to_node) FROM delivery WHERE state = 'waiting' AND to_node > node)
  FROM waiting WHERE node IS NOT NULL)
SELECT node,
 (SELECT lane FROM delivery WHERE state = 'queued' AND to_node = node
  ORDER BY lane, id LIMIT 1) AS queued_lane,
 (SELECT next_at FROM delivery WHERE state = 'waiting' AND to_node = node
  ORDER BY next_at LIMIT 1) AS next_at,
 (SELECT lane FROM delivery WHERE state = 'waiting' AND to_node = node
  ORDER BY next_at LIMIT 1) AS waiting_lane,
 (SELECT count(*) FROM (SELECT 1 FROM delivery WHERE state = 'queued' AND to_node = node
  LIMIT :counted) AS q)
 + (SELECT count(*) FROM (SELECT 1 FROM delivery WHERE state = 'waiting' AND to_node = node
  LIMIT :counted) AS w) AS waiting
FROM (SELECT node FROM queued UNION SELECT node FROM waiting) AS nodes
WHERE node IS NOT NULL ORDER BY node
""").columns(
    node=sa.String,
    queued_lane=sa.Integer,
    next_at=_MOMENT,
    waiting_lane=sa.Integer,
    waiting=sa.Integer,
)


class SqlOutbox:
    """See ``domain.ports.Outbox``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def due(self, to_node: str, now: datetime, limit: int) -> Sequence[QueuedDelivery]:
        """Takes sealed deliveries of one peer that may be offered, urgent lanes first, then oldest.

        They are SENDING afterwards, so that no other worker takes them. None while the peer is
        to be left alone, see ``Peers.peer_failed``.
        """
        return await self._database.awrite(lambda connection: _due(connection, to_node, now, limit))

    async def give_back(self, message_ids: Sequence[MessageId]) -> None:
        """Makes SENDING deliveries QUEUED again, unanswered: the stream broke."""
        if message_ids:
            await self._database.awrite(
                lambda connection: change_each(
                    connection, _GIVE_BACK, [{"of": item} for item in message_ids]
                )
            )

    async def give_back_all(self) -> int:
        """Makes every SENDING delivery QUEUED again; called once at start. Returns how many."""
        return await self._database.awrite(
            lambda connection: connection.execute(_GIVE_BACK_ALL).rowcount
        )

    async def record(self, outcomes: Sequence[DeliveryOutcome], at: datetime) -> None:
        """Records what became of offers; receipts are stored with their seals.

        A receipt wins over every other state, EXPIRED included; nothing wins over a receipt.
        """
        if not outcomes:
            return
        try:
            await self._database.awrite(lambda connection: record_plain(connection, outcomes, at))
        except NotPlainError:
            await self._database.awrite(lambda connection: record(connection, outcomes, at))

    async def queues(self) -> Sequence[PeerQueue]:
        """What waits, by peer; ``waiting`` is counted up to 1,000 each for now and for later."""
        return await self._database.aread(_queues)

    async def requeue_lost(self, agency: str, *, kept: EpochHead | None, epoch: bytes) -> int:
        """Queues again what ``agency`` acknowledged in seals that its journal left out.

        Args:
            kept: Head that the new epoch continues from; None: nothing was kept.
            epoch: The new epoch.

        Returns:
            How many deliveries are offered again.
        """
        return await self._database.awrite(
            lambda connection: requeue_lost(connection, agency, kept=kept, epoch=epoch)
        )

    async def adopt(
        self,
        envelope: SealedStatement,
        receipt: SealedStatement | None,
        record: bytes,
        at: datetime,
    ) -> bool:
        """Takes back an own envelope (and receipt) that a peer returned after a restore.

        Returns:
            False when it was here already.
        """
        return await self._database.awrite(
            lambda connection: adopt(connection, envelope, receipt, record=record, at=at)
        )


def _due(connection: Connection, to_node: str, now: datetime, limit: int) -> list[QueuedDelivery]:
    next_at = connection.execute(_PEER_WAITS, {"agency": to_node}).scalar_one_or_none()
    if next_at is not None and next_at > now:
        return []
    place = {"agency": to_node, "now": now}
    connection.execute(_COME_DUE, place)

    def queued(above: int, count: int) -> Sequence[AnyRow]:
        return connection.execute(DUE, place | {"above": above, "limit": count}).all()

    rows = queued(-1, limit)
    if not rows:
        return []
    rows = shared(rows, limit, queued, last=Lane(rows[-1].lane))
    change_each(connection, _SEND, [{"of": row.id} for row in rows])
    return queued_deliveries(connection, rows)


def queued_deliveries(connection: Connection, rows: Sequence[AnyRow]) -> list[QueuedDelivery]:
    """Deliveries of rows of ``DELIVERY_WITH_ENVELOPE``, with their seals."""
    seals = load_seals(connection, {row.seal_id for row in rows})
    contents: dict[bytes, Content] = {}
    return [_queued(row, sealed_statement(row, seals), contents) for row in rows]


def _queued(
    row: AnyRow, envelope: SealedStatement, contents: dict[bytes, Content]
) -> QueuedDelivery:
    """A delivery of its row; deliveries of one document share its content in memory."""
    parts, inline = contents.get(row.parts) or (decode_parts(row.parts), row.inline)
    contents[row.parts] = parts, inline
    return QueuedDelivery(
        message_id=MessageId(row.message_id),
        document_id=DocumentId(row.document_id),
        sender=row.sender,
        recipient=row.recipient,
        to_node=row.to_node,
        lane=Lane(row.lane),
        envelope=envelope,
        parts=parts,
        inline=inline,
        expires=row.expires_at,
        attempts=row.attempts,
        digest_failures=row.digest_failures,
    )


def _queues(connection: Connection) -> list[PeerQueue]:
    peers = {row.agency: row.next_at for row in connection.execute(_ALL_PEERS_WAIT)}
    return [
        PeerQueue(
            to_node=row.node,
            waiting=row.waiting,
            due_at=max(
                row.next_at if row.queued_lane is None else _LONG_AGO,
                peers.get(row.node, _LONG_AGO),
            ),
            best_lane=Lane(row.waiting_lane if row.queued_lane is None else row.queued_lane),
        )
        for row in connection.execute(QUEUES, {"counted": COUNTED})
    ]
