"""Seals of all agencies, each kept once, and statements read back with the seal that proves them.

A second seal for one place in a journal is never refused: it is kept with the first, as evidence
of two histories, and an alarm tells of both.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import Seal, parse_time, uuid_bytes
from edocnode.domain.consistency import TWO_HISTORIES, rivals, two_histories
from edocnode.storage.alarms import put_alarm
from edocnode.storage.sql import (
    AnyRow,
    Row,
    among,
    insert_missing,
    insert_new,
    read_among,
    select_plain,
)
from edocnode.storage.tables import SealRow, table_of

_HASH_BYTES = 32
_TRIES = 10  # other workers may take the rank that was free a moment ago

_SEAL = table_of(SealRow)
_BY_ID = sa.select(_SEAL.c.id, _SEAL.c.data, _SEAL.c.signature).where(among(_SEAL.c.id))
_AT_PLACE = (
    sa.select(_SEAL.c.id, _SEAL.c.rank, _SEAL.c.digest, _SEAL.c.data, _SEAL.c.signature)
    .where(
        _SEAL.c.agency == sa.bindparam("agency"),
        _SEAL.c.epoch == sa.bindparam("epoch"),
        _SEAL.c.seal_index == sa.bindparam("seal_index"),
    )
    .order_by(_SEAL.c.rank)
)


@dataclass(frozen=True, slots=True)
class StoredSeal:
    """A seal with its row.

    Attributes:
        rival: Another seal kept for the same place, if there is one.
    """

    seal_id: int
    epoch: bytes
    rival: SignedSeal | None


def pack_proof(proof: Sequence[bytes]) -> bytes:
    """Hashes one after another, as tables hold them."""
    return b"".join(proof)


def unpack_proof(data: bytes) -> tuple[bytes, ...]:
    """The hashes of a stored proof."""
    return tuple([data[at : at + _HASH_BYTES] for at in range(0, len(data), _HASH_BYTES)])


def store_seals(
    connection: Connection, seals: Collection[SignedSeal], at: datetime
) -> dict[SignedSeal, StoredSeal]:
    """Keeps seals that were verified, each once; those that are new with one insert."""
    different = list(dict.fromkeys(seals))
    if len(different) == 1:  # as a rule of a long batch, whose seal is there already
        return {signed: store_seal(connection, signed, at) for signed in different}
    rows = [_first_values(signed) for signed in different]
    added = insert_new(connection, _SEAL, rows, key="digest")
    return {
        signed: StoredSeal(added[row["digest"]], row["epoch"], None)
        if row["digest"] in added
        else store_seal(connection, signed, at)
        for signed, row in zip(different, rows, strict=True)
    }


def _first_values(signed: SignedSeal) -> Row:
    """The row of a seal whose place is free."""
    seal = canonical.decode(signed.data, Seal)
    return seal_values(
        signed,
        sealed_at=parse_time(seal.time),
        rank=0,
        agency=seal.signer,
        epoch=uuid_bytes(seal.epoch),
        seal_index=seal.index,
    )


def store_seal(connection: Connection, signed: SignedSeal, at: datetime) -> StoredSeal:
    """Keeps a seal under its place, or beside the one that is there."""
    seal = canonical.decode(signed.data, Seal)
    epoch = uuid_bytes(seal.epoch)
    place = {"agency": seal.signer, "epoch": epoch, "seal_index": seal.index}
    digest = signed.digest()
    for _ in range(_TRIES):
        there = select_plain(connection, _AT_PLACE, place)
        mine = next((row for row in there if row.digest == digest), None)
        if mine is not None:
            other = next((row for row in there if row.digest != digest), None)
            rival = None if other is None else SignedSeal(other.data, other.signature)
            return StoredSeal(mine.id, epoch, rival)
        if there:
            first = SignedSeal(there[0].data, there[0].signature)
            message = two_histories(seal.signer, first, signed)
            proof = rivals(first, signed)
            put_alarm(connection, TWO_HISTORIES, seal.signer, message=message, at=at, proof=proof)
        row = seal_values(signed, sealed_at=parse_time(seal.time), rank=len(there), **place)
        insert_missing(connection, _SEAL, [row])
    raise RuntimeError(f"seal {digest.hex()} could not be kept: others took {_TRIES} ranks")


def seal_values(signed: SignedSeal, *, sealed_at: datetime, rank: int, **place: object) -> Row:
    """The values of a row of a seal."""
    return {
        **place,
        "rank": rank,
        "sealed_at": sealed_at,
        "digest": signed.digest(),
        "data": signed.data,
        "signature": signed.signature,
    }


def load_seals(connection: Connection, ids: Collection[int]) -> dict[int, SignedSeal]:
    """Seals by row."""
    rows = read_among(connection, _BY_ID, sorted(set(ids)))
    return {row.id: SignedSeal(row.data, row.signature) for row in rows}


def sealed_statement(row: AnyRow, seals: Mapping[int, SignedSeal]) -> SealedStatement:
    """The statement in the columns data, leaf, proof and seal_id of a row."""
    return SealedStatement(row.data, row.leaf, unpack_proof(row.proof), seals[row.seal_id])


def sealed_statements(connection: Connection, rows: Sequence[AnyRow]) -> list[SealedStatement]:
    """The statements of rows, with their seals."""
    seals = load_seals(connection, {row.seal_id for row in rows})
    return [sealed_statement(row, seals) for row in rows]


def statement_values(sealed: SealedStatement, seal_id: int) -> dict[str, Any]:
    """The values of the columns that prove a statement."""
    return {
        "data": sealed.statement,
        "leaf": sealed.leaf,
        "proof": pack_proof(sealed.proof),
        "seal_id": seal_id,
    }
