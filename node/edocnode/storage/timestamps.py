"""Tokens of timestamp authorities: see ``domain.timestamps.TimestampStore``.

A seal is stamped when its row is not after the newest token's last: rows come in order, because a
node writes through one connection.
"""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.seal import SignedSeal
from edockit.database import Database
from edocnode.domain.timestamps import (
    DUE_SEALS,
    Batch,
    TimeProof,
    Unstamped,
    proof_of,
    seal_leaf,
)
from edocnode.storage.seals import unpack_proof
from edocnode.storage.sql import insert_missing
from edocnode.storage.tables import SealRow, table_of
from edocnode.storage.timestamp_tables import TimeTokenRow

_SEAL, _TOKEN = table_of(SealRow), table_of(TimeTokenRow)
_LAST = sa.select(sa.func.max(_TOKEN.c.last_seal))
_AFTER = _SEAL.c.id > sa.bindparam("after")
_WAITING = (
    sa.select(_SEAL.c.id, _SEAL.c.sealed_at).where(_AFTER).order_by(_SEAL.c.id).limit(DUE_SEALS)
)
_NEXT = (
    sa.select(_SEAL.c.id, _SEAL.c.data, _SEAL.c.signature)
    .where(_AFTER)
    .order_by(_SEAL.c.id)
    .limit(sa.bindparam("limit"))
)
_OF_SEAL = (
    sa.select(_TOKEN)
    .where(_TOKEN.c.last_seal >= sa.bindparam("seal"))
    .order_by(_TOKEN.c.last_seal)
    .limit(1)
)


class SqlTimestamps:
    """See ``domain.timestamps.TimestampStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def unstamped(self) -> Unstamped:
        """What has no token yet; counts no further than ``DUE_SEALS``."""
        return await self._database.aread(_unstamped)

    async def next_batch(self, limit: int) -> Batch | None:
        """The oldest seals without a token; None: all have one."""
        return await self._database.aread(lambda connection: _next_batch(connection, limit))

    async def keep_token(self, batch: Batch, token: bytes, at: datetime) -> None:
        """Keeps the token of a batch; ``at``: the moment that it states."""
        row = {
            "last_seal": batch.last,
            "first_seal": batch.first,
            "at": at,
            "leaves": b"".join(batch.leaves),
            "token": token,
        }
        await self._database.awrite(lambda connection: insert_missing(connection, _TOKEN, [row]))


def time_proofs(
    connection: Connection, seals: Mapping[SignedSeal, int]
) -> dict[SignedSeal, TimeProof]:
    """Proofs of those seals, given with their rows, that were stamped."""
    found: dict[SignedSeal, TimeProof] = {}
    for seal, seal_id in seals.items():
        row = connection.execute(_OF_SEAL, {"seal": seal_id}).first()
        if row is None:
            continue
        proof = proof_of(unpack_proof(row.leaves), seal, row.token)
        if proof is not None:
            found[seal] = proof
    return found


def _last_stamped(connection: Connection) -> int:
    return connection.execute(_LAST).scalar_one() or 0


def _unstamped(connection: Connection) -> Unstamped:
    rows = connection.execute(_WAITING, {"after": _last_stamped(connection)}).all()
    return Unstamped(len(rows), rows[0].sealed_at if rows else None)


def _next_batch(connection: Connection, limit: int) -> Batch | None:
    values = {"after": _last_stamped(connection), "limit": limit}
    rows = connection.execute(_NEXT, values).all()
    if not rows:
        return None
    leaves = tuple(seal_leaf(SignedSeal(row.data, row.signature)) for row in rows)
    return Batch(rows[0].id, rows[-1].id, leaves)
