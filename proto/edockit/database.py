"""The database of a program: one writing thread with group commit, many read-only connections.

The same code runs on SQLite in a file (``sqlite:///path``), SQLite in memory (``sqlite://``, for
tests) and PostgreSQL (``postgresql+psycopg://...``). It knows nothing of any table.

SQLite is opened for durability first: WAL with ``synchronous=FULL`` (with NORMAL a power cut
loses acknowledged commits), the names of its files synced before the first write, BEGIN IMMEDIATE
for writes (a deferred transaction that reads before it writes fails under concurrency), and only
the writing connection checkpoints, which keeps clear of the WAL-reset fault of SQLite before
3.51.3.

On PostgreSQL a connection lost before COMMIT fails the writes of that group only, and the next
group connects again. A connection lost during COMMIT leaves an outcome nobody knows: those
futures get StorageFailedError (``cause=commit_unknown``) and the database stops, because only
reading again tells what was kept.
"""

import asyncio
import contextlib
import os
import shlex
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Dialect, Engine, make_url
from sqlalchemy.pool import NullPool, QueuePool, StaticPool
from sqlalchemy.types import BigInteger, TypeDecorator

from edoccore.errors import DataFolderError, EdocError, SettingsError, StorageFailedError
from edockit import database_errors, files
from edockit.group_writer import GroupWriter
from edockit.loop_outcomes import LoopOutcomes
from edockit.postgres import postgres_engines

READERS = 4  # connections and threads that read at the same time
READER_WAIT_S = 30  # seconds a reader waits for a free connection
BUSY_TIMEOUT_MS = 5_000  # another process (a backup) may hold the SQLite file this long
WRITER_CACHE_KIB = 16_384
PAGE_BYTES = 8_192  # a document of 4 KiB and its envelope fit into one
CHECKPOINT_PAGES = 4_096  # 32 MiB of WAL; each checkpoint costs two fsyncs
READER_CACHE_KIB = 4_096
WAL_SIZE_LIMIT_BYTES = 64 * 1024 * 1024  # the WAL shrinks to this after a burst
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

Result = TypeVar("Result")


class UTCDateTime(TypeDecorator[datetime]):
    """A moment, stored as whole milliseconds since 1970 in UTC on every database.

    Takes and gives aware datetimes; milliseconds are the precision of the protocol, what is
    finer is cut off. SQLite would lose a time zone, so no bare DateTime column may exist.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Turns an aware datetime into milliseconds.

        Raises:
            ValueError: The datetime has no time zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a time zone cannot be stored: {value!r}")
        return (value - _EPOCH) // _MILLISECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turns milliseconds into an aware datetime in UTC."""
        return None if value is None else _EPOCH + value * _MILLISECOND


