"""The tables of repair: damaged parts, numbers that never arrived. Only migrations make them.

Small: rows come with faults only, or one for each peer and epoch.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Column
from sqlmodel import Field

from edocnode.storage.columns import ROWID, byte_column, key_bytes, moment, number
from edocnode.storage.tables import NodeTable


class DamagedPartRow(NodeTable, table=True):
    """A part of the blob folder that is to be fetched again; gone when it is back."""

    __tablename__ = "damaged_part"

    sha256: bytes = key_bytes(32)
    size: int = number()
    attempts: int
    found_at: datetime = moment()
    next_at: datetime = moment()
    message: str


class DamagedMessageRow(NodeTable, table=True):
    """A received message whose small parts are to be fetched again; gone when they are back."""

    __tablename__ = "damaged_message"

    incoming_id: int = Field(sa_column=Column(ROWID, primary_key=True, autoincrement=False))


class SettledRow(NodeTable, table=True):
    """Numbers of own envelopes to a node that are settled, by the epoch that gave them.

    ``first`` is the first number given in the epoch, ``last`` the last that is settled with all
    before it; one less than ``first`` while none is.
    """

    __tablename__ = "settled"

    to_node: str = Field(primary_key=True, max_length=35)
    epoch: bytes = key_bytes(16)
    first: int = number()
    last: int = number()


class AccountedRow(NodeTable, table=True):
    """Up to which number nothing is missing of what an agency sent in an epoch."""

    __tablename__ = "accounted"

    agency: str = Field(primary_key=True, max_length=35)
    epoch: bytes = key_bytes(16)
    seq: int = number()


class ExplainedRow(NodeTable, table=True):
    """A number that never arrived, with what its sender said of it. Append-only.

    ``state``: void, expired, elsewhere or gone.
    """

    __tablename__ = "explained"

    agency: str = Field(primary_key=True, max_length=35)
    epoch: bytes = key_bytes(16)
    seq: int = Field(
        sa_column=Column(BigInteger, primary_key=True, autoincrement=False, nullable=False)
    )
    state: str = Field(max_length=16)
    message_id: bytes = byte_column()
    noted_at: datetime = moment()
