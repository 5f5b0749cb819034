"""The form in which a directory, its floor, or what is remembered of it, lies in one file.

First line: what it is; second: SHA-256 of the rest, in hex. So a torn or rotten file is told from a
forged one, and the reader can say what to do. Reading and writing the disk is done elsewhere.
"""

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from edoccore.directory import layout, memory
from edoccore.directory.floor import Floor, decode_floor
from edoccore.directory.memory import Memory
from edoccore.directory.view import Directory
from edoccore.errors import StorageDamagedError

MAX_BUNDLE_BYTES = layout.MAX_DIRECTORY_BYTES + 1024 * 1024
_BUNDLE = b"edoc.directory-bundle/v1"
_FLOOR = b"edoc.directory-floor/v1"
_MEMORY = b"edoc.directory-memory/v1"


def encode_bundle(files: Mapping[str, bytes]) -> bytes:
    """Puts the files of a directory, by name, into one."""
    return _wrap(_BUNDLE, msgspec.msgpack.encode(dict(files)))


def decode_bundle(data: bytes) -> dict[str, bytes]:
    """Takes the files out again; their signatures are not checked here.

    Raises:
        StorageDamagedError: The bytes are not what ``encode_bundle`` wrote.
    """
    try:
        return msgspec.msgpack.decode(_unwrap(_BUNDLE, data), type=dict[str, bytes])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(_BUNDLE) from error


def encode_floor(floor: Floor) -> bytes:
    """Writes a floor."""
    return _wrap(_FLOOR, floor.encode())


def read_floor(data: bytes) -> Floor:
    """Reads a floor.

    Raises:
        StorageDamagedError: The bytes are not what ``encode_floor`` wrote.
        DirectoryInvalidError: They are, but no floor is in them.
    """
    return decode_floor(_unwrap(_FLOOR, data))


def encode_memory(directory: Directory, software: str) -> bytes:
    """Writes what is remembered of a directory; see ``memory``."""
    return _wrap(_MEMORY, memory.encode(directory, software))


def read_memory(data: bytes, software: str) -> Memory:
    """Reads what is remembered of a directory.

    Raises:
        StorageDamagedError: The bytes are not what ``encode_memory`` wrote.
    """
    return Memory(_unwrap(_MEMORY, data), software)


def _wrap(kind: bytes, content: bytes) -> bytes:
    return b"\n".join((kind, sha256(content).hexdigest().encode("ascii"), content))


def _unwrap(kind: bytes, data: bytes) -> bytes:
    found, _, rest = data.partition(b"\n")
    digest, _, content = rest.partition(b"\n")
    if found != kind or digest != sha256(content).hexdigest().encode("ascii"):
        raise _damaged(kind)
    return content


def _damaged(kind: bytes) -> StorageDamagedError:
    return StorageDamagedError(f"The file is not a whole {kind.decode('ascii')}.")
