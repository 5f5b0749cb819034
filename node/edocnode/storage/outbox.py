"""Documents on their way out: see ``domain.ports.Outbox``.

A delivery is found by what it waits for, never by looking at all of them: each state that waits
has its own partial index. How documents come here is in ``submitting`` and ``schedule``, answers
are recorded in ``recording``, repair after a restore is in ``repair``. What a courier has taken is
known in memory alone, so nothing is written when a document is offered.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import Part
from edockit.database import Database
from edocnode.domain.lanes import shared
from edocnode.domain.model import (
    DeliveryOutcome,
    EpochHead,
    Lane,
    MessageId,
    PeerQueue,
    QueuedDelivery,
)
from edocnode.storage.listing import decode_own_parts
from edocnode.storage.recording import record, record_plain
from edocnode.storage.repair import adopt, requeue_lost
from edocnode.storage.seals import load_seals, unpack_proof
from edocnode.storage.sql import (
    AnyRow,
    NotPlainError,
    among,
    change_each,
    prepared_moment,
    read_among,
    select_plain,
)
from edocnode.storage.tables import (
    DELIVERY_WITH_ENVELOPE,
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    PeerRow,
    table_of,
)

Content = tuple[tuple[Part, ...], bytes]  # parts of a document, and the bytes of the small ones
_LANES = tuple(Lane)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

_DELIVERY = table_of(DeliveryRow)
_DOCUMENT = table_of(DocumentRow)
_ENVELOPE = table_of(DeliveryEnvelopeRow)
_PEER = table_of(PeerRow)
_MOMENT = _DELIVERY.c.expires_at.type

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
_STANDING = sa.select(
    sa.select(_PEER.c.next_at)
    .where(_PEER.c.agency == sa.bindparam("agency", type_=sa.String))
    .scalar_subquery()
    .label("next_at"),
    sa.exists(
        sa.select(_DELIVERY.c.id).where(
            sa.text("delivery.state = 'waiting'"),
            _DELIVERY.c.to_node == sa.bindparam("agency", type_=sa.String),
            _DELIVERY.c.next_at <= sa.bindparam("now", type_=_MOMENT),
        )
    ).label("come_due"),
)
DUE = (  # the index has all of it
    sa.select(_DELIVERY.c.id, _DELIVERY.c.lane)
    .where(
        sa.text("delivery.state = 'queued'"),
        _DELIVERY.c.to_node == sa.bindparam("agency"),
        _DELIVERY.c.lane > sa.bindparam("above"),
        _DELIVERY.c.expires_at > sa.bindparam("now", type_=_MOMENT),
    )
    .order_by(_DELIVERY.c.lane, _DELIVERY.c.id)
    .limit(sa.bindparam("limit"))
)
_DELIVERIES_AT = (
    sa.select(
        _DELIVERY.c.id,
        _DELIVERY.c.message_id,
        _DELIVERY.c.document_row,
        _DELIVERY.c.document_id,
        _DELIVERY.c.sender,
        _DELIVERY.c.recipient,
        _DELIVERY.c.to_node,
        _DELIVERY.c.lane,
        _DELIVERY.c.attempts,
        _DELIVERY.c.digest_failures,
        _ENVELOPE.c.data,
        _ENVELOPE.c.leaf,
        _ENVELOPE.c.proof,
        _ENVELOPE.c.seal_id,
        _DOCUMENT.c.parts,
        _DOCUMENT.c.inline,
    )
    .select_from(DELIVERY_WITH_ENVELOPE.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row))
    .where(among(_DELIVERY.c.id))
)
_PARTS_LEAVE = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.message_id == sa.bindparam("of"), sa.text("state = 'queued'"))
    .values(state="sending")
)
_GIVE_BACK = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.message_id == sa.bindparam("of"), sa.text("state = 'sending'"))
    .values(state="queued")
)
_GIVE_BACK_ALL = sa.update(_DELIVERY).where(sa.text("state = 'sending'")).values(state="queued")
# One step of an index for each peer, however much waits for it; see ``fair_look`` why no ``min``.
QUEUES = sa.text("""
WITH RECURSIVE
 queued(node) AS (
  SELECT (SELECT to_node FROM delivery WHERE state = 'queued' ORDER BY to_node LIMIT 1)
  UNION ALL
  SELECT (SELECT to_node FROM delivery WHERE state = 'queued' AND to_node > node
    ORDER BY to_node LIMIT 1)
  FROM queued WHERE node IS NOT NULL),
 waiting(node) AS (
  SELECT (SELECT to_node FROM delivery WHERE state = 'waiting' ORDER BY to_node LIMIT 1)
  UNION ALL
  SELECT (SELECT to_node FROM delivery WHERE state = 'waiting' AND to_node > node
    ORDER BY to_node LIMIT 1)
  FROM waiting WHERE node IS NOT NULL)
