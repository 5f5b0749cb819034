"""Files of the drop folder: whole and synced before they have their name, moved for good."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from edoccore.errors import FileExistsHereError, RequestInvalidError
from edockit.files import disk_errors, fsync_folder

_NAME_BYTES = 255 - len(" (9999).reason.txt")
_FILE_MODE = 0o666  # less what the umask takes away: local software reads and removes them
Fill = Callable[[Callable[[bytes], object]], object]


def write_new(path: Path, fill: Fill) -> tuple[int, str]:
    """Writes a file that must not be there yet; leaves nothing when that fails.

    Returns:
        Its size, and its SHA-256 in lower hex.

    Raises:
        FileExistsHereError: Something of that name is there.
        RequestInvalidError: It cannot be written there.
        DiskFullError: No room.
    """
    try:
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE
        )
    except FileExistsError as error:
        raise FileExistsHereError(
            f"{path} is already there and is not overwritten.",
            hint="Choose another name for --out.",
            path=str(path),
        ) from error
    except OSError as error:
        raise RequestInvalidError(f"{path} cannot be written: {error.strerror}.") from error
    digest, size = sha256(), 0
    try:
        with disk_errors(path), os.fdopen(descriptor, "wb") as file:

            def write(piece: bytes) -> None:
                nonlocal size
                size += len(piece)
                digest.update(piece)
                file.write(piece)

            fill(write)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    fsync_folder(path.parent)
    return size, digest.hexdigest()


def replace_file(path: Path, content: bytes) -> None:
    """Puts a small file in its place, whole, whatever was there.

    Raises:
        DiskFullError: No room.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    write_new(temporary, lambda write: write(content))
    with disk_errors(path):
        os.replace(temporary, path)
    fsync_folder(path.parent)


def free_place(folder: Path, name: str) -> Path:
    """A path in a folder under a name, or with `` (2)`` when that is taken.

    A name so long that a file could not stand beside it is cut.
    """
    path, number = Path(name), 1
    while len(os.fsencode(path.name)) > _NAME_BYTES:
        path = path.with_name(f"{path.stem[:-1]}{path.suffix}")
    target = folder / path.name
    while target.exists():
        number += 1
        target = folder / f"{path.stem} ({number}){path.suffix}"
    return target


def move(path: Path, target: Path) -> None:
    """Moves a file to another folder, for good."""
    with disk_errors(path):
        os.replace(path, target)
    fsync_folder(target.parent)
    fsync_folder(path.parent)
