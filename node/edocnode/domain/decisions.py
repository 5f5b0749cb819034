"""What an office decides on a received document, and how its sender learns of it.

A decision is taken once: repeating it changes nothing, another one is a conflict. Each one becomes
three things that are kept together or not at all: the state here, a leaf of the journal, and a
status that goes to the sender like any document.

Source: Decision 28/2018/QD-TTg, Article 10(h).
"""

from datetime import datetime
from hashlib import sha256

from msgspec import UNSET

from edoccore.directory.view import Directory
from edoccore.errors import (
    AgencyInactiveError,
    AgencyUnknownError,
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
from edocnode.domain.model import MessageId, NewDelivery, Submission
from edocnode.domain.office import DEFAULT_LIFETIME
from edocnode.domain.office_model import Decision, DecisionPlan, InboxEntry

MAX_ACTOR = 200  # characters
MAX_CODE = 100
MIN_REASON = 10
MAX_REASON = 1000

_TAKEN_IN = frozenset(
    {
        DocumentState.ACCEPTED,
        DocumentState.ASSIGNED,
        DocumentState.PROCESSING,
        DocumentState.FINISHED,
    }
)


def check_decision(decision: Decision) -> None:
    """Checks what an office wrote.

    Raises:
        RequestInvalidError: The actor is missing, or a rejection has no code or hardly a reason.
        NotCanonicalError: A text has a forbidden character.
    """
    if not 1 <= len(decision.actor) <= MAX_ACTOR:
        raise RequestInvalidError("Who decides must be named.", hint="Add --actor NAME.")
    for text in (decision.actor, decision.code, decision.reason):
        canonical.check_text(text)
    if decision.state is not DocumentState.REJECTED:
        return
    if not 1 <= len(decision.code) <= MAX_CODE:
        raise RequestInvalidError("A rejection needs a code.", hint="Add --code CODE.")
    if len(decision.reason.strip()) < MIN_REASON or len(decision.reason) > MAX_REASON:
        raise RequestInvalidError(
            f"The reason must have {MIN_REASON} to {MAX_REASON} characters, so that the sender "
            "knows what to do.",
            hint="Say in a sentence what is wrong: --reason TEXT.",
        )


def is_repeated(entry: InboxEntry, decision: Decision) -> bool:
    """Whether this decision was taken before.

    Raises:
        DecisionConflictError: Another one was.
    """
    if entry.state is DocumentState.RECEIVED:
        return False
    if decision.state is DocumentState.ACCEPTED and entry.state in _TAKEN_IN:
        return True
    told = (decision.state, decision.code, decision.reason)
    if told == (entry.state, entry.decision_code, entry.decision_reason):
        return True
    raise DecisionConflictError(
        f"Document {uuid_text(entry.document.document_id)} is {entry.state} already, and its "
        "sender was told.",
        hint=f"See: edocnode show {uuid_text(entry.message_id)}",
        message_id=uuid_text(entry.message_id),
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
) -> DecisionPlan:
    """Prepares all that is kept with a decision.

    Args:
        agency: That owns this node and whose journal the decision goes into.
        message_id: Fresh, for the status that tells the sender.
    """
    record = StatusRecord(
        network=directory.network,
        document_id=uuid_text(entry.document.document_id),
        envelope=entry.envelope_digest.hex(),
        step=StatusStep(decision.state.value),
        state=decision.state,
        order=1,
        actor=decision.actor,
        time=time_text(now),
        code=decision.code or UNSET,
        reason=decision.reason or UNSET,
    )
    effect = Effect(
        network=directory.network,
        agency=agency,
        kind=f"document.{decision.state}",
        subject=uuid_text(entry.message_id),
        actor=decision.actor,
        time=time_text(now),
        detail=f"{decision.code}: {decision.reason}" if decision.reason else UNSET,
    )
    return DecisionPlan(
        incoming_id=entry.incoming_id,
        expected=entry.state,
        decision=decision,
        at=now,
        effect=canonical.encode(effect),
        status=_status(
            entry,
            decision.state,
            canonical.encode(record),
            directory,
            message_id=message_id,
            now=now,
        ),
    )


def status_request_id(message_id: bytes, state: DocumentState) -> str:
    """The request id under which the status of a decision is kept."""
    return f"decision-{uuid_text(message_id)}-{state}"


def _status(
    entry: InboxEntry,
    state: DocumentState,
    record: bytes,
    directory: Directory,
    *,
    message_id: MessageId,
    now: datetime,
) -> Submission:
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
        recipient=entry.document.sender,
        to_node=_node_of_sender(entry, directory),
    )
    return Submission(
        request_id=status_request_id(entry.message_id, state),
        request_hash=digest.digest(),
        document_id=entry.document.document_id,
        sender=entry.recipient,
        urgency=entry.document.urgency,
        operation=Operation.STATUS,
        about=entry.envelope_digest,
        parts=(part,),
        inline=record,
        listing={},
        created=now,
        expires=now + DEFAULT_LIFETIME,
        deliveries=(delivery,),
    )


def _node_of_sender(entry: InboxEntry, directory: Directory) -> str:
    """The node that serves the sender now; that of then, if the directory knows no better."""
    try:
        return directory.node_of(entry.document.sender)
    except (AgencyUnknownError, AgencyInactiveError):
        return entry.signer
