"""Numbers of envelopes, sent and received: see ``domain.numbers.NumberStore``.

Every method walks an index from a place that is remembered, over a bounded number of rows.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edockit.database import Database
from edocnode.domain.exchange import EARLIER_OPENINGS
from edocnode.domain.model import DeliveryState, MessageId
from edocnode.domain.numbers import (
    CHECKED_AT_ONCE,
    SETTLED_AT_ONCE,
    NumberAnswer,
    NumberedEnvelope,
    NumberState,
    Range,
    Settled,
    answer_number,
    missing_ranges,
    settled_up_to,
)
from edocnode.storage.repair_tables import AccountedRow, ExplainedRow, SettledRow
from edocnode.storage.sql import AnyRow, among, change_each, insert_missing, select_by, upsert
from edocnode.storage.submitting import shown_state
from edocnode.storage.tables import (
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    IncomingRow,
    table_of,
)
from edocnode.storage.workflow_tables import RevokedDeliveryRow

_ACCOUNTED = table_of(AccountedRow)
_DELIVERY = table_of(DeliveryRow)
_DOCUMENT = table_of(DocumentRow)
_ENVELOPE = table_of(DeliveryEnvelopeRow)
_EXPLAINED = table_of(ExplainedRow)
_INCOMING = table_of(IncomingRow)
_REVOKED = table_of(RevokedDeliveryRow)
_SETTLED = table_of(SettledRow)
_EPOCHS = EARLIER_OPENINGS + 1

_EPOCH_BEFORE = (  # PostgreSQL has no max() of bytes
    sa.select(_ENVELOPE.c.epoch)
    .where(
        _ENVELOPE.c.to_node == sa.bindparam("to_node"), _ENVELOPE.c.epoch < sa.bindparam("below")
    )
    .order_by(_ENVELOPE.c.epoch.desc())
    .limit(1)
)
_FIRST_OF = sa.select(sa.func.min(_ENVELOPE.c.seq)).where(
    _ENVELOPE.c.to_node == sa.bindparam("to_node"), _ENVELOPE.c.epoch == sa.bindparam("epoch")
)
_MARK_OF = sa.select(_SETTLED.c.first, _SETTLED.c.last).where(
    _SETTLED.c.to_node == sa.bindparam("to_node"), _SETTLED.c.epoch == sa.bindparam("epoch")
)
_NUMBERED = (
    sa.select(
        _ENVELOPE.c.seq,
        _ENVELOPE.c.rank,
        _ENVELOPE.c.message_id,
        _DELIVERY.c.envelope_rank,
        _DELIVERY.c.state,
        _DELIVERY.c.expires_at,
        (_DELIVERY.c.to_node != _ENVELOPE.c.to_node).label("moved"),
        _DOCUMENT.c.complete,
        sa.exists().where(_REVOKED.c.message_id == _DELIVERY.c.message_id).label("taken_back"),
    )
    .select_from(
        _ENVELOPE.join(_DELIVERY, _DELIVERY.c.message_id == _ENVELOPE.c.message_id).join(
            _DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row
        )
    )
    .where(
        _ENVELOPE.c.to_node == sa.bindparam("to_node"),
        _ENVELOPE.c.epoch == sa.bindparam("epoch"),
        _ENVELOPE.c.seq >= sa.bindparam("first"),
        _ENVELOPE.c.seq <= sa.bindparam("last"),
    )
    .order_by(_ENVELOPE.c.seq)
    .limit(SETTLED_AT_ONCE)
)
_OFFER_AGAIN = (
    sa.update(_DELIVERY)
    .where(
        _DELIVERY.c.message_id == sa.bindparam("of"),
        sa.text("state IN ('delivered', 'rejected')"),
    )
    .values(state="queued", next_at=None, ended_at=None)
)
_ACCOUNTED_UP_TO = sa.select(_ACCOUNTED.c.seq).where(
    _ACCOUNTED.c.agency == sa.bindparam("agency"), _ACCOUNTED.c.epoch == sa.bindparam("epoch")
)
_ARRIVED = (
    sa.select(_INCOMING.c.seq)
    .where(
        _INCOMING.c.signer == sa.bindparam("agency"),
        _INCOMING.c.epoch == sa.bindparam("epoch"),
        _INCOMING.c.seq >= sa.bindparam("first"),
        _INCOMING.c.seq <= sa.bindparam("last"),
    )
    .distinct()
    .order_by(_INCOMING.c.seq)
)
_SAID = sa.select(_EXPLAINED.c.seq).where(
    _EXPLAINED.c.agency == sa.bindparam("agency"),
    _EXPLAINED.c.epoch == sa.bindparam("epoch"),
    _EXPLAINED.c.seq >= sa.bindparam("first"),
    _EXPLAINED.c.seq <= sa.bindparam("last"),
)
_HELD = sa.select(_INCOMING.c.message_id).where(
    among(_INCOMING.c.message_id), _INCOMING.c.signer == sa.bindparam("agency")
)
_ABOVE_ALL = b"\xff" * 16


class SqlNumbers:
    """See ``domain.numbers.NumberStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def settled(self, to_node: str) -> Sequence[Settled]:
        """What is settled of the envelopes to a node, by epoch, the newest first; at most 65."""
        marks, changed = await self._database.aread(
            lambda connection: _settled(connection, to_node)
        )
        if changed:
            rows = [
                {"to_node": to_node, "epoch": m.epoch, "first": m.first, "last": m.last}
                for m in changed
            ]
            await self._database.awrite(lambda connection: upsert(connection, _SETTLED, rows))
        return [mark for mark in marks if mark.last >= mark.first]

    async def missing(self, agency: str, mark: Settled) -> Sequence[Range]:
        """Numbers up to a mark that never arrived and were not explained, in order."""
        place, found = await self._database.aread(
            lambda connection: _missing(connection, agency, mark)
        )
        if place is not None:
            row = {"agency": agency, "epoch": mark.epoch, "seq": place}
            await self._database.awrite(lambda connection: upsert(connection, _ACCOUNTED, [row]))
        return found

    async def answer_numbers(
        self, to_node: str, epoch: bytes, ranges: Sequence[Range], at: datetime
    ) -> Sequence[NumberAnswer]:
        """What became of numbers; what was acknowledged and can be offered is queued again."""
        return await self._database.awrite(
            lambda connection: _answer(connection, to_node, epoch, ranges, at)
        )

    async def explain(
        self, agency: str, epoch: bytes, answers: Sequence[NumberAnswer], at: datetime
    ) -> None:
        """Remembers what the sender said of numbers that never arrived."""
        rows = [
            {
                "agency": agency,
                "epoch": epoch,
                "seq": answer.seq,
                "state": answer.state.value,
                "message_id": answer.message_id,
                "noted_at": at,
            }
            for answer in answers
        ]
        if rows:
            await self._database.awrite(
                lambda connection: insert_missing(connection, _EXPLAINED, rows)
            )

    async def messages_held(self, agency: str, message_ids: Sequence[bytes]) -> set[bytes]:
        """Which messages of an agency were received here."""
        statement = _HELD.params(agency=agency)
        rows = await self._database.aread(
            lambda connection: list(select_by(connection, statement, message_ids))
        )
        return {row.message_id for row in rows}


