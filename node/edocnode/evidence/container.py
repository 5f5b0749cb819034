"""Opens an evidence file from a stranger without being harmed by it.

The zip may be anything: too many members, a bomb, names that climb out of a folder, two members of
one name. Only fixed names are taken, nothing is unpacked to a disk, small members are bounded, and
parts are read as a stream. Members must be stored, not compressed, as ``bundle`` writes them.
"""

import re
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from edoccore.errors import EvidenceInvalidError
from edocnode.evidence.manifest import MAX_MEMBERS, is_member_name

MAX_SMALL_BYTES = 8 * 1024 * 1024  # of a member that is held in memory; roles are the largest
MAX_SMALL_TOTAL_BYTES = 128 * 1024 * 1024
_READ_BYTES = 1024 * 1024
_ENCRYPTED = 0x1
# What zipfile and zlib raise at damaged files; it does not promise a smaller set.
_UNREADABLE = (
    BadZipFile,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,  # NotImplementedError too
    ValueError,
    struct.error,
)
_PART = re.compile(r"parts/[0-9]{2}")


class Container:
    """The members of one evidence file."""

    def __init__(self, archive: ZipFile, members: Mapping[str, ZipInfo]) -> None:
        """Takes an open archive whose members were checked; ``open_container`` makes one."""
        self._archive = archive
        self._members = members

    @property
    def names(self) -> frozenset[str]:
        """Names of all members."""
        return frozenset(self._members)

    def read(self, name: str) -> bytes:
        """Reads a small member whole.

        Raises:
            EvidenceInvalidError: It is missing or damaged.
        """
        return b"".join(self.pieces(name))

    def digest(self, name: str) -> tuple[int, str]:
        """Size and SHA-256 (lower hex) of a member, read as a stream.

        Raises:
            EvidenceInvalidError: It is missing or damaged.
        """
        size, digest = 0, sha256()
        for piece in self.pieces(name):
            size += len(piece)
            digest.update(piece)
        return size, digest.hexdigest()

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a member, as a stream.

        Raises:
            EvidenceInvalidError: It is missing or damaged; also while iterating.
        """
        entry = self._members.get(name)
        if entry is None:
            raise invalid(name, "it is missing")
        try:
            with self._archive.open(entry) as member:
                while piece := member.read(_READ_BYTES):
                    yield piece
        except _UNREADABLE as error:
            raise invalid(name, f"it cannot be read ({error})") from error


@contextmanager
def open_container(path: Path) -> Iterator[Container]:
    """Opens an evidence file for a block.

    Raises:
        EvidenceInvalidError: It is no zip, or no zip such as ``bundle`` writes.
        FileNotFoundError, IsADirectoryError, PermissionError: It cannot be opened at all.
    """
    try:
        archive = ZipFile(path)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except _UNREADABLE as error:
        raise EvidenceInvalidError(f"{path.name} is not a readable zip: {error}.") from error
    with archive:
        yield Container(archive, _checked(archive.infolist()))


def invalid(member: str, why: str) -> EvidenceInvalidError:
    """The error for one member."""
    shown = ascii(member[:80]).strip("'")
    return EvidenceInvalidError(f"{shown}: {why}.", member=shown)


def _checked(entries: list[ZipInfo]) -> dict[str, ZipInfo]:
    if len(entries) > MAX_MEMBERS:
        raise EvidenceInvalidError(f"The zip has {len(entries)} members, over {MAX_MEMBERS}.")
    members: dict[str, ZipInfo] = {}
    small = 0
    for entry in entries:
        _check_entry(entry, known=entry.filename in members)
        members[entry.filename] = entry
        small += 0 if _PART.fullmatch(entry.filename) else entry.file_size
    if small > MAX_SMALL_TOTAL_BYTES:
        raise EvidenceInvalidError(f"The zip has {small} bytes besides the parts.")
    return members


def _check_entry(entry: ZipInfo, *, known: bool) -> None:
    name = entry.orig_filename  # zipfile cuts names at NUL and turns backslashes
    if name != entry.filename or not is_member_name(name):
        raise invalid(name, "evidence has no member of this name")
    if known:
        raise invalid(name, "it is there twice")
    if entry.compress_type != ZIP_STORED or entry.compress_size != entry.file_size:
        raise invalid(name, "it is compressed; evidence is stored as it is")
    if entry.flag_bits & _ENCRYPTED:
        raise invalid(name, "it is encrypted")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise invalid(name, "it is a link")
    if not _PART.fullmatch(name) and entry.file_size > MAX_SMALL_BYTES:
        raise invalid(name, f"{entry.file_size} bytes are over the limit")
