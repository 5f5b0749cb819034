"""What a node keeps over a crash: its database, its parts, its directory. And how disks fail.

The SQL is real and so are the tables; the database lies in memory, and what was committed is what
survives. Parts are bytes with a mark up to where they were fsynced; what is behind it, and names
whose folder was not fsynced, may be gone after a crash.
"""

import asyncio
import hashlib
import math
import random
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from edoccore.directory.equivocation import Equivocation
from edoccore.directory.floor import NO_FLOOR, Floor
from edoccore.directory.loading import load
from edoccore.directory.trust import check_floor
from edoccore.directory.view import Directory
from edoccore.errors import (
    DiskFullError,
    EdocError,
    PartDigestError,
    StorageDamagedError,
    StorageFailedError,
)
from edockit.blob_reader import READ_BYTES
from edockit.blobs import FileMark, Staged
from tests.simulation.process import Process, ProcessKilled
from tests.support.stores import serialized

COMMIT_S = 0.004  # the longest an fsync takes, but for a few
SLOW_COMMIT_S = 0.5  # those few
SLOW = 0.01  # their share
_MET = "INSERT INTO peer (agency, attempts, reason, message, last_seen) VALUES (?, 0, '', '', 0)"
GROUP = 64  # writes that share a commit, at most


@dataclass
class _File:
    content: bytearray
    durable: int = 0


@dataclass
class Parts:
    """The files of a node's parts: growing by key, stored by digest."""

    staging: dict[str, _File] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    unnamed: dict[str, str] = field(default_factory=dict)  # digest -> key: rename not fsynced

    def copy(self) -> "Parts":
        """The same files, apart."""
        staging = {key: _File(bytearray(f.content), f.durable) for key, f in self.staging.items()}
        return Parts(staging, dict(self.stored), dict(self.unnamed))

    def crash(self, chance: random.Random) -> None:
        """Loses a chance part of what was not fsynced."""
        for file in self.staging.values():
            kept = chance.randint(file.durable, max(file.durable, len(file.content)))
            del file.content[kept:]
        for digest, key in self.unnamed.items():
            if chance.random() < 0.5:
                content = self.stored.pop(digest)
                self.staging[key] = _File(bytearray(content), len(content))
        self.unnamed.clear()


@dataclass
class Disk:
    """What survives, and what is wrong with it now.

    Attributes:
        full: Share of writes that find no room, for others fill and free the disk too.
        failing: The next commit fails; whether it was kept nobody knows.
    """

    connection: Connection
    driver: sqlite3.Connection
    chance: random.Random
    parts: Parts = field(default_factory=Parts)
    directory: Directory | None = None
    floor: Floor = NO_FLOOR
    proofs: list[Equivocation] = field(default_factory=list)
    snapshots: dict[int, bytes] = field(default_factory=dict)
    full: float = 0.0
    failing: bool = False

    @classmethod
    def new(cls, chance: random.Random) -> "Disk":
        """A disk with empty tables of today's form."""
        connection = _engine().connect()
        driver = connection.connection.dbapi_connection
        driver.deserialize(serialized())
        return cls(connection, driver, chance)

    def know(self, agencies: Sequence[str]) -> None:
        """Notes that peers were met before."""
        self.driver.executemany(_MET, [(agency,) for agency in agencies])

    def copy(self) -> tuple[bytes, Parts]:
        """A backup of database and parts, as of a stopped node."""
        return self.driver.serialize(), self.parts.copy()

    def restore(self, backup: tuple[bytes, Parts]) -> None:
        """Puts a backup in the place of what is here; the directory's floor lies outside."""
        self.driver.deserialize(backup[0])
        self.parts = backup[1].copy()

    def is_full(self) -> bool:
        """Whether the next write finds no room."""
        return bool(self.full) and self.chance.random() < self.full

    def crash(self) -> None:
        """Loses what was not fsynced."""
        self.parts.crash(self.chance)


