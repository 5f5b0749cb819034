"""How files of the directory travel: several in one answer, each compressed by itself.

The directory is public and mostly hex and base64, so a third of its bytes is enough. gRPC's own
compression stays off: there a peer decides how much is inflated. Here the reader does: it looks at
the stated size before the first byte, and inflates no byte beyond it. What comes out is believed
by nobody until ``loading`` has checked its hash and signatures.

Source: proto/README.md, section Directory; RFC 1950.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from edoccore.errors import DirectoryInvalidError

MAX_BATCH_FILES = 64  # one question names no more
CHUNK_BYTES = 960 * 1024  # of a packed file in one message, which may have 1 MiB
MAX_BATCH_BYTES = 4 * 1024 * 1024  # of all files of one question, unless it names a single one


@dataclass(frozen=True, slots=True)
class FileWanted:
    """A file to fetch.

    Attributes:
        name: As served, for example ``12.snapshot.json``.
        limit: No more bytes than this are read; a longer file is invalid.
    """

    name: str
    limit: int


@lru_cache(maxsize=1024)  # asked by every node after each change; 1 ms for 50 kB otherwise
def pack(data: bytes) -> bytes:
    """Compresses one file (zlib, RFC 1950)."""
    return zlib.compress(data)


def pieces(data: bytes) -> Iterator[bytes]:
    """The pieces in which a file is sent, packed; one empty piece when there is no file."""
    packed = pack(data) if data else b""
    for start in range(0, len(packed) or 1, CHUNK_BYTES):
        yield packed[start : start + CHUNK_BYTES]


def batches(wanted: Sequence[FileWanted]) -> list[list[FileWanted]]:
    """Divides files into questions that a server answers, in the same order."""
    made: list[list[FileWanted]] = []
    total = 0
    for item in wanted:
        total += item.limit
        if not made or len(made[-1]) == MAX_BATCH_FILES or total > MAX_BATCH_BYTES:
            made.append([])
            total = item.limit
        made[-1].append(item)
    return made


class Unpacking:
    """Puts the files of one answer together, piece by piece."""

    def __init__(self, wanted: Sequence[FileWanted]) -> None:
        """Takes what was asked for, in that order."""
        self._wanted = wanted
        self._files: list[bytes | None] = []
        self._open: _OpenFile | None = None

    def take(self, index: int, size: int, chunk: bytes) -> None:
        """Takes the next piece of the answer.

        Args:
            index: Place of the file in the question; never goes back.
            size: Of the whole file, inflated, bytes; 0 when the server does not have it.
            chunk: Next bytes of the packed file.

        Raises:
            DirectoryInvalidError: The piece does not belong there, or the file would be longer
                than it may be; nothing beyond was inflated.
        """
        if self._open is None:
            self._begin(index, size)
        if self._open is None:
            return
        if (index, size) != (len(self._files), self._open.size):
            raise _invalid(self._open.name, "its pieces are out of order")
        data = self._open.inflate(chunk)
        if data is not None:
            self._files.append(data)
            self._open = None

    @property
    def is_complete(self) -> bool:
        """Whether all files are here."""
        return len(self._files) == len(self._wanted)

    def files(self) -> list[bytes | None]:
        """The files in the order asked for; None for those that the server does not have.

        Raises:
            DirectoryInvalidError: The answer ended before.
        """
        if not self.is_complete:
            raise _invalid(self._wanted[len(self._files)].name, "the answer ended before it did")
        return self._files

    def _begin(self, index: int, size: int) -> None:
        if index != len(self._files) or index >= len(self._wanted):
            raise _invalid(f"number {index}", "it was not asked for in this place")
        wanted = self._wanted[index]
        if size > wanted.limit:
            raise _invalid(
                wanted.name, f"it is longer than {wanted.limit} bytes, so its reading was stopped"
            )
        if size == 0:
            self._files.append(None)
        else:
            self._open = _OpenFile(wanted.name, size)


class _OpenFile:
    """One file on its way."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._data = bytearray()
        self._inflater = zlib.decompressobj()
        self._packed = 0

    def inflate(self, chunk: bytes) -> bytes | None:
        """Takes packed bytes; returns the whole file with the last of them."""
        self._packed += len(chunk)
        if not chunk or self._packed > self.size + self.size // 1000 + 64:  # what zlib may add
            raise _invalid(self.name, "its packed form is longer than it can be")
        try:
            self._data += self._inflater.decompress(chunk, self.size - len(self._data) + 1)
        except zlib.error as error:
            raise _invalid(self.name, f"it cannot be unpacked ({error})") from error
        if len(self._data) > self.size or self._inflater.unused_data:
            raise _invalid(
                self.name, f"it is longer than the {self.size} bytes it was said to have"
            )
        if not self._inflater.eof:
            return None
        if len(self._data) < self.size:
            raise _invalid(self.name, f"it is shorter than {self.size} bytes")
        return bytes(self._data)


def _invalid(name: str, why: str) -> DirectoryInvalidError:
    return DirectoryInvalidError(
        f"The file {name} of the directory was not taken: {why}.",
        hint="The directory in hand stays in force. Tell the operator of the node or registry "
        "that was asked.",
        file=name,
    )
