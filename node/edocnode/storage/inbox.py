"""Documents on their way in: see ``domain.ports.Inbox``.

Whether a message is new is decided by one unique key, inside the transaction that keeps it. What
loses a race finds the winner and is compared with it: the same bytes, the same document sealed
anew, or a rival, which is kept too, as rejected under seal.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
from msgspec import structs
from sqlalchemy.engine import Connection

from edoccore.errors import MessageConflictError
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Envelope, Result, uuid_text
from edockit.database import Database
from edocnode.domain.checks import is_same_document
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
from edocnode.storage.awaiting import before_keeping, look_again
from edocnode.storage.journals import lost_seals
from edocnode.storage.listing import encode_listing, large_parts
from edocnode.storage.sealing import receipts_of
from edocnode.storage.seals import (
    load_seals,
    statement_values,
    store_seals,
    unpack_proof,
)
from edocnode.storage.sql import (
    NotPlainError,
    Row,
    among,
    change_each,
    insert_missing,
    insert_plain,
    new_ids,
    select_by,
    select_plain,
    short_way,
)
from edocnode.storage.staging import SqlStaging
from edocnode.storage.tables import (
    BlobUseRow,
    IncomingRow,
    StageRow,
    table_of,
)

_BLOB_USE = table_of(BlobUseRow)
_INCOMING = table_of(IncomingRow)
_STAGE = table_of(StageRow)
_TRIES = 10  # other workers may keep the same messages at the same moment

_FIRST_OF = sa.select(_INCOMING.c.id, _INCOMING.c.message_id, _INCOMING.c.sender).where(
    among(_INCOMING.c.message_id), _INCOMING.c.rank == 0
)
_TO_COMPARE = (
    sa.select(
        _INCOMING.c.id,
        _INCOMING.c.message_id,
        _INCOMING.c.sender,
        _INCOMING.c.digest,
        _INCOMING.c.envelope,
    )
    .where(among(_INCOMING.c.message_id))
    .order_by(_INCOMING.c.rank)
)
_STORED = sa.select(
    _INCOMING.c.id,
    _INCOMING.c.message_id,
    _INCOMING.c.sender,
    _INCOMING.c.digest,
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
_ANY_STAGE = sa.select(_STAGE.c.ended).where(_STAGE.c.sender == sa.bindparam("of_sender")).limit(1)
_ANY_STAGE_OF_ALL = sa.select(_STAGE.c.ended).limit(1)
_END_STAGES = (
    sa.update(_STAGE)
    .where(
        _STAGE.c.sender == sa.bindparam("of_sender"),
        _STAGE.c.message_id == sa.bindparam("of_message"),
    )
    .values(ended=1, expires_at=sa.bindparam("at", type_=_STAGE.c.expires_at.type))
)

Key = tuple[str, MessageId]


@dataclass(frozen=True, slots=True)
class _Stored:
    """A row under a key, as far as comparing needs it."""

    incoming_id: int
    digest: bytes
    envelope: bytes


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What an arrival is, and the row that answers it; ``rank`` is for a row to be added."""

    kind: KeepKind
    incoming_id: IncomingId
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
        if not arrivals:
            return []
        for _ in range(_TRIES):
            try:
                return await self._database.awrite(partial(_keep_all, arrivals=arrivals))
            except NotPlainError:
                continue
        raise RuntimeError(f"{len(arrivals)} messages could not be kept in {_TRIES} tries")

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
        for row in select_by(connection, _FIRST_OF, _ids(keys))
        if (row.sender, row.message_id) in wanted
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
                receipt=receipts.get(IncomingId(row.id)),
            ),
        )
        for row in rows
    ]


def _keep_all(connection: Connection, arrivals: Sequence[Arrival]) -> list[KeepOutcome]:
    """Keeps arrivals as new ones, and looks at what is there only when some are not.

    Raises:
        NotPlainError: Another worker was faster.
    """
    with contextlib.suppress(NotPlainError), short_way(connection):
        return _keep(connection, arrivals, new=True)
    return _keep(connection, arrivals, new=False)


def _keep(connection: Connection, arrivals: Sequence[Arrival], *, new: bool) -> list[KeepOutcome]:
    """Keeps arrivals in a transaction of their own.

    Args:
        new: They are taken for new without a look, as nearly all are; the keys tell.

    Raises:
        NotPlainError: Some are not new, or another worker was faster.
    """
    seals = store_seals(connection, [item.envelope.seal for item in arrivals], arrivals[0].kept_at)
    before_keeping(connection)
    ids = [IncomingId(row) for row in new_ids(connection, _INCOMING, len(arrivals))]
    verdicts = _all_new(ids) if new else _compare(connection, arrivals, ids)
    added = [
        (arrival, verdict)
        for arrival, verdict in zip(arrivals, verdicts, strict=True)
        if verdict.rank is not None
    ]
    rows = [_values(each, verdict, seals[each.envelope.seal].seal_id) for each, verdict in added]
    insert_plain(connection, _INCOMING, rows)
    _after_keeping(connection, arrivals, added)
    return _outcomes(connection, arrivals, verdicts)


