"""Tells what a failed system call on a file means; see ``database_errors`` for the kinds.

Apart from it, so that a command which opens no database loads none of its libraries.
"""

import errno

from edoccore.errors import DiskFullError, EdocError, StorageFailedError

_FULL_ERRNO = frozenset({errno.ENOSPC, errno.EDQUOT})


def from_os(error: OSError, path: str) -> EdocError:
    """Returns the storage error for a failed system call on a file.

    Args:
        error: The failure of write, fsync, rename or open.
        path: The file or folder it was about, for the message.
    """
    if error.errno in _FULL_ERRNO:
        return DiskFullError(
            f"there is no room left on the disk of {path}; nothing was lost",
            hint="free some space; the work goes on by itself",
            path=path,
        )
    return StorageFailedError(
        f"the disk failed to keep {path}: {error.strerror or error}",
        hint="check the disk (dmesg, smartctl) before starting again",
        path=path,
    )
