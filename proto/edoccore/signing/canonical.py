"""Canonical JSON: the one sequence of bytes that a statement has.

A seal covers exact bytes, so a statement must not have two spellings. This is a subset of RFC 8785
(JSON Canonicalization Scheme):

- keys are ASCII snake_case, sorted; none unknown, none twice; no insignificant white space;
- text is NFC and made of code points assigned in Unicode 14.0; of the control characters only line
  feed and tab may occur (the rest of C0, DEL and C1 are invisible and differ between systems);
- integers lie in 0..2^53-1; there is no float and no null; ``true`` and ``false`` may occur;
- an absent field is not an empty one: optional fields are ``T | UnsetType = UNSET``, and no field
  has another default;
- depth at most 8, size at most a limit.

The shape of a type (keys, integer bounds, depth, defaults) is checked once, when it is first used;
after that msgspec enforces it in C. What remains for every statement is the text, and that the
bytes encode to themselves again, which refuses every other spelling at once: spaces, order,
duplicate keys, ``-0``, needless escapes.

This module knows no statement; ``edoccore.signing.statements`` has them.
"""

import re
import unicodedata
from functools import cache
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from edoccore.errors import NotCanonicalError, StatementTooLargeError, StatementTypeError
from edoccore.signing.readers import reader_of
from edoccore.signing.shape import check_shape
from edoccore.signing.unicode14 import ASSIGNED

MAX_STATEMENT_BYTES = 64 * 1024
MAX_RECORD_BYTES = 4 * 1024 * 1024

T = TypeVar("T", bound=msgspec.Struct)


class _TypeAlone(msgspec.Struct):
    type: str | UnsetType = UNSET


def _plain_text(value: object) -> str:
    """Lets subclasses of ``str``, such as agency codes, stand in statements."""
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


_ENCODER = msgspec.json.Encoder(order="sorted", enc_hook=_plain_text)
_TYPE_DECODER = reader_of(_TypeAlone)
_FEW = 4096  # characters; from here on it is cheaper to look at each different one once
_PLAIN = bytes({*range(0x20, 0x7F)} - {ord("\\")})  # ASCII that no rule speaks of
# Letters and signs of Vietnamese and its neighbours. Each is assigned, and no character composes
# with one in front of it, so a text of these and ``_PLAIN`` alone is NFC.
_EVERYDAY = re.compile(
    "[\u00a0-\u017f\u01a0\u01a1\u01af\u01b0\u1ea0-\u1ef9\u2010-\u2015\u2018-\u201f\u2026\u20ab]*"
)


def encode(value: msgspec.Struct, *, limit: int = MAX_STATEMENT_BYTES) -> bytes:
    """Returns the canonical bytes of a statement; never bytes that ``decode`` would refuse.

    Args:
        value: The statement.
        limit: Size of the largest result, in bytes.

    Raises:
        NotCanonicalError: A text is not allowed (see ``check_text``). Texts come from users, so
            this error is for them.
        StatementTooLargeError: The result is longer than ``limit``.
        ValueError: A field has a value outside its type. That is a fault of the program: msgspec
            does not check the arguments of a constructor.
        TypeError: The type itself has values that are not canonical; also a fault of the program.
    """
    decoder = _decoder(type(value))
    try:
        data = _ENCODER.encode(value)
        decoder.decode(data)
    except UnicodeEncodeError as error:
        what = f"the surrogate U+{ord(error.object[error.start]):04X} is not allowed"
        raise _not_canonical(what, where="text") from None
    except (TypeError, OverflowError, msgspec.ValidationError) as error:
        raise ValueError(
            f"{type(value).__name__} has a field of the wrong kind: {error}"
        ) from error
    _check_size(data, limit)
    _check_texts(data)
    return data


