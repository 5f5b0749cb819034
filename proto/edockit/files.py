"""Durable and private files: what is written is on the disk, what is secret is the owner's only.

Everything here is synchronous; callers on an event loop use a thread. A failed fsync is never
repeated (the kernel has dropped the pages, a second one would lie): it is StorageFailedError, and
the program stops. A full disk leaves no half-written file behind and heals with space.
"""

import contextlib
import fcntl
import os
import secrets
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from edoccore.errors import DataFolderError, EdocError, FolderInUseError, KeyUnusableError
from edockit import os_errors

PRIVATE_FILE_MODE = 0o600
PRIVATE_FOLDER_MODE = 0o700
LOCK_FILE_NAME = "lock"
_OTHERS = 0o077  # permission bits of group and others


def write_file_atomic(path: Path, content: bytes, *, mode: int = PRIVATE_FILE_MODE) -> None:
    """Writes a file so that after a crash either the old or the new content is there, whole.

    Args:
        path: The file to make or replace; its folder must exist.
        content: All bytes of the file.
        mode: Permission bits.

    Raises:
        DiskFullError: No room; the old file is untouched and nothing is left behind.
        StorageFailedError: The disk failed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with disk_errors(path):
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            try:
                os.fchmod(descriptor, mode)  # whatever the umask is
                write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    fsync_folder(path.parent)


def rename_file(path: Path, to: Path) -> None:
    """Gives a file another name in the same folder, in place of what had it; durably.

    Raises:
        DiskFullError, StorageFailedError: The disk failed.
    """
    with disk_errors(path):
        path.replace(to)
    fsync_folder(to.parent)


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Writes every byte, however many calls the system needs for it."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def fsync_folder(path: Path) -> None:
    """Makes the names in a folder durable: files made, renamed or removed there.

    Raises:
        StorageFailedError: The disk failed; not to be repeated.
    """
    _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def make_private_folder(path: Path) -> None:
    """Makes a folder (mode 0700) and durable names of it and its missing parents.

    Raises:
        DataFolderError: It cannot be made here.
        DiskFullError: No room.
    """
    if path.is_dir():
        return
    make_private_folder(path.parent)
    try:
        path.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise DataFolderError(
            f"the folder {path} cannot be made: {error.strerror}",
            hint="choose a place that this user may write to",
            path=str(path),
        ) from error
    except OSError as error:
        raise os_errors.from_os(error, str(path)) from error
    fsync_folder(path.parent)


def check_private(path: Path) -> None:
    """Checks that a file or folder belongs to this user and is closed to all others.

    Raises:
        KeyUnusableError: The file is missing, another's, or readable by others.
        DataFolderError: The same of a folder.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise KeyUnusableError(
            f"{path} cannot be read: {error.strerror}",
            hint="check the path and who owns it",
            path=str(path),
        ) from error
    folder = stat.S_ISDIR(status.st_mode)
    kind: type[EdocError] = DataFolderError if folder else KeyUnusableError
    if status.st_uid != os.geteuid():
        raise kind(
            f"{path} belongs to user {status.st_uid}, not to the user of this program",
            hint=f"chown {os.geteuid()} {shlex.quote(str(path))}",
            path=str(path),
        )
    if status.st_mode & _OTHERS:
        wanted = PRIVATE_FOLDER_MODE if folder else PRIVATE_FILE_MODE
        raise kind(
            f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):o})",
            hint=f"chmod {wanted:o} {shlex.quote(str(path))}",
            path=str(path),
        )


class FolderLock:
    """The right to work on a data folder; held until released or the process ends."""

    def __init__(self, descriptor: int) -> None:
        """Takes over an open file that holds the lock."""
        self._descriptor = descriptor

    def release(self) -> None:
        """Gives the folder back; repeating it does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        """Keeps the lock for a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Releases the lock."""
        self.release()


def lock_folder(folder: Path) -> FolderLock:
    """Takes the folder for this process alone, through ``lock`` in it.

    Raises:
        FolderInUseError: Another process has it; the message names its id.
        DataFolderError: The folder is missing or cannot be written to.
    """
    path = folder / LOCK_FILE_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE_MODE)
    except OSError as error:
        raise DataFolderError(
            f"the data folder {folder} cannot be used: {error.strerror}",
            hint="check the path given by --data and who owns it",
            path=str(folder),
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise FolderInUseError(
            f"process {holder} already works on {folder}",
            hint="stop it first, or use another data folder",
            path=str(folder),
            pid=holder,
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    return FolderLock(descriptor)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Names failed system calls on ``path``: DiskFullError or StorageFailedError."""
    try:
        yield
    except OSError as error:
        raise os_errors.from_os(error, str(path)) from error


def _fsync(path: Path, flags: int) -> None:
    with disk_errors(path):
        descriptor = os.open(path, flags | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