@cache
def _engine() -> Engine:
    """One engine for all nodes, so that they share what SQLAlchemy compiles."""
    engine = sqlalchemy.create_engine(
        "sqlite://",
        poolclass=NullPool,
        connect_args={"isolation_level": None, "check_same_thread": False},
    )

    def on_connect(driver: sqlite3.Connection, _record: object) -> None:
        driver.execute("PRAGMA foreign_keys=ON")

    sqlalchemy.event.listen(engine, "connect", on_connect)
    sqlalchemy.event.listen(
        engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE")
    )
    return engine


class SimulatedDatabase:
    """Takes the place of ``edockit.database.Database`` in one process."""

    def __init__(self, disk: Disk, process: Process) -> None:
        """Opens the disk for a process."""
        self._disk = disk
        self._process = process
        self._queue: deque[tuple[Callable[[Connection], Any], asyncio.Future]] = deque()
        self._busy = False
        self.failure: EdocError | None = None
        self.on_failure: Callable[[EdocError], None] | None = None

    @property
    def failed(self) -> bool:
        """Whether writing has ended for good."""
        return self.failure is not None

    async def awrite(self, fn: Callable[[Connection], Any]) -> Any:
        """Waits for the commit that holds a write."""
        self._process.effect("db.write")
        if self.failure is not None:
            raise self.failure
        future = asyncio.get_running_loop().create_future()
        self._queue.append((fn, future))
        self._begin()
        return await future

    async def aread(self, fn: Callable[[Connection], Any]) -> Any:
        """Reads what is committed."""
        return await asyncio.get_running_loop().run_in_executor(None, self.read, fn)

    def read(self, fn: Callable[[Connection], Any]) -> Any:
        """Reads what is committed, in one snapshot."""
        with self._disk.connection.begin() as snapshot:
            try:
                return fn(self._disk.connection)
            finally:
                snapshot.rollback()

    def _begin(self) -> None:
        if self._busy or not self._queue:
            return
        self._busy = True
        chance = self._disk.chance
        late = SLOW_COMMIT_S if chance.random() < SLOW else COMMIT_S
        asyncio.get_running_loop().call_later(chance.random() * late, self._run)

    def _run(self) -> None:
        try:
            self._process.effect("db.commit")
            group = self._group()
            answers = self._commit(group)
            self._process.effect("db.committed")
        except ProcessKilled:
            return
        for future, result in answers:
            _settle(future, result)
        self._busy = False
        self._begin()

    def _group(self) -> list[tuple[Callable[[Connection], Any], asyncio.Future]]:
        size = self._disk.chance.randint(1, GROUP)
        taken = [self._queue.popleft() for _ in range(min(size, len(self._queue)))]
        return [(fn, future) for fn, future in taken if not future.cancelled()]

    def _commit(
        self, group: list[tuple[Callable[[Connection], Any], asyncio.Future]]
    ) -> list[tuple[asyncio.Future, Any]]:
        """One transaction; what each caller is to be told."""
        disk = self._disk
        if disk.is_full():
            return [(future, DiskFullError("no room on the disk")) for _, future in group]
        kept = True
        if disk.failing:
            disk.failing, kept = False, disk.chance.random() < 0.5
            self.failure = StorageFailedError("the disk failed", cause="commit_unknown")
        results = []
        with disk.connection.begin() as transaction:
            for fn, future in group:
                results.append((future, self._one(fn)))
            if kept:
                transaction.commit()
            else:
                transaction.rollback()
        if self.failure is not None:
            if self.on_failure is not None:
                self.on_failure(self.failure)
            waiting = [future for _, future in self._queue]
            self._queue.clear()
            futures = [future for future, _ in results] + waiting
            return [(future, self.failure) for future in futures]
        return results

    def _one(self, fn: Callable[[Connection], Any]) -> Any:
        connection = self._disk.connection
        connection.exec_driver_sql("SAVEPOINT one")
        try:
            result = fn(connection)
        except Exception as error:  # noqa: BLE001 - belongs to the caller
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT one")
            result = error
        connection.exec_driver_sql("RELEASE SAVEPOINT one")
        return result


def _settle(future: asyncio.Future, result: Any) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


# --- Parts -----------------------------------------------------------------------------------


