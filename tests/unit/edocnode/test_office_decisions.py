"""Decisions on received documents: taken once, told to the sender."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from edoccore.directory.layout import AgencyState
from edoccore.errors import DecisionConflictError, NotCanonicalError, RequestInvalidError
from edoccore.signing import canonical
from edoccore.signing.records import DocumentState, StatusRecord, StatusStep
from edoccore.signing.statements import Effect, Operation, Urgency, uuid_text
from edocnode.domain.decisions import check_decision, is_repeated, plan_decision
from edocnode.domain.model import DocumentId, IncomingId, MessageId
from edocnode.domain.office import new_id
from edocnode.domain.office_model import DocumentView, InboxEntry
from edocnode.domain.reasons import REJECT_CODES
from edocnode.domain.workflow import Decision, Step, step_after
from tests.support.nation import Nation

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
ACCEPT = Decision(step=StatusStep.ACCEPTED, actor="Lan")
ASSIGN = Decision(step=StatusStep.ASSIGNED, actor="Lan", assignee="Phòng Hành chính")
REJECT = Decision(
    step=StatusStep.REJECTED, actor="Lan", code="WRONG_RECIPIENT", reason="Không thuộc thẩm quyền"
)
ENTRY = InboxEntry(
    incoming_id=IncomingId(1),
    message_id=MessageId(new_id(NOW, b"m" * 10)),
    document=DocumentView(
        document_id=DocumentId(new_id(NOW, b"d" * 10)),
        sender="H29.5",
        urgency=Urgency.KHAN,
        operation=Operation.NEW,
        listing={},
        parts=(),
    ),
    signer="H29",
    recipient="G01.22",
    envelope_digest=b"e" * 32,
    received_at=NOW,
    state=DocumentState.RECEIVED,
    position=1,
)


def after(*decisions: Decision) -> InboxEntry:
    """The document after decisions, each the next one."""
    entry = ENTRY
    for decision in decisions:
        step = step_after(entry.workflow, decision, NOW)
        entry = replace(entry, state=step.state, steps=(*entry.steps, step))
    return entry


@pytest.fixture(scope="module")
def nation() -> Nation:
    made = Nation.create(NOW)
    made.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh", owns=["H29.5"])
    made.add_agency("G01", "Bộ Nội vụ", owns=["G01.22"])
    return made


def test_decision_is_told_to_the_sender_and_put_into_the_journal(nation: Nation) -> None:
    message_id = MessageId(new_id(NOW, b"s" * 10))
    plan = plan_decision(
        ENTRY, REJECT, nation.directory(), agency="G01", message_id=message_id, now=NOW
    )
    record = canonical.decode(plan.status.inline, StatusRecord)
    assert (record.state, record.code, record.reason) == (
        DocumentState.REJECTED,
        REJECT.code,
        REJECT.reason,
    )
    assert record.envelope == ENTRY.envelope_digest.hex()
    assert (record.step, record.order, record.actor) == (StatusStep.REJECTED, 1, "Lan")
    (delivery,) = plan.status.deliveries
    assert (plan.status.sender, delivery.recipient, delivery.to_node) == ("G01.22", "H29.5", "H29")
    assert (plan.status.operation, plan.status.about) == (Operation.STATUS, ENTRY.envelope_digest)
    effect = canonical.decode(plan.effect, Effect)
    assert (effect.kind, effect.subject) == ("document.rejected", uuid_text(ENTRY.message_id))


def test_sender_that_ended_meanwhile_is_told_at_the_node_that_sealed(nation: Nation) -> None:
    ended = Nation.create(NOW)
    ended.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh", owns=["H29.5"])
    ended.add_agency("G01", "Bộ Nội vụ")
    ended.set_state("H29", AgencyState.SUSPENDED)
    plan = plan_decision(
        ENTRY, ACCEPT, ended.directory(), agency="G01", message_id=ENTRY.message_id, now=NOW
    )
    assert plan.status.deliveries[0].to_node == "H29"


def test_status_and_journal_say_whom_the_document_was_given_to(nation: Nation) -> None:
    message_id = MessageId(new_id(NOW, b"s" * 10))
    entry = after(ACCEPT)
    plan = plan_decision(
        entry, ASSIGN, nation.directory(), agency="G01", message_id=message_id, now=NOW
    )
    record = canonical.decode(plan.status.inline, StatusRecord)
    assert (record.order, record.state) == (2, DocumentState.ASSIGNED)
    assert record.assignee == "Phòng Hành chính"
    assert canonical.decode(plan.effect, Effect).detail == "Phòng Hành chính"


def test_statuses_of_two_documents_under_one_message_id_have_their_own_requests(
    nation: Nation,
) -> None:
    message_id = MessageId(new_id(NOW, b"s" * 10))
    requests = {
        plan_decision(
            replace(ENTRY, incoming_id=IncomingId(row)),
            ACCEPT,
            nation.directory(),
            agency="G01",
            message_id=message_id,
            now=NOW,
        ).status.request_id
        for row in (1, 2)
    }
    assert len(requests) == 2


def test_rejecting_again_with_the_same_words_changes_nothing() -> None:
    rejected = after(REJECT)
    assert is_repeated(rejected, replace(REJECT, actor="Minh"))
    with pytest.raises(DecisionConflictError):
        is_repeated(rejected, replace(REJECT, reason="Một lý do khác hẳn"))


def test_conflict_says_what_stands_and_what_to_do() -> None:
    with pytest.raises(DecisionConflictError) as early:
        is_repeated(ENTRY, ASSIGN)
    assert "is received, so it cannot be assigned yet" in early.value.message
    assert "edocnode accept" in early.value.hint
    with pytest.raises(DecisionConflictError) as late:
        is_repeated(after(ACCEPT), REJECT)
    assert "is accepted already" in late.value.message


def test_document_that_its_sender_took_back_is_not_decided_on() -> None:
    agreed = Step(
        order=1, step=StatusStep.AGREED, state=DocumentState.REVOKED, actor="edocnode", at=NOW
    )
    revoked = replace(ENTRY, state=DocumentState.REVOKED, steps=(agreed,))
    for decision in (ACCEPT, REJECT, ASSIGN):
        with pytest.raises(DecisionConflictError, match="took it back"):
            is_repeated(revoked, decision)


@pytest.mark.parametrize(
    ("decision", "error"),
    [
        (replace(ACCEPT, actor=""), RequestInvalidError),
        (replace(ACCEPT, actor="a" * 201), RequestInvalidError),
        (replace(ACCEPT, actor="La\x07n"), NotCanonicalError),
        (replace(ASSIGN, assignee=""), RequestInvalidError),
        (replace(ASSIGN, assignee="  "), RequestInvalidError),
        (replace(ASSIGN, assignee="a" * 201), RequestInvalidError),
        (replace(ASSIGN, assignee="Ph\x07òng"), NotCanonicalError),
        (replace(REJECT, code=""), RequestInvalidError),
        (replace(REJECT, code="SAI_THE_THUC"), RequestInvalidError),
        (replace(REJECT, reason="Sai"), RequestInvalidError),
        (replace(REJECT, reason=" " * 20), RequestInvalidError),
        (replace(REJECT, reason="a" * 1001), RequestInvalidError),
    ],
    ids=[
        *(
            "nobody",
            "long name",
            "bell",
            "to nobody",
            "to blanks",
            "to a long name",
            "bell in a name",
        ),
        *("no code", "unknown code", "short", "blank", "long"),
    ],
)
def test_decision_without_name_or_reason_is_refused(
    decision: Decision, error: type[Exception]
) -> None:
    with pytest.raises(error):
        check_decision(decision)


def test_unknown_code_is_refused_with_the_list_of_those_that_are_known() -> None:
    with pytest.raises(RequestInvalidError) as refused:
        check_decision(replace(REJECT, code="SAI_THE_THUC"))
    assert all(code in refused.value.hint for code in REJECT_CODES)


def test_every_code_reads_in_both_languages() -> None:
    for code, reason in REJECT_CODES.items():
        check_decision(replace(REJECT, code=code))
        canonical.check_text(reason.vi)
        assert min(len(reason.vi), len(reason.en)) >= 10
