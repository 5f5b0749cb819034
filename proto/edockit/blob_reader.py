"""Reading a stored part: bytes are handed out as they come, the digest decides at the end."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from edoccore.errors import StorageDamagedError
from edockit import files

READ_BYTES = 1024 * 1024  # one read of the disk


class BlobReader:
    """Reads a stored part from its start or from an offset; the end proves the whole."""

    def __init__(self, path: Path, sha256: str, *, offset: int) -> None:
        """Opens a part; bytes before ``offset`` are read for the digest only.

        Raises:
            StorageDamagedError: It is missing or shorter than ``offset``.
            StorageFailedError: The disk failed.
        """
        self._path = path
        self._sha256 = sha256
        self._digest = hashlib.sha256()
        with files.disk_errors(path):
            try:
                self._file = path.open("rb", buffering=0)
            except FileNotFoundError as error:
                raise damaged(sha256, "is missing") from error
        try:
            self._skip(offset)
        except BaseException:
            self.close()
            raise

    def read(self, size_bytes: int = READ_BYTES) -> bytes:
        """Returns the next bytes, at most so many; empty at the end.

        Raises:
            StorageDamagedError: The end is reached and the bytes are not those that were stored.
            StorageFailedError: The disk failed.
        """
        with files.disk_errors(self._path):
            content = self._file.read(size_bytes)
        if content:
            self._digest.update(content)
        elif self._digest.hexdigest() != self._sha256:
            raise damaged(self._sha256, "has other bytes than were stored")
        return content

    def __iter__(self) -> Iterator[bytes]:
        """Yields all remaining bytes in pieces; the end is checked as in ``read``."""
        while content := self.read():
            yield content

    def close(self) -> None:
        """Closes the file; repeating it does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        """Keeps the part open for a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file."""
        self.close()

    def _skip(self, offset: int) -> None:
        while offset > 0:
            content = self.read(min(offset, READ_BYTES))
            if not content:
                raise damaged(self._sha256, "is shorter than it was")
            offset -= len(content)


def damaged(sha256: str, what: str) -> StorageDamagedError:
    """The error that says what is wrong with a part."""
    return StorageDamagedError(
        f"the stored part {sha256} {what}",
        hint="it is asked for again from a node that has had it; see: edocnode status",
        sha256=sha256,
    )
