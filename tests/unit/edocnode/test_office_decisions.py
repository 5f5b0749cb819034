"""Decisions on received documents: taken once, told to the sender."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from edoccore.directory.layout import AgencyState
from edoccore.errors import DecisionConflictError, NotCanonicalError, RequestInvalidError
from edoccore.signing import canonical
from edoccore.signing.records import DocumentState, StatusRecord
from edoccore.signing.statements import Effect, Operation, Urgency, uuid_text
from edocnode.domain.decisions import check_decision, is_repeated, plan_decision
from edocnode.domain.model import DocumentId, IncomingId, MessageId
from edocnode.domain.office import new_id
from edocnode.domain.office_model import Decision, DocumentView, InboxEntry
from tests.support.nation import Nation

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
ACCEPT = Decision(state=DocumentState.ACCEPTED, actor="Lan")
REJECT = Decision(
    state=DocumentState.REJECTED, actor="Lan", code="SAI_THE_THUC", reason="Sai thể thức văn bản"
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
    decision_code="",
    decision_reason="",
)


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


def test_first_decision_is_not_repeated() -> None:
    assert not is_repeated(ENTRY, ACCEPT)
    assert not is_repeated(ENTRY, REJECT)


@pytest.mark.parametrize("state", ["accepted", "assigned", "processing", "finished"])
def test_accepting_again_changes_nothing(state: str) -> None:
    assert is_repeated(replace(ENTRY, state=DocumentState(state)), ACCEPT)


def test_rejecting_again_with_the_same_words_changes_nothing() -> None:
    rejected = replace(
        ENTRY,
        state=DocumentState.REJECTED,
        decision_code=REJECT.code,
        decision_reason=REJECT.reason,
    )
    assert is_repeated(rejected, replace(REJECT, actor="Minh"))
    with pytest.raises(DecisionConflictError):
        is_repeated(rejected, replace(REJECT, reason="Một lý do khác hẳn"))


@pytest.mark.parametrize(
    ("state", "decision"),
    [("rejected", ACCEPT), ("revoked", ACCEPT), ("accepted", REJECT), ("finished", REJECT)],
)
def test_other_decision_is_a_conflict(state: str, decision: Decision) -> None:
    with pytest.raises(DecisionConflictError):
        is_repeated(replace(ENTRY, state=DocumentState(state)), decision)


@pytest.mark.parametrize(
    ("decision", "error"),
    [
        (replace(ACCEPT, actor=""), RequestInvalidError),
        (replace(ACCEPT, actor="a" * 201), RequestInvalidError),
        (replace(ACCEPT, actor="La\x07n"), NotCanonicalError),
        (replace(REJECT, code=""), RequestInvalidError),
        (replace(REJECT, reason="Sai"), RequestInvalidError),
        (replace(REJECT, reason=" " * 20), RequestInvalidError),
        (replace(REJECT, reason="a" * 1001), RequestInvalidError),
    ],
    ids=["nobody", "long name", "bell", "no code", "short", "blank", "long"],
)
def test_decision_without_name_or_reason_is_refused(
    decision: Decision, error: type[Exception]
) -> None:
    with pytest.raises(error):
        check_decision(decision)