SELECT node,
 (SELECT lane FROM delivery WHERE state = 'queued' AND to_node = node
  ORDER BY lane, id LIMIT 1) AS queued_lane,
 (SELECT next_at FROM delivery WHERE state = 'waiting' AND to_node = node
  ORDER BY next_at LIMIT 1) AS next_at,
 (SELECT lane FROM delivery WHERE state = 'waiting' AND to_node = node
  ORDER BY next_at LIMIT 1) AS waiting_lane
FROM (SELECT node FROM queued UNION SELECT node FROM waiting) AS nodes
WHERE node IS NOT NULL ORDER BY node
""").columns(
    node=sa.String,
    queued_lane=sa.Integer,
    next_at=_MOMENT,
    waiting_lane=sa.Integer,
)


class SqlOutbox:
    """See ``domain.ports.Outbox``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def due(
        self, to_node: str, now: datetime, limit: int, held: Collection[int] = ()
    ) -> Sequence[QueuedDelivery]:
        """Sealed deliveries of one peer that may be offered, urgent lanes first, then oldest.

        None while the peer is to be left alone, see ``Peers.peer_failed``. Writes only when the
        next attempt of a delivery has come due.
        """
        place = {"agency": to_node, "now": now}

        def look(connection: Connection) -> list[QueuedDelivery] | None:
            return _due(connection, place, limit, held)

        found = await self._database.aread(look)
        if found is not None:
            return found
        await self._database.awrite(lambda connection: connection.execute(_COME_DUE, place))
        return await self._database.aread(look) or []

    async def parts_leave(self, message_ids: Sequence[MessageId]) -> None:
        """Makes QUEUED deliveries SENDING: their parts begin to travel."""
        await self._change(_PARTS_LEAVE, message_ids)

    async def give_back(self, message_ids: Sequence[MessageId]) -> None:
        """Makes SENDING deliveries QUEUED again, unanswered: the stream broke."""
        await self._change(_GIVE_BACK, message_ids)

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

    async def _change(self, change: sa.Update, message_ids: Sequence[MessageId]) -> None:
        if message_ids:
            rows = [{"of": item} for item in message_ids]
            await self._database.awrite(lambda connection: change_each(connection, change, rows))


def _due(
    connection: Connection, place: Mapping[str, Any], limit: int, held: Collection[int]
) -> list[QueuedDelivery] | None:
    """What may be offered; None when what has come due must be queued first."""
    standing = select_plain(connection, _STANDING, place)[0]
    if standing.next_at is not None and standing.next_at > prepared_moment(place["now"]):
        return []
    if standing.come_due:
        return None

    def queued(above: int, count: int) -> Sequence[AnyRow]:
        wanted = {**place, "above": above, "limit": count + len(held)}
        rows = select_plain(connection, DUE, wanted)
        return [row for row in rows if row.id not in held][:count]

    rows = queued(-1, limit)
    if not rows:
        return []
    rows = shared(rows, limit, queued, last=Lane(rows[-1].lane))
    return deliveries_at(connection, [row.id for row in rows])


def deliveries_at(connection: Connection, places: Sequence[int]) -> list[QueuedDelivery]:
    """The deliveries of rows, in the order of ``places``, with their envelopes and seals."""
    rows = {row[0]: row for row in read_among(connection, _DELIVERIES_AT, places)}
    seals = load_seals(connection, {row.seal_id for row in rows.values()})
    contents: dict[int, Content] = {}
    return [_queued(rows[place], seals, contents) for place in places]


def _queued(
    row: AnyRow, seals: Mapping[int, SignedSeal], contents: dict[int, Content]
) -> QueuedDelivery:
    """A delivery of its row; deliveries of one document share its content in memory."""
    place, message_id, document_row, document_id, sender, recipient, to_node, *others = row
    lane, attempts, failures, data, leaf, proof, seal_id, parts, inline = others
    content = contents.get(document_row)
    if content is None:
        content = contents[document_row] = decode_own_parts(parts), inline
    return QueuedDelivery(
        place=place,
        message_id=message_id,
        document_id=document_id,
        sender=sender,
        recipient=recipient,
        to_node=to_node,
        lane=_LANES[lane],
        envelope=SealedStatement(data, leaf, unpack_proof(proof), seals[seal_id]),
        parts=content[0],
        inline=content[1],
        attempts=attempts,
        digest_failures=failures,
    )


def _queues(connection: Connection) -> list[PeerQueue]:
    peers = {row.agency: row.next_at for row in connection.execute(_ALL_PEERS_WAIT)}
    return [
        PeerQueue(
            to_node=row.node,
            due_at=max(
                row.next_at if row.queued_lane is None else _LONG_AGO,
                peers.get(row.node, _LONG_AGO),
            ),
            best_lane=Lane(row.waiting_lane if row.queued_lane is None else row.queued_lane),
        )
        for row in connection.execute(QUEUES)
    ]
