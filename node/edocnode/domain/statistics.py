"""What an office counts: documents by day, and the figures made of them.

Documents are counted once, when they are sealed or arrive, into sums of their day (``Tally``); what
happens to an arrival later is added to the day on which it arrived. So a share is always one of the
same documents: of those that arrived in a month, how many were acknowledged in time.

How they are counted is in ``domain.counting``.

Source: Decision 28/2018/QD-TTg, Articles 11 and 15.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from edoccore.signing.records import DocumentState, StatusStep
from edoccore.signing.statements import Operation
from edocnode.domain.group_by import GroupBy
from edocnode.domain.model import Lane
from edocnode.domain.signature_checks import Side
from edocnode.domain.signatures import LegalStatus

OTHER_TYPE = "-"  # of a document whose type is in no list
REPORT_CODE = "edoc.statistics/"  # before the month: code of a statement, see ``reporting``
MONTH_CHARACTERS = 7
MAX_KEY = 35  # characters of an agency's code, the longest that a group is named by


class Direction(StrEnum):
    """Whether documents went out or came in."""

    OUT = "out"
    IN = "in"


class Detail(StrEnum):
    """What is counted by agency and day alone."""

    ACCEPTING = "accepting"  # time from arrival to acceptance; key: step of the histogram
    FINISHING = "finishing"  # time from acceptance to the end; key as before
    REFUSED = "refused"  # key: code of the reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counts of documents.

    Attributes:
        sent_documents: Handed in here and sealed, each once.
        sent: The same, once for each recipient.
        sent_on_time: Of ``sent``, sealed by the deadline of Decision 28, Article 6(2), and by
            the sender's own time of delivery.
        paper: Of ``sent_documents``, those that also went on paper.
        sent_checked: Of ``sent_documents``, those whose signatures in PDF or XML were checked.
        sent_signed: Of ``sent_checked``, signed by person and organisation: they replace paper.
        replacements: Of ``sent_documents``, those that stand in place of earlier ones.
        corrections: Of ``sent_documents``, those that correct earlier ones.
        updates: Newer versions of documents, once for each recipient; not in ``sent``.
        revocations: Sent to take a document back, once for each recipient.
        received: Arrived and visible here.
        received_checked: Of ``received``, those whose signatures in PDF or XML were checked.
        received_signed: Of ``received_checked``, signed by person and organisation.
        alike: Of ``received``, those of which the office was told that they look like an earlier
            one: the same id, or the same number, notation, issuer and year.
        repeated: Deliveries of documents that were here already: answered with their receipt,
            and not shown again.
        updated: Newer versions of ``received`` that are in force.
        acknowledged: Of ``received``, accepted or refused on the day of arrival, and by the
            sender's own time of delivery.
        accepted: Of ``received``.
        refused: Of ``received``.
        finished: Of ``received``.
        due: Of ``received``, those with a due date.
        finished_on_time: Of ``due``, finished by it.
    """

    sent_documents: int = 0
    sent: int = 0
    sent_on_time: int = 0
    paper: int = 0
    sent_checked: int = 0
    sent_signed: int = 0
    replacements: int = 0
    corrections: int = 0
    updates: int = 0
    revocations: int = 0
    received: int = 0
    received_checked: int = 0
    received_signed: int = 0
    alike: int = 0
    repeated: int = 0
    updated: int = 0
    acknowledged: int = 0
    accepted: int = 0
    refused: int = 0
    finished: int = 0
    due: int = 0
    finished_on_time: int = 0


FIGURES = tuple(item.name for item in fields(Figures))


@dataclass(frozen=True, slots=True)
class DayKey:
    """What a sum of documents is kept by.

    Attributes:
        agency: Own agency.
        peer: The other one.
        document_type: As in the code list, or ``OTHER_TYPE``.
    """

    day: date
    direction: Direction
    agency: str
    peer: str
    document_type: str
    lane: Lane


@dataclass(frozen=True, slots=True)
class DetailKey:
    """What a detail is kept by; see ``Detail`` for ``key``."""

    day: date
    agency: str
    detail: Detail
    key: str


