"""Documents on their way out: see ``domain.ports.Outbox``.

A delivery is found by what it waits for, never by looking at all of them: each state that waits
has its own partial index. Answers are recorded in ``recording``, repair after a restore is in
``repair``.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import RequestConflictError
from edoccore.signing.seal import SealedStatement
from edockit.database import Database
from edocnode.domain.lanes import shared
from edocnode.domain.model import (
    DeliveryOutcome,
    DeliveryState,
    DocumentId,
    EpochHead,
    Lane,
    MessageId,
    PeerQueue,
    QueuedDelivery,
    Submission,
    SubmissionResult,
)
from edocnode.storage.listing import decode_parts, encode_listing, encode_parts, large_parts
from edocnode.storage.recording import expire, record, record_plain
from edocnode.storage.repair import adopt, requeue_lost
from edocnode.storage.seals import load_seals, sealed_statement
from edocnode.storage.sql import (
    AnyRow,
    NotPlainError,
    Row,
    change_each,
    insert_returning,
    insert_rows,
)
from edocnode.storage.tables import (
    BlobUseRow,
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    PeerRow,
    table_of,
)

COUNTED = 1_000  # a queue is counted up to this
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = {"unsealed": DeliveryState.QUEUED, "waiting": DeliveryState.QUEUED}

_BLOB_USE = table_of(BlobUseRow)
_DELIVERY = table_of(DeliveryRow)
_DOCUMENT = table_of(DocumentRow)
_ENVELOPE = table_of(DeliveryEnvelopeRow)
_PEER = table_of(PeerRow)
_MOMENT = _DELIVERY.c.expires_at.type

_OF_REQUEST = sa.select(_DOCUMENT.c.id, _DOCUMENT.c.document_id, _DOCUMENT.c.request_hash).where(
    _DOCUMENT.c.request_id == sa.bindparam("request_id")
)
_DELIVERIES_OF = (
    sa.select(_DELIVERY.c.message_id, _DELIVERY.c.recipient, _DELIVERY.c.state)
    .where(_DELIVERY.c.document_row == sa.bindparam("document_row"))
    .order_by(_DELIVERY.c.id)
)
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
DUE = (
    sa.select(
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
    )
    .select_from(
        _DELIVERY.join(
            _ENVELOPE,
            sa.and_(
                _ENVELOPE.c.message_id == _DELIVERY.c.message_id,
                _ENVELOPE.c.rank == _DELIVERY.c.envelope_rank,
            ),
        ).join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row)
    )
    .where(
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

    async def submit(self, submission: Submission) -> SubmissionResult:
        """Keeps a document and its deliveries; they wait for the sealer.

        The same request id and hash again keeps nothing and returns what was kept.

        Raises:
            RequestConflictError: The request id stands for another request.
        """
        return await self._database.awrite(
            lambda connection: keep_submission(connection, submission)
        )

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

    async def expire(self, now: datetime) -> int:
        """Ends sealed deliveries whose envelope expired. Returns how many."""
        return await self._database.awrite(lambda connection: expire(connection, now))

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


def keep_submission(connection: Connection, submission: Submission) -> SubmissionResult:
    """Keeps a document and its deliveries inside another change; see ``SqlOutbox.submit``.

    Raises:
        RequestConflictError: The request id stands for another request.
    """
    document_row = insert_returning(connection, _DOCUMENT, _document(submission))
    if document_row is None:
        return _known(connection, submission)
    insert_rows(
        connection,
        _DELIVERY,
        [_delivery(submission, each, document_row) for each in range(len(submission.deliveries))],
    )
    uses = [
        {
            "sha256": bytes.fromhex(part.sha256),
            "kind": "document",
            "owner": document_row,
            "agency": "",
            "size": part.size,
        }
        for part in {part.sha256: part for part in large_parts(submission.parts)}.values()
    ]
    insert_rows(connection, _BLOB_USE, uses)
    return SubmissionResult(
        document_id=submission.document_id,
        deliveries=tuple(
            (item.message_id, item.recipient, DeliveryState.QUEUED)
            for item in submission.deliveries
        ),
        repeated=False,
    )


def shown_state(state: str) -> DeliveryState:
    """The state of a delivery as people see it."""
    return _SHOWN.get(state) or DeliveryState(state)


def _known(connection: Connection, submission: Submission) -> SubmissionResult:
    row = connection.execute(_OF_REQUEST, {"request_id": submission.request_id}).one()
    if row.request_hash != submission.request_hash:
        raise RequestConflictError(request_id=submission.request_id)
    deliveries = connection.execute(_DELIVERIES_OF, {"document_row": row.id})
    return SubmissionResult(
        document_id=DocumentId(row.document_id),
        deliveries=tuple(
            (MessageId(each.message_id), each.recipient, shown_state(each.state))
            for each in deliveries
        ),
        repeated=True,
    )


def _document(submission: Submission) -> Row:
    return {
        "document_id": submission.document_id,
        "request_id": submission.request_id,
        "request_hash": submission.request_hash,
        "sender": submission.sender,
        "urgency": submission.urgency.value,
        "operation": submission.operation.value,
        "about": submission.about,
        "created_at": submission.created,
        "expires_at": submission.expires,
        "complete": 1,
        "listing": encode_listing(submission.listing),
        "parts": encode_parts(submission.parts),
        "inline": submission.inline,
    }


def _delivery(submission: Submission, place: int, document_row: int) -> Row:
    item = submission.deliveries[place]
    return {
        "message_id": item.message_id,
        "document_row": document_row,
        "document_id": submission.document_id,
        "sender": submission.sender,
        "recipient": item.recipient,
        "to_node": item.to_node,
        "lane": Lane.of(submission.urgency).value,
        "state": "unsealed",
        "envelope_rank": 0,
        "attempts": 0,
        "digest_failures": 0,
        "next_at": None,
        "expires_at": submission.expires,
        "reason": "",
        "message": "",
    }


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
    seals = load_seals(connection, {row.seal_id for row in rows})
    return [_queued(row, sealed_statement(row, seals)) for row in rows]


def _queued(row: AnyRow, envelope: SealedStatement) -> QueuedDelivery:
    return QueuedDelivery(
        message_id=MessageId(row.message_id),
        document_id=DocumentId(row.document_id),
        sender=row.sender,
        recipient=row.recipient,
        to_node=row.to_node,
        lane=Lane(row.lane),
        envelope=envelope,
        parts=decode_parts(row.parts),
        inline=row.inline,
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
