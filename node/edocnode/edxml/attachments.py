"""Content of attachments: base64 to a file in pieces, and out of the zip that some software adds.

One library zips each attachment before it encodes it: one member, with the ending that the
attachment's name has. Such a zip is opened; any other file, a zip the sender meant included, stays
as it is. An archive inside an archive is never looked at.
"""

import binascii
import os
import re
import struct
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edockit.files import disk_errors
from edocnode.edxml.bounds import Bounds
from edocnode.edxml.findings import refusal

_READ_BYTES = 256 << 10
_SPACE = b" \t\r\n"
_FOREIGN = re.compile(r"[^A-Za-z0-9+/=\s]")
_DIRECTORY_END = struct.Struct("<4s4H2LH")  # PKZIP application note, 4.3.16
_ZIP = b"PK\x03\x04"
_MAX_DIRECTORY_BYTES = 4096  # of one member with a name of ordinary length
_ENCRYPTED = 0x1
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of one attachment.

    Attributes:
        path: File with its bytes.
        size: Bytes of it.
        line: Where it begins in the package.
        zipped: Whether it came out of a zip.
    """

    path: Path
    size: int
    line: int
    zipped: bool = False


class ContentWriter:
    """Decodes one base64 text, which comes in pieces, into a file."""

    def __init__(self, path: Path, *, line: int, bounds: Bounds, room: int) -> None:
        """Makes the file.

        Args:
            room: Bytes that all contents of the package may still have.
        """
        self._path = path
        self._line = line
        self._limit = min(bounds.attachment, room)
        with disk_errors(path):
            self._file = path.open("xb")
        self._rest = b""
        self._size = 0
        self._ended = False

    def write(self, text: str, *, line: int) -> None:
        """Takes the next piece of the text.

        Args:
            line: At which the piece ends.

        Raises:
            EdxmlInvalidError: It is not base64, or too large.
        """
        if foreign := _FOREIGN.search(text):
            line -= text.count("\n", foreign.start())
        try:
            piece = text.encode("ascii").translate(None, _SPACE)
        except UnicodeEncodeError as error:
            raise self._not_base64(line, "letters that are not of its alphabet") from error
        if not piece:
            return
        if self._ended:
            raise self._not_base64(line, "something follows the end")
        whole = self._rest + piece
        cut = len(whole) - len(whole) % 4
        self._rest = whole[cut:]
        self._decode(whole[:cut], line)

    def close(self, *, line: int) -> Content:
        """Ends the text and returns what it held.

        Raises:
            EdxmlInvalidError: It ends in the middle.
            DiskFullError: No room.
        """
        with disk_errors(self._path):
            self._file.close()
        if self._rest:
            raise self._not_base64(line, "its length is not a multiple of four")
        return Content(path=self._path, size=self._size, line=self._line)

    def abandon(self) -> None:
        """Closes the file of a package that is refused."""
        with suppress(OSError):  # its last bytes found no room
            self._file.close()

    def _decode(self, whole: bytes, line: int) -> None:
        if not whole:
            return
        try:
            data = binascii.a2b_base64(whole, strict_mode=True)
        except binascii.Error as error:
            raise self._not_base64(line, str(error)) from error
        self._ended = whole.endswith(b"=")
        self._size += len(data)
        if self._size > self._limit:
            raise refusal(
                "ATTACHMENT_TOO_LARGE", line=self._line, element="Attachment", limit=self._limit
            )
        with disk_errors(self._path):
            self._file.write(data)

    def _not_base64(self, line: int, why: str) -> Exception:
        return refusal("NOT_BASE64", line=line, element="ContentTransferEncoded", why=why)


def unzipped(content: Content, name: str, *, bounds: Bounds, room: int) -> Content:
    """The content out of the zip that software put around it, or as it is when there is none.

    Args:
        name: Of the attachment.
        room: Bytes that all contents of the package may still have.

    Raises:
        EdxmlInvalidError: It unpacks to too much, or the zip is damaged.
    """
    if not _has_one_member(content.path):
        return content
    try:
        with zipfile.ZipFile(content.path) as archive:
            members = archive.infolist()
            if len(members) != 1 or not _is_wrapped(members[0], name):
                return content
            target = content.path.with_suffix(".unzipped")
            limit = min(bounds.attachment, room)
            size = _unpack(archive, members[0], target, content=content, limits=(bounds, limit))
    except _UNREADABLE as error:
        raise refusal(
            "ZIP_DAMAGED", line=content.line, element="Attachment", why=str(error)
        ) from error
    content.path.unlink()
    return Content(path=target, size=size, line=content.line, zipped=True)


def _has_one_member(path: Path) -> bool:
    """Whether it is a zip of one member without comment; looks at its ends alone."""
    size = path.stat().st_size
    if size < _DIRECTORY_END.size + len(_ZIP):
        return False
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return False
        file.seek(-_DIRECTORY_END.size, os.SEEK_END)
        fields = _DIRECTORY_END.unpack(file.read(_DIRECTORY_END.size))
    mark, _, _, here, total, directory, _, comment = fields
    one = mark == b"PK\x05\x06" and here == total == 1 and comment == 0
    return bool(one and directory <= _MAX_DIRECTORY_BYTES)


def _is_wrapped(member: zipfile.ZipInfo, name: str) -> bool:
    endings = {PurePosixPath(item).suffix.lower() for item in (member.filename, name)}
    return len(endings) == 1 and not member.is_dir() and not member.flag_bits & _ENCRYPTED


def _unpack(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    target: Path,
    *,
    content: Content,
    limits: tuple[Bounds, int],
) -> int:
    """Writes the member to a file; counts what comes, whatever the zip says of itself.

    Raises:
        zipfile.BadZipFile: It has another size than the zip says.
    """
    bounds, limit = limits
    size, stated = 0, member.file_size
    member.file_size = limit + 2 * _READ_BYTES  # the library would stop there without a word
    with archive.open(member) as source, disk_errors(target), target.open("xb") as file:
        while piece := source.read(_READ_BYTES):
            size += len(piece)
            if size > limit:
                raise _bomb(content, f"more than {limit} bytes")
            if size > bounds.free_ratio and size > bounds.ratio * content.size:
                raise _bomb(content, f"more than {bounds.ratio} times its size")
            file.write(piece)
    if size != stated:
        raise zipfile.BadZipFile(f"a member has {size} bytes and says {stated}")
    return size


def _bomb(content: Content, why: str) -> Exception:
    return refusal("ZIP_BOMB", line=content.line, element="Attachment", why=why)