def _settled(connection: Connection, to_node: str) -> tuple[list[Settled], list[Settled]]:
    """Marks as they are now, and those of them that moved."""
    marks: list[Settled] = []
    changed: list[Settled] = []
    room, below = SETTLED_AT_ONCE, _ABOVE_ALL
    for _ in range(_EPOCHS):
        epoch = connection.execute(_EPOCH_BEFORE, {"to_node": to_node, "below": below}).scalar()
        if epoch is None:
            break
        below = bytes(epoch)
        place = {"to_node": to_node, "epoch": below}
        known = connection.execute(_MARK_OF, place).one_or_none()
        first = known.first if known else int(connection.execute(_FIRST_OF, place).scalar_one())
        last = known.last if known else first - 1
        rows = _numbered(connection, place, (last + 1, last + room)) if room else []
        room -= len(rows)
        mark = Settled(epoch=below, first=first, last=settled_up_to(last, rows))
        marks.append(mark)
        if known is None or mark.last != last:
            changed.append(mark)
    return marks, changed


def _numbered(
    connection: Connection, place: dict[str, Any], span: Range, at: datetime | None = None
) -> list[NumberedEnvelope]:
    rows = connection.execute(_NUMBERED, place | {"first": span[0], "last": span[1]})
    return [_envelope(row, at) for row in rows]


def _envelope(row: AnyRow, at: datetime | None) -> NumberedEnvelope:
    return NumberedEnvelope(
        seq=row.seq,
        message_id=MessageId(row.message_id),
        # What was taken back, or went to another node, does not go to this one any more.
        state=DeliveryState.VOID if row.taken_back or row.moved else shown_state(row.state),
        in_force=bool(row.moved) or row.rank == row.envelope_rank,
        can_be_offered=bool(row.complete) and (at is None or row.expires_at > at),
    )


def _missing(connection: Connection, agency: str, mark: Settled) -> tuple[int | None, list[Range]]:
    """The new place of what is accounted for, if it moved, and what is missing after it."""
    place: dict[str, Any] = {"agency": agency, "epoch": mark.epoch}
    known = connection.execute(_ACCOUNTED_UP_TO, place).scalar_one_or_none()
    before = mark.first - 1 if known is None else int(known)
    span = (before + 1, min(mark.last, before + CHECKED_AT_ONCE))
    if span[0] > span[1]:
        return None, []
    between = place | {"first": span[0], "last": span[1]}
    present = list(connection.execute(_ARRIVED, between).scalars())
    if len(present) < span[1] - span[0] + 1:
        present = sorted({*present, *connection.execute(_SAID, between).scalars()})
    found = missing_ranges(span, present)
    after = found[0][0] - 1 if found else span[1]
    return (after if after != before else None), found


def _answer(
    connection: Connection, to_node: str, epoch: bytes, ranges: Sequence[Range], at: datetime
) -> list[NumberAnswer]:
    place: dict[str, Any] = {"to_node": to_node, "epoch": epoch}
    mark = connection.execute(_MARK_OF, place).one_or_none()
    settled = mark.last if mark is not None else 0
    answers: list[NumberAnswer] = []
    again: list[MessageId] = []
    for first, last in ranges:
        known = {item.seq: item for item in _numbered(connection, place, (first, last), at)}
        for seq in range(first, last + 1):
            item = known.get(seq)
            if item is None:  # above what is settled, it may still be given
                state = NumberState.VOID if seq <= settled else NumberState.COMING
                answers.append(NumberAnswer(seq=seq, state=state, message_id=b""))
                continue
            answers.append(answer_number(item))
            if answers[-1].state is NumberState.COMING and item.state in _ANSWERED_STATES:
                again.append(item.message_id)
    change_each(connection, _OFFER_AGAIN, [{"of": item} for item in again])
    return answers


_ANSWERED_STATES = frozenset({DeliveryState.DELIVERED, DeliveryState.REJECTED})
