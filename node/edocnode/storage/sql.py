"""How statements are said to both databases, and in pieces that neither refuses."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.visitors import replacement_traverse

from edockit.database import UTCDateTime
from edockit.postgres import copy_rows

ROWS_AT_ONCE = 100  # in one statement that returns ids
COPY_FROM = 4  # rows that are worth two round trips to PostgreSQL instead of one
CHUNK = 500  # values of one IN list; SQLite before 3.32 refuses more than 999 in a statement
_KEY = "of"  # parameter of a change that names the row
_IS_KEY = re.compile(rf"= :{_KEY}\b")
_TOGETHER = 900  # values of the rows of one insert
_AMONG = (1, 8, 40, 200, CHUNK)  # lengths of prepared IN lists
# Parameters by name, as changes have them.
_NAMED = SQLiteDialect_pysqlite(paramstyle="named")
_POSTGRES: sa.Dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # SQLAlchemy's
# Parameters by place, as inserts have them.
_BY_PLACE: Mapping[str, sa.Dialect] = {
    "sqlite": SQLiteDialect_pysqlite(paramstyle="qmark"),
    "postgresql": PGDialect_psycopg(paramstyle="format"),  # type: ignore[no-untyped-call]
}
_MOMENT = UTCDateTime()
_COPIED = {"BYTEA": "bytea", "BIGINT": "int8", "INTEGER": "int4", "VARCHAR": "varchar"}
_UNIQUE_VIOLATION = "23505"
_EVENT_LOCK = 0x65766E74  # writers of events on PostgreSQL follow each other
_NEXT_IDS = sa.text(  # OFFSET 0: the sequence is looked for once, not for each row
    "SELECT nextval(sequence.id) FROM (SELECT "
    "pg_get_serial_sequence(:table, 'id')::regclass AS id OFFSET 0) AS sequence, "
    "generate_series(1, :count)"
)

Item = TypeVar("Item")
AnyRow = sa.Row[*tuple[Any, ...]]  # of a select whose columns its reader knows
Row = Mapping[str, Any]  # values by column name


def chunks(items: Sequence[Item], size: int = CHUNK) -> Iterator[Sequence[Item]]:
    """Cuts a sequence into pieces of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def insert_rows(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Adds rows, all with the same columns; none is not an error."""
    if _is_copied(connection, rows):
        _copy(connection, table, rows)
    else:
        _insert(connection, table, "plain", rows)


def insert_plain(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Adds rows, all with the same columns, whose keys nearly always are new.

    Raises:
        NotPlainError: A key is there already. The write it belongs to has to end with this error:
            on PostgreSQL nothing else can be done in its transaction.
    """
    if not _is_copied(connection, rows):
        if _insert(connection, table, "missing", rows) != len(rows):
            raise NotPlainError
        return
    try:
        _copy(connection, table, rows)
    except sa.exc.IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) != _UNIQUE_VIOLATION:
            raise
        raise NotPlainError from error


