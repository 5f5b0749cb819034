"""Which Python types may be a statement at all: judged once per type, not once per message.

``edoccore.signing.canonical`` lets msgspec enforce a type's annotations in C on every message. That
is only enough when the annotations cannot describe anything that is not canonical, and that is
what is checked here: keys, integer bounds, depth, defaults, and that no float, null, free mapping
or unknown field is possible. A type that fails is a fault of this program, found by its first use.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import NODEFAULT
from msgspec import inspect as types

MAX_DEPTH = 8  # objects and arrays inside each other, the statement itself counted
MAX_INTEGER = 2**53 - 1  # the largest integer that every JSON reader keeps exactly

_KEY = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TAG = re.compile(r"edoc\.[a-z][a-z0-9-]*/v[1-9][0-9]*")


def check_shape(type_: type[msgspec.Struct]) -> None:
    """Accepts a type all of whose values have a canonical form.

    Raises:
        TypeError: The type could hold something that is not canonical; says which field.
    """
    shape = types.type_info(type_)
    if not isinstance(shape, types.StructType) or not _TAG.fullmatch(str(shape.tag)):
        raise TypeError(f'{type_.__name__} needs a tag like "edoc.envelope/v1", has {shape}')
    _check(shape, type_.__name__, depth=0)


def _check(shape: types.Type, where: str, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise TypeError(f"{where} is deeper than {MAX_DEPTH} levels")
    match shape:
        case types.StructType():
            _check_struct(shape, where, depth=depth + 1)
        case types.ListType() | types.VarTupleType():
            _check(shape.item_type, f"{where}[]", depth=depth + 1)
        case types.UnionType():
            for choice in shape.types:
                _check(choice, where, depth=depth)
        case types.Metadata():
            _check(shape.type, where, depth=depth)
        case _:
            _check_scalar(shape, where)


def _check_scalar(shape: types.Type, where: str) -> None:
    match shape:
        case types.BoolType():
            return
        case types.StrType():
            _check_pattern(shape, where)
        case types.IntType():
            _check_integer(shape, where)
        case types.LiteralType() | types.EnumType():
            for value in _choices(shape):
                if not isinstance(value, str):
                    raise TypeError(f"{where} allows {value!r}; a choice is always text")
        case _:
            raise TypeError(f"{where} is {type(shape).__name__}, which has no canonical form")


def _check_struct(shape: types.StructType, where: str, *, depth: int) -> None:
    if shape.array_like or not shape.forbid_unknown_fields:
        raise TypeError(f"{where} must be an object that forbids unknown fields")
    if shape.tag_field not in (None, "type"):
        raise TypeError(f'{where} must be tagged by "type", not by {shape.tag_field!r}')
    for field in shape.fields:
        here = f"{where}.{field.encode_name}"
        if not _KEY.fullmatch(field.encode_name):
            raise TypeError(f"{here} is not ASCII snake_case")
        # An optional field that defaults to UNSET is reported without any default.
        if field.default is not NODEFAULT or field.default_factory is not NODEFAULT:
            raise TypeError(f"{here} has a default; only UNSET keeps absent and empty apart")
        _check(field.type, here, depth=depth)


def _check_pattern(shape: types.StrType, where: str) -> None:
    """Refuses ``$``: it also matches before a last line feed, and so allows a second spelling."""
    if shape.pattern is not None and not (
        shape.pattern.startswith("^") and shape.pattern.endswith(r"\Z")
    ):
        raise TypeError(rf"{where} has a pattern that is not ^...\Z: {shape.pattern}")


def _check_integer(shape: types.IntType, where: str) -> None:
    lowest = shape.ge if shape.ge is not None else _next(shape.gt, +1)
    highest = shape.le if shape.le is not None else _next(shape.lt, -1)
    if lowest is None or lowest < 0 or highest is None or highest > MAX_INTEGER:
        raise TypeError(f"{where} must be bounded within 0..2^53-1")


def _next(bound: int | None, step: int) -> int | None:
    return None if bound is None else bound + step


def _choices(shape: types.LiteralType | types.EnumType) -> Iterator[Any]:
    if isinstance(shape, types.LiteralType):
        yield from shape.values
    else:
        yield from (member.value for member in shape.cls)
