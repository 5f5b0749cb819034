"""What an office looks for in its lists, in one form.

Case and marks do not count, words may stand in any order and be parts of words. Nothing here knows
how documents are kept.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from edoccore.errors import RequestInvalidError
from edoccore.signing.statements import Urgency
from edocnode.domain.folding import folded

MAX_TEXT = 300  # characters
MAX_WORDS = 12
MAX_TYPES = 8  # spellings of one document type
_DAY = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a document must be; each empty or None: anything.

    Attributes:
        words: Folded, the longest first; all must occur.
        others: Spellings of the other agency: sender of a received document, recipient of a sent.
        document_types: Spellings of one type, one of which it has.
        since: Received or handed in then or later.
        until: Before then.
        due_before: Due before this day, YYYY-MM-DD.
        number: Spellings of one number, with and without a zero in front.
        notation: Exactly.
    """

    words: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    document_types: tuple[str, ...] = ()
    urgency: Urgency | None = None
    since: datetime | None = None
    until: datetime | None = None
    due_before: str = ""
    number: tuple[str, ...] = ()
    notation: str = ""


ANYTHING = Filters()


def search_words(text: str) -> tuple[str, ...]:
    """The words of a search.

    Raises:
        RequestInvalidError: It is too long.
    """
    words = dict.fromkeys(folded(text[: MAX_TEXT + 1].replace("\x00", "")).split())
    if len(text) > MAX_TEXT or len(words) > MAX_WORDS:
        raise RequestInvalidError(
            f"A search has at most {MAX_WORDS} words and {MAX_TEXT} characters.",
            hint="Look for the rarest words alone.",
        )
    return tuple(sorted(words, key=len, reverse=True))


def number_spellings(text: str) -> tuple[tuple[str, ...], str]:
    """Number and notation of what a person looks for: ``5``, ``05``, ``05/QĐ-UBND``.

    Returns:
        Spellings of the number, and the notation, which may be empty.
    """
    number, _, notation = text.strip().partition("/")
    if not number:
        return (), notation
    bare = number.lstrip("0") or number
    return tuple(dict.fromkeys((number, bare, bare.zfill(2)))), notation


def checked_day(text: str) -> str:
    """A day to compare others with.

    Raises:
        RequestInvalidError: It is none.
    """
    if text and not _DAY.fullmatch(text):
        raise RequestInvalidError(f"{text[:40]!r} is no day.", hint="Write it as 2026-12-05.")
    return text


def checked_types(types: Sequence[str]) -> tuple[str, ...]:
    """Spellings of a type.

    Raises:
        RequestInvalidError: Too many.
    """
    if len(types) > MAX_TYPES:
        raise RequestInvalidError(f"A type has at most {MAX_TYPES} spellings.")
    return tuple(types)
