"""What the sealer takes and gives: see ``domain.ports.SealerStore``.

``commit_seal`` is where things become visible: deliveries queue, received documents enter the
inbox, events are told. It checks the fence inside its transaction and locks it, so that of two
sealers of one agency only the newer one ever commits.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import EpochSupersededError, JournalBrokenError
from edoccore.signing.merkle import Frontier, leaf_hash
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Operation, Urgency, uuid_text
from edockit.database import Database
from edocnode.domain.handing_on import INLINE_BYTES
from edocnode.domain.lanes import room_for_envelopes
from edocnode.domain.model import (
    EffectDraft,
    EnvelopeDraft,
    EpochHead,
    IncomingId,
    Lane,
    MessageId,
    ReceiptDraft,
    SealCommit,
    SealedEnvelope,
    Unsealed,
)
from edocnode.domain.sealing import AGAIN_ENVELOPE
from edocnode.storage.awaiting import after_answering, receipt_draft, waiting_arrivals
from edocnode.storage.fair_look import next_unsealed
from edocnode.storage.listing import decode_own_parts
from edocnode.storage.recording import put_again
from edocnode.storage.scan_gate import hold_back
from edocnode.storage.seals import pack_proof, seal_values, sealed_statements
from edocnode.storage.sql import (
    AnyRow,
    among,
    change_each,
    insert_missing,
    insert_returning,
    insert_rows,
    moment_read,
    read_among,
    select_by,
    select_plain,
    upsert,
)
from edocnode.storage.tables import (
    DeliveryEnvelopeRow,
    DeliveryRow,
    DocumentRow,
    EffectRow,
    LeaseRow,
    OwnStatementRow,
    ReceiptGivenRow,
    SealRow,
    SeqRow,
    table_of,
)
from edocnode.storage.visible import make_visible

_DELIVERY = table_of(DeliveryRow)
_DOCUMENT = table_of(DocumentRow)
_EFFECT = table_of(EffectRow)
_ENVELOPE = table_of(DeliveryEnvelopeRow)
_GIVEN = table_of(ReceiptGivenRow)
_LEASE = table_of(LeaseRow)
_OWN = table_of(OwnStatementRow)
_SEAL = table_of(SealRow)
_SEQ = table_of(SeqRow)
Show = Callable[[Connection, Sequence[ReceiptDraft]], None]  # arrivals whose receipts are sealed
_IN_PIECES = {"yield_per": 1000}  # a long journal is never in memory whole

_LEASE_OF = sa.select(_LEASE.c.epoch).where(_LEASE.c.agency == sa.bindparam("agency"))
_LOCKED_LEASE = (
    sa.select(_LEASE.c.epoch, _LEASE.c.answered_to)
    .where(_LEASE.c.agency == sa.bindparam("agency"))
    .with_for_update()  # SQLite has one writer and leaves the lock out
)
_TAKE_LEASE = (
    sa.update(_LEASE)
    .where(_LEASE.c.agency == sa.bindparam("of"))
    .values(
        epoch=sa.bindparam("its_epoch"), taken_at=sa.bindparam("at", type_=_LEASE.c.taken_at.type)
    )
)
_NEWEST_EPOCH = (
    sa.select(_SEAL.c.epoch)
    .where(
        _SEAL.c.agency == sa.bindparam("agency"),
        # A peer may have given back seals of another copy of this node: never its own head.
        _SEAL.c.epoch <= _LEASE_OF.scalar_subquery(),
    )
    .order_by(_SEAL.c.epoch.desc())
    .limit(1)
)
_JOURNAL = (
    sa.select(_SEAL.c.seal_index, _SEAL.c.data, _SEAL.c.sealed_at)
    .where(
        _SEAL.c.agency == sa.bindparam("agency"),
        _SEAL.c.epoch == sa.bindparam("epoch"),
        _SEAL.c.rank == 0,
    )
    .order_by(_SEAL.c.seal_index)
)
_HANDED_ON: sa.ColumnElement[int] = sa.literal_column(str(INLINE_BYTES))
_UNSEALED_ENVELOPES = (
    sa.select(
        _DELIVERY.c.id,
        _DELIVERY.c.message_id,
        _DELIVERY.c.recipient,
        _DELIVERY.c.to_node,
        _DELIVERY.c.lane,
        _DOCUMENT.c.document_id,
        _DOCUMENT.c.sender,
        _DOCUMENT.c.urgency,
        _DOCUMENT.c.operation,
        _DOCUMENT.c.about,
        _DOCUMENT.c.created_at,
        _DOCUMENT.c.expires_at,
        _DOCUMENT.c.parts,
        sa.case((sa.func.length(_DOCUMENT.c.inline) <= _HANDED_ON, _DOCUMENT.c.inline)),
    )
    .select_from(_DELIVERY.join(_DOCUMENT, _DOCUMENT.c.id == _DELIVERY.c.document_row))
    .where(among(_DELIVERY.c.id))
)
_LANE_AND_ROW = (4, 0)  # their places in it
_URGENCIES = {str(urgency): urgency for urgency in Urgency}
_OPERATIONS = {str(operation): operation for operation in Operation}
_UNSEALED_EFFECTS = (
    sa.select(_EFFECT.c.id, _EFFECT.c.salt, _EFFECT.c.data)
    .where(sa.text("seal_id IS NULL"))
    .order_by(_EFFECT.c.id)
    .limit(sa.bindparam("limit"))
)
_SEQS_OF = sa.select(_SEQ.c.to_node, _SEQ.c.seq).where(_SEQ.c.agency == sa.bindparam("agency"))
_QUEUE = (
    sa.update(_DELIVERY)
    .where(_DELIVERY.c.message_id == sa.bindparam("of"), sa.text("state = 'unsealed'"))
    .values(state="queued")
)
_SEALED_ALREADY = (
    sa.select(_ENVELOPE.c.message_id, sa.func.max(_ENVELOPE.c.rank).label("rank"))
    .where(among(_ENVELOPE.c.message_id))
    .group_by(_ENVELOPE.c.message_id)
)
_PLACE_EFFECT = (
    sa.update(_EFFECT)
    .where(_EFFECT.c.id == sa.bindparam("effect_id"))
    .values(
        seal_id=sa.bindparam("seal"), leaf=sa.bindparam("at_leaf"), proof=sa.bindparam("its_proof")
    )
)
_NEWEST_OWN = (
    sa.select(_OWN)
    .where(_OWN.c.kind == sa.bindparam("kind"))
    .order_by(_OWN.c.id.desc())
    .limit(sa.bindparam("limit"))
)
_RECEIPTS = sa.select(_GIVEN).where(among(_GIVEN.c.incoming_id))


class SqlSealerStore:
    """See ``domain.ports.SealerStore``."""

    _show = staticmethod(make_visible)

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    def show_scanned_only(self) -> None:
        """From now on documents are shown when they were scanned; see ``domain.scanning``."""
        self._show = staticmethod(hold_back)

    async def last_head(self, agency: str) -> EpochHead | None:
        """Head of the newest epoch in this database, computed from the stored seals.

        Raises:
            JournalBrokenError: A seal inside the epoch is missing.
        """
        return await self._database.aread(lambda connection: _last_head(connection, agency))

    async def open_epoch(self, agency: str, epoch: bytes, at: datetime) -> None:
        """Takes the lease: from now on only commits of ``epoch`` succeed.

        Raises:
            EpochSupersededError: A newer epoch holds the lease.
        """
        await self._database.awrite(lambda connection: _take_lease(connection, agency, epoch, at))

    async def unsealed(
        self, limit: int, looked_up_to: MutableMapping[Lane, str] | None = None
    ) -> Unsealed:
        """What waits to be sealed; at most ``limit`` statements and as many effects.

        When both wait, envelopes and receipts get at least half of the room each.
        """
        behind = {} if looked_up_to is None else looked_up_to
        return await self._database.aread(lambda connection: _unsealed(connection, limit, behind))

    async def last_seqs(self, agency: str) -> Mapping[str, int]:
        """Highest seq given so far, by to_node."""
        return await self._database.aread(
            lambda connection: {
                row.to_node: row.seq for row in connection.execute(_SEQS_OF, {"agency": agency})
            }
        )

    async def commit_seal(self, commit: SealCommit) -> bool:
        """Commits a seal and all that is under it: deliveries queue, arrivals become visible.

        Returns:
            Whether all its deliveries wait now, with these envelopes.

        Raises:
            EpochSupersededError: Another epoch holds the lease; nothing was committed.
        """
        return await self._database.awrite(
            lambda connection: _commit(connection, commit, show=self._show)
        )

    async def add_effect(self, salt: bytes, data: bytes) -> int:
        """Keeps a local effect for the journal."""
        return await self._database.awrite(lambda connection: add_effect(connection, salt, data))

    async def own_statement(self, kind: str) -> SealedStatement | None:
        """The newest sealed statement of a kind (epoch, endpoint)."""
        return next(iter(await self.own_statements(kind, 1)), None)

    async def own_statements(self, kind: str, limit: int) -> Sequence[SealedStatement]:
        """Sealed statements of a kind, the newest first."""

        def read(connection: Connection) -> list[SealedStatement]:
            rows = connection.execute(_NEWEST_OWN, {"kind": kind, "limit": limit}).all()
            return sealed_statements(connection, rows)

        return await self._database.aread(read)

    async def receipts(self, ids: Sequence[IncomingId]) -> Mapping[IncomingId, SealedStatement]:
        """Sealed receipts of kept arrivals; those still waiting are absent."""
        return await self._database.aread(lambda connection: receipts_of(connection, ids))


def receipts_of(
    connection: Connection, ids: Sequence[IncomingId]
) -> dict[IncomingId, SealedStatement]:
    """Sealed receipts of kept arrivals; those still waiting are absent."""
    rows = list(select_by(connection, _RECEIPTS, ids))
    statements = sealed_statements(connection, rows)
    return {
        IncomingId(row.incoming_id): statement
        for row, statement in zip(rows, statements, strict=True)
    }


def add_effect(
    connection: Connection, salt: bytes, data: bytes, message_id: MessageId | None = None
) -> int:
    """Keeps an effect for the journal inside another change; returns its row.

    Args:
        message_id: Into whose evidence it belongs, if any.
    """
    row = {"salt": salt, "data": data, "message_id": message_id}
    effect_id = insert_returning(connection, _EFFECT, row)
    assert effect_id is not None  # it has no key but its row
    return effect_id


def _last_head(connection: Connection, agency: str) -> EpochHead | None:
    epoch = connection.execute(_NEWEST_EPOCH, {"agency": agency}).scalar_one_or_none()
    if epoch is None:
        return None
    frontier, time = Frontier(), None
    place = {"agency": agency, "epoch": epoch}
    with connection.execute(_JOURNAL, place, execution_options=_IN_PIECES) as journal:
        for row in journal:
            if row.seal_index != frontier.size:
                raise JournalBrokenError(
                    f"Seal {frontier.size} of epoch {uuid_text(epoch)} is missing in the database.",
                    hint="Restore the last backup.",
                    epoch=uuid_text(epoch),
                )
            frontier.append(leaf_hash(row.data))
            time = row.sealed_at
    return EpochHead(epoch=epoch, size=frontier.size, root=frontier.root(), time=time)


def _take_lease(connection: Connection, agency: str, epoch: bytes, at: datetime) -> None:
    fresh = {"agency": agency, "epoch": epoch, "taken_at": at, "answered_to": 0}
    insert_missing(connection, _LEASE, [fresh])
    held = connection.execute(_LOCKED_LEASE, {"agency": agency}).one()
    if held.epoch > epoch:
        raise _superseded(agency, held.epoch)
    connection.execute(_TAKE_LEASE, {"of": agency, "its_epoch": epoch, "at": at})


def _superseded(agency: str, held: bytes | None) -> EpochSupersededError:
    epoch = uuid_text(held) if held else ""
    return EpochSupersededError(
        f"Epoch {epoch or 'none'} holds the right to seal for {agency}.",
        hint="Stop the other copy of the node, then run: edocnode takeover --yes",
        agency=agency,
        epoch=epoch,
    )


def _unsealed(
    connection: Connection, limit: int, looked_up_to: MutableMapping[Lane, str]
) -> Unsealed:
    receipts = waiting_arrivals(connection, limit)
    room = room_for_envelopes(len(receipts), limit)
    wanted = next_unsealed(connection, room, looked_up_to)
    found = read_among(connection, _UNSEALED_ENVELOPES, wanted) if wanted else ()
    envelopes = sorted(found, key=itemgetter(*_LANE_AND_ROW))  # numbers follow the order of keeping
    effects = connection.execute(_UNSEALED_EFFECTS, {"limit": limit}).all()
    return Unsealed(
        envelopes=tuple(_envelope_draft(row) for row in envelopes),
        receipts=tuple(receipt_draft(row) for row in receipts[: limit - len(envelopes)]),
        effects=tuple(
            EffectDraft(effect_id=row.id, salt=row.salt, data=row.data) for row in effects
        ),
    )


def _envelope_draft(row: AnyRow) -> EnvelopeDraft:
    place, message_id, recipient, to_node, _, document_id, sender, urgency, *others = row
    operation, about, created, expires, parts, inline = others
    return EnvelopeDraft(
        message_id=message_id,
        document_id=document_id,
        sender=sender,
        recipient=recipient,
        to_node=to_node,
        urgency=_URGENCIES[urgency],
        operation=_OPERATIONS[operation],
        about=about,
        created=moment_read(created),
        expires=moment_read(expires),
        parts=decode_own_parts(parts),
        place=place,
        inline=inline,
    )


def _commit(connection: Connection, commit: SealCommit, *, show: Show) -> bool:
    leases = select_plain(connection, _LOCKED_LEASE, {"agency": commit.agency})
    held = leases[0] if leases else None
    if held is None or held.epoch != commit.epoch:
        raise _superseded(commit.agency, held.epoch if held else None)
    seal_id = _insert_seal(connection, commit)
    as_worded = _commit_envelopes(connection, commit, seal_id)
    if commit.receipts:
        _commit_receipts(connection, commit, seal_id, held.answered_to)
        show(connection, [item.draft for item in commit.receipts])
    _commit_owns(connection, commit, seal_id)
    if commit.effects:
        connection.execute(
            _PLACE_EFFECT,
            [
                {
                    "effect_id": effect.effect_id,
                    "seal": seal_id,
                    "at_leaf": effect.leaf,
                    "its_proof": pack_proof(effect.proof),
                }
                for effect in commit.effects
            ],
        )
    return as_worded


def _commit_owns(connection: Connection, commit: SealCommit, seal_id: int) -> None:
    """Keeps own statements; an envelope that was sealed again belongs to its message."""
    again = [item for item in commit.owns if item.kind == AGAIN_ENVELOPE]
    put_again(
        connection,
        [SealedStatement(item.data, item.leaf, item.proof, commit.seal) for item in again],
        seal_id,
    )
    rows = [
        {"kind": item.kind, **_proven(item, seal_id)}
        for item in commit.owns
        if item.kind != AGAIN_ENVELOPE
    ]
    insert_rows(connection, _OWN, rows)


def _insert_seal(connection: Connection, commit: SealCommit) -> int:
    """Adds the seal at its place, which must be free: a journal never uses one twice."""
    row = seal_values(
        commit.seal,
        sealed_at=commit.time,
        rank=0,
        agency=commit.agency,
        epoch=commit.epoch,
        seal_index=commit.index,
    )
    seal_id = insert_returning(connection, _SEAL, row)
    if seal_id is None:
        raise JournalBrokenError(
            f"Place {commit.index} of epoch {uuid_text(commit.epoch)} is taken by another seal.",
            epoch=uuid_text(commit.epoch),
        )
    return seal_id


def _proven(item: Any, seal_id: int) -> dict[str, Any]:  # noqa: ANN401 - anything sealed
    return {
        "data": item.data,
        "leaf": item.leaf,
        "proof": pack_proof(item.proof),
        "seal_id": seal_id,
    }


def _commit_envelopes(connection: Connection, commit: SealCommit, seal_id: int) -> bool:
    """Keeps envelopes and queues their deliveries; returns whether all of them are queued so."""
    if not commit.envelopes:
        return True
    ids = [item.draft.message_id for item in commit.envelopes]
    ranks = dict.fromkeys(ids, 0)
    as_worded = change_each(connection, _QUEUE, [{"of": item} for item in ids]) == len(ids)
    if not as_worded:
        # Some were given back by a peer meanwhile: their envelopes stand, these stay beside them.
        ranks |= {
            MessageId(row.message_id): row.rank + 1
            for row in select_by(connection, _SEALED_ALREADY, ids)
        }
    rows = [
        {
            "message_id": item.draft.message_id,
            "rank": ranks[item.draft.message_id],
            "to_node": item.draft.to_node,
            "epoch": commit.epoch,
            "seq": item.seq,
            **_proven(item, seal_id),
        }
        for item in commit.envelopes
    ]
    insert_rows(connection, _ENVELOPE, rows)
    note_seqs(connection, commit.agency, _highest(commit.envelopes))
    return as_worded


def _highest(envelopes: Sequence[SealedEnvelope]) -> dict[str, int]:
    seqs: dict[str, int] = {}
    for item in envelopes:
        to_node = item.draft.to_node
        seqs[to_node] = max(item.seq, seqs.get(to_node, 0))
    return seqs


def note_seqs(connection: Connection, agency: str, seqs: Mapping[str, int]) -> None:
    """Remembers the highest seq given, by to_node; never lowers one."""
    known = {
        row.to_node: row.seq
        for row in connection.execute(
            _SEQS_OF.where(among(_SEQ.c.to_node)), {"agency": agency, "values": list(seqs)}
        )
    }
    rows = [
        {"agency": agency, "to_node": to_node, "seq": seq}
        for to_node, seq in seqs.items()
        if seq > known.get(to_node, 0)
    ]
    upsert(connection, _SEQ, rows)


def _commit_receipts(connection: Connection, commit: SealCommit, seal_id: int, mark: int) -> None:
    ids = [item.draft.incoming_id for item in commit.receipts]
    rows = [
        {"incoming_id": item.draft.incoming_id, **_proven(item, seal_id)}
        for item in commit.receipts
    ]
    insert_rows(connection, _GIVEN, rows)
    after_answering(connection, commit.agency, mark, ids)