class Database:
    """Writes in groups through one thread, reads through a bounded pool."""

    def __init__(
        self,
        writing: Engine,
        reading: Engine | None,
        *,
        on_failure: Callable[[EdocError], None] | None,
    ) -> None:
        """Joins two engines; ``open`` is the way to get a database.

        Args:
            writing: Gives the one writing connection.
            reading: Gives read-only connections; None: readers share the writing connection.
            on_failure: Called once, in the writing thread, when the disk cannot be trusted.
        """
        self.engine = writing
        self.on_failure = on_failure
        self._reading = reading
        self._shared = threading.Lock()  # the writing connection, or the only one
        self._outcomes = LoopOutcomes()
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="database-reader")
        source = _WritingConnections(writing)
        self._writer = GroupWriter(
            source,
            self._shared,
            on_failure=self._report_failure,
            together=self._outcomes.together,
        )

    @classmethod
    def open(
        cls,
        url: str,
        *,
        metadata: sqlalchemy.MetaData | None = None,
        on_failure: Callable[[EdocError], None] | None = None,
    ) -> Self:
        """Opens a database, making the SQLite file (mode 0600) when it is missing.

        Args:
            url: ``sqlite:///path``, ``sqlite://`` or ``postgresql+psycopg://...``.
            metadata: Tables to create when missing; programs use migrations instead.
            on_failure: Called once, in the writing thread, when writing ends for good.

        Raises:
            SettingsError: The URL is of another kind.
            DataFolderError: The file cannot be opened or others may read it.
            StorageDamagedError: The file is not a database.
            StorageFailedError: The PostgreSQL server does not answer or let this user in.
        """
        database = cls(*_engines(url), on_failure=on_failure)
        database._writer.start()
        try:
            database.write(lambda connection: _prepare(connection, metadata)).result()
        except BaseException:
            database.close()
            raise
        return database

    @property
    def failed(self) -> bool:
        """Whether writing has ended for good because the disk cannot be trusted."""
        return self._writer.failure is not None

    def write(self, fn: Callable[[Connection], Result]) -> Future[Result]:
        """Queues a write; the future resolves after the COMMIT that holds it.

        Args:
            fn: Gets the writing connection inside a transaction it shares with other writes; it
                neither commits nor rolls back, and does not call this database.

        Returns:
            A future with the result of ``fn``, or its exception (then nothing of it is kept), or
            DiskFullError (nothing kept, may be tried again), StorageFailedError or
            StorageDamagedError (writing has ended; whether it was kept is not known).

        Raises:
            RuntimeError: The database was closed.
        """
        return self._writer.submit(fn)

    def read(self, fn: Callable[[Connection], Result]) -> Result:
        """Runs ``fn`` on a read-only connection, in one snapshot, in the calling thread.

        ``fn`` does not wait for a write: in memory it would wait for itself.

        Raises:
            StorageFailedError: The disk or the connection failed.
            StorageDamagedError: The file is damaged.
        """
        try:
            with self._reader() as connection:
                return fn(connection)
        except (sqlalchemy.exc.DBAPIError, sqlite3.Error) as error:
            verdict = database_errors.from_database(error)
            if verdict is None:
                raise
            raise verdict from error

    async def awrite(self, fn: Callable[[Connection], Result]) -> Result:
        """Queues a write and waits for its COMMIT without blocking the event loop.

        A cancelled caller does not undo a write that has begun.
        """
        return await self._outcomes.of(self.write(fn))

    async def aread(self, fn: Callable[[Connection], Result]) -> Result:
        """Reads in one of a few threads without blocking the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.read, fn)

    @contextlib.contextmanager
    def schema_change(self) -> Iterator[Connection]:
        """Lends a connection in one transaction, for changing tables before others use them.

        SQLite does not check foreign keys meanwhile, because it changes a table by copying it.
        The transaction is committed when the block ends, undone when it raises.
        """
        with self._shared, self.engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection  # untyped DBAPI
            sqlite = isinstance(driver, sqlite3.Connection)
            if sqlite:
                driver.execute("PRAGMA foreign_keys=OFF")  # does nothing inside a transaction
            try:
                with connection.begin():
                    yield connection
            finally:
                if sqlite:
                    driver.execute("PRAGMA foreign_keys=ON")

    def close(self) -> None:
        """Finishes queued writes and ends all connections; repeating it does nothing."""
        self._threads.shutdown(wait=True)
        if self._reading is not None:
            self._reading.dispose()  # before the writer: the last one to close checkpoints
        self._writer.close()
        self.engine.dispose()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Connection]:
        if self._reading is not None:
            # Ended by COMMIT: at a ROLLBACK psycopg forgets the statements it has prepared.
            with self._reading.connect() as connection, connection.begin():
                yield connection
            return
        with self._shared, self.engine.connect() as connection, connection.begin() as snapshot:
            connection.exec_driver_sql("PRAGMA query_only=ON")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("PRAGMA query_only=OFF")
                snapshot.rollback()

    def _report_failure(self, failure: EdocError) -> None:
        if self.on_failure is not None:
            self.on_failure(failure)


class _WritingConnections:
    """Opens the writing connection and looks into its transaction, for both databases."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def connect(self) -> Connection:
        """Opens the writing connection."""
        return self._engine.connect()

    def in_transaction(self, connection: Connection) -> bool:
        """Tells whether the transaction is open and could be committed."""
        if connection.invalidated:
            return False
        driver: Any = connection.connection.dbapi_connection  # untyped DBAPI
        if isinstance(driver, sqlite3.Connection):
            return driver.in_transaction
        return bool(driver.info.transaction_status.name == "INTRANS")


