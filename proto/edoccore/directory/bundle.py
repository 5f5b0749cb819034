"""A directory, its floor, its log, or what is remembered of it, in one file; see ``wrapping``.

Reading and writing the disk is done elsewhere.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from edoccore.directory import layout, memory
from edoccore.directory.floor import Floor, decode_floor
from edoccore.directory.layout import LogInfo
from edoccore.directory.memory import Memory
from edoccore.directory.transparency import (
    LEAF_BYTES,
    MAX_LEAVES,
    DirectoryLog,
    LogAnswer,
    Waiting,
    begin,
    grown,
)
from edoccore.directory.view import Directory
from edoccore.directory.wrapping import damaged, unwrap, wrap
from edoccore.signing.merkle import Frontier
from edoccore.signing.readers import packed_reader_of

MAX_BUNDLE_BYTES = layout.MAX_DIRECTORY_BYTES + 1024 * 1024
BUNDLE = b"edoc.directory-bundle/v1"
LOG_NAME = "log"  # beside the files of a directory, in a bundle that is carried
MAX_LOG_BYTES = MAX_LEAVES * LEAF_BYTES + 1024 * 1024
_LOG = b"edoc.directory-log/v1"
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


class KeptLog(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A log on disk, and what a node remembers about it.

    Attributes:
        info: Whose signatures were looked at.
        leaves: As in ``DirectoryLog``, as the notes are.
        waiting: Since when something is missing.
    """

    info: LogInfo
    leaves: bytes
    checkpoint: bytes
    witnessed: bytes
    waiting: Waiting = Waiting()


def encode_log(kept: KeptLog) -> bytes:
    """Writes a log."""
    return wrap(_LOG, msgspec.msgpack.encode(kept))


def read_log(data: bytes) -> KeptLog:
    """Reads a log; neither its leaves nor its signatures are checked here.

    Raises:
        StorageDamagedError: The bytes are not what ``encode_log`` wrote.
    """
    try:
        return packed_reader_of(KeptLog).decode(unwrap(_LOG, data))
    except (msgspec.DecodeError, RecursionError) as error:
        raise damaged(_LOG) from error


def keep_log(log: DirectoryLog, waiting: Waiting) -> KeptLog:
    """A log as it is kept."""
    return KeptLog(
        info=log.info,
        leaves=log.leaves,
        checkpoint=log.checkpoint,
        witnessed=log.witnessed,
        waiting=waiting,
    )


def open_log(kept: KeptLog) -> DirectoryLog:
    """Checks a log that was kept, as one that somebody offers.

    Without a checkpoint, when the directory lists a new key under which none was seen yet, its
    leaves are as they were kept.

    Raises:
        LogInvalidError, NoteInvalidError: It does not hold.
    """
    if not kept.checkpoint:
        frontier = grown(Frontier(), kept.leaves)
        return DirectoryLog(kept.info, kept.leaves, frontier, b"", b"")
    answer = LogAnswer(kept.checkpoint, kept.witnessed, kept.leaves)
    return begin(kept.info, answer)


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
