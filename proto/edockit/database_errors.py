"""Tells what a failure of a database means: full, damaged, or not to be trusted any more.

Three kinds matter and are never mixed up: *full* (nothing was kept, space heals it), *damaged*
(stored bytes are not what was written) and *failed* (a write that was asked to be durable may or
may not be; asking again proves nothing, because a kernel drops the pages of a failed fsync).
It only names failures; who stops, retries or answers is decided by its callers.
"""

import sqlite3

import sqlalchemy
import sqlalchemy.exc

from edoccore.errors import DiskFullError, EdocError, StorageDamagedError, StorageFailedError

_PRIMARY_CODE_MASK = 0xFF  # extended SQLite codes carry the primary one in the low byte
# Growing the shared-memory file of the WAL on a full disk is reported as an I/O error.
_FULL_IO_CODES = frozenset({sqlite3.SQLITE_IOERR_SHMSIZE})
_DAMAGED_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
CONNECTION_LOST = "connection_lost"  # before COMMIT: certainly not kept, another connection may do
COMMIT_UNKNOWN = "commit_unknown"
_POSTGRES_DISK_FULL = "53100"
_POSTGRES_IO_ERROR = "58030"
_POSTGRES_UNREACHABLE = ("08", "28", "3D", "57P")  # no connection, login, database; shut down
_POSTGRES_DAMAGED = frozenset({"XX001", "XX002"})


def from_database(error: BaseException) -> EdocError | None:
    """Returns the storage error behind a database exception, or None when it is about data.

    Args:
        error: What SQLAlchemy, sqlite3 or psycopg raised.
    """
    if not isinstance(error, sqlalchemy.exc.DBAPIError):
        return _from_sqlite(error) if isinstance(error, sqlite3.Error) else None
    if isinstance(error.orig, sqlite3.Error):
        return _from_sqlite(error.orig)
    return _from_postgres(error)


def commit_unknown(error: BaseException) -> StorageFailedError:
    """Returns the error for a COMMIT whose outcome nobody knows: the database is the truth."""
    return StorageFailedError(
        f"the connection to the database was lost during COMMIT, its outcome is unknown: {error}",
        hint="start again; what the database holds is the truth",
        cause=COMMIT_UNKNOWN,
    )


def writer_fault(error: BaseException) -> StorageFailedError:
    """Returns the error for a fault of the program itself while it wrote."""
    return StorageFailedError(
        f"writing to the database ended by a fault of this program: {error!r}",
        hint="start again, and report the traceback in the log",
    )


def _from_sqlite(error: sqlite3.Error) -> EdocError | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    if code in _FULL_IO_CODES or code & _PRIMARY_CODE_MASK == sqlite3.SQLITE_FULL:
        return DiskFullError(
            "there is no room left for the database; nothing of this was kept",
            hint="free some space; the work goes on by itself",
        )
    if code & _PRIMARY_CODE_MASK in _DAMAGED_CODES:
        return StorageDamagedError(
            f"the database file is damaged: {error}", hint="restore the last backup"
        )
    if code & _PRIMARY_CODE_MASK == sqlite3.SQLITE_IOERR:
        return StorageFailedError(
            f"the disk of the database failed: {error} ({error.sqlite_errorname})",
            hint="check the disk (dmesg, smartctl) before starting again",
            cause=error.sqlite_errorname,
        )
    return None


def _from_postgres(error: sqlalchemy.exc.DBAPIError) -> EdocError | None:
    state = getattr(error.orig, "sqlstate", None)
    if state == _POSTGRES_DISK_FULL:
        return DiskFullError("the disk of the PostgreSQL server is full", hint="free some space")
    if state in _POSTGRES_DAMAGED:
        return StorageDamagedError(f"PostgreSQL reports damaged data: {error.orig}")
    unreachable = isinstance(error, sqlalchemy.exc.OperationalError) and (
        state is None or state.startswith(_POSTGRES_UNREACHABLE)
    )
    if error.connection_invalidated or unreachable or state == _POSTGRES_IO_ERROR:
        return StorageFailedError(
            f"the connection to PostgreSQL failed: {error.orig}",
            hint="check that the PostgreSQL server runs and is reachable",
            cause=CONNECTION_LOST,
        )
    return None
