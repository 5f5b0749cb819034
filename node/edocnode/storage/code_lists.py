"""Reads code lists: those that come with the program, and a node's own file over them.

TOML beside this module, not literals: what a law lists is no code, an operator corrects it in the
same form without touching the program. Read when asked for: 2 ms that only some commands need. The
reasons to give a document back or to decline a request are rules of the program
(``domain.reasons``); here they are shown with the others.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib.resources import files
from pathlib import Path
from unicodedata import normalize

from msgspec import ValidationError, convert

from edoccore.errors import SettingsError
from edocnode.domain.codes import CodeEntry, CodeList, CodeLists
from edocnode.domain.reasons import DECLINE_REASONS, REJECT_REASONS

MAX_FILE_BYTES = 1 << 20
_REASONS = {CodeList.REASONS: REJECT_REASONS, CodeList.DECLINE_REASONS: DECLINE_REASONS}
_FIXED = frozenset(  # the protocol has these and no others
    {CodeList.URGENCY, CodeList.SECRECY, CodeList.STATES, CodeList.DELIVERIES, *_REASONS}
)
_FIELDS = frozenset(field.name for field in fields(CodeEntry))

Tables = Mapping[CodeList, tuple[Mapping[str, object], ...]]


def builtin_lists() -> CodeLists:
    """The lists that come with the program."""
    text = files("edocnode.storage").joinpath("codes.toml").read_text(encoding="utf-8")
    return _entries(convert(tomllib.loads(text), Tables)) | {
        name: tuple(CodeEntry(**asdict(reason)) for reason in reasons)
        for name, reasons in _REASONS.items()
    }


def lists_with(own: Path) -> CodeLists:
    """The lists of the program with a node's own file over them.

    An entry of a code that is there changes the fields it gives; another one is added at the end.

    Raises:
        SettingsError: The file is missing, too large or no TOML, has an unknown list or field, an
            entry without code or name, or adds to what the protocol fixes.
    """
    try:
        with own.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
        text = normalize("NFC", content.decode("utf-8"))
        given = convert(tomllib.loads(text), Tables)
        return _merged(builtin_lists(), given)
    except (OSError, ValueError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(
            f"The code lists in {own} cannot be used: {why}.",
            hint="Correct the file, or the setting code_lists; see: edocnode codes types",
            file=str(own),
        ) from error


def _merged(below: CodeLists, above: Tables) -> CodeLists:
    merged: dict[CodeList, tuple[CodeEntry, ...]] = {}
    for name, entries in below.items():
        if name in _REASONS and name in above:
            raise ValueError(f"the list {name} is part of the program and cannot be changed")
        by_code = {entry.code: asdict(entry) for entry in entries}
        for given in above.get(name, ()):
            if surplus := sorted(given.keys() - _FIELDS):
                raise ValueError(f"the list {name} has an entry with {surplus[0]!r}")
            code = str(given.get("code", ""))
            if name in _FIXED and code not in by_code:
                raise ValueError(f"the list {name} has no {code!r}, and takes no other")
            by_code[code] = {**by_code.get(code, {}), **given}
        merged[name] = convert(list(by_code.values()), tuple[CodeEntry, ...])
    return merged


def _entries(tables: Tables) -> dict[CodeList, tuple[CodeEntry, ...]]:
    return {name: convert(rows, tuple[CodeEntry, ...]) for name, rows in tables.items()}
