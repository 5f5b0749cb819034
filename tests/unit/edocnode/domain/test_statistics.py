"""Documents are counted on their day, with what became of them, and medians are near."""

import statistics
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.signing.records import DocumentState, StatusStep
from edoccore.signing.statements import Operation
from edocnode.domain.calendar import WorkingCalendar, at
from edocnode.domain.counting import median_time, step_of_time, tally_of
from edocnode.domain.deadlines import DeadlineRules
from edocnode.domain.model import Lane
from edocnode.domain.savings import SavingAssumptions, saved_vnd
from edocnode.domain.signature_checks import Side
from edocnode.domain.signatures import LegalStatus
from edocnode.domain.statistics import (
    ArrivalFact,
    Batch,
    CheckFact,
    DayKey,
    Detail,
    Direction,
    Figures,
    SealedFact,
    StepFact,
    Tally,
)

RULES = DeadlineRules(calendar=WorkingCalendar())
FRIDAY, MONDAY = date(2026, 11, 27), date(2026, 11, 30)
TYPES = {"Quyết định": "QĐ", "QĐ": "QĐ"}
SEALED = SealedFact(
    agency="H29",
    peer="G01",
    lane=Lane.NORMAL,
    operation=Operation.NEW,
    document_type="QĐ",
    issued_date="2026-11-27",
    handed_in=at(FRIDAY, time(15)),
    sealed_at=at(FRIDAY, time(15)),
    first=True,
    paper=False,
)
ARRIVAL = ArrivalFact(
    agency="H29",
    peer="G01",
    lane=Lane.NORMAL,
    operation=Operation.NEW,
    document_type="Quyết định",
    due_date="",
    received_at=at(FRIDAY, time(10)),
)


def tally(*facts: SealedFact | ArrivalFact | StepFact | CheckFact) -> Tally:
    batch = Batch(
        sealed=[fact for fact in facts if isinstance(fact, SealedFact)],
        arrivals=[fact for fact in facts if isinstance(fact, ArrivalFact)],
        steps=[fact for fact in facts if isinstance(fact, StepFact)],
        checks=[fact for fact in facts if isinstance(fact, CheckFact)],
        marks={},
        complete=True,
    )
    return tally_of(batch, RULES, TYPES)


def only(found: Tally) -> dict[str, int]:
    (counts,) = found.figures.values()
    return dict(counts)


def step(kind: StatusStep, moment: datetime, **values: object) -> StepFact:
    fields: dict[str, object] = {
        "arrival": ARRIVAL,
        "state": DocumentState.ACCEPTED,
        "first": True,
        "code": "",
        "accepted_at": None,
    }
    return StepFact(step=kind, at=moment, **(fields | values))  # type: ignore[arg-type]


def test_document_is_counted_once_and_its_deliveries_each() -> None:
    found = tally(SEALED, replace(SEALED, first=False), replace(SEALED, first=False))
    assert only(found) == {"sent": 3, "sent_on_time": 3, "sent_documents": 1}
    assert list(found.figures) == [DayKey(FRIDAY, Direction.OUT, "H29", "G01", "QĐ", Lane.NORMAL)]


@pytest.mark.parametrize(
    ("sealed_at", "on_time"),
    [(at(MONDAY, time(12)), 1), (at(MONDAY, time(12)) + timedelta(milliseconds=1), 0)],
)
def test_sent_by_monday_noon_is_on_time(sealed_at: datetime, on_time: int) -> None:
    assert only(tally(replace(SEALED, sealed_at=sealed_at))).get("sent_on_time", 0) == on_time


def test_paper_counts_for_the_document_not_for_each_recipient() -> None:
    found = only(tally(replace(SEALED, paper=True), replace(SEALED, paper=True, first=False)))
    assert found["paper"] == 1


def test_statuses_are_not_documents_and_revocations_are_counted_apart() -> None:
    assert tally(replace(SEALED, operation=Operation.STATUS)).figures == {}
    assert only(tally(replace(SEALED, operation=Operation.REVOKE))) == {"revocations": 1}
    assert tally(replace(ARRIVAL, operation=Operation.REVOKE)).figures == {}


def test_type_that_is_in_no_list_is_counted_with_the_others() -> None:
    (key,) = tally(replace(ARRIVAL, document_type="Bịa ra")).figures
    assert key.document_type == "-"


def test_step_counts_on_the_day_of_arrival() -> None:
    found = tally(
        ARRIVAL,
        step(StatusStep.ACCEPTED, at(FRIDAY, time(17))),
        step(StatusStep.FINISHED, at(MONDAY, time(9)), accepted_at=at(FRIDAY, time(17))),
    )
    assert only(found) == {"received": 1, "acknowledged": 1, "accepted": 1, "finished": 1}
    assert {key.detail for key in found.details} == {Detail.ACCEPTING, Detail.FINISHING}
    assert {key.day for key in found.details} == {FRIDAY}


def test_what_is_accepted_the_next_day_is_not_acknowledged_in_time() -> None:
    found = only(tally(step(StatusStep.ACCEPTED, at(date(2026, 11, 28), time(0, 1)))))
    assert found == {"accepted": 1}


