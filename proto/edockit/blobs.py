"""The folder of parts: files named by their SHA-256, made durable before they have that name.

A part grows in ``staging`` under a key its owner chooses, survives breaks and restarts there, and
is moved to ``ab/cdef...`` once its size and digest are right. No name from a peer ever reaches
the disk. Memory does not depend on the size of a part. Everything is synchronous; callers on an
event loop use threads. Which part belongs to which document, and when one may go, is not known
here.

Invariants:
 1. A file under its digest is whole and durable; a damaged one is noticed when it is read to the
    end, and never handed out as sound.
 2. The offset ``sync`` returns is on the disk; bytes after it may be lost with the power.
 3. What was set aside as damaged is never handed out again, and goes only with the part itself,
    when all that is left of it is to go.
"""

import contextlib
import hashlib
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from edoccore.errors import DiskFullError, PartDigestError, StorageDamagedError
from edockit import files
from edockit.blob_reader import READ_BYTES, BlobReader

STAGING_NAME = "staging"
QUARANTINE_NAME = "quarantine"
REMOVING = "removing-"  # before the digest of a part that is being removed; a name in staging
MIN_RESERVE_BYTES = 64 * 1024 * 1024  # kept free for receipts, the database and the operator
MAX_RESERVE_BYTES = 1024 * 1024 * 1024
RESERVE_SHARE = 100  # one hundredth of the disk, between the two bounds
LOOK_S = 0.01  # between two looks at how full the disk is; far less than a reserve comes meanwhile
CLOCK_LAG_S = 1.0  # times of files may be that much behind the clock
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Staged:
    """A part that is still growing."""

    key: str
    size_bytes: int
    changed_at: float  # seconds since 1970, of the last write


class FileMark(NamedTuple):
    """Which file lies in a place: another one put there has another mark."""

    inode: int
    written_at: int  # nanoseconds since 1970


class StagingFile:
    """A growing part; its calls may come from different threads, one after another or at once."""

    def __init__(self, key: str, path: Path, *, offset: int) -> None:
        """Opens or makes the file and reads what is already there up to ``offset``.

        Args:
            key: Its name in staging.
            path: Its place.
            offset: Bytes known to be durable; what is behind them is cut off.

        Raises:
            StorageDamagedError: Fewer bytes are there.
            DiskFullError: No room.
            StorageFailedError: The disk failed.
        """
        self.key = key
        self.path = path
        self._lock = threading.Lock()
        self._syncing = threading.Lock()  # taken before the other
        self._digest = hashlib.sha256()
        self._size = offset
        with files.disk_errors(path):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, files.PRIVATE_FILE_MODE)
        try:
            self._resume()
        except BaseException:
            self.close()
            raise

    @property
    def size_bytes(self) -> int:
        """Bytes written so far, durable or not."""
        return self._size

    def append(self, content: bytes | memoryview) -> int:
        """Adds bytes at the end; nothing of them counts when it raises.

        Returns:
            The new size.

        Raises:
            DiskFullError: No room; what was there before stays, try again with the same bytes.
            StorageFailedError: The disk failed.
        """
        with self._lock, files.disk_errors(self.path):
            rest, position = memoryview(content), self._size
            while rest:
                written = os.pwrite(self._descriptor, rest, position)
                rest, position = rest[written:], position + written
            self._digest.update(content)
            self._size = position
            return position

    def sync(self) -> int:
        """Makes everything written so far durable; returns how many bytes that is.

        More may be written meanwhile.

        Raises:
            StorageFailedError: The disk failed; never to be repeated.
        """
        with self._syncing, files.disk_errors(self.path):
            with self._lock:
                os.ftruncate(self._descriptor, self._size)  # a failed append may have left a tail
                size = self._size
            os.fsync(self._descriptor)
            return size

    def sha256(self) -> str:
        """Returns the digest of everything written, lower hex."""
        with self._lock:
            return self._digest.hexdigest()

    def close(self) -> None:
        """Closes the file, which stays in staging; repeating it does nothing."""
        with self._syncing, self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def __enter__(self) -> Self:
        """Keeps the file open for a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file."""
        self.close()

    def _resume(self) -> None:
        with files.disk_errors(self.path):
            os.ftruncate(self._descriptor, min(self._size, os.fstat(self._descriptor).st_size))
            position = 0
            while position < self._size:
                content = os.pread(self._descriptor, READ_BYTES, position)
                if not content:
                    raise StorageDamagedError(
                        f"{self.path} has {position} bytes of {self._size} that were durable",
                        hint="the part is asked for again from its start",
                        key=self.key,
                    )
                self._digest.update(content)
                position += len(content)


