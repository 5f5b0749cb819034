"""Documents on their way in: see ``domain.ports.Inbox``.

Whether a message is new is decided by one unique key, inside the transaction that keeps it. What
loses a race finds the winner and is compared with it: the same bytes, the same document sealed
anew, or a rival, which is kept too, as rejected under seal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import MessageConflictError
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import Envelope, Result, uuid_text
from edockit.database import Database
from edocnode.domain.model import (
    INLINE_PART_BYTES,
    Arrival,
    EpochHead,
    IncomingId,
    KeepKind,
    KeepOutcome,
    KnownMessage,
    Lane,
    MessageId,
)
from edocnode.storage.alarms import put_alarm
from edocnode.storage.journals import lost_seals
from edocnode.storage.listing import encode_listing, large_parts
from edocnode.storage.sealing import receipts_of
from edocnode.storage.seals import (
    StoredSeal,
    load_seals,
    statement_values,
    store_seals,
    unpack_proof,
)
from edocnode.storage.sql import Row, among, change_by, insert_missing, select_by
from edocnode.storage.staging import SqlStaging
from edocnode.storage.tables import (
    AwaitingReceiptRow,
    BlobUseRow,
    IncomingRow,
    StageRow,
    table_of,
)

_AWAITING = table_of(AwaitingReceiptRow)
_BLOB_USE = table_of(BlobUseRow)
_INCOMING = table_of(IncomingRow)
_STAGE = table_of(StageRow)
_TRIES = 10  # other workers may take the rank that was free a moment ago

_OF_MESSAGES = (
    sa.select(
        _INCOMING.c.id,
        _INCOMING.c.message_id,
        _INCOMING.c.sender,
        _INCOMING.c.rank,
        _INCOMING.c.digest,
        _INCOMING.c.comparable,
    )
    .where(among(_INCOMING.c.message_id))
    .order_by(_INCOMING.c.rank)
)
_STORED = sa.select(
    _INCOMING.c.id,
    _INCOMING.c.message_id,
    _INCOMING.c.sender,
    _INCOMING.c.digest,
    _INCOMING.c.comparable,
    _INCOMING.c.seal_id,
    _INCOMING.c.leaf,
    _INCOMING.c.proof,
    _INCOMING.c.envelope,
).where(among(_INCOMING.c.id))
_LOST = (
    sa.select(_INCOMING.c.id, _INCOMING.c.inline)
    .where(among(_INCOMING.c.seal_id), _INCOMING.c.rank == 0)
    .order_by(_INCOMING.c.id)
)
_END_STAGES = (
    sa.update(_STAGE)
    .where(_STAGE.c.sender == sa.bindparam("of_sender"), among(_STAGE.c.message_id))
    .values(ended=1, expires_at=sa.bindparam("at", type_=_STAGE.c.expires_at.type))
)

Key = tuple[str, MessageId]


@dataclass(slots=True)
class _Stored:
    """A row under a key, as far as comparing needs it; ``incoming_id`` 0: about to be added."""

    incoming_id: int
    rank: int
    digest: bytes
    comparable: bytes


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What an arrival is, by what is stored; ``rank`` is for a row to be added."""

    kind: KeepKind
    rank: int | None


