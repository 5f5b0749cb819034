"""How statements are said to both databases, and in pieces that neither refuses."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

CHUNK = 500  # values of one IN list; SQLite before 3.32 refuses more than 999 in a statement
_EVENT_LOCK = 0x65766E74  # writers of events on PostgreSQL follow each other

Item = TypeVar("Item")
AnyRow = sa.Row[*tuple[Any, ...]]  # of a select whose columns its reader knows
Row = Mapping[str, Any]  # values by column name


def chunks(items: Sequence[Item], size: int = CHUNK) -> Iterator[Sequence[Item]]:
    """Cuts a sequence into pieces of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def insert_rows(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Adds rows; none is not an error."""
    if rows:
        connection.execute(_insert(table), rows)


def insert_missing(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Adds the rows whose keys are not there yet."""
    if rows:
        connection.execute(_insert_ignoring(table, connection.dialect.name), rows)


def insert_returning(connection: Connection, table: sa.Table, row: Row) -> int | None:
    """Adds a row and returns its ``id``; None when a key of it is there already."""
    statement = _insert_ignoring_returning(table, connection.dialect.name)
    found: int | None = connection.execute(statement, row).scalar_one_or_none()
    return found


def upsert(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Adds rows, or replaces the columns they name in the rows with their primary keys."""
    if rows:
        statement = _upsert(table, connection.dialect.name, tuple(rows[0]))
        connection.execute(statement, rows)


def select_by(
    connection: Connection, statement: sa.Select[Any], values: Sequence[Any]
) -> Iterator[AnyRow]:
    """Runs a select with an expanding parameter ``values`` in pieces."""
    for piece in chunks(values):
        yield from connection.execute(statement, {"values": piece})


def change_by(
    connection: Connection,
    statement: sa.Update | sa.Delete,
    values: Sequence[Any],
    **others: object,
) -> int:
    """Runs an update or delete with an expanding parameter ``values``; returns how many rows."""
    return sum(
        connection.execute(statement, {"values": piece, **others}).rowcount
        for piece in chunks(values)
    )


def among(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """The condition that a column is one of the parameter ``values``."""
    return column.in_(sa.bindparam("values", expanding=True))


def in_order(connection: Connection) -> None:
    """Makes writers of events follow each other, so that no reader misses a lower position."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_EVENT_LOCK)))


def without_nul(text: str) -> str:
    """Text as PostgreSQL can hold it."""
    return text.replace("\x00", "")


@cache
def _insert(table: sa.Table) -> sa.Insert:
    return sa.insert(table)


def _dialect_insert(table: sa.Table, dialect: str) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@cache
def _insert_ignoring(table: sa.Table, dialect: str) -> sa.Insert:
    return _dialect_insert(table, dialect).on_conflict_do_nothing()


@cache
def _insert_ignoring_returning(table: sa.Table, dialect: str) -> sa.sql.dml.ReturningInsert[Any]:
    insert = _dialect_insert(table, dialect).on_conflict_do_nothing()
    return insert.returning(table.c.id)


@cache
def _upsert(table: sa.Table, dialect: str, columns: tuple[str, ...]) -> sa.Insert:
    insert = _dialect_insert(table, dialect)
    keys = [column.name for column in table.primary_key]
    changed = {name: insert.excluded[name] for name in columns if name not in keys}
    return insert.on_conflict_do_update(index_elements=keys, set_=changed)