class BlobFolder:
    """Parts by digest under one folder."""

    def __init__(self, path: Path, *, reserve_bytes: int | None = None) -> None:
        """Opens the folder, making it when it is missing.

        Args:
            path: The folder, on the disk the parts are to lie on.
            reserve_bytes: Room never lent to parts; None: a hundredth of the disk, at least 64 MiB
                and at most 1 GiB.

        Raises:
            DataFolderError: It cannot be made.
        """
        self._root = path
        self._staging = path / STAGING_NAME
        self._quarantine = path / QUARANTINE_NAME
        self._reserve_bytes = reserve_bytes
        self._seen: tuple[float, os.statvfs_result | None] = 0.0, None
        self._unsettled: Counter[str] = Counter()  # put here, and nobody said yet what needs them
        files.make_private_folder(self._staging)

    def open_staging(self, key: str, offset: int = 0) -> StagingFile:
        """Opens a growing part.

        Args:
            key: Letters, digits, ``. _ -``; made by this program, never by a peer.
            offset: Bytes that an earlier ``sync`` made durable; 0 begins anew.

        Raises:
            StorageDamagedError: Fewer bytes are there.
            DiskFullError: No room.
            StorageFailedError: The disk failed.
        """
        return StagingFile(key, self._staged(key), offset=offset)

    def finish(self, staging: StagingFile, sha256: str, *, size_bytes: int) -> Path:
        """Checks a part and gives it its durable name; a part that is there already is replaced.

        Args:
            staging: Closed here, whatever happens.
            sha256: Lower hex, from the sealed envelope.
            size_bytes: From the sealed envelope.

        Raises:
            PartDigestError: Size or digest differ; the file stays in staging, to be discarded.
            StorageFailedError: The disk failed; never to be repeated.
            DiskFullError: No room for the name; may be tried again.
        """
        target = self.path(sha256)
        try:
            if (staging.size_bytes, staging.sha256()) != (size_bytes, sha256):
                raise PartDigestError(
                    f"a part has {staging.size_bytes} bytes with digest {staging.sha256()}, "
                    f"its envelope states {size_bytes} bytes with digest {sha256}",
                    hint="it is asked for again",
                    sha256=sha256,
                )
            staging.sync()
        finally:
            staging.close()
        files.make_private_folder(target.parent)
        self._unsettled[sha256] += 1
        with files.disk_errors(target):
            os.replace(staging.path, target)
        files.fsync_folder(target.parent)
        files.fsync_folder(self._staging)
        return target

    def put(self, content: bytes, sha256: str) -> Path:
        """Keeps a part that is in memory, durably; its digest was checked by the caller.

        Raises:
            DiskFullError: No room besides the reserve; nothing is left behind.
            StorageFailedError: The disk failed.
        """
        self.reserve(len(content))
        target = self.path(sha256)
        files.make_private_folder(target.parent)
        self._unsettled[sha256] += 1
        files.write_file_atomic(target, content)
        return target

    def path(self, sha256: str) -> Path:
        """Returns where a part lies or would lie.

        Raises:
            ValueError: It is no digest in lower hex.
        """
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"not a SHA-256 in lower hex: {sha256!r}")
        return self._root / sha256[:2] / sha256[2:]

    def holds(self, sha256: str, size_bytes: int) -> bool:
        """Whether a part of this size lies under a digest; its bytes are not read."""
        with files.disk_errors(self._root):
            try:
                return self.path(sha256).stat().st_size == size_bytes
            except FileNotFoundError:
                return False

    def open(self, sha256: str, offset: int = 0) -> BlobReader:
        """Opens a stored part for reading.

        Args:
            sha256: Lower hex.
            offset: Where to begin; the bytes before it are read too, for the digest.

        Raises:
            StorageDamagedError: It is missing or shorter.
            StorageFailedError: The disk failed.
        """
        return BlobReader(self.path(sha256), sha256, offset=offset)

    def remove(self, sha256: str) -> None:
        """Removes a stored part, durably; one that is not there is no error.

        Raises:
            StorageFailedError: The disk failed.
        """
        path = self.path(sha256)
        if path.exists():
            with files.disk_errors(path):
                path.unlink(missing_ok=True)
            files.fsync_folder(path.parent)

    def which(self, sha256: str) -> FileMark | None:
        """Which file lies under a digest now, to be asked before it is judged; None: there is none.

        Raises:
            StorageFailedError: The disk failed.
        """
        path = self.path(sha256)
        with files.disk_errors(path):
            try:
                return _mark(path)
            except FileNotFoundError:
                return None

    def set_aside(self, sha256: str, judged: FileMark) -> Path | None:
        """Moves a damaged part to the quarantine, durably; one put there since is not touched.

        Args:
            judged: Of ``which``, taken before the part was found damaged.

        Returns:
            Its new place; None when that file is not there any more.

        Raises:
            StorageFailedError: The disk failed.
        """
        path = self.path(sha256)
        files.make_private_folder(self._quarantine)
        with files.disk_errors(path):
            number = 1 + sum(1 for _ in self._quarantine.glob(f"{sha256}.*"))
            target = self._quarantine / f"{sha256}.{number}"
            try:
                os.replace(path, target)
            except FileNotFoundError:
                return None
            if _mark(target) != judged:
                self._put_back(target, path)
                return None
        files.fsync_folder(self._quarantine)
        files.fsync_folder(path.parent)
        return target

    def staged_bytes(self, key: str) -> int:
        """Size of a growing part, durable or not; 0 when there is none."""
        with files.disk_errors(self._staging):
            try:
                return self._staged(key).stat().st_size
            except FileNotFoundError:
                return 0

    def iter_stored(self) -> Iterator[tuple[str, float]]:
        """Yields digest and time of the last write (seconds since 1970) of every stored part."""
        for folder in sorted(self._root.glob("[0-9a-f][0-9a-f]")):
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _SHA256.fullmatch(folder.name + entry.name):
                        yield folder.name + entry.name, entry.stat(follow_symlinks=False).st_mtime

    def remove_older(self, sha256: str, before: float) -> bool:
        """Removes a part that was written before a moment; one put there since is not touched.

        Somebody may put the same part there at any time: whatever is taken away is looked at
        before it goes, and what is new is put back.

        Args:
            before: Seconds since 1970.

        Raises:
            StorageFailedError: The disk failed.
        """
        path, aside = self.path(sha256), self._staged(REMOVING + sha256)
        with files.disk_errors(path):
            try:
                os.replace(path, aside)
            except FileNotFoundError:
                return False
            if aside.stat().st_mtime >= before:
                self._put_back(aside, path)
                return False
            aside.unlink()
        files.fsync_folder(path.parent)
        return True

    def settled(self, digests: Iterable[str]) -> None:
        """Notes that what needs parts put here is kept by now, once for each time of putting."""
        for digest in digests:
            self._unsettled[digest] -= 1
            if self._unsettled[digest] <= 0:
                del self._unsettled[digest]

    def removal_mark(self, sha256: str) -> float | None:
        """When a part may be removed at once, to be asked before looking what needs it.

        Returns:
            What ``remove_all`` needs; None while somebody has put the part there and not said yet
            that what needs it is kept (see ``settled``).
        """
        mark = time.time() - CLOCK_LAG_S
        return None if sha256 in self._unsettled else mark

    def remove_all(self, sha256: str, mark: float) -> bool:
        """Removes a part that nothing needs, with damaged copies of it.

        Args:
            mark: Of ``removal_mark``, taken before it was looked whether anything needs the part.

        Returns:
            False when it was put there anew, or a moment ago: to be asked again.
        """
        for copy in self._quarantine.glob(f"{sha256}.*"):
            copy.unlink(missing_ok=True)
        return self.remove_older(sha256, mark) or not self.path(sha256).exists()

    def put_back_removals(self) -> None:
        """Puts back what a program that died was about to remove; called at the start."""
        for staged in list(self.iter_staging()):
            if staged.key.startswith(REMOVING):
                path = self.path(staged.key.removeprefix(REMOVING))
                self._put_back(self._staged(staged.key), path)

    def _put_back(self, aside: Path, path: Path) -> None:
        with files.disk_errors(path):
            with contextlib.suppress(FileExistsError):  # a newer one is there
                os.link(aside, path)
            files.fsync_folder(path.parent)
            aside.unlink()

    def discard(self, key: str) -> None:
        """Removes a growing part; one that is not there is no error.

        Raises:
            StorageFailedError: The disk failed.
        """
        path = self._staged(key)
        with files.disk_errors(path):
            path.unlink(missing_ok=True)
        files.fsync_folder(self._staging)

    def iter_staging(self) -> Iterator[Staged]:
        """Yields every growing part, for housekeeping; in no order.

        Parts come and go meanwhile: one that is gone when it is looked at is left out.
        """
        with os.scandir(self._staging) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield Staged(entry.name, status.st_size, status.st_mtime)

    def reserve(self, size_bytes: int, *, reserves: float = 1) -> None:
        """Checks that so many bytes fit besides the reserve of this disk; takes nothing.

        Room that was there less than ``LOOK_S`` ago counts as room: nothing so small is worth a
        system call.

        Args:
            size_bytes: What is to be written.
            reserves: How many times the reserve stays free.

        Raises:
            DiskFullError: They do not.
        """
        room = self._room(reserves, newest=False)
        if size_bytes > room:
            room = self._room(reserves, newest=True)
        if size_bytes > room:
            raise DiskFullError(
                f"{size_bytes} bytes do not fit: {max(room, 0)} are free on the disk of "
                f"{self._root} besides its reserve",
                hint="free some space; the work goes on by itself",
                path=str(self._root),
            )

    def _room(self, reserves: float, *, newest: bool) -> int:
        """Bytes that were free besides the reserve, now or a moment ago."""
        seen_at, status = self._seen  # one read: several threads ask
        now = time.monotonic()
        if newest or status is None or now - seen_at > LOOK_S:
            status = os.statvfs(self._root)
            self._seen = now, status
        reserve = self._reserve_bytes
        if reserve is None:
            share = status.f_blocks * status.f_frsize // RESERVE_SHARE
            reserve = min(max(share, MIN_RESERVE_BYTES), MAX_RESERVE_BYTES)
        return status.f_bavail * status.f_frsize - int(reserve * reserves)

    def _staged(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a key of a growing part: {key!r}")
        return self._staging / key


def _mark(path: Path) -> FileMark:
    status = path.stat()
    return FileMark(status.st_ino, status.st_mtime_ns)
