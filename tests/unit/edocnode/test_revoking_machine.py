"""A document, its steps and its revocation over a line that loses, repeats and reorders."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edoccore.directory.view import Directory
from edoccore.signing.records import DocumentState, StatusStep
from edoccore.signing.statements import Operation, Urgency
from edocnode.domain.model import DeliveryState, DocumentId, IncomingId, MessageId
from edocnode.domain.office import new_id
from edocnode.domain.office_model import DocumentView, InboxEntry, RevocationState
from edocnode.domain.revoking import ReceivedRevocation, outcome, plan_answer
from edocnode.domain.workflow import (
    Decision,
    Step,
    Verdict,
    answer_to,
    judge,
    step_after,
    workflow_of,
)
from tests.support.nation import Nation

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
REVOCATION = b"r" * 32  # digest of its envelope
ENTRY = InboxEntry(
    incoming_id=IncomingId(1),
    message_id=MessageId(new_id(NOW, b"m" * 10)),
    document=DocumentView(
        document_id=DocumentId(new_id(NOW, b"d" * 10)),
        sender="H29",
        urgency=Urgency.NORMAL,
        operation=Operation.NEW,
        listing={"subject": "Quy chế"},
        parts=(),
    ),
    signer="H29",
    recipient="G01",
    envelope_digest=b"e" * 32,
    received_at=NOW,
    state=DocumentState.RECEIVED,
    position=1,
)
DECISIONS = st.sampled_from(
    [
        Decision(step=StatusStep.ACCEPTED, actor="Lan"),
        Decision(step=StatusStep.ASSIGNED, actor="Lan", assignee="Phòng A"),
        Decision(step=StatusStep.PROCESSING, actor="Hà"),
        Decision(step=StatusStep.FINISHED, actor="Hà"),
        Decision(step=StatusStep.REJECTED, actor="Lan", code="OTHER", reason="Lý do khác hẳn"),
    ]
)
DECLINE = Decision(step=StatusStep.DECLINED, actor="Lan", code="LEGAL_HOLD", reason="Bị phong tỏa")
AGREE = Decision(step=StatusStep.AGREED, actor="edocnode")


def _directory() -> Directory:
    nation = Nation.create(NOW)
    nation.add_agency("H29", "Ủy ban nhân dân tỉnh Hà Tĩnh")
    nation.add_agency("G01", "Bộ Nội vụ")
    return nation.directory()


DIRECTORY = _directory()


class Exchange(RuleBasedStateMachine):
    """One document: what its recipient does, and what its sender knows of it."""

    def __init__(self) -> None:
        super().__init__()
        self.entry: InboxEntry | None = None
        self.steps: list[Step] = []  # all that the recipient took
        self.line: list[Step] = []  # statuses on their way
        self.told: list[Step] = []  # all that the sender ever got, repetitions too
        self.highest = 0
        self.revoked = self.arrived = self.destroyed = False
        self.document_sent = True

    def _took(self, step: Step) -> None:
        self.steps.append(step)
        self.line.append(step)
        if self.entry is not None:
            self.entry = replace(self.entry, state=step.state, steps=tuple(self.steps))

    @precondition(lambda self: self.document_sent and self.entry is None)
    @rule()
    def document_arrives(self) -> None:
        self.document_sent = False
        if not self.destroyed:  # otherwise it gets its receipt and is never shown
            self.entry = ENTRY

    @precondition(lambda self: self.entry is not None)
    @rule(decision=DECISIONS)
    def clerk_decides(self, decision: Decision) -> None:
        assert self.entry is not None
        if judge(self.entry.workflow, decision) is Verdict.NEXT:
            at = NOW + timedelta(minutes=len(self.steps))
            self._took(step_after(self.entry.workflow, decision, at))

    @precondition(lambda self: not self.revoked)
    @rule()
    def sender_takes_back(self) -> None:
        self.revoked = True

    @precondition(lambda self: self.revoked and not self.destroyed)
    @rule(decision=st.sampled_from([AGREE, DECLINE]))
    def revocation_is_answered(self, decision: Decision) -> None:
        received = ReceivedRevocation(
            incoming_id=IncomingId(2),
            message_id=MessageId(new_id(NOW, b"v" * 10)),
            digest=REVOCATION,
            document_id=ENTRY.document.document_id,
            sender="H29",
            signer="H29",
            recipient="G01",
            urgency=Urgency.NORMAL,
            envelope=ENTRY.envelope_digest,
            actor="Lan",
            reason="Ban hành nhầm",
            state=RevocationState.PENDING,
            entry=self.entry,
        )
        answer = plan_answer(
            received,
            decision if self.entry is not None else AGREE,  # of what is not here nobody is asked
            DIRECTORY,
            agency="G01",
            message_id=ENTRY.message_id,
            now=NOW + timedelta(minutes=len(self.steps)),
            still_held=("backups",),
        )
        self.destroyed = answer.state is RevocationState.AGREED
        self.arrived = True
        assert (answer.plan.step.still_held == ()) == (self.entry is None or not self.destroyed)
        self._took(answer.plan.step)

    @precondition(lambda self: self.line)
    @rule(data=st.data(), again=st.booleans())
    def status_arrives(self, data: st.DataObject, *, again: bool) -> None:
        step = data.draw(st.sampled_from(self.line))
        self.told.append(step)
        if not again:  # a status stays on its way until its receipt is here
            self.line.remove(step)

    @rule()
    def time_passes(self) -> None:
        """Nothing has to happen."""

    @invariant()
    def sender_never_goes_back(self) -> None:
        seen = workflow_of(self.told).order
        assert seen >= self.highest
        self.highest = seen

    @invariant()
    def nothing_follows_on_destruction(self) -> None:
        if self.destroyed:
            assert workflow_of(self.steps).state is DocumentState.REVOKED

    def teardown(self) -> None:
        self.told += self.line  # nothing is lost for ever
        assert workflow_of(self.told) == workflow_of(self.steps)
        if self.revoked:
            answer = answer_to(self.told, REVOCATION)
            shown = outcome(DeliveryState.DELIVERED, answer, sent=True)
            expected = RevocationState.DECLINED if self.arrived else RevocationState.PENDING
            assert shown is (RevocationState.AGREED if self.destroyed else expected)


Exchange.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestExchange = Exchange.TestCase
