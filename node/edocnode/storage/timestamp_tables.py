"""The table of timestamps. Only migrations make it."""

from datetime import datetime

from sqlalchemy import BigInteger, Column
from sqlmodel import Field

from edocnode.storage.columns import byte_column, moment, number
from edocnode.storage.tables import NodeTable


class TimeTokenRow(NodeTable, table=True):
    """A token over the seals with rows ``first_seal`` to ``last_seal``. Append-only.

    ``leaves`` are their hashes (see ``domain.timestamps``) of 32 bytes, one after another, so a
    proof needs no other row. ``at`` is the moment that the token states.
    """

    __tablename__ = "time_token"

    last_seal: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    first_seal: int = number()
    at: datetime = moment()
    leaves: bytes = byte_column()
    token: bytes = byte_column()
