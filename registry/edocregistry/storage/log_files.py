"""The log of published versions on disk: leaves that are only appended, and signed notes.

A leaf counts once it is whole: it is written and fsynced after the directory that it names, and
before the checkpoint that covers it. So after a crash there may be a leaf more than the checkpoint
says, never one less. Readers take no lock.
"""

import os
import time
from pathlib import Path

from edoccore.directory.transparency import LEAF_BYTES, MAX_LEAVES
from edoccore.errors import StorageDamagedError
from edoccore.signing.notes import MAX_NOTE_BYTES
from edockit import files

LEAVES, CHECKPOINT, WITNESSED = "leaves", "checkpoint", "witnessed"
AHEAD = "ahead"  # a signed note of more than is here, that a node showed
PLACE = "place"  # says where and when it was written; a copy of it says so wrongly
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_WRITTEN_WITHIN_NS = 5_000_000_000  # between the clock's reading and the change of the file
_TRIES = 3  # at writing the place within that time


class LogFiles:
    """The folder ``log`` of a registry."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def checkpoint(self) -> bytes:
        """The newest signed note; empty: nothing was signed yet."""
        return self._read(CHECKPOINT, MAX_NOTE_BYTES)

    def witnessed(self) -> bytes:
        """The newest note that enough witnesses have cosigned; empty: there is none."""
        return self._read(WITNESSED, MAX_NOTE_BYTES)

    def leaves(self, start: int = 0, count: int = MAX_LEAVES) -> bytes:
        """Whole leaves from a place on.

        Args:
            start: First of them, from 0.
            count: At most so many.
        """
        path = self._folder / LEAVES
        if not path.exists():
            return b""
        with files.disk_errors(path), path.open("rb") as file:
            file.seek(start * LEAF_BYTES)
            data = file.read(count * LEAF_BYTES)
        return data[: len(data) // LEAF_BYTES * LEAF_BYTES]

    def append(self, leaf: bytes, size: int) -> None:
        """Writes one leaf after the first ``size``; on disk when it returns.

        Raises:
            DiskFullError, StorageFailedError: It was not kept.
        """
        files.make_private_folder(self._folder)
        path = self._folder / LEAVES
        with files.disk_errors(path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(path, flags, files.PRIVATE_FILE_MODE)
            try:
                os.ftruncate(descriptor, size * LEAF_BYTES)  # half a leaf of a crash goes
                os.lseek(descriptor, 0, os.SEEK_END)
                files.write_all(descriptor, leaf)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        if size == 0:
            files.fsync_folder(self._folder)

    def put_checkpoint(self, note: bytes) -> None:
        """Replaces the newest signed note; raises as ``append``."""
        files.make_private_folder(self._folder)
        files.write_file_atomic(self._folder / CHECKPOINT, note)

    def put_witnessed(self, note: bytes) -> None:
        """Replaces the newest note with enough cosignatures; raises as ``append``."""
        files.make_private_folder(self._folder)
        files.write_file_atomic(self._folder / WITNESSED, note)

    def ahead(self) -> bytes:
        """The longest note that a node showed and that the leaves here do not lead to, or empty."""
        return self._read(AHEAD, MAX_NOTE_BYTES)

    def put_ahead(self, note: bytes) -> None:
        """Notes it; raises as ``append``."""
        files.make_private_folder(self._folder)
        files.write_file_atomic(self._folder / AHEAD, note)

    def drop_ahead(self) -> None:
        """Forgets it."""
        (self._folder / AHEAD).unlink(missing_ok=True)
        files.fsync_folder(self._folder)

    def is_in_place(self) -> bool:
        """Whether these are the files that were written here, since the machine was started.

        A copy that was put back, by whatever means, has another place on the disk or another time
        of change, which no program can set; a disk that was set back comes with another start of
        the machine.
        """
        if not (self._folder / CHECKPOINT).exists():
            return True  # nothing was signed yet
        return self._is_noted()

    def note_place(self) -> None:
        """Notes that what is here is the newest there is; raises as ``append``."""
        files.make_private_folder(self._folder)
        for _ in range(_TRIES):
            place = f"{self._where()} {time.time_ns()}"
            files.write_file_atomic(self._folder / PLACE, place.encode("ascii"))
            if self._is_noted():  # else the program stood still before the file was there
                return

    def _is_noted(self) -> bool:
        path = self._folder / PLACE
        try:
            where, _, written = path.read_text("ascii").rpartition(" ")
            changed = path.stat().st_ctime_ns
        except FileNotFoundError:
            return False
        if where != self._where() or not written.isdecimal():
            return False
        return abs(changed - int(written)) < _WRITTEN_WITHIN_NS

    def _where(self) -> str:
        """The start of the machine, where it tells, and the place of the leaves on its disk."""
        boot = BOOT_ID.read_text("ascii").strip() if BOOT_ID.exists() else ""
        leaves = self._folder / LEAVES
        return f"{boot} {leaves.stat().st_ino if leaves.exists() else 0}"

    def put_back(self, leaves: bytes, checkpoint: bytes, witnessed: bytes) -> None:
        """Replaces everything by what a node mirrored; raises as ``append``."""
        files.make_private_folder(self._folder)
        files.write_file_atomic(self._folder / LEAVES, leaves)
        for name, note in ((CHECKPOINT, checkpoint), (WITNESSED, witnessed)):
            if note:
                files.write_file_atomic(self._folder / name, note)

    def _read(self, name: str, limit: int) -> bytes:
        path = self._folder / name
        if not path.exists():
            return b""
        with files.disk_errors(path), path.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise log_damaged(path, "it is too long")
        return data


def log_damaged(path: Path, why: str) -> StorageDamagedError:
    """The error for a log that does not agree with itself."""
    return StorageDamagedError(
        f"The log of published versions in {path} is damaged: {why}.",
        hint="Nothing more is signed for it. Restore the registry with the mirror of a node: "
        "edocregistry restore FILE --mirror",
        path=str(path),
    )
