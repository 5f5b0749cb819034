"""How documents are counted into sums of their day: see ``domain.statistics``.

Times are kept as a histogram whose steps grow by a twelfth of a doubling, so a median is told with
an error of at most 3 %, whatever the number of documents.

Source: Decision 28/2018/QD-TTg, Articles 11 and 15; what is on time: ``domain.deadlines``.
"""

import math
from collections.abc import Mapping
from datetime import date, timedelta

from edoccore.signing.records import DocumentState, StatusStep
from edoccore.signing.statements import Operation
from edocnode.domain.calendar import day_in_viet_nam
from edocnode.domain.deadlines import DeadlineRules, earliest
from edocnode.domain.late import urgency_of
from edocnode.domain.model import Arrival, Lane
from edocnode.domain.signatures import LegalStatus
from edocnode.domain.statistics import (
    MAX_KEY,
    MONTH_CHARACTERS,
    OTHER_TYPE,
    REPORT_CODE,
    ArrivalFact,
    Batch,
    CheckFact,
    DayKey,
    Detail,
    DetailKey,
    Direction,
    SealedFact,
    StepFact,
    Tally,
)

STEPS_PER_DOUBLING = 12
_SHORTEST = timedelta(seconds=1)
_NO_DOCUMENTS = frozenset({Operation.STATUS, Operation.REVOKE})


def tally_of(batch: Batch, rules: DeadlineRules, types: Mapping[str, str]) -> Tally:
    """Counts a batch.

    Args:
        types: Codes of document types by every way to write them; others
            are counted together, so that nobody's inventions fill a table.
    """
    tally = Tally(checks=batch.checks)
    for sealed in batch.sealed:
        _count_sealed(tally, sealed, rules, types)
    for arrival in batch.arrivals:
        _count_arrival(tally, arrival, types)
    for step in batch.steps:
        _count_step(tally, step, rules, types)
    for check in batch.checks:
        _count_check(tally, check, types)
    return tally


def repeated_key(arrival: Arrival) -> DayKey | None:
    """Under what a delivery is counted that was here already; None: it carried no document.

    Its type is not looked at: of a large document it is not at hand.
    """
    if arrival.operation in _NO_DOCUMENTS:
        return None
    return DayKey(
        day_in_viet_nam(arrival.kept_at),
        Direction.IN,
        arrival.recipient,
        arrival.sender,
        OTHER_TYPE,
        Lane.of(arrival.urgency),
    )


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


def _count_sealed(
    tally: Tally, fact: SealedFact, rules: DeadlineRules, types: Mapping[str, str]
) -> None:
    key = _sealed_key(fact, types)
    match fact.operation:
        case Operation.STATUS:
            return
        case Operation.REVOKE:
            tally.add(key, "revocations")
            return
        case Operation.UPDATE:  # a newer version is the same document, which was counted
            tally.add(key, "updates")
            return
    issued = _day(fact.issued_date) or day_in_viet_nam(fact.handed_in)
    due = rules.send_by(issued, fact.handed_in, urgency_of(fact.lane))
    facts = {
        "sent": True,
        "sent_on_time": fact.sealed_at <= earliest(due, fact.deliver_by),
        "sent_documents": fact.first,
        "paper": fact.first and fact.paper,
        "replacements": fact.first and fact.replaces,
        "corrections": fact.first and fact.corrects,
    }
    tally.add(key, *(name for name, is_so in facts.items() if is_so))


def _count_arrival(tally: Tally, fact: ArrivalFact, types: Mapping[str, str]) -> None:
    if fact.operation not in _NO_DOCUMENTS:
        facts = {"received": True, "due": bool(fact.due_date), "alike": fact.alike}
        tally.add(_arrival_key(fact, types), *(name for name, is_so in facts.items() if is_so))
    if (month := fact.document_code.removeprefix(REPORT_CODE)) != fact.document_code:
        tally.reports[fact.peer, month[:MONTH_CHARACTERS]] = fact.incoming_id


def _count_check(tally: Tally, fact: CheckFact, types: Mapping[str, str]) -> None:
    """Moves a document from what its check was to what it is; a check can be made anew."""
    if fact.document is None:
        return
    if isinstance(fact.document, SealedFact):
        key, checked, signed = _sealed_key(fact.document, types), "sent_checked", "sent_signed"
    else:
        key = _arrival_key(fact.document, types)
        checked, signed = "received_checked", "received_signed"
    unknown, replaces = LegalStatus.NOT_CHECKED, LegalStatus.REPLACES_PAPER
    tally.change(key, checked, (fact.now is not unknown) - (fact.counted is not unknown))
    tally.change(key, signed, (fact.now is replaces) - (fact.counted is replaces))


def _count_step(
    tally: Tally, fact: StepFact, rules: DeadlineRules, types: Mapping[str, str]
) -> None:
    arrival = fact.arrival
    key = _arrival_key(arrival, types)
    if fact.step in (StatusStep.ACCEPTED, StatusStep.REJECTED):
        due = rules.acknowledge_by(arrival.received_at, urgency_of(arrival.lane))
        if fact.first and fact.at <= earliest(due, arrival.deliver_by):
            tally.add(key, "acknowledged")
    if fact.step is StatusStep.AGREED and fact.state is not DocumentState.REVOKED:
        tally.add(key, "updated")
    elif fact.step is StatusStep.ACCEPTED:
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


def _sealed_key(fact: SealedFact, types: Mapping[str, str]) -> DayKey:
    return DayKey(
        day_in_viet_nam(fact.sealed_at),
        Direction.OUT,
        fact.agency,
        fact.peer,
        types.get(fact.document_type, OTHER_TYPE),
        fact.lane,
    )


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
