"""Hides positions and cursors in messages of office/v1 from an account, and reads them back.

They are found by name in every message, so those of calls to come are hidden too: ``position`` and
``next`` in answers, ``position`` and ``after`` in requests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from edocnode.domain.opaque import Opaque

HIDDEN_IN_ANSWERS = frozenset({"position", "next"})
READ_IN_REQUESTS = frozenset({"position", "after"})

Change = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where in a message something is to be changed."""

    fields: tuple[tuple[str, bool], ...]  # name, and whether it is text
    inner: tuple[tuple[str, bool], ...]  # name, and whether it is repeated


def hide(message: Message, opaque: Opaque) -> None:
    """Enciphers what an answer tells of places, in the message itself."""
    _walk(message, HIDDEN_IN_ANSWERS, number=opaque.position, text=opaque.cursor)


def read(message: Message, opaque: Opaque) -> None:
    """Deciphers what a request tells of places, in the message itself.

    Raises:
        RequestInvalidError: This account never got it.
    """
    _walk(message, READ_IN_REQUESTS, number=opaque.read_position, text=opaque.read_cursor)


def _walk(message: Message, names: frozenset[str], *, number: Change, text: Change) -> None:
    plan = _plan(message.DESCRIPTOR, names)
    for name, is_text in plan.fields:
        if given := getattr(message, name):
            setattr(message, name, (text if is_text else number)(given))
    for name, is_repeated in plan.inner:
        if is_repeated:
            for each in getattr(message, name):
                _walk(each, names, number=number, text=text)
        elif message.HasField(name):
            _walk(getattr(message, name), names, number=number, text=text)


@cache
def _plan(kind: Descriptor, names: frozenset[str]) -> _Plan:
    own = [field for field in kind.fields if field.name in names and field.message_type is None]
    inner = [
        field
        for field in kind.fields
        if field.message_type is not None and _has_any(field.message_type, names, frozenset())
    ]
    return _Plan(
        tuple((field.name, field.type == FieldDescriptor.TYPE_STRING) for field in own),
        tuple((field.name, field.is_repeated) for field in inner),
    )


def _has_any(kind: Descriptor, names: frozenset[str], seen: frozenset[str]) -> bool:
    if kind.full_name in seen:
        return False
    return any(
        field.name in names
        if field.message_type is None
        else _has_any(field.message_type, names, seen | {kind.full_name})
        for field in kind.fields
    )
