"""Rules of scans for malware: three answers, and what a person may decide."""

from datetime import UTC, datetime, timedelta

import pytest

from edoccore.errors import DecisionConflictError, DocumentUnknownError
from edoccore.signing.records import DocumentState, StatusStep
from edoccore.signing.statements import Urgency
from edocnode.domain.model import DocumentId, IncomingId, MessageId
from edocnode.domain.office_model import Subject
from edocnode.domain.scanning import (
    ACTOR,
    MALWARE,
    Cause,
    Finding,
    ScanEntry,
    ScanJob,
    ScanState,
    break_wait,
    judge_finding,
    may_release,
    rejection,
    state_for,
    withdrawal,
    worse,
)
from edocnode.domain.workflow import Step

NOW = datetime(2026, 11, 27, 8, tzinfo=UTC)
ID = MessageId(bytes(16))
SUBJECT = Subject(
    incoming_id=IncomingId(1),
    message_id=ID,
    document_id=DocumentId(bytes(16)),
    sender="H29",
    signer="H29",
    recipient="G01",
    envelope_digest=bytes(32),
    urgency=Urgency.NORMAL,
)


def finding(cause: Cause, name: str = "a.pdf") -> Finding:
    return Finding(cause=cause, part=1, name=name, detail="Eicar")


def job(*steps: Step) -> ScanJob:
    return ScanJob(subject=SUBJECT, parts=(), shown=False, blocked=True, steps=steps)


def step(order: int, kind: StatusStep, state: DocumentState, code: str = "") -> Step:
    return Step(order=order, step=kind, state=state, actor="Lan", at=NOW, code=code)


def entry(state: ScanState, *, blocked: bool = True) -> ScanEntry:
    return ScanEntry(
        place=1,
        document_id=SUBJECT.document_id,
        message_id=ID,
        sender="H29",
        recipient="G01",
        state=state,
        shown=False,
        blocked=blocked,
        received_at=NOW,
        scanned_at=None,
        finding=None,
        scanner="",
    )


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("Eicar-Test-Signature", Cause.MALWARE),
        ("Heuristics.Encrypted.Zip", Cause.ENCRYPTED),
        ("Heuristics.Limits.Exceeded.MaxRecursion", Cause.OVER_LIMIT),
        ("Heuristics.Phishing.Email", Cause.MALWARE),
    ],
)
def test_name_that_tells_of_a_limit_is_no_malware(name: str, cause: Cause) -> None:
    assert judge_finding(name) is cause


def test_what_was_not_scanned_is_neither_clean_nor_infected() -> None:
    assert state_for(None) is ScanState.CLEAN
    assert state_for(finding(Cause.MALWARE)) is ScanState.INFECTED
    for cause in set(Cause) - {Cause.MALWARE}:
        assert state_for(finding(cause)) is ScanState.HELD


def test_malware_counts_more_than_what_was_not_scanned() -> None:
    held, bad = finding(Cause.ENCRYPTED), finding(Cause.MALWARE)
    assert worse(held, bad) is bad
    assert worse(bad, held) is bad
    assert worse(None, held) is held
    assert worse(held, finding(Cause.TOO_LARGE)) is held
    assert worse(None, None) is None


def test_sender_is_told_of_malware_unless_somebody_deals_with_the_document() -> None:
    told = rejection(job(), finding(Cause.MALWARE, "Báo cáo.pdf"), NOW)
    assert told is not None
    assert (told.order, told.step, told.code, told.actor) == (
        1,
        StatusStep.REJECTED,
        MALWARE,
        ACTOR,
    )
    assert "Báo cáo.pdf" in told.reason
    accepted = step(1, StatusStep.ACCEPTED, DocumentState.ACCEPTED)
    assert rejection(job(accepted), finding(Cause.MALWARE), NOW) is None
    refused = step(1, StatusStep.REJECTED, DocumentState.REJECTED, "OTHER")
    assert rejection(job(refused), finding(Cause.MALWARE), NOW) is None


def test_only_a_rejection_for_malware_is_taken_back() -> None:
    bad = step(1, StatusStep.REJECTED, DocumentState.REJECTED, MALWARE)
    back = withdrawal(job(bad), "Lan", NOW)
    assert back is not None
    assert (back.order, back.step, back.state) == (2, StatusStep.RECEIVED, DocumentState.RECEIVED)
    assert withdrawal(job(bad, back), "Lan", NOW) is None
    assert withdrawal(job(), "Lan", NOW) is None
    other = step(1, StatusStep.REJECTED, DocumentState.REJECTED, "OTHER")
    assert withdrawal(job(other), "Lan", NOW) is None


def test_release_is_for_what_was_scanned_and_not_clean() -> None:
    assert may_release(entry(ScanState.INFECTED), ID)
    assert may_release(entry(ScanState.HELD, blocked=False), ID)
    assert not may_release(entry(ScanState.RELEASED, blocked=False), ID)
    assert not may_release(entry(ScanState.CLEAN, blocked=False), ID)
    for state in (ScanState.WAITING, ScanState.AGAIN):
        with pytest.raises(DecisionConflictError):
            may_release(entry(state), ID)
    with pytest.raises(DocumentUnknownError):
        may_release(None, ID)


def test_what_broke_the_scanner_waits_longer_each_time() -> None:
    assert break_wait(2) == 2 * break_wait(1) > timedelta(0)
