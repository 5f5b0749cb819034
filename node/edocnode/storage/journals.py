"""The tail of a journal that its owner lost: which stored seals its new epoch leaves out."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edocnode.domain.model import EpochHead
from edocnode.storage.tables import SealRow, table_of

_SEAL = table_of(SealRow)
_BEFORE = (
    sa.select(_SEAL.c.id)
    .where(_SEAL.c.agency == sa.bindparam("agency"), _SEAL.c.epoch < sa.bindparam("epoch"))
    .order_by(_SEAL.c.id)
)
_AFTER_KEPT = sa.or_(
    _SEAL.c.epoch > sa.bindparam("kept_epoch"),
    sa.and_(
        _SEAL.c.epoch == sa.bindparam("kept_epoch"),
        _SEAL.c.seal_index >= sa.bindparam("kept_size"),
    ),
)
_FROM_KEPT_EPOCH = _SEAL.c.epoch >= sa.bindparam("kept_epoch")  # lets the index begin there


def lost_seals(
    connection: Connection, agency: str, kept: EpochHead | None, epoch: bytes
) -> list[int]:
    """Rows of the seals of an agency from the head it kept up to its new epoch.

    Epochs compare as age. Everything before the kept epoch is taken as kept.
    """
    place: dict[str, object] = {"agency": agency, "epoch": epoch}
    if kept is None:
        return list(connection.execute(_BEFORE, place).scalars())
    place |= {"kept_epoch": kept.epoch, "kept_size": kept.size}
    statement = _BEFORE.where(_FROM_KEPT_EPOCH, _AFTER_KEPT)
    return list(connection.execute(statement, place).scalars())
