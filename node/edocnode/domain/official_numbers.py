"""Official numbers that a node gives: who asks for one, which series and year it is of.

An agency may leave numbering to its own software; one that numbers here has one sequence a year for
paper and electronic documents alike, from 1 on 1 January. A number that was given is never given
again: it is used, or it stays in the book as void. Keeping the book is elsewhere.

Source: Decree 30/2020/ND-CP, Articles 15 (numbers of own documents) and 22 (numbers of arrivals).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, Protocol

from edoccore.errors import DecisionConflictError, RequestInvalidError
from edoccore.signing import canonical
from edoccore.signing.statements import Effect, time_text

VIET_NAM = timezone(timedelta(hours=7))
MAX_RESERVED = 1000  # numbers at once
MIN_REASON, MAX_NOTE = 10, 500  # characters
FIRST_YEAR, LAST_YEAR = 1945, 9999


class Book(StrEnum):
    """Which register a number is of."""

    OUT = "out"  # documents of the agency
    IN = "in"  # documents that arrived


class NumberState(StrEnum):
    """What became of a number."""

    TAKEN = "taken"  # for a document that was not kept: void, unless its request is repeated
    USED = "used"  # by an electronic document
    PAPER = "paper"  # reserved for paper
    VOID = "void"  # given up, with a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberingRules:
    """What an operator chose.

    Attributes:
        agencies: Codes that number here.
        series: Name of the series by document type; other types share the one without a name.
    """

    agencies: frozenset[str] = frozenset()
    series: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One sequence of numbers."""

    book: Book
    agency: str
    name: str
    year: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRequest:
    """A number wanted for a document that is being handed in.

    Attributes:
        request_id: Of the submission: repeated, it has the same number again.
        issued_date: Day of issue, YYYY-MM-DD.
    """

    series: Series
    request_id: str
    issued_date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenNumber:
    """A number that was given for a document; it counts as used once the document is kept."""

    series: Series
    number: int
    issued_date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberEntry:
    """A line of the book.

    Attributes:
        note: What it was reserved for, or why it is void.
        actor: Who reserved it or gave it up; empty for a document.
        document_id: Of the electronic document that has it; None for others.
        position: Place in the book; later ones are higher.
    """

    series: Series
    number: int
    state: NumberState
    note: str
    actor: str
    document_id: bytes | None
    taken_at: datetime
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Void:
    """A number that is given up.

    Attributes:
        actor: Who decides it.
    """

    series: Series
    number: int
    reason: str
    actor: str
    at: datetime


class NumberBook(Protocol):
    """Where numbers are given; each method is one transaction."""

    async def take(self, request: NumberRequest, at: datetime) -> GivenNumber:
        """Gives the next number for a document; the same request id has the same again.

        Raises:
            DecisionConflictError: The number of this request was given up meanwhile.
        """

    async def take_many(
        self, requests: Sequence[NumberRequest], at: datetime
    ) -> Sequence[GivenNumber | DecisionConflictError]:
        """Gives the next numbers for documents, in their order, as ``take`` does for one."""

    async def reserve(
        self, series: Series, count: int, *, note: str, actor: str, at: datetime
    ) -> Sequence[int]:
        """Gives the next numbers for paper."""

    async def give_up(self, line: Void, salt: bytes, effect: bytes) -> bool:
        """Makes a number void, with an effect for the journal; False when it was already.

        Args:
            salt: 16 random bytes, before the effect.
            effect: Exact bytes of the journal's leaf.

        Raises:
            DocumentUnknownError: It was never given.
            DecisionConflictError: A document has it.
        """

    async def numbers(
        self, book: Book, agency: str, year: int, *, limit: int, before: int
    ) -> Sequence[NumberEntry]:
        """Lines of a book, the newest first; ``before`` 0: from the newest on."""


def day_in_viet_nam(moment: datetime) -> date:
    """The day that a moment falls on there."""
    return moment.astimezone(VIET_NAM).date()


def number_request(
    fields: Mapping[str, Any], rules: NumberingRules, *, sender: str, request_id: str, now: datetime
) -> NumberRequest:
    """What number a document is to get.

    The year is that of its day of issue, which is today in Viet Nam when it says none.

    Args:
        fields: Of its record, as the office gave them.

    Raises:
        RequestInvalidError: The agency does not number here, or the document has a number.
    """
    check_numbers_here(rules, sender)
    if fields.get("number"):
        raise RequestInvalidError(
            f"The document says its own number {str(fields['number'])[:20]!r} and asks for one.",
            hint="Leave one of them out.",
        )
    day = fields.get("issued_date") or day_in_viet_nam(now).isoformat()
    try:
        year = date.fromisoformat(str(day)).year
    except ValueError as error:
        raise RequestInvalidError(f"{str(day)[:20]!r} is no day of issue.") from error
    name = rules.series.get(str(fields.get("document_type", "")), "")
    series = Series(book=Book.OUT, agency=sender, name=name, year=year)
    return NumberRequest(series=series, request_id=request_id, issued_date=str(day))


def check_numbers_here(rules: NumberingRules, agency: str) -> None:
    """Refuses to number for an agency whose own software does.

    Raises:
        RequestInvalidError: The settings do not name it.
    """
    if agency not in rules.agencies:
        raise RequestInvalidError(
            f"The documents of {agency} are not numbered by this node.",
            hint=f'Give --number, or have the operator set: numbering = ["{agency}"]',
        )


def check_reservation(count: int, note: str, year: int) -> None:
    """Checks what is asked for paper.

    Raises:
        RequestInvalidError: Too many or none, no purpose, or no such year.
    """
    if not 1 <= count <= MAX_RESERVED:
        raise RequestInvalidError(f"{count} numbers cannot be reserved; 1 to {MAX_RESERVED} can.")
    if not 1 <= len(note.strip()) <= MAX_NOTE:
        raise RequestInvalidError(
            "Reserved numbers need a purpose.", hint=f"Say what for in 1 to {MAX_NOTE} characters."
        )
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise RequestInvalidError(f"There is no year {year} of numbers.")


def void_effect(line: Void, *, network: str, agency: str) -> bytes:
    """What the journal says of a number that is given up.

    Args:
        agency: That owns the node and its journal.
    """
    series = line.series
    name = f" of series {series.name}" if series.name else ""
    effect = Effect(
        network=network,
        agency=agency,
        kind="number.voided",
        subject=f"{series.agency}/{series.year}/{line.number}",
        actor=line.actor,
        time=time_text(line.at),
        detail=f"{series.book}{name}: {line.reason}",
    )
    return canonical.encode(effect)


def check_giving_up(reason: str) -> None:
    """Checks why a number is given up.

    Raises:
        RequestInvalidError: The reason is missing, too short or too long.
    """
    if not MIN_REASON <= len(reason.strip()) <= MAX_NOTE:
        raise RequestInvalidError(
            "A number is given up for a reason that others understand.",
            hint=f"Say why in {MIN_REASON} to {MAX_NOTE} characters.",
        )