def decode(data: bytes, type_: type[T], *, limit: int = MAX_STATEMENT_BYTES) -> T:
    """Reads a statement from its canonical bytes.

    Args:
        data: The exact bytes that were sealed.
        type_: The kind of statement that belongs here.
        limit: Size of the largest ``data`` read, in bytes.

    Raises:
        StatementTooLargeError: ``data`` is longer than ``limit``; none of it was read.
        StatementTypeError: The statement is of another type, or of none.
        NotCanonicalError: The bytes are not the canonical form of such a statement; the field
            ``where`` has the path or the offset.
        TypeError: ``type_`` has values that are not canonical; a fault of the program.
    """
    _check_size(data, limit)
    decoder = _decoder(type_)
    try:
        value: T = decoder.decode(data)
    except msgspec.ValidationError as error:
        _check_type(data, type_)
        raise _not_canonical(str(error), where=_path(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_canonical(str(error), where=_path(error)) from None
    if _ENCODER.encode(value) != data:
        _check_type(data, type_)
        raise _differs(data, _ENCODER.encode(value))
    _check_texts(data)
    return value


def statement_type(data: bytes, *, limit: int = MAX_STATEMENT_BYTES) -> str:
    """Returns the type that unread bytes claim, to choose what to ``decode`` them as.

    Raises:
        StatementTooLargeError: ``data`` is longer than ``limit``; none of it was read.
        StatementTypeError: There is no type to be found.
    """
    _check_size(data, limit)
    try:
        claimed = _TYPE_DECODER.decode(data).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        claimed = UNSET
    if claimed is UNSET:
        raise StatementTypeError("The bytes do not say which type of statement they are.")
    return claimed


def check_text(text: str) -> None:
    """Accepts a text that may stand in a statement.

    Raises:
        NotCanonicalError: The text has a control character other than line feed and tab, a code
            point that Unicode 14.0 does not assign, a surrogate, or is not in NFC.
    """
    if fault := text_fault(text):
        raise _not_canonical(fault, where="text")


def text_fault(text: str) -> str | None:
    """Returns why a text may not stand in a statement, or None if it may; see ``check_text``."""
    sample = text if len(text) < _FEW else "".join(set(text))
    if found := _not_allowed().search(sample):
        return f"the character U+{ord(found[0]):04X} at {text.index(found[0])} is not allowed"
    if not unicodedata.is_normalized("NFC", text):
        return "the text is not in Unicode normalisation form C"
    return None


def _check_texts(data: bytes) -> None:
    r"""Checks all texts of an encoded statement at once.

    They stand between quotes, and no character composes with a quote, so the document is NFC
    exactly when each of its texts is. Escapes are resolved first: msgspec writes only the short
    ones and ``\u00XX`` for control characters, all but line feed and tab of which are refused.
    """
    if data.isascii() and b"\\" not in data and b"\x7f" not in data:
        return
    if _EVERYDAY.fullmatch(data.translate(None, _PLAIN).decode()):
        return
    text = data.decode()
    if "\\" in text:
        text = text.replace("\\\\", '"').replace('\\"', '"')
        text = text.replace("\\n", "\n").replace("\\t", "\t")
    if "\\" in text:
        at = text.index("\\")
        raise _not_canonical(f"the control character {text[at : at + 6]!r} is not allowed", "text")
    check_text(text)


def _check_size(data: bytes, limit: int) -> None:
    if len(data) > limit:
        raise StatementTooLargeError(
            f"The statement has {len(data)} bytes; at most {limit} are allowed.",
            size=str(len(data)),
            limit=str(limit),
        )


def _check_type(data: bytes, type_: type[msgspec.Struct]) -> None:
    claimed = statement_type(data, limit=len(data))
    expected = type_.__struct_config__.tag
    if claimed != expected:
        raise StatementTypeError(
            f"The statement is of type {claimed[:64]!r}, but {expected!r} belongs here.",
            found=claimed[:64],
            expected=str(expected),
        )


def _path(error: Exception) -> str:
    """Finds the path (``$.parts[3].size``) that msgspec names at the end of its message."""
    return str(error).rpartition(" - at `")[2].rstrip("`") if " - at `" in str(error) else "bytes"


def _differs(data: bytes, canonical: bytes) -> NotCanonicalError:
    pairs = enumerate(zip(data, canonical, strict=False))
    shorter = min(len(data), len(canonical))
    at = next((index for index, (one, other) in pairs if one != other), shorter)
    return _not_canonical("the bytes do not encode to themselves", where=f"byte {at}")


def _not_canonical(why: str, where: str) -> NotCanonicalError:
    return NotCanonicalError(f"The statement is not canonical ({where}): {why}.", where=where)


@cache
def _decoder(type_: type[T]) -> msgspec.json.Decoder[T]:
    reader = reader_of(type_)  # before its shape is looked at, which reads the same again
    check_shape(type_)
    return reader


@cache
def _not_allowed() -> re.Pattern[str]:
    r"""Compiles, once and only when needed (8 ms), what no text may contain.

    The class is negated: then the characters of every day are found in its bitmap at once.
    """
    (_, last_of_first), *others = (_span(part) for part in ASSIGNED.split())
    spans = [(0x9, 0xA), (0x20, 0x7E), (0xA0, last_of_first), *others]  # C0, DEL and C1 cut out
    allowed = "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in spans)
    return re.compile(f"[^{allowed}]")


def _span(part: str) -> tuple[int, int]:
    first, _, last = part.partition("-")
    return int(first, 16), int(last or first, 16)
