"""What is official about a document's number: its forms, its identifier, what looks wrong.

Forms are those seen in use, not all that is lawful: what does not fit is remarked on, never
refused.

Source: Decree 30/2020, Appendices I and VI; QCVN 102:2016, DocumentId; Decision 28/2018, 10(b).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from edocnode.domain.codes import CodeList, CodeLists, knows_code
from edocnode.domain.folding import folded

_NUMBER = re.compile(r"[0-9]{1,11}[a-zđ]?")
_NOTATION = re.compile(r"[^\s,]{1,30}")
_PLACEHOLDERS = frozenset({"n/a", "na", "null", "none", "test", "xxx", "...", "-", "khong co"})
_OFTEN_EMPTY = ("subject", "number", "notation", "document_type", "issued_place")
_LISTED = {
    "document_type": CodeList.TYPES,
    "copy_form": CodeList.COPIES,
}
# Decree 30/2020, Appendix VI, where the record is wider: see ``records.DocumentRecord``.
_FULL_NAME = 50  # characters
_TO_PLACES = 1000  # characters, all lines together
_PAGES = 999
_LETTER = "CV"  # công văn


def official_code(fields: Mapping[str, Any]) -> str | None:
    """The identifier that edXML makes of issuer, day, number and notation.

    Args:
        fields: Of a record, unchecked, with ``issuer``.

    Returns:
        Such as ``H29,2026/11/23,28/QĐ-UBND``; None when something of it is missing.
    """
    number, notation, day = (fields.get(name) for name in ("number", "notation", "issued_date"))
    issuer = fields.get("issuer")
    code = issuer.get("code") if isinstance(issuer, Mapping) else None
    if not all(isinstance(each, str) and each for each in (number, notation, day, code)):
        return None
    return f"{code},{str(day).replace('-', '/')},{number}/{notation}"


def on_paper(number: str) -> str:
    """A number as it is written on paper: with a zero in front when it is below 10."""
    return number.zfill(2) if number.isascii() and number.isdigit() else number


def remarks(fields: Mapping[str, Any], lists: CodeLists) -> Iterator[str]:
    """What a clerk should look at before a document leaves, as sentences.

    Args:
        fields: Of a record, unchecked.
    """
    yield from _on_number(fields)
    for name in _OFTEN_EMPTY:
        if folded(_text(fields, name)).strip() in _PLACEHOLDERS:
            yield f"The field {name} holds {fields[name]!r}, which says nothing."
    for name, known in _LISTED.items():
        given = _text(fields, name)
        if given and not knows_code(lists[known], given):
            yield f"The {name} {given[:80]!r} is in no code list; see: edocnode codes {known}"
    yield from _on_signer(fields, lists)
    yield from _on_lengths(fields)
    kind = _text(fields, "document_type")
    if fields.get("corrects") and kind not in ("", _LETTER):
        yield (
            f"A mistake of form or procedure is corrected by an official letter (công văn đính "
            f"chính), and this is of type {kind[:40]} (Decree 30, Article 18)."
        )


def remarks_on_replacing(before: Mapping[str, Any], fields: Mapping[str, Any]) -> Iterator[str]:
    """What a clerk should look at before a document takes the place of another one.

    Args:
        before: Fields of the earlier record.
        fields: Of the record to be sent, unchecked.

    Source: Decree 30/2020, Article 18.
    """
    was, kind = _text(before, "document_type"), _text(fields, "document_type")
    if was and kind != was:
        yield (
            f"The document replaced is of type {was[:40]} and this one of type {kind[:40] or '-'}; "
            f"content is amended or replaced by a document of the same form (Decree 30, Article "
            f"18)."
        )


def _on_number(fields: Mapping[str, Any]) -> Iterator[str]:
    number, notation = _text(fields, "number"), _text(fields, "notation")
    if number and not _NUMBER.fullmatch(number):
        yield f"The number {number[:40]!r} has not the usual form, such as 7816 or 12a."
    if notation and not _NOTATION.fullmatch(notation):
        yield f"The notation {notation[:40]!r} has not the usual form, such as VPCP-TTĐT."
    if bool(number) != bool(notation):
        yield (
            "The document has a number but no notation."
            if number
            else "The document has a notation but no number."
        )


def _on_signer(fields: Mapping[str, Any], lists: CodeLists) -> Iterator[str]:
    signer = fields.get("signer")
    if not isinstance(signer, Mapping):
        return
    authority = _text(signer, "authority")
    if authority and not knows_code(lists[CodeList.AUTHORITIES], authority):
        yield (
            f"The signing authority {authority[:80]!r} is in no code list; see: edocnode codes "
            f"{CodeList.AUTHORITIES}"
        )
    if len(_text(signer, "full_name")) > _FULL_NAME:
        yield f"The signer's name has more than {_FULL_NAME} characters (Decree 30, Appendix VI)."


def _on_lengths(fields: Mapping[str, Any]) -> Iterator[str]:
    places = fields.get("to_places")
    if isinstance(places, list) and sum(len(str(each)) for each in places) > _TO_PLACES:
        yield f"The places have more than {_TO_PLACES} characters (Decree 30, Appendix VI)."
    for name in ("page_count", "issued_count"):
        count = fields.get(name)
        if isinstance(count, int) and count > _PAGES:
            yield f"The {name} is {count}; software may read at most {_PAGES} (Appendix VI)."


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
