"""Seals by their place in a journal: see ``domain.consistency.HeldSeals``."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from edoccore.signing.seal import SignedSeal
from edockit.database import Database
from edocnode.storage.tables import SealRow, table_of

_SEAL = table_of(SealRow)
_PLACES = (_SEAL.c.agency == sa.bindparam("agency"), _SEAL.c.epoch == sa.bindparam("epoch"))
_FIRST = (
    sa.select(_SEAL.c.data, _SEAL.c.signature)
    .where(*_PLACES, _SEAL.c.rank == 0)
    .order_by(_SEAL.c.seal_index)
    .limit(1)
)
_BELOW = (
    sa.select(_SEAL.c.data, _SEAL.c.signature)
    .where(*_PLACES, _SEAL.c.seal_index < sa.bindparam("size"), _SEAL.c.rank == 0)
    .order_by(_SEAL.c.seal_index.desc())
    .limit(1)
)
_FROM = (
    sa.select(_SEAL.c.seal_index, _SEAL.c.data)
    .where(*_PLACES, _SEAL.c.seal_index >= sa.bindparam("start"), _SEAL.c.rank == 0)
    .order_by(_SEAL.c.seal_index)
    .limit(sa.bindparam("limit"))
)


class SqlHeldSeals:
    """Reads them; each statement follows the unique index of places."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def first_seal(self, agency: str, epoch: bytes) -> SignedSeal | None:
        """The seal of the lowest place of an epoch that is here."""
        return await self._one(_FIRST, {"agency": agency, "epoch": epoch})

    async def seal_below(self, agency: str, epoch: bytes, size: int) -> SignedSeal | None:
        """The seal of the highest place below a size of an epoch that is here."""
        return await self._one(_BELOW, {"agency": agency, "epoch": epoch, "size": size})

    async def _one(
        self, statement: sa.Select[Any], place: Mapping[str, object]
    ) -> SignedSeal | None:
        row = await self._database.aread(
            lambda connection: connection.execute(statement, place).one_or_none()
        )
        return None if row is None else SignedSeal(row.data, row.signature)

    async def seals_from(self, agency: str, epoch: bytes, start: int, limit: int) -> list[bytes]:
        """Exact bytes of seals of an epoch from a place on, in order, without gaps."""
        place = {"agency": agency, "epoch": epoch, "start": start, "limit": limit}
        rows = await self._database.aread(lambda connection: connection.execute(_FROM, place).all())
        return [row.data for at, row in enumerate(rows, start) if row.seal_index == at]
