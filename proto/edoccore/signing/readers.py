"""How a kind of Struct is read, learned by one thread at a time.

msgspec learns what a Struct looks like when the first reader of it is made, and shows it to other
threads before it has finished: two that meet there end the process with a segmentation fault
(msgspec 0.22). What has been learned is safe for all. So readers are made here alone, and whoever
converts to a Struct has its reader made before.
"""

import threading
from typing import Any, TypeVar

import msgspec

Kind = TypeVar("Kind")

_one_at_a_time = threading.Lock()
_readers: dict[Any, msgspec.json.Decoder[Any]] = {}  # of the few kinds that this program has


def reader_of(kind: type[Kind]) -> msgspec.json.Decoder[Kind]:
    """The reader of a kind from JSON; from any thread.

    Raises:
        TypeError: It has fields that cannot be read.
    """
    reader = _readers.get(kind)
    if reader is None:
        with _one_at_a_time:
            reader = _readers[kind] = msgspec.json.Decoder(kind)
    return reader


def packed_reader_of(kind: type[Kind]) -> msgspec.msgpack.Decoder[Kind]:
    """The reader of a kind from MessagePack; from any thread.

    Raises:
        TypeError: It has fields that cannot be read.
    """
    with _one_at_a_time:
        return msgspec.msgpack.Decoder(kind)


def converted(value: object, kind: type[Kind]) -> Kind:
    """A value of plain Python as a Struct; from any thread.

    Raises:
        msgspec.ValidationError: It does not fit.
    """
    reader_of(kind)
    return msgspec.convert(value, kind)
