"""A directory, its floor, or what is remembered of it, in one file; see ``wrapping``.

Reading and writing the disk is done elsewhere.
"""

from collections.abc import Mapping

import msgspec

from edoccore.directory import layout, memory
from edoccore.directory.floor import Floor, decode_floor
from edoccore.directory.memory import Memory
from edoccore.directory.view import Directory
from edoccore.directory.wrapping import damaged, unwrap, wrap

MAX_BUNDLE_BYTES = layout.MAX_DIRECTORY_BYTES + 1024 * 1024
BUNDLE = b"edoc.directory-bundle/v1"
_FLOOR = b"edoc.directory-floor/v1"
_MEMORY = b"edoc.directory-memory/v1"


def encode_bundle(files: Mapping[str, bytes]) -> bytes:
    """Puts the files of a directory, by name, into one."""
    return wrap(BUNDLE, msgspec.msgpack.encode(dict(files)))


def decode_bundle(data: bytes) -> dict[str, bytes]:
    """Takes the files out again; their signatures are not checked here.

    Raises:
        StorageDamagedError: The bytes are not what ``encode_bundle`` wrote.
    """
    try:
        return msgspec.msgpack.decode(unwrap(BUNDLE, data), type=dict[str, bytes])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(BUNDLE) from error


def encode_floor(floor: Floor) -> bytes:
    """Writes a floor."""
    return wrap(_FLOOR, floor.encode())


def read_floor(data: bytes) -> Floor:
    """Reads a floor.

    Raises:
        StorageDamagedError: The bytes are not what ``encode_floor`` wrote.
        DirectoryInvalidError: They are, but no floor is in them.
    """
    return decode_floor(unwrap(_FLOOR, data))


def encode_memory(directory: Directory, software: str) -> bytes:
    """Writes what is remembered of a directory; see ``memory``."""
    return wrap(_MEMORY, memory.encode(directory, software))


def read_memory(data: bytes, software: str) -> Memory:
    """Reads what is remembered of a directory.

    Raises:
        StorageDamagedError: The bytes are not what ``encode_memory`` wrote.
    """
    return Memory(unwrap(_MEMORY, data), software)
