"""The tables of official numbers, given here to documents, paper and arrivals; see ``tables``."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index, Integer, UniqueConstraint
from sqlmodel import Field

from edocnode.storage.columns import moment, number, optional_bytes, optional_moment, rowid
from edocnode.storage.tables import NodeTable


class NumberSeriesRow(NodeTable, table=True):
    """The last number given of a series; never lowered."""

    __tablename__ = "number_series"

    book: str = Field(primary_key=True, max_length=8)
    agency: str = Field(primary_key=True, max_length=35)
    series: str = Field(primary_key=True, max_length=100)
    year: int = Field(primary_key=True, sa_type=Integer, sa_column_kwargs={"autoincrement": False})
    last: int = number()


class OfficialNumberRow(NodeTable, table=True):
    """A number that was given, once for all time.

    ``state`` is a ``NumberState``. ``request_id`` names the submission it was taken for,
    ``incoming_id`` the arrival that has it.
    """

    __tablename__ = "official_number"
    __table_args__ = (
        UniqueConstraint("book", "agency", "series", "year", "number"),
        Index("ix_official_number_page", "book", "agency", "year", "id"),
    )

    id: int | None = rowid()
    book: str = Field(max_length=8)
    agency: str = Field(max_length=35)
    series: str = Field(max_length=100)
    year: int
    number: int = number()
    state: str = Field(max_length=8)
    note: str
    actor: str
    request_id: str | None = Field(default=None, unique=True, max_length=200)
    incoming_id: int | None = Field(default=None, sa_column=Column(BigInteger, unique=True))
    document_id: bytes | None = optional_bytes(16)
    issued_date: str = Field(max_length=10)
    taken_at: datetime = moment()
    ended_at: datetime | None = optional_moment()