def test_refusals_are_counted_by_their_code() -> None:
    refused = step(StatusStep.REJECTED, at(FRIDAY, time(11)), code="WRONG_RECIPIENT")
    found = tally(refused, refused)
    assert only(found) == {"acknowledged": 2, "refused": 2}
    assert [(key.key, count) for key, count in found.details.items()] == [("WRONG_RECIPIENT", 2)]


@pytest.mark.parametrize(("hour", "kept"), [(17, 1), (18, 0)])
def test_finished_by_the_due_date_means_until_work_ends(hour: int, kept: int) -> None:
    due = replace(ARRIVAL, due_date="2026-11-28")  # a Saturday: until Monday evening
    done = step(StatusStep.FINISHED, at(MONDAY, time(hour)), arrival=due)
    found = only(tally(due, done))
    assert (found["due"], found.get("finished_on_time", 0)) == (1, kept)


@pytest.mark.parametrize("text", ["2026-02-30", "soon", ""])
def test_day_that_does_not_exist_spoils_nothing(text: str) -> None:
    assert only(tally(replace(SEALED, issued_date=text)))["sent_on_time"] == 1
    due = replace(ARRIVAL, due_date=text)
    assert only(tally(step(StatusStep.FINISHED, at(MONDAY, time(9)), arrival=due))) == {
        "finished": 1
    }


@pytest.mark.parametrize(("early", "on_time"), [(True, 0), (False, 1)])
def test_time_that_the_sender_names_counts_beside_the_deadlines(early: bool, on_time: int) -> None:
    moment = at(FRIDAY, time(16))
    by = moment - timedelta(minutes=1) if early else moment
    sent = only(tally(replace(SEALED, sealed_at=moment, deliver_by=by)))
    assert sent.get("sent_on_time", 0) == on_time
    arrival = replace(ARRIVAL, deliver_by=by)
    taken = only(tally(step(StatusStep.ACCEPTED, moment, arrival=arrival)))
    assert taken.get("acknowledged", 0) == on_time


def test_document_that_comes_back_to_the_clerk_is_acknowledged_once() -> None:
    found = tally(
        step(StatusStep.REJECTED, at(FRIDAY, time(11))),
        step(StatusStep.AGREED, at(FRIDAY, time(14)), state=DocumentState.RECEIVED, first=False),
        step(StatusStep.ACCEPTED, at(FRIDAY, time(15)), first=False),
    )
    assert only(found) == {"acknowledged": 1, "refused": 1, "updated": 1, "accepted": 1}


def test_agreeing_to_a_revocation_is_no_update() -> None:
    agreed = step(StatusStep.AGREED, at(FRIDAY, time(11)), state=DocumentState.REVOKED)
    assert tally(agreed).figures == {}


@pytest.mark.parametrize("document", [SEALED, ARRIVAL])
@given(st.lists(st.sampled_from(LegalStatus), min_size=1))
def test_checks_made_anew_leave_the_last_verdict_counted(
    document: SealedFact | ArrivalFact, verdicts: list[LegalStatus]
) -> None:
    facts, before = [], LegalStatus.NOT_CHECKED
    for verdict in verdicts:
        facts.append(
            CheckFact(side=Side.SENT, owner=1, document=document, counted=before, now=verdict)
        )
        before = verdict
    counts = Counter[str]()
    for found in tally(*facts).figures.values():
        counts.update(found)
    assert sum(count for name, count in counts.items() if "checked" in name) == (
        verdicts[-1] is not LegalStatus.NOT_CHECKED
    )
    assert sum(count for name, count in counts.items() if "signed" in name) == (
        verdicts[-1] is LegalStatus.REPLACES_PAPER
    )


def test_check_of_a_later_version_is_not_counted_but_settled() -> None:
    check = CheckFact(
        side=Side.RECEIVED,
        owner=2,
        document=None,
        counted=LegalStatus.NOT_CHECKED,
        now=LegalStatus.REPLACES_PAPER,
    )
    found = tally(check)
    assert (found.figures, found.checks) == ({}, [check])


@given(st.lists(st.timedeltas(timedelta(seconds=1), timedelta(days=90)), min_size=1, max_size=99))
def test_median_is_within_three_percent_of_the_true_one(lengths: list[timedelta]) -> None:
    histogram: dict[int, int] = {}
    for each in lengths:
        histogram[step_of_time(each)] = histogram.get(step_of_time(each), 0) + 1
    found = median_time(histogram)
    assert found is not None
    true = statistics.median_low(lengths)
    assert abs(found / true - 1) < 0.03


def test_no_median_of_nothing() -> None:
    assert median_time({}) is None


def test_savings_leave_out_what_went_on_paper_too() -> None:
    assumed = SavingAssumptions(
        pages=2, page_vnd=100, postage_vnd=700, handling_min=1, minute_vnd=100
    )
    figures = Figures(sent_documents=4, sent=40, paper=1)
    assert saved_vnd(figures, assumed) == 30 * 1000
    assert saved_vnd(Figures(), assumed) == 0
