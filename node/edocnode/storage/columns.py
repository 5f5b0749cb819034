"""The kinds of columns that the tables of a node are made of."""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, text
from sqlmodel import Field

from edockit.database import UTCDateTime

ROWID = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys by itself


def rowid() -> Any:  # noqa: ANN401 - so SQLModel's Field does
    """A key that the database numbers, growing."""
    return Field(default=None, sa_column=Column(ROWID, primary_key=True))


def key_bytes(size: int) -> Any:  # noqa: ANN401
    """A key of so many bytes."""
    return Field(sa_column=Column(LargeBinary(size), primary_key=True))


def byte_column(size: int | None = None) -> Any:  # noqa: ANN401
    """Bytes that must be there."""
    return Field(sa_column=Column(LargeBinary(size), nullable=False))


def optional_bytes(size: int | None = None) -> Any:  # noqa: ANN401
    """Bytes, or nothing."""
    return Field(default=None, sa_column=Column(LargeBinary(size)))


def number() -> Any:  # noqa: ANN401
    """A whole number that must be there."""
    return Field(sa_column=Column(BigInteger, nullable=False))


def optional_number() -> Any:  # noqa: ANN401
    """A whole number, or nothing."""
    return Field(default=None, sa_column=Column(BigInteger))


def moment() -> Any:  # noqa: ANN401
    """A moment that must be there."""
    return Field(sa_column=Column(UTCDateTime, nullable=False))


def optional_moment() -> Any:  # noqa: ANN401
    """A moment, or nothing."""
    return Field(default=None, sa_column=Column(UTCDateTime))


def partial_index(name: str, *columns: str, where: str) -> Index:
    """An index over the rows of a condition alone."""
    condition = text(where)
    return Index(name, *columns, sqlite_where=condition, postgresql_where=condition)
