"""Code lists: what document types, urgency, signing authority and others are called.

Lists are data that law and agencies change; reading them is ``storage.code_lists``. Here is how an
entry is found from what a person typed.

Source: Decree 30/2020, Article 7, Appendices I and III; QCVN 102:2016; Decision 28/2018, 10(k).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from edoccore.errors import RequestInvalidError
from edocnode.domain.folding import folded

_NEAR = 3  # entries named when none fits
_LIKENESS = 0.6  # of 1: how much a name must have in common to be near


class CodeList(StrEnum):
    """The lists there are."""

    TYPES = "types"
    COPIES = "copies"
    URGENCY = "urgency"
    AUTHORITIES = "authorities"
    CIRCULATION = "circulation"
    SECRECY = "secrecy"
    STATES = "states"
    DELIVERIES = "deliveries"
    REASONS = "reasons"
    DECLINE_REASONS = "decline-reasons"


_WHAT = {
    CodeList.TYPES: "document type",
    CodeList.COPIES: "form of copy",
    CodeList.URGENCY: "urgency",
    CodeList.AUTHORITIES: "signing authority",
    CodeList.CIRCULATION: "circulation mark",
    CodeList.SECRECY: "level of secrecy",
    CodeList.STATES: "state of a received document",
    CodeList.DELIVERIES: "state of a delivery",
    CodeList.REASONS: "reason to give back",
    CodeList.DECLINE_REASONS: "reason to decline",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeEntry:
    """One entry of a list.

    Attributes:
        code: As it is stored and sent.
        vi: Name in Vietnamese.
        en: Name in English; may be empty.
        edxml: Number that edXML has for it; None when it has none, or it is not known.
        unverified: From memory, not read in its source.
        note: What else must be known of it; may be empty.
    """

    code: str
    vi: str
    en: str = ""
    edxml: int | None = None
    unverified: bool = False
    note: str = ""


CodeLists = Mapping[CodeList, Sequence[CodeEntry]]


class CodeUnknownError(RequestInvalidError):
    """The list has no such entry."""


def find_code(lists: CodeLists, name: CodeList, text: str) -> CodeEntry:
    """The entry that a person means: by code or Vietnamese name, with or without marks and case.

    "HD" and "HĐ" differ in a mark alone: written without one and in small letters, "hd" may be
    both and is not guessed.

    Args:
        lists: All lists.
        name: Of the list to look in.
        text: In NFC.

    Raises:
        CodeUnknownError: The list has none; names near ones.
        RequestInvalidError: It may be several.
    """
    entries, wanted = lists[name], text.strip()
    for entry in entries:
        if wanted == entry.code:
            return entry
    if wanted.isascii():
        found = _matching(entries, folded(wanted), fold=folded)
    else:
        found = _matching(entries, wanted.casefold(), fold=str.casefold)
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(_named(entry) for entry in found)
        raise RequestInvalidError(
            f"{text[:80]!r} may be each of: {several}.",
            hint="Write it with its marks and capital letters.",
        )
    kind = _WHAT[name]
    raise CodeUnknownError(
        f"{text[:80]!r} is no known {kind}.", hint=_advice(entries, wanted, name)
    )


def knows_code(entries: Sequence[CodeEntry], text: str) -> bool:
    """Whether a text is a code or a name of the list, exactly as the list writes it."""
    return any(text in (entry.code, entry.vi, _short(entry.vi)) for entry in entries)


def _matching(
    entries: Sequence[CodeEntry], wanted: str, *, fold: Callable[[str], str]
) -> list[CodeEntry]:
    return [entry for entry in entries if wanted in {fold(word) for word in _words(entry)}]


def _words(entry: CodeEntry) -> Iterator[str]:
    yield from (entry.code, entry.code.rstrip("."), entry.vi, _short(entry.vi))


def _short(name: str) -> str:
    """A name without what stands in brackets after it."""
    return name.partition(" (")[0]


def _named(entry: CodeEntry) -> str:
    return entry.vi if entry.code == entry.vi else f"{entry.code} ({_short(entry.vi)})"


def _advice(entries: Sequence[CodeEntry], wanted: str, name: CodeList) -> str:
    by_word = {folded(word): entry for entry in entries for word in _words(entry)}
    near = get_close_matches(folded(wanted), by_word, n=_NEAR, cutoff=_LIKENESS)
    named = dict.fromkeys(_named(by_word[word]) for word in near)
    asked = f"Did you mean {' or '.join(named)}? " if named else ""
    return f"{asked}All of them: edocnode codes {name}"