def _engines(url: str) -> tuple[Engine, Engine | None]:
    """Builds the writing and the reading engine for a database URL."""
    try:
        parsed = make_url(url)
    except sqlalchemy.exc.ArgumentError as error:
        raise _url_refused(url) from error
    if parsed.drivername == "postgresql+psycopg":
        return postgres_engines(parsed, readers=READERS, reader_wait_s=READER_WAIT_S)
    if parsed.drivername != "sqlite":
        raise _url_refused(url)
    if parsed.database is None:
        return _sqlite_engine(parsed, StaticPool, writing=_MEMORY_PRAGMAS), None
    _make_file(parsed.database)
    reading = sqlalchemy.create_engine(
        parsed,
        poolclass=QueuePool,
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=READER_WAIT_S,
        connect_args=_SQLITE_CONNECT,
        hide_parameters=True,  # rows are documents; a log never holds their content
    )
    _set_up_sqlite(reading, _READER_PRAGMAS, "BEGIN")
    return _sqlite_engine(parsed, NullPool, writing=_WRITER_PRAGMAS), reading


def _url_refused(url: str) -> SettingsError:
    scheme = url.partition(":")[0]  # never the rest: it may hold a password
    return SettingsError(
        f"a database of kind {scheme!r} is not known",
        hint="use sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME",
    )


_SQLITE_CONNECT = {
    "check_same_thread": False,
    "isolation_level": None,  # sqlite3 begins nothing by itself
    "timeout": BUSY_TIMEOUT_MS / 1000,
}
_MEMORY_PRAGMAS = ("foreign_keys=ON", "temp_store=MEMORY")
_WRITER_PRAGMAS = (
    f"page_size={PAGE_BYTES}",
    "journal_mode=WAL",
    "synchronous=FULL",
    f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    "foreign_keys=ON",
    "temp_store=MEMORY",
    f"cache_size=-{WRITER_CACHE_KIB}",
    f"journal_size_limit={WAL_SIZE_LIMIT_BYTES}",
)
_READER_PRAGMAS = (
    "query_only=ON",
    "wal_autocheckpoint=0",  # only the writer checkpoints
    "temp_store=MEMORY",
    f"cache_size=-{READER_CACHE_KIB}",
)


def _sqlite_engine(url: URL, pool: type[sqlalchemy.Pool], *, writing: tuple[str, ...]) -> Engine:
    engine = sqlalchemy.create_engine(
        url, poolclass=pool, connect_args=_SQLITE_CONNECT, hide_parameters=True
    )
    _set_up_sqlite(engine, writing, "BEGIN IMMEDIATE")
    if url.database is not None:
        path = Path(url.database)
        event.listen(engine, "connect", lambda driver, _record: _make_names_durable(driver, path))
    return engine


def _make_names_durable(driver: sqlite3.Connection, path: Path) -> None:
    """Has the names of the database and of its WAL on the disk before anything is written.

    SQLite syncs the folder too, and goes on when that fails; then a power cut would take the WAL
    with all that was acknowledged.

    Raises:
        StorageFailedError: The disk failed, or it cannot hold a WAL.
    """
    mode = driver.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal":
        raise StorageFailedError(
            f"the database {path} cannot be opened with a write-ahead log (mode {mode!r})",
            hint="check the disk (dmesg, smartctl); the data folder must lie on a local disk",
        )
    driver.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # which makes the WAL
    files.fsync_folder(path.parent)


def _set_up_sqlite(engine: Engine, pragmas: tuple[str, ...], begin: str) -> None:
    def on_connect(driver: sqlite3.Connection, _record: object) -> None:
        for pragma in pragmas:
            driver.execute(f"PRAGMA {pragma}").fetchall()  # some fail only at their last row

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)


def _make_file(path: str) -> None:
    """Makes an empty database file that only its owner may read; SQLite's side files follow it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DataFolderError(
            f"the database file {path} cannot be opened: {error.strerror}",
            hint="check that the folder exists and belongs to this user",
            path=path,
        ) from error
    files.fsync_folder(Path(path).absolute().parent)
    if os.stat(path).st_mode & 0o077:
        raise DataFolderError(
            f"others may read the database file {path}",
            hint=f"chmod 600 {shlex.quote(path)}",
            path=path,
        )


def _prepare(connection: Connection, metadata: sqlalchemy.MetaData | None) -> None:
    """Proves that the database answers, and creates missing tables."""
    connection.execute(sqlalchemy.text("SELECT 1"))
    if metadata is not None:
        metadata.create_all(connection)
