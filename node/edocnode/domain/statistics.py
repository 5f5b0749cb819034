"""What an office counts: documents by day, and the figures made of them.

Documents are counted once, when they are sealed or arrive, into sums of their day (``Tally``); what
happens to an arrival later is added to the day on which it arrived. So a share is always one of the
same documents: of those that arrived in a month, how many were acknowledged in time.

Times are kept as a histogram whose steps grow by a twelfth of a doubling, so a median is told with
an error of at most 3 %, whatever the number of documents.

Source: Decision 28/2018/QD-TTg, Articles 11 and 15; what is on time: ``domain.deadlines``.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from edoccore.signing.records import StatusStep
from edoccore.signing.statements import Operation
from edocnode.domain.calendar import day_in_viet_nam
from edocnode.domain.deadlines import DeadlineRules
from edocnode.domain.late import urgency_of
from edocnode.domain.model import Lane

OTHER_TYPE = "-"  # of a document whose type is in no list
STEPS_PER_DOUBLING = 12
REPORT_CODE = "edoc.statistics/"  # before the month: code of a statement, see ``reporting``
MONTH_CHARACTERS = 7
MAX_KEY = 35  # characters of an agency's code, the longest that a group is named by
_SHORTEST = timedelta(seconds=1)


class Direction(StrEnum):
    """Whether documents went out or came in."""

    OUT = "out"
    IN = "in"


class GroupBy(StrEnum):
    """What statistics may be divided by."""

    TYPE = "type"
    URGENCY = "urgency"
    PEER = "peer"
    DAY = "day"


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
        sent_on_time: Of ``sent``, sealed by the deadline of Decision 28, Article 6(2).
        paper: Of ``sent_documents``, those that also went on paper.
        revocations: Sent to take a document back, once for each recipient.
        received: Arrived and visible here.
        acknowledged: Of ``received``, accepted or refused on the day of arrival.
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
    revocations: int = 0
    received: int = 0
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
    """

    figures: dict[DayKey, Counter[str]] = field(default_factory=dict)
    details: Counter[DetailKey] = field(default_factory=Counter)
    reports: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, key: DayKey, *names: str) -> None:
        """Counts one document under some of ``FIGURES``."""
        self.figures.setdefault(key, Counter()).update(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedFact:
    """A delivery that was sealed here.

    Attributes:
        first: It is the first of its document.
        issued_date: ISO; empty when the document names none.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalFact:
    """A document that arrived here."""

    agency: str
    peer: str
    lane: Lane
    operation: Operation
    document_type: str
    document_code: str = ""
    due_date: str
    received_at: datetime
    incoming_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFact:
    """A step that was taken with an arrival.

    Attributes:
        accepted_at: When it had been accepted; None: not before this step.
    """

    arrival: ArrivalFact
    step: StatusStep
    at: datetime
    code: str
    accepted_at: datetime | None


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
    marks: Mapping[str, tuple[int, int]]
    complete: bool


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


def tally_of(batch: Batch, rules: DeadlineRules, types: Mapping[str, str]) -> Tally:
    """Counts a batch.

    Args:
        types: Codes of document types by every way to write them; others
            are counted together, so that nobody's inventions fill a table.
    """
    tally = Tally()
    for sealed in batch.sealed:
        _count_sealed(tally, sealed, rules, types)
    for arrival in batch.arrivals:
        if arrival.operation not in (Operation.STATUS, Operation.REVOKE):
            names = ("received", "due") if arrival.due_date else ("received",)
            tally.add(_arrival_key(arrival, types), *names)
        if (month := arrival.document_code.removeprefix(REPORT_CODE)) != arrival.document_code:
            tally.reports[arrival.peer, month[:MONTH_CHARACTERS]] = arrival.incoming_id
    for step in batch.steps:
        _count_step(tally, step, rules, types)
    return tally


def step_of_time(length: timedelta) -> int:
    """The step of the histogram for a time; 0 up to a second."""
    seconds = max(length, _SHORTEST).total_seconds()
    return round(math.log2(seconds) * STEPS_PER_DOUBLING)


def time_of_step(step: int) -> timedelta:
    """The time that a step of the histogram stands for."""
    seconds: float = 2 ** (step / STEPS_PER_DOUBLING)
    return timedelta(seconds=seconds)


def median_time(histogram: Mapping[int, int]) -> timedelta | None:
    """The median of a histogram, within 3 %; None when it is empty."""
    half, seen = (sum(histogram.values()) + 1) // 2, 0
    for step in sorted(histogram):
        seen += histogram[step]
        if seen >= half:
            return time_of_step(step)
    return None


def added(figures: Iterable[Figures]) -> Figures:
    """The sums of figures."""
    listed = list(figures)
    return Figures(**{name: sum(getattr(each, name) for each in listed) for name in FIGURES})


def _count_sealed(
    tally: Tally, fact: SealedFact, rules: DeadlineRules, types: Mapping[str, str]
) -> None:
    key = DayKey(
        day_in_viet_nam(fact.sealed_at),
        Direction.OUT,
        fact.agency,
        fact.peer,
        types.get(fact.document_type, OTHER_TYPE),
        fact.lane,
    )
    if fact.operation in (Operation.STATUS, Operation.UPDATE):
        return  # a newer version is the same document, which was counted
    if fact.operation is Operation.REVOKE:
        tally.add(key, "revocations")
        return
    issued = _day(fact.issued_date) or day_in_viet_nam(fact.handed_in)
    due = rules.send_by(issued, fact.handed_in, urgency_of(fact.lane))
    names = ["sent"]
    names += ["sent_on_time"] if fact.sealed_at <= due else []
    names += ["sent_documents"] if fact.first else []
    names += ["paper"] if fact.first and fact.paper else []
    tally.add(key, *names)


def _count_step(
    tally: Tally, fact: StepFact, rules: DeadlineRules, types: Mapping[str, str]
) -> None:
    arrival = fact.arrival
    key = _arrival_key(arrival, types)
    if fact.step in (StatusStep.ACCEPTED, StatusStep.REJECTED):
        due = rules.acknowledge_by(arrival.received_at, urgency_of(arrival.lane))
        if fact.at <= due:
            tally.add(key, "acknowledged")
    if fact.step is StatusStep.ACCEPTED:
        tally.add(key, "accepted")
        _add_time(tally, key, Detail.ACCEPTING, fact.at - arrival.received_at)
    elif fact.step is StatusStep.REJECTED:
        tally.add(key, "refused")
        code = fact.code[:MAX_KEY] or OTHER_TYPE
        tally.details[DetailKey(key.day, key.agency, Detail.REFUSED, code)] += 1
    elif fact.step is StatusStep.FINISHED:
        tally.add(key, "finished")
        day = _day(arrival.due_date)
        if day is not None and fact.at <= rules.finish_by(day):
            tally.add(key, "finished_on_time")
        if fact.accepted_at is not None:
            _add_time(tally, key, Detail.FINISHING, fact.at - fact.accepted_at)


def _add_time(tally: Tally, key: DayKey, detail: Detail, length: timedelta) -> None:
    tally.details[DetailKey(key.day, key.agency, detail, str(step_of_time(length)))] += 1


def _arrival_key(fact: ArrivalFact, types: Mapping[str, str]) -> DayKey:
    return DayKey(
        day_in_viet_nam(fact.received_at),
        Direction.IN,
        fact.agency,
        fact.peer,
        types.get(fact.document_type, OTHER_TYPE),
        fact.lane,
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:  # none, or a day that does not exist
        return None