def insert_missing(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> int:
    """Adds the rows whose keys are not there yet; returns how many that were."""
    return _insert(connection, table, "missing", rows)


def insert_returning(connection: Connection, table: sa.Table, row: Row) -> int | None:
    """Adds a row and returns its ``id``; None when a key of it is there already."""
    prepared = _prepare(table, connection.dialect.name, "returning", tuple(row))
    found = connection.exec_driver_sql(prepared.text, prepared.values([row])[0])
    row_id: int | None = found.scalar_one_or_none()
    return row_id


def insert_new(
    connection: Connection, table: sa.Table, rows: Sequence[Row], *, key: str
) -> dict[Any, int]:
    """Adds the rows whose keys are not there yet, all with the same columns.

    For many rows a fifth of the cost of ``insert_returning`` each.

    Returns:
        The ``id`` of each row that was added, by its value of the column ``key``.
    """
    added: dict[Any, int] = {}
    for piece in chunks(rows, ROWS_AT_ONCE):
        columns = tuple(piece[0])
        many = _many(table, connection.dialect, columns, len(piece), key)
        flat = tuple(chain.from_iterable(many.values(piece)))
        added.update((row[0], row[1]) for row in connection.exec_driver_sql(many.text, flat))
    return added


def new_ids(connection: Connection, table: sa.Table, count: int) -> list[int]:
    """Values of ``id`` for rows to be added, in growing order; those not used are left out."""
    if connection.dialect.name == "postgresql":
        wanted = {"table": table.name, "count": count}
        return list(connection.scalars(_NEXT_IDS, wanted))
    newest = connection.exec_driver_sql(f"SELECT max(id) FROM {table.name}").scalar() or 0  # noqa: S608
    return list(range(newest + 1, newest + 1 + count))  # SQLite has one writer


def upsert(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Adds rows, or replaces the columns they name in the rows with their primary keys."""
    _insert(connection, table, "replacing", rows)


def select_by(
    connection: Connection, statement: sa.Select[Any], values: Sequence[Any]
) -> Iterator[AnyRow]:
    """Runs a select with an expanding parameter ``values`` in pieces."""
    for piece in chunks(values):
        yield from connection.execute(statement, {"values": piece})


def select_plain(
    connection: Connection, statement: sa.Select[Any], values: Row
) -> Sequence[AnyRow]:
    """Runs a select whose columns the driver gives as they are: numbers, texts and bytes.

    For a few rows a fifth of the cost of a Core statement. Moments are given as such, and returned
    as the number that ``prepared_moment`` makes.
    """
    prepared = _prepare_statement(statement, connection.dialect.name)
    return connection.exec_driver_sql(prepared.text, prepared.values([values])[0]).all()


def change_each(
    connection: Connection, statement: sa.Update | sa.Delete, rows: Sequence[Row]
) -> int:
    """Runs an update or delete for each row of parameters; returns how many rows it changed.

    No row of the table may be meant by two rows of parameters: on PostgreSQL one of them counts.
    """
    if not rows:
        return 0
    dialect = connection.dialect.name
    if len(rows) == 1:
        return _run(connection, _prepare_statement(statement, dialect), rows)
    if dialect == "sqlite":
        prepared = _prepare_statement(statement, dialect)
        alike = _differ_in_key_alone(rows) and _IS_KEY.search(prepared.text)
        return (_change_together if alike else _run)(connection, prepared, rows)
    prepared = _prepare_joined(statement)
    values = prepared.values(rows)
    lists = {name: [row[name] for row in values] for name in rows[0]}
    return connection.exec_driver_sql(prepared.text, {**prepared.fixed, **lists}).rowcount


def read_among(
    connection: Connection, statement: sa.Select[Any], values: Sequence[Any]
) -> Iterator[AnyRow]:
    """Runs a select with ``among`` in pieces, as ``select_plain`` does."""
    dialect = connection.dialect.name
    for piece in chunks(values):
        named = {"values": list(piece)} if dialect == "postgresql" else _padded(piece, "values")
        text = _among_text(statement, dialect, len(named))
        yield from connection.exec_driver_sql(text, named).all()


def prepared_moment(value: datetime) -> int:
    """A moment as ``select_plain`` returns it."""
    return _MOMENT.process_bind_param(value, _NAMED) or 0


def moment_read(value: int) -> datetime:
    """The moment of a number that ``select_plain`` and ``read_among`` return."""
    moment = _MOMENT.process_result_value(value, _NAMED)
    assert moment is not None
    return moment


def among(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """The condition that a column is one of the parameter ``values``, a list.

    On PostgreSQL rows are looked up one by one from the list as it comes. An IN list of many values
    is planned anew each time, and may be planned as a walk over the whole table.
    """
    return _Among(column)


def newest_among(
    key: sa.ColumnElement[Any],
    of: sa.ColumnElement[Any],
    *,
    alike: Sequence[sa.ColumnElement[Any]],
    age: Sequence[sa.ColumnElement[Any]],
    limit: int,
) -> sa.ColumnElement[bool]:
    """The condition of ``among``, and that a row is one of the newest of those that are alike.

    Args:
        key: The primary key; ``of``: the column that is one of ``values``.
        alike: What those rows share of which ``limit`` are wanted.
        age: What grows from the oldest to the newest.
    """
    newest_first = [column.desc() for column in age]
    place = sa.func.row_number().over(partition_by=alike, order_by=newest_first).label("place")
    newest = sa.select(key.label("key"), place).where(among(of)).subquery("newest")
    return key.in_(sa.select(newest.c.key).where(newest.c.place <= limit))


class _Among(sa.sql.functions.FunctionElement[bool]):
    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: object = None) -> "_Among":  # noqa: ARG002
        """Stands as it is: no ``= 1`` behind it, which would hide the column from an index."""
        return self


@compiles(_Among)
def _in_list(element: _Among, compiler: sa.sql.compiler.SQLCompiler, **how: Any) -> str:  # noqa: ANN401
    (column,) = element.clauses
    return compiler.process(column.in_(sa.bindparam("values", expanding=True)), **how)


@compiles(_Among, "postgresql")
def _in_rows(element: _Among, compiler: sa.sql.compiler.SQLCompiler, **how: Any) -> str:  # noqa: ANN401
    (column,) = element.clauses
    given = sa.bindparam("values", type_=sa.ARRAY(column.type))
    return compiler.process(column.in_(sa.select(sa.func.unnest(given))), **how)


def in_order(connection: Connection) -> None:
    """Makes writers of events follow each other, so that no reader misses a lower position."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_EVENT_LOCK)))


def without_nul(text: str) -> str:
    """Text as PostgreSQL can hold it."""
    return text.replace("\x00", "")


class NotPlainError(Exception):
    """The short way does not fit; what it wrote is undone and done again the long way."""


@contextlib.contextmanager
def short_way(connection: Connection) -> Iterator[None]:
    """Undoes what is inside when it ends with NotPlainError, so that the long way can follow."""
    connection.exec_driver_sql("SAVEPOINT edoc_short_way")
    try:
        yield
    except NotPlainError:
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT edoc_short_way")
        connection.exec_driver_sql("RELEASE SAVEPOINT edoc_short_way")
        raise
    connection.exec_driver_sql("RELEASE SAVEPOINT edoc_short_way")


@dataclass(frozen=True, slots=True)
class _Insert:
    """An insert as its driver takes it, with values by place.

    For 20 columns a third of the cost of a Core statement: SQLite looks up each parameter that has
    a name in each row.
    """

    text: str
    columns: tuple[str, ...]
    moments: tuple[int, ...]  # their places

    @classmethod
    def of(cls, table: sa.Table, text: str, columns: tuple[str, ...]) -> "_Insert":
        """The insert with this text, whose parameters are these columns."""
        places = [at for at, name in enumerate(columns) if _is_moment(table.c[name])]
        return cls(text, columns, tuple(places))

    def values(self, rows: Sequence[Row]) -> list[tuple[Any, ...]]:
        """The values of rows in the order of the columns, their moments as numbers."""
        if len(self.columns) == 1:
            (name,) = self.columns
            picked = [(row[name],) for row in rows]
        else:
            picked = list(map(itemgetter(*self.columns), rows))
        for at in self.moments:
            picked = [(*row[:at], _moment(row[at]), *row[at + 1 :]) for row in picked]
        return picked


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A change as its driver takes it, with values by name."""

    text: str
    moments: tuple[str, ...]
    fixed: Row

    def values(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Rows with their moments as numbers, and with what the statement itself fixes."""
        if not self.moments:
            return [{**self.fixed, **row} for row in rows]
        return [
            {**self.fixed, **row, **{name: _moment(row[name]) for name in self.moments}}
            for row in rows
        ]


def _moment(value: datetime | None) -> int | None:
    return _MOMENT.process_bind_param(value, _NAMED)


def _insert(connection: Connection, table: sa.Table, kind: str, rows: Sequence[Row]) -> int:
    if not rows:
        return 0
    prepared = _prepare(table, connection.dialect.name, kind, tuple(rows[0]))
    if connection.dialect.name == "sqlite":
        return _run_together(connection, prepared, rows)
    return _run(connection, prepared, rows)


def _run_together(connection: Connection, insert: _Insert, rows: Sequence[Row]) -> int:
    """Adds many rows with each statement.

    SQLite lets other threads in at each statement, and under load getting the lock of Python back
    costs more than adding a row.
    """
    together = _TOGETHER // len(insert.columns)
    values = insert.values(rows)
    added = 0
    for piece in chunks(values, together):
        text = _together(insert.text, len(piece))
        added += connection.exec_driver_sql(text, tuple(chain.from_iterable(piece))).rowcount
    return added


@lru_cache(maxsize=1_000)
def _together(text: str, count: int) -> str:
    """An insert of so many rows instead of one."""
    head, _, tail = text.partition(" VALUES (")
    marks, _, rest = tail.partition(")")
    return f"{head} VALUES {', '.join([f'({marks})'] * count)}{rest}"


def _differ_in_key_alone(rows: Sequence[Row]) -> bool:
    others = [name for name in rows[0] if name != _KEY]
    return _KEY in rows[0] and all(row[name] == rows[0][name] for name in others for row in rows)


def _change_together(connection: Connection, prepared: _Prepared, rows: Sequence[Row]) -> int:
    """Runs a change of rows that get the same values, once for many keys: see ``_run_together``."""
    (fixed,) = prepared.values(rows[:1])
    changed = 0
    for piece in chunks([row[_KEY] for row in rows]):
        named = _padded(piece, _KEY)
        text = _with_list(prepared.text, len(named))
        changed += connection.exec_driver_sql(text, {**fixed, **named}).rowcount
    return changed


def _padded(values: Sequence[Any], name: str) -> dict[str, Any]:
    """Values as named parameters; the last is repeated, so that there are few lengths."""
    size = next(size for size in _AMONG if size >= len(values))
    filled = [*values, *[values[-1]] * (size - len(values))]
    return {f"{name}_{number}": value for number, value in enumerate(filled, 1)}


@cache
def _with_list(text: str, count: int) -> str:
    """A change of one key as a change of so many."""
    marks = ", ".join(f":{_KEY}_{number}" for number in range(1, count + 1))
    return _IS_KEY.sub(f"IN ({marks})", text)


def _run(connection: Connection, prepared: "_Insert | _Prepared", rows: Sequence[Row]) -> int:
    values: Sequence[Any] = prepared.values(rows)
    one_or_all = values[0] if len(values) == 1 else values  # many cost PostgreSQL a pipeline
    return connection.exec_driver_sql(prepared.text, one_or_all).rowcount


def _is_copied(connection: Connection, rows: Sequence[Row]) -> bool:
    return len(rows) >= COPY_FROM and connection.dialect.name == "postgresql"


def _copy(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    prepared, types = _prepare_copy(table, tuple(rows[0]))
    copy_rows(connection, prepared.text, types, prepared.values(rows))


@cache
def _prepare_copy(table: sa.Table, columns: tuple[str, ...]) -> tuple[_Insert, tuple[str, ...]]:
    name_of = _POSTGRES.identifier_preparer.quote
    names = ", ".join(map(name_of, columns))
    text = f"COPY {name_of(table.name)} ({names}) FROM STDIN (FORMAT BINARY)"
    types = tuple(_postgres_type(table.c[name]) for name in columns)
    return _Insert.of(table, text, columns), types


def _postgres_type(column: sa.Column[Any]) -> str:
    """The name under which the driver knows the type of a column."""
    said = column.type.dialect_impl(_POSTGRES).compile(_POSTGRES)
    return _COPIED[said.partition("(")[0]]


@cache
def _prepare(table: sa.Table, dialect: str, kind: str, columns: tuple[str, ...]) -> _Insert:
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    statement: sa.Insert | sa.sql.dml.ReturningInsert[Any]
    match kind:
        case "missing":
            statement = insert.inline().on_conflict_do_nothing()
        case "returning":
            statement = insert.on_conflict_do_nothing().returning(table.c.id)
        case "replacing":
            statement = _replacing(insert, table, columns)
        case _:
            statement = insert.inline()
    compiled = statement.compile(dialect=_BY_PLACE[dialect], column_keys=list(columns))
    assert isinstance(compiled, sa.sql.compiler.SQLCompiler)
    return _Insert.of(table, str(compiled), tuple(compiled.positiontup or ()))


@cache
def _among_text(statement: sa.Select[Any], dialect: str, size: int) -> str:
    if dialect == "postgresql":
        return str(statement.compile(dialect=_POSTGRES))
    marks = ", ".join(f":values_{number}" for number in range(1, size + 1))
    return str(statement.compile(dialect=_NAMED)).replace("__[POSTCOMPILE_values]", marks)


@cache
def _prepare_statement(
    statement: sa.Update | sa.Delete | sa.Select[Any], dialect: str
) -> _Prepared:
    compiled = statement.compile(dialect=_POSTGRES if dialect == "postgresql" else _NAMED)
    binds = {name: compiled.binds[name] for name in compiled.params}
    fixed = {name: value for name, value in compiled.params.items() if not binds[name].required}
    moments = [name for name in binds if isinstance(binds[name].type, UTCDateTime)]
    return _Prepared(str(compiled), tuple(name for name in moments if name not in fixed), fixed)


@cache
def _prepare_joined(statement: sa.Update | sa.Delete) -> _Prepared:
    """The same change of all rows of parameters at once, each parameter a list."""
    binds = statement.compile(dialect=_POSTGRES).binds
    each = {name: bind.type for name, bind in binds.items() if bind.required}
    lists = [sa.bindparam(name, type_=sa.ARRAY(kind)) for name, kind in each.items()]
    given = sa.func.unnest(*lists).table_valued(*each).render_derived("given")

    def column_of(element: Any, **_: object) -> sa.ColumnElement[Any] | None:  # noqa: ANN401
        return given.c[element.key] if getattr(element, "required", False) else None

    prepared = _prepare_statement(replacement_traverse(statement, {}, column_of), "postgresql")
    moments = tuple(name for name, kind in each.items() if isinstance(kind, UTCDateTime))
    return replace(prepared, moments=moments)


@lru_cache(maxsize=4 * ROWS_AT_ONCE)
def _many(
    table: sa.Table, dialect: sa.Dialect, columns: tuple[str, ...], count: int, key: str
) -> _Insert:
    """An insert of so many rows in one statement."""
    name_of = dialect.identifier_preparer.quote
    mark = "%s" if dialect.name == "postgresql" else "?"
    row = f"({', '.join([mark] * len(columns))})"
    text = (
        f"INSERT INTO {name_of(table.name)} ({', '.join(map(name_of, columns))}) "  # noqa: S608
        f"VALUES {', '.join([row] * count)} ON CONFLICT DO NOTHING "
        f"RETURNING {name_of(key)}, id"
    )
    return _Insert.of(table, text, columns)


def _is_moment(column: sa.Column[Any]) -> bool:
    return isinstance(column.type, UTCDateTime)


def _replacing(
    insert: postgresql.Insert | sqlite.Insert, table: sa.Table, columns: tuple[str, ...]
) -> sa.Insert:
    keys = [column.name for column in table.primary_key]
    changed = {name: insert.excluded[name] for name in columns if name not in keys}
    return insert.inline().on_conflict_do_update(index_elements=keys, set_=changed)
