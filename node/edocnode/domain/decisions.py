"""What an office decides on a received document, and how its sender learns of it.

Each step becomes four things that are kept together or not at all: the state here, the step among
those before it, a leaf of the journal, and a status that goes to the sender like any document.
Which step may follow which is in ``workflow``.

Source: Decision 28/2018/QD-TTg, Articles 5, 9 and 10(h); Decree 30/2020/ND-CP, Article 21(2).
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256

from msgspec import UNSET

from edoccore.directory.view import Directory
from edoccore.errors import (
    DecisionConflictError,
    RequestInvalidError,
)
from edoccore.signing import canonical
from edoccore.signing.records import DocumentState, StatusRecord, StatusStep
from edoccore.signing.statements import (
    RECORD_NAME,
    STATUS_MEDIA_TYPE,
    Effect,
    Operation,
    Part,
    time_text,
    uuid_text,
)
from edocnode.domain.checks import MIN_REASON
from edocnode.domain.model import MessageId, NewDelivery, Submission
from edocnode.domain.office import DEFAULT_LIFETIME
from edocnode.domain.office_model import InboxEntry, StepPlan, Subject
from edocnode.domain.reasons import DECLINE_CODES, REJECT_CODES, Reason, known_codes
from edocnode.domain.workflow import Decision, Step, Verdict, judge, step_after

MAX_ACTOR = 200  # characters
MAX_ASSIGNEE = 200
MAX_REASON = 1000

_COMMANDS = {
    StatusStep.ACCEPTED: "accept",
    StatusStep.REJECTED: "reject",
    StatusStep.ASSIGNED: "assign",
    StatusStep.PROCESSING: "process",
    StatusStep.FINISHED: "finish",
}
_CODES: Mapping[StatusStep, Mapping[str, Reason]] = {
    StatusStep.REJECTED: REJECT_CODES,
    StatusStep.DECLINED: DECLINE_CODES,
}


def check_decision(decision: Decision) -> None:
    """Checks what an office wrote.

    Raises:
        RequestInvalidError: The actor or assignee is missing, or a refusal has no code of its list
            or hardly a reason.
        NotCanonicalError: A text has a forbidden character.
    """
    if not 1 <= len(decision.actor) <= MAX_ACTOR:
        raise RequestInvalidError("Who decides must be named.", hint="Add --actor NAME.")
    for text in (decision.actor, decision.assignee, decision.code, decision.reason):
        canonical.check_text(text)
    if decision.step is StatusStep.ASSIGNED and not (
        decision.assignee.strip() and len(decision.assignee) <= MAX_ASSIGNEE
    ):
        raise RequestInvalidError(
            f"Whom the document is given to must be named, in 1 to {MAX_ASSIGNEE} characters.",
            hint="Add --to with a unit or person.",
        )
    codes = _CODES.get(decision.step)
    if codes is not None:
        _check_code(decision.code, codes)
        check_reason(decision.reason)


def check_reason(reason: str) -> None:
    """Checks that a reason tells the other side something.

    Raises:
        RequestInvalidError: It is too short or too long.
    """
    if len(reason.strip()) < MIN_REASON or len(reason) > MAX_REASON:
        raise RequestInvalidError(
            f"The reason must have {MIN_REASON} to {MAX_REASON} characters, so that the other "
            "side knows what to do.",
            hint="Say in a sentence what is wrong: --reason TEXT.",
        )


def _check_code(code: str, codes: Mapping[str, Reason]) -> None:
    """Checks that a refusal says why in a code that its sender's software knows.

    Raises:
        RequestInvalidError: It is no code of the list.
    """
    if code not in codes:
        raise RequestInvalidError(
            f"{code[:40]!r} is no code for this.", hint=f"Use one of: {known_codes(codes)}."
        )


def is_repeated(entry: InboxEntry, decision: Decision) -> bool:
    """Whether this decision was taken before.

    Raises:
        DecisionConflictError: It does not follow on what was decided.
    """
    verdict = judge(entry.workflow, decision)
    if verdict is not Verdict.CONFLICT:
        return verdict is Verdict.REPEATED
    message_id = uuid_text(entry.message_id)
    raise DecisionConflictError(
        _conflict(entry, decision),
        hint=f"First: edocnode accept {message_id}"
        if entry.state is DocumentState.RECEIVED
        else f"See: edocnode show {message_id}",
        message_id=message_id,
        state=entry.state,
    )


def plan_decision(
    entry: InboxEntry,
    decision: Decision,
    directory: Directory,
    *,
    agency: str,
    message_id: MessageId,
    now: datetime,
) -> StepPlan:
    """Prepares all that is kept with the next step.

    Args:
        agency: That owns this node and whose journal the decision goes into.
        message_id: Fresh, for the status that tells the sender.
    """
    step = step_after(entry.workflow, decision, now)
    return plan_step(subject_of(entry), step, directory, agency=agency, message_id=message_id)


def subject_of(entry: InboxEntry) -> Subject:
    """What a step with a received document is about."""
    return Subject(
        incoming_id=entry.incoming_id,
        message_id=entry.message_id,
        document_id=entry.document.document_id,
        sender=entry.document.sender,
        signer=entry.signer,
        recipient=entry.recipient,
        envelope_digest=entry.envelope_digest,
        urgency=entry.document.urgency,
    )


def plan_step(
    subject: Subject, step: Step, directory: Directory, *, agency: str, message_id: MessageId
) -> StepPlan:
    """Prepares all that is kept with a step, whoever took it.

    Args:
        agency: As in ``plan_decision``, like ``message_id``.
    """
    return StepPlan(
        incoming_id=subject.incoming_id,
        message_id=subject.message_id,
        step=step,
        effect=canonical.encode(_effect(subject, step, directory.network, agency)),
        status=_status(subject, step, directory, message_id=message_id),
    )


def _conflict(entry: InboxEntry, decision: Decision) -> str:
    """Why a decision does not follow on what was decided."""
    document_id, state = uuid_text(entry.document.document_id), entry.state
    if state is DocumentState.RECEIVED:
        step = _after(decision.step)
        return f"Document {document_id} is {state}, so it cannot be {step} yet: it is not accepted."
    if state is DocumentState.REVOKED:
        return f"Document {document_id} is {state}: its sender took it back."
    command = _COMMANDS[decision.step]
    return (
        f"Document {document_id} is {state} already, and its sender was told, so `{command}` does "
        "not follow."
    )


def _after(step: StatusStep) -> str:
    return "processed" if step is StatusStep.PROCESSING else step.value


def _effect(subject: Subject, step: Step, network: str, agency: str) -> Effect:
    detail = step.assignee or (f"{step.code}: {step.reason}" if step.reason else "")
    return Effect(
        network=network,
        agency=agency,
        kind=f"document.{step.step}",
        subject=uuid_text(subject.message_id),
        actor=step.actor,
        time=time_text(step.at),
        detail=detail or UNSET,
    )


def _record(subject: Subject, step: Step, network: str) -> StatusRecord:
    return StatusRecord(
        network=network,
        document_id=uuid_text(subject.document_id),
        envelope=subject.envelope_digest.hex(),
        answers=UNSET if step.answers is None else step.answers.hex(),
        step=step.step,
        state=step.state,
        order=step.order,
        actor=step.actor,
        time=time_text(step.at),
        assignee=step.assignee or UNSET,
        code=step.code or UNSET,
        reason=step.reason or UNSET,
        still_held=step.still_held or UNSET,
    )


def _status(
    subject: Subject, step: Step, directory: Directory, *, message_id: MessageId
) -> Submission:
    record = canonical.encode(_record(subject, step, directory.network))
    digest = sha256(record)
    part = Part(
        index=0,
        name=RECORD_NAME,
        media_type=STATUS_MEDIA_TYPE,
        size=len(record),
        sha256=digest.hexdigest(),
    )
    delivery = NewDelivery(
        message_id=message_id,
        recipient=subject.sender,
        to_node=directory.answering_node(subject.signer, subject.sender, step.at),
    )
    return Submission(
        request_id=f"step/{subject.incoming_id}/{step.order}",  # no office can name one so
        request_hash=digest.digest(),
        document_id=subject.document_id,
        sender=subject.recipient,
        urgency=subject.urgency,
        operation=Operation.STATUS,
        about=subject.envelope_digest,
        parts=(part,),
        inline=record,
        listing={},
        created=step.at,
        expires=step.at + DEFAULT_LIFETIME,
        deliveries=(delivery,),
    )
