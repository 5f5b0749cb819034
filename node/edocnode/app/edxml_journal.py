"""What the drop folder remembers: so that a kill at any moment loses no file and doubles none.

A file appears in three steps: its bytes under a hidden name, a row that says it is about to
appear, the renaming. After a kill the row says whether the renaming is still to be done: the hidden
name is there, or it is not. Local software may take the file away the moment it appears.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edoccore.errors import DiskFullError, StorageFailedError
from edockit.files import disk_errors, fsync_folder

_WAL_PAGES = 50  # of 4 KiB; SQLite's own 1000 would fill a small disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearing:
    """A file that is about to appear.

    Attributes:
        hidden: Where its bytes are.
        path: Where they will be.
        consumer: Whose place in the inbox moves to ``position`` then; empty: nobody's.
        message: Delivery of which ``step`` is told by it; empty: none.
        version: Message whose version of a document it brings; empty: none.
    """

    hidden: Path
    path: Path
    consumer: str = ""
    position: int = 0
    message: str = ""
    step: int = 0
    version: str = ""


class _Database:
    """A SQLite file whose errors say what is wrong with the disk."""

    def __init__(self, path: Path) -> None:
        """Opens or makes it."""
        self._path = path
        with _database_errors(path):
            self._connection = sqlite3.connect(path, isolation_level=None)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    def execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Runs a statement.

        Raises:
            DiskFullError: No room.
            StorageFailedError: The disk failed.
        """
        with _database_errors(self._path):
            return self._connection.execute(statement, values)

    def close(self) -> None:
        """Closes it."""
        self._connection.close()


class FolderJournal:
    """The memory of one drop folder, a SQLite file in it; used by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Opens or makes it."""
        self._database = _Database(path)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
        self._database.execute(
            """CREATE TABLE IF NOT EXISTS appearing (
                hidden TEXT PRIMARY KEY, path TEXT NOT NULL, consumer TEXT NOT NULL,
                position INTEGER NOT NULL, message TEXT NOT NULL, step INTEGER NOT NULL,
                version TEXT NOT NULL
            )"""
        )
        self._database.execute("CREATE TABLE IF NOT EXISTS written (version TEXT PRIMARY KEY)")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS told (message TEXT PRIMARY KEY, step INTEGER NOT NULL)"
        )
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS named "
            "(message TEXT NOT NULL, code TEXT NOT NULL, PRIMARY KEY (message, code))"
        )
        self._database.execute("CREATE INDEX IF NOT EXISTS ix_named_code ON named (code)")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS aside "
            "(name TEXT NOT NULL, consumer TEXT NOT NULL, PRIMARY KEY (name, consumer))"
        )
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS heard "
            "(one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL)"
        )
        fsync_folder(path.parent)

    def close(self) -> None:
        """Closes it."""
        self._database.close()

    def appear(self, file: Appearing) -> None:
        """Lets a file appear whose bytes are synced; what follows from it is ``settle``'s."""
        row = (
            str(file.hidden),
            str(file.path),
            file.consumer,
            file.position,
            file.message,
            file.step,
            file.version,
        )
        self._database.execute("INSERT INTO appearing VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        _rename(file)

    def settle(self, file: Appearing) -> None:
        """Forgets a file that appeared and was acknowledged, and remembers what it told."""
        with self._transaction():
            if file.message:
                self._database.execute(
                    "INSERT INTO told VALUES (?, ?) ON CONFLICT (message) DO UPDATE "
                    "SET step = max(step, excluded.step)",
                    (file.message, file.step),
                )
            if file.version:
                self._database.execute("REPLACE INTO written VALUES (?)", (file.version,))
            self._database.execute("DELETE FROM appearing WHERE hidden = ?", (str(file.hidden),))

    def unsettled(self) -> list[Appearing]:
        """Files of which a kill left open what follows; all of them have appeared now."""
        found = [
            Appearing(
                hidden=Path(hidden),
                path=Path(path),
                consumer=consumer,
                position=position,
                message=message,
                step=step,
                version=version,
            )
            for hidden, path, consumer, position, message, step, version in self._database.execute(
                "SELECT * FROM appearing ORDER BY position"
            )
        ]
        for file in found:
            _rename(file)
        return found

    def told(self, message: str) -> int:
        """The last step of a delivery that was told; -1: none was."""
        row = self._database.execute(
            "SELECT step FROM told WHERE message = ?", (message,)
        ).fetchone()
        return int(row[0]) if row else -1

    def name(self, message: str, code: str) -> None:
        """Remembers by which ``DocumentId`` local software knows a received document."""
        self._database.execute("REPLACE INTO named VALUES (?, ?)", (message, code))

    def named(self, message: str) -> str:
        """The newest such ``DocumentId``; empty when the document was never written."""
        row = self._database.execute(
            "SELECT code FROM named WHERE message = ? ORDER BY rowid DESC LIMIT 1", (message,)
        ).fetchone()
        return str(row[0]) if row else ""

    def messages_named(self, code: str) -> list[str]:
        """Deliveries, and versions of them, that local software knows by a ``DocumentId``."""
        found = self._database.execute(
            "SELECT message FROM named WHERE code = ? ORDER BY rowid DESC", (code,)
        )
        return [str(message) for (message,) in found]

    def is_written(self, version: str) -> bool:
        """Whether the version of a document that a message brought has appeared."""
        found = self._database.execute("SELECT 1 FROM written WHERE version = ?", (version,))
        return found.fetchone() is not None

    def heard(self) -> int:
        """Position up to which all events were dealt with."""
        row = self._database.execute("SELECT position FROM heard").fetchone()
        return int(row[0]) if row else 0

    def set_heard(self, position: int) -> None:
        """Says that all events up to a position were dealt with."""
        self._database.execute("REPLACE INTO heard VALUES (1, ?)", (position,))

    def set_aside(self, name: str, consumer: str) -> None:
        """Remembers what met a fault of this program, before its place in the inbox is passed.

        Args:
            name: Message of a received document, or the id of a document of which was told.
            consumer: Whose place it is; empty: that of what is told.
        """
        self._database.execute("REPLACE INTO aside VALUES (?, ?)", (name, consumer))

    def take_back(self, name: str, consumer: str) -> None:
        """Forgets what was set aside and has been dealt with."""
        self._database.execute(
            "DELETE FROM aside WHERE name = ? AND consumer = ?", (name, consumer)
        )

    def aside(self, consumer: str) -> list[str]:
        """What is set aside, oldest first."""
        found = self._database.execute(
            "SELECT name FROM aside WHERE consumer = ? ORDER BY rowid", (consumer,)
        )
        return [str(name) for (name,) in found]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        try:
            self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")


@contextmanager
def _database_errors(path: Path) -> Iterator[None]:
    """Names what went wrong with the database: DiskFullError or StorageFailedError."""
    try:
        yield
    except sqlite3.Error as error:
        full = error.sqlite_errorcode == sqlite3.SQLITE_FULL or not os.statvfs(path.parent).f_bavail
        kind = DiskFullError if full else StorageFailedError
        raise kind(f"{path} cannot be written: {error}.", path=str(path)) from error


def _rename(file: Appearing) -> None:
    if file.hidden.exists():
        with disk_errors(file.path):
            os.replace(file.hidden, file.path)
        fsync_folder(file.path.parent)