class SimulatedBlobs:
    """Takes the place of ``edockit.blobs.BlobFolder`` in one process."""

    def __init__(self, disk: Disk, process: Process) -> None:
        """Opens the files for a process."""
        self._disk = disk
        self._process = process

    def open_staging(self, key: str, offset: int = 0) -> "GrowingPart":
        """Opens a growing part at a durable offset."""
        self._process.effect("part.open")
        file = self._disk.parts.staging.setdefault(key, _File(bytearray()))
        if len(file.content) < offset:
            raise StorageDamagedError(f"{key} has {len(file.content)} bytes of {offset}")
        del file.content[offset:]
        return GrowingPart(key, file, self._disk, self._process)

    def finish(self, staging: "GrowingPart", sha256: str, *, size_bytes: int) -> None:
        """Checks a part and gives it its durable name."""
        if (staging.size_bytes, staging.sha256()) != (size_bytes, sha256):
            staging.close()
            raise PartDigestError("a part has another size or digest than its envelope states")
        staging.sync()
        parts = self._disk.parts
        parts.stored[sha256] = bytes(staging.file.content)
        parts.staging.pop(staging.key, None)
        parts.unnamed[sha256] = staging.key
        self._process.effect("part.renamed")
        parts.unnamed.pop(sha256, None)
        self._process.effect("part.stored")

    def put(self, content: bytes, sha256: str) -> None:
        """Keeps a part that is in memory, durably."""
        self.reserve(len(content))
        self._process.effect("part.put")
        self._disk.parts.stored[sha256] = content
        self._process.effect("part.stored")

    def settled(self, digests: Iterable[str]) -> None:
        """Nothing is removed here while it may be about to be needed."""

    def removal_mark(self, sha256: str) -> float | None:
        """A part may go at once, unless it was put there and is not kept yet."""
        return None if sha256 in self._disk.parts.unnamed else 0.0

    def remove_all(self, sha256: str, mark: float) -> bool:
        """Removes a part, durably."""
        self._process.effect("part.removed")
        self._disk.parts.stored.pop(sha256, None)
        return True

    def holds(self, sha256: str, size_bytes: int) -> bool:
        """Whether a part of this size lies under a digest."""
        return len(self._disk.parts.stored.get(sha256, b"")) == size_bytes

    def open(self, sha256: str, offset: int = 0) -> "PartReader":
        """Opens a stored part."""
        content = self._disk.parts.stored.get(sha256)
        if content is None or len(content) < offset:
            raise StorageDamagedError(f"the stored part {sha256} is missing or shorter")
        return PartReader(content, sha256, offset)

    def discard(self, key: str) -> None:
        """Removes a growing part."""
        self._process.effect("part.discard")
        self._disk.parts.staging.pop(key, None)

    def which(self, sha256: str) -> FileMark | None:
        """Which file lies under a digest now."""
        content = self._disk.parts.stored.get(sha256)
        return None if content is None else FileMark(id(content), 0)

    def set_aside(self, sha256: str, judged: FileMark) -> Path | None:
        """Moves a damaged part out of the way; one put there since is not touched."""
        self._process.effect("part.set_aside")
        if self.which(sha256) != judged:
            return None
        del self._disk.parts.stored[sha256]
        return Path(sha256)

    def staged_bytes(self, key: str) -> int:
        """Size of a growing part."""
        file = self._disk.parts.staging.get(key)
        return 0 if file is None else len(file.content)

    def put_back_removals(self) -> None:
        """Nothing was about to be removed: see ``iter_stored``."""

    def iter_stored(self) -> Iterator[tuple[str, float]]:
        """Every stored part, as new as can be: a run is too short for one to be cleaned away."""
        for digest in sorted(self._disk.parts.stored):
            yield digest, math.inf

    def iter_staging(self) -> Iterator[Staged]:
        """Every growing part."""
        for key, file in self._disk.parts.staging.items():
            yield Staged(key, len(file.content), 0.0)

    def reserve(self, size_bytes: int, *, reserves: float = 1) -> None:
        """Checks that there is room."""
        if self._disk.is_full():
            raise DiskFullError(f"{size_bytes} bytes do not fit")