@dataclass(slots=True)
class Tally:
    """Documents counted that are not in the sums yet.

    Attributes:
        reports: Monthly statements that arrived, by sender and month; the newest.
        checks: Checks of signatures that are counted by this as they are now.
    """

    figures: dict[DayKey, Counter[str]] = field(default_factory=dict)
    details: Counter[DetailKey] = field(default_factory=Counter)
    reports: dict[tuple[str, str], int] = field(default_factory=dict)
    checks: Sequence["CheckFact"] = ()

    def add(self, key: DayKey, *names: str) -> None:
        """Counts one document under some of ``FIGURES``."""
        self.figures.setdefault(key, Counter()).update(names)

    def take(self, other: "Tally") -> None:
        """Adds what was counted apart; its checks are not looked at."""
        for key, names in other.figures.items():
            for name, by in names.items():
                self.change(key, name, by)
        self.details.update(other.details)
        self.reports |= other.reports

    def change(self, key: DayKey, name: str, by: int) -> None:
        """Changes one of ``FIGURES``; ``by`` may be below zero."""
        if by:
            self.figures.setdefault(key, Counter())[name] += by


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedFact:
    """A delivery that was sealed here.

    Attributes:
        first: It is the first of its document.
        issued_date: ISO; empty when the document names none.
        deliver_by: When its sender wants it in the recipient's hands; None: at no given time.
        replaces: Its document stands in place of an earlier one.
        corrects: Its document corrects an earlier one.
    """

    agency: str
    peer: str
    lane: Lane
    operation: Operation
    document_type: str
    issued_date: str
    handed_in: datetime
    sealed_at: datetime
    first: bool
    paper: bool
    deliver_by: datetime | None = None
    replaces: bool = False
    corrects: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalFact:
    """A document that arrived here.

    Attributes:
        deliver_by: When its sender wants it in the clerk's hands; None: at no given time.
        alike: It looks like one that came before.
    """

    agency: str
    peer: str
    lane: Lane
    operation: Operation
    document_type: str
    document_code: str = ""
    due_date: str
    received_at: datetime
    incoming_id: int = 0
    deliver_by: datetime | None = None
    alike: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFact:
    """A step that was taken with an arrival.

    Attributes:
        state: Of the document after it.
        first: Nobody had accepted or refused it before.
        accepted_at: When it had been accepted; None: not before this step.
    """

    arrival: ArrivalFact
    step: StatusStep
    state: DocumentState
    first: bool
    at: datetime
    code: str
    accepted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFact:
    """A check of signatures whose outcome is not in the sums, or is there as it was before.

    Attributes:
        owner: With ``side`` the key of the check.
        document: What was sent first of it, or its arrival; None: of no document that is counted,
            such as a newer version of one.
        counted: As what it is in the sums.
        now: What it is.
    """

    side: Side
    owner: int
    document: SealedFact | ArrivalFact | None
    counted: LegalStatus
    now: LegalStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What was read to be counted, and how far the reading came.

    Attributes:
        marks: By source: the place before and behind what was read.
        complete: Nothing more was there.
    """

    sealed: Sequence[SealedFact]
    arrivals: Sequence[ArrivalFact]
    steps: Sequence[StepFact]
    checks: Sequence[CheckFact]
    marks: Mapping[str, tuple[int, int]]
    complete: bool

    def apart(self) -> Iterator["Batch"]:
        """The same, each thing in a batch of its own, in order."""
        bare = replace(self, sealed=(), arrivals=(), steps=(), checks=())
        yield from (replace(bare, sealed=(fact,)) for fact in self.sealed)
        yield from (replace(bare, arrivals=(arrival,)) for arrival in self.arrivals)
        yield from (replace(bare, steps=(step,)) for step in self.steps)
        yield from (replace(bare, checks=(check,)) for check in self.checks)

    @property
    def is_empty(self) -> bool:
        """Nothing was there to be counted."""
        return not self.checks and all(after == to for after, to in self.marks.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsRequest:
    """Which documents.

    Attributes:
        first: First day, in Viet Nam; ``last`` is included.
        agency: Own agency with all whose codes continue its own; empty: all.
        by: None: not divided.
    """

    first: date
    last: date
    agency: str = ""
    by: GroupBy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The figures of a period.

    Attributes:
        groups: By day, type, urgency or peer, in order of the key.
        accepting: Median time from arrival to acceptance; None: nothing was accepted.
        finishing: Median time from acceptance to the end.
        refusals: How many were refused, by code.
        confirmed: Recipients that told in the period that they destroyed what was taken back.
    """

    total: Figures
    groups: Mapping[str, Figures]
    accepting: timedelta | None
    finishing: timedelta | None
    refusals: Mapping[str, int]
    confirmed: int


class StatisticsStore(Protocol):
    """Where documents are counted and sums are kept."""

    async def uncounted(self, limit: int) -> Batch:
        """Reads what is not counted yet, at most ``limit`` rows of each source."""

    async def add_tally(self, tally: Tally, marks: Mapping[str, tuple[int, int]]) -> bool:
        """Adds what was counted and moves the marks, in one transaction.

        Returns:
            False when the marks are no longer where the reading began: nothing was added.
        """

    async def reports(self, month: str) -> Mapping[str, Figures]:
        """The newest statements of a month, each sealed by the agency that it is of."""

    async def statistics(self, wanted: StatisticsRequest) -> Statistics:
        """Sums up a period."""


def added(figures: Iterable[Figures]) -> Figures:
    """The sums of figures."""
    listed = list(figures)
    return Figures(**{name: sum(getattr(each, name) for each in listed) for name in FIGURES})
