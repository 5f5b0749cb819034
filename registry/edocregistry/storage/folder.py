"""The data folder of the registry: where things lie, and one change at a time.

``serve`` and the commands work on the same folder at the same time. Whoever reads or changes the
database takes its turn (an flock on ``turn.lock``), opens the database, publishes and closes it
again before the next one comes in; so there is never more than one connection that writes. The
published files are read without a turn.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from edoccore.errors import DataFolderError, FolderInUseError
from edockit import files
from edockit.database import Database
from edockit.revision import bring_up
from edocregistry.storage.directory_files import DirectoryFiles
from edocregistry.storage.keys import KeyFiles
from edocregistry.storage.log_files import LogFiles
from edocregistry.storage.migrations import HEAD, SCRIPTS
from edocregistry.storage.records import SqlRecords

SETTINGS_FILE = "edocregistry.toml"
DATABASE_FILE = "registry.sqlite"
TURN_WAIT_SECONDS = 60.0  # a turn lasts a fraction of a second; longer means something hangs
_TURN_POLL_SECONDS = 0.005

Result = TypeVar("Result")


class Turn:
    """The database, open for one change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, change: Callable[[SqlRecords], Result]) -> Result:
        """Runs one change; when this returns, it is on the disk.

        Raises:
            DiskFullError, StorageFailedError, StorageDamagedError: Nothing counts as done.
        """
        return self._database.write(lambda connection: change(SqlRecords(connection))).result()

    def read(self, look: Callable[[SqlRecords], Result]) -> Result:
        """Reads without changing anything."""
        return self._database.read(lambda connection: look(SqlRecords(connection)))


class DataFolder:
    """The paths of one data folder and the right to work in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / SETTINGS_FILE
        self.database = path / DATABASE_FILE
        self.accepted_draft = path / "accepted-draft.json"  # of officers, until it is published
        self.returned = path / "returned"  # what a node gave back, until it is taken over
        self.keys = KeyFiles(path / "keys", path / "officers")
        self.directory = DirectoryFiles(path / "directory")
        self.log = LogFiles(path / "log")

    def check(self) -> None:
        """Accepts a folder that ``init`` finished, closed to others.

        Raises:
            DataFolderError: It is not; says what to do.
        """
        if not self.settings.exists():
            raise DataFolderError(
                f"There is no registry in {self.path}.",
                hint="Name its folder with --data, or make one with: edocregistry init",
                path=str(self.path),
            )
        files.check_private(self.path)

    def make(self) -> None:
        """Makes the folders of a new registry.

        Raises:
            DataFolderError: The place cannot be used.
        """
        files.make_private_folder(self.path)
        for name in ("keys", "officers", "directory", "log"):
            files.make_private_folder(self.path / name)
        files.check_private(self.path)

    @contextlib.contextmanager
    def turn(self) -> Iterator[Turn]:
        """Waits for its turn, opens the database for the block and closes it again.

        Raises:
            FolderInUseError: Another process has not ended its turn for a minute.
        """
        with self._lock():
            database = Database.open(f"sqlite:///{self.database}")
            try:
                bring_up(database, SCRIPTS, head=HEAD)
                yield Turn(database)
            finally:
                database.close()

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Waits for its turn and keeps the folder as it is for the block; nothing is open.

        Raises:
            FolderInUseError: As ``turn``.
        """
        with self._lock():
            yield

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        path = self.path / "turn.lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(path, flags, files.PRIVATE_FILE_MODE)
        try:
            _take(descriptor, path)
            yield
        finally:
            os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    until = time.monotonic() + TURN_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise FolderInUseError(
                    f"Another edocregistry has been changing {path.parent} for a minute.",
                    hint="See what hangs (ps, fuser); the lock ends with the process.",
                    path=str(path.parent),
                ) from None
            time.sleep(_TURN_POLL_SECONDS)
        else:
            return