class GrowingPart:
    """Takes the place of ``edockit.blobs.StagingFile``."""

    def __init__(self, key: str, file: _File, disk: Disk, process: Process) -> None:
        """Opens it at its end."""
        self.key = key
        self.file = file
        self.path = self
        self._disk = disk
        self._process = process

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return len(self.file.content)

    def append(self, content: bytes | memoryview) -> int:
        """Adds bytes at the end."""
        self._process.effect("part.append")
        if self._disk.is_full():
            raise DiskFullError("no room on the disk")
        self.file.content += content
        return self.size_bytes

    def sync(self) -> int:
        """Makes everything written durable."""
        self._process.effect("part.sync")
        self.file.durable = self.size_bytes
        self._process.effect("part.synced")
        return self.file.durable

    def sha256(self) -> str:
        """Digest of everything written."""
        return hashlib.sha256(self.file.content).hexdigest()

    def read_bytes(self) -> bytes:
        """All bytes, as its path gives them."""
        return bytes(self.file.content)

    def close(self) -> None:
        """Closes the file, which stays."""

    def __enter__(self) -> "GrowingPart":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PartReader:
    """Takes the place of ``edockit.blobs.BlobReader``."""

    def __init__(self, content: bytes, sha256: str, offset: int) -> None:
        """Opens at an offset."""
        self._content = content
        self._sha256 = sha256
        self._offset = offset

    def read(self, size_bytes: int = READ_BYTES) -> bytes:
        """The next bytes; the end proves the whole."""
        piece = self._content[self._offset : self._offset + size_bytes]
        self._offset += len(piece)
        if not piece and hashlib.sha256(self._content).hexdigest() != self._sha256:
            raise StorageDamagedError(f"the stored part {self._sha256} has other bytes")
        return piece

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read():
            yield piece

    def close(self) -> None:
        """Closes the file."""

    def __enter__(self) -> "PartReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# --- Directory -------------------------------------------------------------------------------


class SimulatedDirectoryFiles:
    """Takes the place of ``edocnode.storage.directory_files.DirectoryFiles``: bundle and floor."""

    def __init__(self, disk: Disk, process: Process) -> None:
        """Opens the files for a process."""
        self._disk = disk
        self._process = process

    def load(self) -> Directory:
        """What the last life kept, verified; between the two writes of a save it is not older."""
        assert self._disk.directory is not None
        directory = _loaded(self._disk.directory, self._disk.floor)
        check_floor(self._disk.floor, directory)
        return directory

    def floor(self) -> Floor:
        """What must never be fallen below."""
        return self._disk.floor

    def save(self, directory: Directory) -> None:
        """Keeps the bundle, then the floor."""
        self._process.effect("directory.save")
        self._disk.directory = directory
        self._process.effect("directory.bundle")
        self._disk.floor = directory.floor()
        self._process.effect("directory.saved")

    def keep_extension(self, data: bytes) -> None:
        """Nobody extends a directory here."""
        raise NotImplementedError

    def keep_proof(self, proof: Equivocation) -> None:
        """Keeps the proof of two directories of one version."""
        self._disk.proofs.append(proof)

    def proofs(self) -> list[Equivocation]:
        """The proofs kept."""
        return self._disk.proofs

    def keep_snapshot(self, version: int, data: bytes) -> None:
        """Keeps a snapshot that was in force."""
        self._process.effect("directory.snapshot")
        self._disk.snapshots[version] = data

    def snapshots(self) -> dict[int, bytes]:
        """The snapshots kept."""
        return dict(self._disk.snapshots)


_LOADED: dict[bytes, Directory] = {}  # by its timestamp, which names all else


def _loaded(directory: Directory, floor: Floor) -> Directory:
    """Verifies a bundle anew, once for each: that is most of the cost of a start."""
    key = directory.files["timestamp.json"]
    if key not in _LOADED:
        _LOADED[key] = load(directory.files, directory.chain.anchor, floor)
    return _LOADED[key]