def _all_new(ids: Sequence[IncomingId]) -> list[_Verdict]:
    return [_Verdict(KeepKind.NEW, incoming_id, 0) for incoming_id in ids]


def _compare(
    connection: Connection, arrivals: Sequence[Arrival], ids: Sequence[IncomingId]
) -> list[_Verdict]:
    """Compares arrivals with what is stored, and with those before them in the same batch."""
    stored: dict[Key, list[_Stored]] = {(item.sender, item.message_id): [] for item in arrivals}
    for row in select_by(connection, _TO_COMPARE, _ids(stored)):
        if (rows := stored.get((row.sender, row.message_id))) is not None:
            rows.append(_Stored(row.id, row.digest, row.envelope))
    return [
        _judge(arrival, incoming_id, stored[arrival.sender, arrival.message_id])
        for arrival, incoming_id in zip(arrivals, ids, strict=True)
    ]


def _judge(arrival: Arrival, incoming_id: IncomingId, rows: list[_Stored]) -> _Verdict:
    """Compares an arrival with the rows under its key, by rank; adds it to them when it is new."""
    for rank, row in enumerate(rows):
        if row.digest == arrival.envelope_digest:
            kind = KeepKind.CONFLICT if rank else KeepKind.SAME
            return _Verdict(kind, IncomingId(row.incoming_id), None)
    if rows and _same_document(rows[0].envelope, arrival.envelope.statement):
        return _Verdict(KeepKind.EQUAL, IncomingId(rows[0].incoming_id), None)
    rank = len(rows)
    rows.append(_Stored(incoming_id, arrival.envelope_digest, arrival.envelope.statement))
    return _Verdict(KeepKind.CONFLICT if rank else KeepKind.NEW, incoming_id, rank)


def _same_document(one: bytes, other: bytes) -> bool:
    return is_same_document(canonical.decode(one, Envelope), canonical.decode(other, Envelope))


def _values(arrival: Arrival, verdict: _Verdict, seal_id: int) -> Row:
    kept = _as_kept(arrival, verdict)
    proven = statement_values(kept.envelope, seal_id)
    proven["envelope"] = proven.pop("data")
    return {
        "id": verdict.incoming_id,
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
        "listing": encode_listing(kept.listing),
        "inline": kept.inline,
        **proven,
    }


def _as_kept(arrival: Arrival, verdict: _Verdict) -> Arrival:
    """A rival is kept as a rejection, without its parts."""
    if verdict.kind is not KeepKind.CONFLICT:
        return arrival
    reason = MessageConflictError.reason
    return structs.replace(arrival, result=Result.REJECTED, reason=reason, inline=b"", listing={})


def _after_keeping(
    connection: Connection,
    arrivals: Sequence[Arrival],
    added: Sequence[tuple[Arrival, _Verdict]],
) -> None:
    """Counts the large parts of what was added, ends its stages."""
    uses = [
        _use(arrival, verdict.incoming_id, part.sha256, part.size)
        for arrival, verdict in added
        if _as_kept(arrival, verdict).result is Result.RECEIVED
        for part in large_parts(arrival.parts)
    ]
    insert_missing(connection, _BLOB_USE, uses)
    for arrival, verdict in added:
        if verdict.kind is KeepKind.CONFLICT:
            _alarm(connection, arrival)
    for signer in _may_have_stages(connection, arrivals):
        if select_plain(connection, _ANY_STAGE, {"of_sender": signer}):
            ended = [
                {"of_sender": signer, "of_message": item.message_id, "at": item.kept_at}
                for item in arrivals
                if item.signer == signer
            ]
            change_each(connection, _END_STAGES, ended)


def _may_have_stages(connection: Connection, arrivals: Sequence[Arrival]) -> set[str]:
    """The signers to be looked at; of many, none while nobody has a stage."""
    signers = {item.signer for item in arrivals}
    if len(signers) > 1 and not select_plain(connection, _ANY_STAGE_OF_ALL, {}):
        return set()
    return signers


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
        proof=f"{uuid_text(arrival.message_id)} {arrival.envelope_digest.hex()}",
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
    connection: Connection, arrivals: Sequence[Arrival], verdicts: Sequence[_Verdict]
) -> list[KeepOutcome]:
    """Answers from memory for what was added now, from the tables for what was there."""
    old = {verdict.incoming_id for verdict in verdicts if verdict.rank is None}
    loaded = {known.incoming_id: known for _, known in _load(connection, sorted(old))}
    look_again(connection, [item for item, known in loaded.items() if known.receipt is None])
    return [
        KeepOutcome(
            kind=verdict.kind,
            known=loaded.get(verdict.incoming_id) or _new(arrival, verdict.incoming_id),
        )
        for arrival, verdict in zip(arrivals, verdicts, strict=True)
    ]


def _new(arrival: Arrival, incoming_id: IncomingId) -> KnownMessage:
    return KnownMessage(
        incoming_id=incoming_id,
        envelope=arrival.envelope,
        envelope_digest=arrival.envelope_digest,
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
