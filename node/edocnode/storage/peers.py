"""What is known of other nodes: see ``domain.ports.Peers``."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing.seal import SealedStatement, SignedSeal
from edockit.database import Database
from edocnode.domain.model import ABOVE_ALL_EPOCHS, PeerJournal, PeerStatus
from edocnode.storage.seals import (
    sealed_statements,
    statement_values,
    store_seal,
)
from edocnode.storage.sql import insert_missing, upsert, without_nul
from edocnode.storage.tables import DeliveryRow, OpeningRow, PeerRow, SealRow, table_of

_DELIVERY = table_of(DeliveryRow)
_OPENING = table_of(OpeningRow)
_PEER = table_of(PeerRow)
_SEAL = table_of(SealRow)

_OPENING_OF = sa.select(_OPENING).where(_OPENING.c.agency == sa.bindparam("agency"))
_HIGHEST = (
    sa.select(_SEAL.c.epoch, _SEAL.c.seal_index, _SEAL.c.data, _SEAL.c.signature)
    .where(
        _SEAL.c.agency == sa.bindparam("agency"),
        _SEAL.c.rank == 0,
        _SEAL.c.epoch < sa.bindparam("below"),
    )
    .order_by(_SEAL.c.epoch.desc(), _SEAL.c.seal_index.desc())
    .limit(1)
)
_FAILED = (
    sa.update(_PEER)
    .where(_PEER.c.agency == sa.bindparam("of"))
    .values(
        down_since=sa.func.coalesce(
            _PEER.c.down_since, sa.bindparam("now", type_=_PEER.c.next_at.type)
        ),
        attempts=_PEER.c.attempts + 1,
    )
)
_END_PEERS_WAITS = sa.update(_PEER).where(_PEER.c.next_at.is_not(None)).values(next_at=None)
_END_WAITS = sa.update(_DELIVERY).where(sa.text("state = 'waiting'"))


class SqlPeers:
    """See ``domain.ports.Peers``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def peer_failed(
        self, agency: str, at: datetime, *, reason: str, message: str, next_at: datetime
    ) -> None:
        """Notes that a peer did not answer; its queue waits until ``next_at``."""
        told = {"next_at": next_at, "reason": reason, "message": without_nul(message)}

        def write(connection: Connection) -> None:
            insert_missing(connection, _PEER, [_unmet(agency)])
            connection.execute(_FAILED.values(told), {"of": agency, "now": at})

        await self._database.awrite(write)

    async def peer_answered(self, agency: str, at: datetime) -> None:
        """Notes that a peer answered or said hello; its queue may go on at once."""
        row = _unmet(agency) | {"last_seen": at}
        await self._database.awrite(lambda connection: upsert(connection, _PEER, [row]))

    async def end_waits(self, now: datetime) -> None:
        """Makes due whatever waits for its next attempt, of peers and of deliveries."""

        def write(connection: Connection) -> None:
            connection.execute(_END_PEERS_WAITS)
            connection.execute(_END_WAITS.values(next_at=now))

        await self._database.awrite(write)

    async def peer_statuses(self) -> Mapping[str, PeerStatus]:
        """Every peer ever met or tried."""
        rows = await self._database.aread(
            lambda connection: connection.execute(sa.select(_PEER)).all()
        )
        return {
            row.agency: PeerStatus(
                agency=row.agency,
                down_since=row.down_since,
                attempts=row.attempts,
                next_at=row.next_at,
                reason=row.reason,
                message=row.message,
                last_seen=row.last_seen,
            )
            for row in rows
        }

    async def journal_of(self, agency: str, below: bytes = ABOVE_ALL_EPOCHS) -> PeerJournal:
        """What is known of an agency's journal, its seals only of epochs below one."""
        return await self._database.aread(lambda connection: _journal(connection, agency, below))

    async def note_opening(self, agency: str, opening: SealedStatement, at: datetime) -> bool:
        """Remembers the opening of an agency's newest epoch. Returns False for a lower epoch."""
        return await self._database.awrite(
            lambda connection: _note_opening(connection, agency, opening, at)
        )

    async def note_seal(self, agency: str, seal: SignedSeal, at: datetime) -> SignedSeal | None:
        """Stores a seal of another agency.

        Returns:
            Another seal stored under the same epoch and index, if there is one: both in hand
            prove two histories. They are kept as evidence.
        """
        del agency  # the seal states it, and was verified
        stored = await self._database.awrite(lambda connection: store_seal(connection, seal, at))
        return stored.rival


def _unmet(agency: str) -> dict[str, object]:
    return {
        "agency": agency,
        "down_since": None,
        "attempts": 0,
        "next_at": None,
        "reason": "",
        "message": "",
        "last_seen": None,
    }


def _journal(connection: Connection, agency: str, below: bytes) -> PeerJournal:
    rows = connection.execute(_OPENING_OF, {"agency": agency}).all()
    opening = next(iter(sealed_statements(connection, rows)), None)
    highest = connection.execute(_HIGHEST, {"agency": agency, "below": below}).one_or_none()
    return PeerJournal(
        agency=agency,
        epoch=rows[0].epoch if rows else b"",
        opening=opening,
        highest=None if highest is None else SignedSeal(highest.data, highest.signature),
        highest_epoch=b"" if highest is None else highest.epoch,
        highest_index=0 if highest is None else highest.seal_index,
    )


def _note_opening(
    connection: Connection, agency: str, opening: SealedStatement, at: datetime
) -> bool:
    stored = store_seal(connection, opening.seal, at)
    known = connection.execute(_OPENING_OF.with_for_update(), {"agency": agency}).one_or_none()
    if known is not None and stored.epoch <= known.epoch:
        return bool(stored.epoch == known.epoch)
    row = {"agency": agency, "epoch": stored.epoch, "noted_at": at}
    upsert(connection, _OPENING, [row | statement_values(opening, stored.seal_id)])
    return True
