"""Reads an agency's own journal for its verification, however long it is.

Seals come in order of epoch and index. What lies under them is looked up for a window of seals at a
time, and only leaf hashes are held, so memory is bounded by the window.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import EdocError
from edoccore.identity.keys import PublicKey
from edoccore.signing import canonical
from edoccore.signing.merkle import leaf_hash
from edoccore.signing.seal import SignedSeal
from edoccore.signing.statements import Seal
from edockit.database import Database
from edocnode.domain.journal import JournalEntry, JournalReport, verify_journal
from edocnode.storage.tables import (
    DeliveryEnvelopeRow,
    EffectRow,
    OwnStatementRow,
    ReceiptGivenRow,
    SealRow,
    table_of,
)

WINDOW = 20_000  # seals whose leaves are held at once,
WINDOW_LEAVES = 200_000  # or fewer, when they have more leaves together
_ROWS = 500  # fetched at once

_EFFECT = table_of(EffectRow)
_OWN = table_of(OwnStatementRow)
_SEAL = table_of(SealRow)
_SEALS = (
    sa.select(_SEAL.c.id, _SEAL.c.epoch, _SEAL.c.seal_index, _SEAL.c.data, _SEAL.c.signature)
    .where(_SEAL.c.agency == sa.bindparam("agency"))
    .order_by(_SEAL.c.epoch, _SEAL.c.seal_index, _SEAL.c.rank)
)
_OPENINGS = (
    sa.select(_OWN.c.data)
    .select_from(_OWN.join(_SEAL, _SEAL.c.id == _OWN.c.seal_id))
    .where(_OWN.c.kind == "epoch", _SEAL.c.agency == sa.bindparam("agency"))
)


def _under_seals(table: sa.Table, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return sa.select(table.c.seal_id, table.c.leaf, *columns).where(
        table.c.seal_id >= sa.bindparam("first"), table.c.seal_id <= sa.bindparam("last")
    )


_STATEMENTS = [
    _under_seals(table, table.c.data)
    for table in (_OWN, table_of(ReceiptGivenRow), table_of(DeliveryEnvelopeRow))
]
_EFFECTS = _under_seals(_EFFECT, _EFFECT.c.salt, _EFFECT.c.data)

_Leaves = Mapping[int, list[tuple[int, bytes]]]  # by seal: place and leaf hash


class _StoredSeal(NamedTuple):
    id: int
    epoch: bytes
    place: int
    seal: SignedSeal


class SqlJournal:
    """An agency's journal in the database."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def verify(
        self, agency: str, *, network: str, keys: Mapping[str, PublicKey]
    ) -> JournalReport:
        """Verifies the journal of an agency of this node; see ``domain.journal``.

        Args:
            keys: Public keys by SHA-256 of their certificates, see ``domain.journal.seal_keys``.
        """
        return await self._database.aread(
            lambda connection: verify_journal(
                read_journal(connection, agency),
                read_openings(connection, agency),
                agency=agency,
                network=network,
                keys=keys,
            )
        )


def read_openings(connection: Connection, agency: str) -> list[bytes]:
    """Exact bytes of all openings of an agency's epochs."""
    return list(connection.execute(_OPENINGS, {"agency": agency}).scalars())


def read_journal(connection: Connection, agency: str) -> Iterator[JournalEntry]:
    """All stored seals of an agency with the leaves under them, by epoch and index."""
    rows = connection.execution_options(yield_per=_ROWS).execute(_SEALS, {"agency": agency})
    window: list[_StoredSeal] = []
    leaves = 0
    for row in rows:
        signed = SignedSeal(row.data, row.signature)
        window.append(_StoredSeal(row.id, row.epoch, row.seal_index, signed))
        leaves += _stated_leaves(row.data)
        if len(window) >= WINDOW or leaves >= WINDOW_LEAVES:
            yield from _with_leaves(connection, window)
            window, leaves = [], 0
    yield from _with_leaves(connection, window)


def _stated_leaves(seal: bytes) -> int:
    """How many leaves a stored seal states; a damaged one, which verification will tell, none."""
    try:
        stated = canonical.decode(seal, Seal)
    except EdocError:
        return 0
    return stated.statements.size + stated.effects.size


def _with_leaves(connection: Connection, window: list[_StoredSeal]) -> Iterator[JournalEntry]:
    if not window:
        return
    statements, effects = _leaves_of(connection, {stored.id for stored in window})
    for stored in window:
        yield JournalEntry(
            epoch=stored.epoch,
            index=stored.place,
            seal=stored.seal,
            statements=tuple(statements.get(stored.id, ())),
            effects=tuple(effects.get(stored.id, ())),
        )


def _leaves_of(connection: Connection, ids: set[int]) -> tuple[_Leaves, _Leaves]:
    statements: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    effects: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    span = {"first": min(ids), "last": max(ids)}
    streaming = connection.execution_options(yield_per=_ROWS)
    for query in _STATEMENTS:
        for row in streaming.execute(query, span):
            if row.seal_id in ids:
                statements[row.seal_id].append((row.leaf, leaf_hash(row.data)))
    for row in streaming.execute(_EFFECTS, span):
        if row.seal_id in ids:
            effects[row.seal_id].append((row.leaf, leaf_hash(row.salt + row.data)))
    return statements, effects
