"""What became of deliveries: answers of recipients, and the end of those never answered.

One rule settles every race: a receipt wins over every other state, and nothing wins over a
receipt. The first receipt stays in force; a later one that differs is kept beside it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Envelope, uuid_bytes
from edocnode.domain.model import DeliveryOutcome, DeliveryState
from edocnode.storage.events import EventKind, event_values, tell
from edocnode.storage.seals import statement_values, store_seals
from edocnode.storage.sql import (
    AnyRow,
    NotPlainError,
    Row,
    among,
    change_each,
    insert_missing,
    insert_plain,
    insert_rows,
    select_by,
    without_nul,
)
from edocnode.storage.tables import DeliveryEnvelopeRow, DeliveryRow, ReceiptGotRow, table_of

ANSWERED = (DeliveryState.DELIVERED, DeliveryState.REJECTED)
_MESSAGE_CHARACTERS = 2_000  # of what a peer said

_DELIVERY = table_of(DeliveryRow)
_ENVELOPE = table_of(DeliveryEnvelopeRow)
_RECEIPT = table_of(ReceiptGotRow)
_MOMENT = _DELIVERY.c.expires_at.type

_OF_MESSAGES = sa.select(
    _DELIVERY.c.message_id,
    _DELIVERY.c.state,
).where(among(_DELIVERY.c.message_id))
_RECEIPTS_OF = sa.select(
    _RECEIPT.c.message_id, _RECEIPT.c.rank, _RECEIPT.c.seal_id, _RECEIPT.c.data
).where(among(_RECEIPT.c.message_id))
_DELIVERED = (
    sa.update(_DELIVERY)
    .where(
        _DELIVERY.c.message_id == sa.bindparam("of"),
        sa.text("state NOT IN ('delivered', 'rejected')"),
    )
    .values(
        state="delivered",
        reason="",
        message="",
        next_at=None,
        ended_at=sa.bindparam("at", type_=_MOMENT),
    )
)
_OUTCOME = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.message_id == sa.bindparam("of"))
    .values(
        state=sa.bindparam("to_state"),
        reason=sa.bindparam("why"),
        message=sa.bindparam("said"),
        next_at=sa.bindparam("again_at", type_=_MOMENT),
        ended_at=sa.bindparam("ended", type_=_MOMENT),
        attempts=_DELIVERY.c.attempts + sa.bindparam("tried"),
        digest_failures=_DELIVERY.c.digest_failures + sa.bindparam("damaged"),
    )
)
_ADOPT = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.message_id == sa.bindparam("of"))
    .values(envelope_rank=sa.bindparam("to_rank"))
)
_ENVELOPES_OF = sa.select(_ENVELOPE.c.message_id, _ENVELOPE.c.rank, _ENVELOPE.c.data).where(
    among(_ENVELOPE.c.message_id)
)
_EVENTS = {
    DeliveryState.DELIVERED: EventKind.DELIVERY_DELIVERED,
    DeliveryState.REJECTED: EventKind.DELIVERY_REJECTED,
    DeliveryState.HELD: EventKind.DELIVERY_HELD,
}


def record_plain(connection: Connection, outcomes: Sequence[DeliveryOutcome], at: datetime) -> None:
    """Records what nearly all outcomes are: the first receipt of a message that was offered.

    Raises:
        NotPlainError: Something else is among them; ``record`` looks before it writes.
    """
    if any(item.state is not DeliveryState.DELIVERED or item.adopted for item in outcomes):
        raise NotPlainError
    receipts = [(item.message_id, item.receipt) for item in outcomes if item.receipt is not None]
    seals = store_seals(connection, [receipt.seal for _, receipt in receipts], at)
    rows = [
        _receipt_row(
            message_id, 0, receipt, "delivered", seal_id=seals[receipt.seal].seal_id, at=at
        )
        for message_id, receipt in receipts
    ]
    insert_plain(connection, _RECEIPT, rows)
    ended = _end_delivered(connection, outcomes, at)
    if not len(rows) == ended == len(outcomes):
        raise NotPlainError
    tell(connection, [_event(DeliveryState.DELIVERED, item, at) for item in outcomes])


def record(connection: Connection, outcomes: Sequence[DeliveryOutcome], at: datetime) -> None:
    """Records what became of offers; of several for one message a receipt counts first."""
    ordered = {item.message_id: item for item in outcomes if item.state not in ANSWERED}
    ordered |= {item.message_id: item for item in outcomes if item.state in ANSWERED}
    rows = {row.message_id: row for row in select_by(connection, _OF_MESSAGES, list(ordered))}
    here = [item for item in ordered.values() if item.message_id in rows]
    changed = [item for item in here if _counts(item, rows[item.message_id].state)]
    _keep_receipts(connection, here, at)
    adopt_envelopes(connection, [item for item in changed if item.adopted is not None], at)
    _end_delivered(
        connection, [item for item in changed if item.state is DeliveryState.DELIVERED], at
    )
    others = [_outcome(item, at) for item in changed if item.state is not DeliveryState.DELIVERED]
    if others:
        connection.execute(_OUTCOME, others)
    tell(
        connection,
        [_event(item.state, item, at) for item in changed if item.state in _EVENTS],
    )


def _counts(outcome: DeliveryOutcome, state: str) -> bool:
    """Whether an outcome changes a delivery in this state."""
    if state in ANSWERED:
        return False
    if outcome.state in ANSWERED:
        return True
    return state in ("sending", "queued", "waiting")


def _outcome(item: DeliveryOutcome, at: datetime) -> Row:
    later = item.state is DeliveryState.QUEUED and item.next_at is not None
    return {
        "of": item.message_id,
        "to_state": "waiting" if later else item.state.value,
        "why": item.reason,
        "said": without_nul(item.message)[:_MESSAGE_CHARACTERS],
        "again_at": item.next_at if later else None,
        "ended": None if item.state is DeliveryState.QUEUED else at,
        "tried": 1,
        "damaged": int(item.digest_failed),
    }


def _event(state: DeliveryState, of: DeliveryOutcome | AnyRow, at: datetime) -> Row:
    return event_values(_EVENTS[state], of.document_id, of.message_id, agency=of.recipient, at=at)


def _end_delivered(
    connection: Connection, outcomes: Sequence[DeliveryOutcome], at: datetime
) -> int:
    ended = [{"of": item.message_id, "at": at} for item in outcomes]
    return change_each(connection, _DELIVERED, ended)


def _keep_receipts(
    connection: Connection, outcomes: Sequence[DeliveryOutcome], at: datetime
) -> None:
    """Adds the receipts that are not here yet; the first of a message has rank 0."""
    receipts = {
        item.message_id: (item.receipt, item.state) for item in outcomes if item.receipt is not None
    }
    if not receipts:
        return
    seals = store_seals(connection, [receipt.seal for receipt, _ in receipts.values()], at)
    known: dict[bytes, dict[tuple[bytes, int], int]] = {}
    for row in select_by(connection, _RECEIPTS_OF, list(receipts)):
        known.setdefault(row.message_id, {})[(row.data, row.seal_id)] = row.rank
    rows: list[Row] = []
    for message_id, (receipt, state) in receipts.items():
        there = known.get(message_id, {})
        seal_id = seals[receipt.seal].seal_id
        if (receipt.statement, seal_id) not in there:
            taken = there.values()
            rank = max(taken) + 1 if 0 in taken else 0  # those of an envelope of before are higher
            rows.append(
                _receipt_row(message_id, rank, receipt, state.value, seal_id=seal_id, at=at)
            )
    insert_missing(connection, _RECEIPT, rows)


def _receipt_row(
    message_id: bytes,
    rank: int,
    receipt: SealedStatement,
    result: str,
    *,
    seal_id: int,
    at: datetime,
) -> Row:
    return {
        "message_id": message_id,
        "rank": rank,
        "result": result,
        "got_at": at,
        **statement_values(receipt, seal_id),
    }


def put_again(connection: Connection, items: Sequence[SealedStatement], seal_id: int) -> None:
    """Puts envelopes in force that were sealed again, each beside the one with the older seal.

    Args:
        items: Of messages whose envelopes are here, all under one new seal.
        seal_id: Row of that seal.
    """
    if not items:
        return
    stated = [canonical.decode(item.statement, Envelope) for item in items]
    ids = [uuid_bytes(item.message_id) for item in stated]
    ranks: dict[bytes, int] = {}
    for row in select_by(connection, _ENVELOPES_OF, ids):
        ranks[row.message_id] = max(ranks.get(row.message_id, 0), row.rank + 1)
    rows = [
        {
            "message_id": message_id,
            "rank": ranks[message_id],
            "to_node": said.to_node,
            "epoch": uuid_bytes(said.epoch),
            "seq": said.seq,
            **statement_values(item, seal_id),
        }
        for message_id, said, item in zip(ids, stated, items, strict=True)
    ]
    insert_rows(connection, _ENVELOPE, rows)
    connection.execute(_ADOPT, [{"of": item, "to_rank": ranks[item]} for item in ids])


def adopt_envelopes(
    connection: Connection, outcomes: Sequence[DeliveryOutcome], at: datetime
) -> None:
    """Puts the envelope that the recipient holds in force; ours stays beside it."""
    adopted = {item.message_id: item.adopted for item in outcomes if item.adopted is not None}
    if not adopted:
        return
    seals = store_seals(connection, [item.seal for item in adopted.values()], at)
    known: dict[bytes, dict[bytes, int]] = {}
    for row in select_by(connection, _ENVELOPES_OF, list(adopted)):
        known.setdefault(row.message_id, {})[row.data] = row.rank
    rows: list[Row] = []
    ranks: list[Mapping[str, object]] = []
    for message_id, item in adopted.items():
        there = known.get(message_id, {})
        rank = there.get(item.statement, len(there))
        ranks.append({"of": message_id, "to_rank": rank})
        if item.statement not in there:
            stated = canonical.decode(item.statement, Envelope)
            rows.append(
                {
                    "message_id": message_id,
                    "rank": rank,
                    "to_node": stated.to_node,
                    "epoch": uuid_bytes(stated.epoch),
                    "seq": stated.seq,
                    **statement_values(item, seals[item.seal].seal_id),
                }
            )
    insert_missing(connection, _ENVELOPE, rows)
    connection.execute(_ADOPT, ranks)