class SqlInbox(SqlStaging):
    """See ``domain.ports.Inbox``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        super().__init__(database)

    async def known(self, keys: Sequence[Key]) -> Mapping[Key, KnownMessage]:
        """What is stored under (sender code, message id)."""
        return await self._database.aread(lambda connection: _known(connection, keys))

    async def keep(self, arrivals: Sequence[Arrival]) -> Sequence[KeepOutcome]:
        """Keeps arrivals, each once; they wait for the sealer and are not visible before.

        The stage of (signer, message_id) ends with it; parts over ``INLINE_PART_BYTES`` are then
        in the blob folder and counted as used by it. Seals are stored as ``note_seal`` does.
        """
        return await self._database.awrite(lambda connection: _keep(connection, arrivals))

    async def lost_envelopes(
        self, agency: str, *, kept: EpochHead | None, epoch: bytes
    ) -> Sequence[tuple[SealedStatement, SealedStatement | None, bytes]]:
        """Envelopes of ``agency`` of its lost tail: envelope, receipt, record.

        The record is empty when its message was rejected, or when it is over 64 KiB and so lies
        in the blob folder under the digest that the envelope states for part 0.
        """
        return await self._database.aread(
            lambda connection: _lost_envelopes(connection, agency, kept, epoch)
        )


def _known(connection: Connection, keys: Sequence[Key]) -> dict[Key, KnownMessage]:
    wanted = set(keys)
    ids = [
        row.id
        for row in select_by(connection, _OF_MESSAGES, _ids(keys))
        if row.rank == 0 and (row.sender, row.message_id) in wanted
    ]
    return {(key[0], MessageId(key[1])): message for key, message in _load(connection, ids)}


def _ids(keys: Iterable[Key]) -> list[MessageId]:
    return sorted({message_id for _, message_id in keys})


def _load(
    connection: Connection, ids: Sequence[int]
) -> list[tuple[tuple[str, bytes], KnownMessage]]:
    rows = list(select_by(connection, _STORED, ids))
    seals = load_seals(connection, {row.seal_id for row in rows})
    receipts = receipts_of(connection, [IncomingId(row.id) for row in rows])
    return [
        (
            (row.sender, row.message_id),
            KnownMessage(
                incoming_id=IncomingId(row.id),
                envelope=SealedStatement(
                    row.envelope, row.leaf, unpack_proof(row.proof), seals[row.seal_id]
                ),
                envelope_digest=row.digest,
                comparable=row.comparable,
                receipt=receipts.get(IncomingId(row.id)),
            ),
        )
        for row in rows
    ]


def _keep(connection: Connection, arrivals: Sequence[Arrival]) -> list[KeepOutcome]:
    if not arrivals:
        return []
    seals = store_seals(connection, [item.envelope.seal for item in arrivals], arrivals[0].kept_at)
    stored = _stored(connection, arrivals)
    verdicts = [_judge(arrival, stored) for arrival in arrivals]
    for _ in range(_TRIES):
        _insert(connection, arrivals, verdicts, seals)
        stored = _stored(connection, arrivals)
        beaten = [
            at for at, item in enumerate(arrivals) if _place(item, verdicts[at], stored) is None
        ]
        if not beaten:
            break
        for at in beaten:  # another worker was faster: compare with what it kept
            verdicts[at] = _judge(arrivals[at], stored)
    places = [
        _found(item, verdict, stored) for item, verdict in zip(arrivals, verdicts, strict=True)
    ]
    _after_keeping(connection, arrivals, verdicts, places)
    return _outcomes(connection, arrivals, verdicts, places)


def _stored(connection: Connection, arrivals: Sequence[Arrival]) -> dict[Key, list[_Stored]]:
    """What is stored under the keys of arrivals, by rank; the lists may be extended."""
    found: dict[Key, list[_Stored]] = {(item.sender, item.message_id): [] for item in arrivals}
    for row in select_by(connection, _OF_MESSAGES, _ids(found)):
        rows = found.get((row.sender, row.message_id))
        if rows is not None:
            rows.append(_Stored(row.id, row.rank, row.digest, row.comparable))
    return found


def _judge(arrival: Arrival, stored: Mapping[Key, list[_Stored]]) -> _Verdict:
    """Compares an arrival with what is stored and with those before it in the same batch."""
    rows = stored[arrival.sender, arrival.message_id]
    for row in rows:
        if row.digest == arrival.envelope_digest:
            return _Verdict(KeepKind.CONFLICT if row.rank else KeepKind.SAME, None)
    if rows and rows[0].comparable == arrival.comparable:
        return _Verdict(KeepKind.EQUAL, None)
    rank = len(rows)
    rows.append(_Stored(0, rank, arrival.envelope_digest, arrival.comparable))
    return _Verdict(KeepKind.CONFLICT if rank else KeepKind.NEW, rank)


def _insert(
    connection: Connection,
    arrivals: Sequence[Arrival],
    verdicts: Sequence[_Verdict],
    seals: Mapping[SignedSeal, StoredSeal],
) -> None:
    rows = [
        _values(arrival, verdict, seals[arrival.envelope.seal].seal_id)
        for arrival, verdict in zip(arrivals, verdicts, strict=True)
        if verdict.rank is not None
    ]
    insert_missing(connection, _INCOMING, rows)


def _values(arrival: Arrival, verdict: _Verdict, seal_id: int) -> Row:
    kept = _as_kept(arrival, verdict)
    proven = statement_values(kept.envelope, seal_id)
    proven["envelope"] = proven.pop("data")
    return {
        "message_id": kept.message_id,
        "rank": verdict.rank,
        "signer": kept.signer,
        "sender": kept.sender,
        "recipient": kept.recipient,
        "document_id": kept.document_id,
        "lane": Lane.of(kept.urgency).value,
        "operation": kept.operation.value,
        "about": kept.about,
        "epoch": kept.epoch,
        "seq": kept.seq,
        "result": kept.result.value,
        "reason": kept.reason,
        "kept_at": kept.kept_at,
        "digest": kept.envelope_digest,
        "comparable": kept.comparable,
        "listing": encode_listing(kept.listing),
        "inline": kept.inline,
        **proven,
    }


def _as_kept(arrival: Arrival, verdict: _Verdict) -> Arrival:
    """A rival is kept as a rejection, without its parts."""
    if verdict.kind is not KeepKind.CONFLICT:
        return arrival
    reason = MessageConflictError.reason
    return replace(arrival, result=Result.REJECTED, reason=reason, inline=b"", listing={})


def _place(
    arrival: Arrival, verdict: _Verdict, stored: Mapping[Key, list[_Stored]]
) -> _Stored | None:
    """The row that answers an arrival; None when it is not as the verdict says."""
    rows = stored[arrival.sender, arrival.message_id]
    if verdict.kind is KeepKind.EQUAL:
        return rows[0]
    mine = next((row for row in rows if row.digest == arrival.envelope_digest), None)
    if mine is None or (mine.rank == 0) != (verdict.kind is not KeepKind.CONFLICT):
        return None
    return mine


def _found(arrival: Arrival, verdict: _Verdict, stored: Mapping[Key, list[_Stored]]) -> _Stored:
    row = _place(arrival, verdict, stored)
    if row is None:
        raise RuntimeError(
            f"message {arrival.message_id.hex()} could not be kept in {_TRIES} tries"
        )
    return row


def _after_keeping(
    connection: Connection,
    arrivals: Sequence[Arrival],
    verdicts: Sequence[_Verdict],
    places: Sequence[_Stored],
) -> None:
    """Makes what was added wait for the sealer, counts its large parts, ends its stages."""
    added = [
        (arrival, place.incoming_id, verdict)
        for arrival, verdict, place in zip(arrivals, verdicts, places, strict=True)
        if verdict.rank is not None
    ]
    waiting = [
        {"incoming_id": incoming_id, "lane": Lane.of(arrival.urgency).value}
        for arrival, incoming_id, _ in added
    ]
    insert_missing(connection, _AWAITING, waiting)
    uses = [
        _use(arrival, incoming_id, part.sha256, part.size)
        for arrival, incoming_id, verdict in added
        if _as_kept(arrival, verdict).result is Result.RECEIVED
        for part in large_parts(arrival.parts)
    ]
    insert_missing(connection, _BLOB_USE, uses)
    for arrival, _, verdict in added:
        if verdict.kind is KeepKind.CONFLICT:
            _alarm(connection, arrival)
    for signer in {item.signer for item in arrivals}:
        ids = [item.message_id for item in arrivals if item.signer == signer]
        change_by(connection, _END_STAGES, ids, of_sender=signer, at=arrivals[0].kept_at)


def _alarm(connection: Connection, arrival: Arrival) -> None:
    message = (
        f"{arrival.signer} sealed another content under message id "
        f"{uuid_text(arrival.message_id)}, which it had used before. The later one was rejected; "
        f"both envelopes are kept as evidence."
    )
    put_alarm(
        connection,
        MessageConflictError.reason,
        arrival.signer,
        message=message,
        at=arrival.kept_at,
    )


def _use(arrival: Arrival, incoming_id: int, digest: str, size: int) -> Row:
    return {
        "sha256": bytes.fromhex(digest),
        "kind": "incoming",
        "owner": incoming_id,
        "agency": arrival.signer,
        "size": size,
    }


def _outcomes(
    connection: Connection,
    arrivals: Sequence[Arrival],
    verdicts: Sequence[_Verdict],
    places: Sequence[_Stored],
) -> list[KeepOutcome]:
    """Answers from memory for what was added now, from the tables for what was there."""
    old = {
        place.incoming_id
        for place, verdict in zip(places, verdicts, strict=True)
        if verdict.rank is None
    }
    loaded = {known.incoming_id: known for _, known in _load(connection, sorted(old))}
    return [
        KeepOutcome(
            kind=verdict.kind,
            known=loaded.get(IncomingId(place.incoming_id)) or _new(arrival, place),
        )
        for arrival, verdict, place in zip(arrivals, verdicts, places, strict=True)
    ]


def _new(arrival: Arrival, place: _Stored) -> KnownMessage:
    return KnownMessage(
        incoming_id=IncomingId(place.incoming_id),
        envelope=arrival.envelope,
        envelope_digest=arrival.envelope_digest,
        comparable=arrival.comparable,
        receipt=None,
    )


def _lost_envelopes(
    connection: Connection, agency: str, kept: EpochHead | None, epoch: bytes
) -> list[tuple[SealedStatement, SealedStatement | None, bytes]]:
    seal_ids = lost_seals(connection, agency, kept, epoch)
    inline = {row.id: row.inline for row in select_by(connection, _LOST, seal_ids)}
    return [
        (known.envelope, known.receipt, _record(known.envelope, inline[known.incoming_id]))
        for _, known in _load(connection, sorted(inline))
    ]


def _record(envelope: SealedStatement, inline: bytes) -> bytes:
    first = canonical.decode(envelope.statement, Envelope).parts[0]
    return inline[: first.size] if first.size <= INLINE_PART_BYTES else b""
