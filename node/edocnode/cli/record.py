"""The fields of a record as a command line gives them: options over a file, all in one form."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edoccore.errors import RequestInvalidError
from edockit.language import marked

if TYPE_CHECKING:
    from edocnode.domain.codes import CodeList, CodeLists
    from edocnode.rpc.office_client import OfficeClient

MAX_FILE_BYTES = 4 * 1024 * 1024  # of a record
_REFERENCE = ("document_id", "document_code", "number", "notation", "issued_date")
_DOSSIER = marked(
    "Write --dossier as YEAR,NOTATION or AGENCY,YEAR,NOTATION; a place in it may follow."
)


def nfc(text: str) -> str:
    """Text in the one form that seals allow; keyboards and disks of some systems give another."""
    return unicodedata.normalize("NFC", text)


def fields_in(file: Path | None) -> dict[str, Any]:
    """The fields in a file; none without one.

    Raises:
        RequestInvalidError: It is no JSON object, or larger than a record may be.
    """
    if file is None:
        return {}
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"more than {MAX_FILE_BYTES} bytes")
        # Written anew first: letters that were escaped must be composed too.
        text = json.dumps(json.loads(content.decode("utf-8-sig")), ensure_ascii=False)
        found = json.loads(nfc(text))
        if not isinstance(found, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError) as error:
        raise RequestInvalidError(
            f"The fields in {file} cannot be read: {error}.",
            hint='Write one JSON object, such as {"subject": "Về việc ...", "page_count": 3}.',
        ) from error
    return found


def merged(below: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a file with those of options over them; what was not given changes nothing."""
    fields = dict(below)
    for name, value in given.items():
        if isinstance(value, Mapping):
            old = fields.get(name)
            value = merged(old if isinstance(old, Mapping) else {}, value)  # noqa: PLW2901
        if value:
            fields[name] = nfc(value) if isinstance(value, str) else value
    return fields


def texts(given: Sequence[str] | None) -> list[str]:
    """The texts of an option that may be repeated."""
    return [nfc(each) for each in given or ()]


def day(text: str, option: str) -> str:
    """A day as the record has it; empty when none was given.

    Raises:
        RequestInvalidError: It is none.
    """
    if not text:
        return ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise RequestInvalidError(
            f"{text[:80]!r} is no day.", hint=f"Write {option} as 2026-12-05."
        ) from error


def time_of(moment: datetime | None) -> str:
    """A moment as the record has it; empty when none was given."""
    from edoccore.signing.statements import time_text

    return "" if moment is None else time_text(moment)


def dossier(text: str) -> dict[str, Any]:
    """The file of records that a document belongs to: ``H29,2026,01-TH,12``.

    Raises:
        RequestInvalidError: It is written otherwise.
    """
    words = [word.strip() for word in nfc(text).split(",")] if text else []
    if not words:
        return {}
    agency = [] if words[0].isdigit() and len(words[0]) == 4 else [words.pop(0)]
    year, notation, place = (*words, "", "", "")[:3]
    if len(words) not in (2, 3) or not notation or not f"{year}{place}".isdecimal():
        raise RequestInvalidError(f"{text[:80]!r} names no file of records.", hint=_DOSSIER)
    found: dict[str, Any] = {"year": int(year), "notation": notation}
    if agency:
        found["agency"] = agency[0]
    if place:
        found["ordinal"] = int(place)
    return found


def reference(office: "OfficeClient", document: str) -> dict[str, str]:
    """How a document that is here is named in the record of another one.

    Raises:
        DocumentUnknownError, IdAmbiguousError: The id names none or several.
    """
    found = office.document(document)
    named = found["received"][0] if found["received"] else found["sent"]
    given = {name: named[name] for name in _REFERENCE if named[name]}
    return {**given, "agency": named["sender"]}


def references(
    office: "OfficeClient", named: Mapping[str, Sequence[str]]
) -> dict[str, list[dict[str, str]]]:
    """Fields that name documents by their ids; without those that name none.

    Raises:
        DocumentUnknownError, IdAmbiguousError: As ``reference``.
    """
    found = {
        field: [reference(office, nfc(each)) for each in ids if each]
        for field, ids in named.items()
    }
    return {field: documents for field, documents in found.items() if documents}


def code_of(lists: "CodeLists", name: "CodeList", text: str) -> str:
    """The code that a person means.

    Raises:
        CodeUnknownError, RequestInvalidError: See ``find_code``.
    """
    from edocnode.domain.codes import find_code

    return find_code(lists, name, nfc(text)).code


def authority_of(lists: "CodeLists", text: str) -> str:
    """The mark of a signing authority, or the text itself: papers also carry whole lines."""
    from edocnode.domain.codes import CodeList, CodeUnknownError

    try:
        return code_of(lists, CodeList.AUTHORITIES, text)
    except CodeUnknownError:
        return text
