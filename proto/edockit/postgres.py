"""How PostgreSQL is reached, and how many rows come to it at once.

A connection over TCP is given up within half a minute when the network swallows its packets; what
the URL says about that goes before what stands here. Statements that begin with ``COPY`` and are
given many rows stream them in binary form, which costs a client half of what an INSERT for each
costs.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.engine.interfaces import ExecutionContext
from sqlalchemy.pool import NullPool

from edoccore.errors import SettingsError

if TYPE_CHECKING:
    import psycopg  # an optional dependency, and slow to import

_CONNECT: Mapping[str, int] = {
    "connect_timeout": 10,  # seconds; without it a dying server is waited for
    "tcp_user_timeout": 25_000,  # milliseconds until what was sent must be acknowledged; Linux only
    # For who waits for an answer: a silent server is asked after 10 s, given up after 15 more.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
_COPY_TYPES = "edoc_copy_types"  # execution option: names of the types of the columns


def postgres_engines(url: URL, *, readers: int, reader_wait_s: int) -> tuple[Engine, Engine]:
    """The writing and the reading engine.

    Args:
        url: ``postgresql+psycopg://...``.
        readers: Connections that read at the same time.
        reader_wait_s: Seconds a reader waits for a free one.

    Raises:
        SettingsError: The driver is not installed.
    """
    connect = {name: value for name, value in _CONNECT.items() if name not in url.query}
    try:
        writing = sqlalchemy.create_engine(
            url, poolclass=NullPool, connect_args=connect, hide_parameters=True
        )
    except ModuleNotFoundError as error:
        raise SettingsError(
            "the driver of PostgreSQL is not installed", hint="pip install 'edocnode[postgres]'"
        ) from error
    reading = sqlalchemy.create_engine(
        url,
        pool_size=readers,
        max_overflow=0,
        pool_timeout=reader_wait_s,
        pool_pre_ping=True,
        connect_args=connect,
        isolation_level="REPEATABLE READ",  # one snapshot per read, as SQLite gives
        hide_parameters=True,
    )

    event.listen(reading, "connect", _prepare_reader)
    event.listen(writing, "do_executemany", _stream)
    return writing, reading


def _prepare_reader(driver: "psycopg.Connection", _record: object) -> None:
    """Lets a connection only read, and what is found come in binary form.

    As text, content of documents is twice as long, and is written and read digit by digit.
    """
    driver.read_only = True
    driver.cursor_factory = _binary_cursor()


@cache
def _binary_cursor() -> type["psycopg.Cursor"]:
    import psycopg  # noqa: PLC0415 - an optional dependency, and slow to import

    class BinaryCursor(psycopg.Cursor):
        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - psycopg's own
            super().__init__(*args, **kwargs)
            self.format = psycopg.pq.Format.BINARY

    return BinaryCursor


def copy_rows(
    connection: Connection, statement: str, types: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> int:
    """Adds rows by ``COPY ... FROM STDIN (FORMAT BINARY)`` on a writing connection.

    A row that breaks a constraint fails all of them as one statement would, with the errors of
    SQLAlchemy.

    Args:
        connection: The writing connection.
        statement: The COPY, with its columns by name.
        types: What PostgreSQL calls the type of each column: binary values are never cast.
        rows: Values in the order of the columns; at least one row.

    Returns:
        How many rows were added.
    """
    options = {_COPY_TYPES: types}
    return connection.exec_driver_sql(statement, rows, execution_options=options).rowcount


def _stream(
    cursor: Any,  # noqa: ANN401 - psycopg's, which SQLAlchemy calls a DBAPI cursor
    statement: str,
    rows: Sequence[tuple[Any, ...]],
    context: ExecutionContext,
) -> bool:
    """Runs a COPY where SQLAlchemy would run executemany, so that it still judges the errors."""
    types = context.execution_options.get(_COPY_TYPES)
    if types is None:
        return False
    with cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
    return True
