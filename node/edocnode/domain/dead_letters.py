"""Deliveries that need a person: what to do about each, and which of them may be queued again.

A message keeps its id and its envelope when it is queued again, so the recipient can never take it
twice. What has a receipt, or whose envelope has ended, is not queued again.
"""

from dataclasses import dataclass
from datetime import datetime

from edoccore.agency_errors import AgencyEndedError
from edoccore.errors import DecisionConflictError, EnvelopeExpiredError, StorageDamagedError
from edoccore.office_errors import EncryptionKeyError
from edoccore.signing import canonical
from edoccore.signing.statements import Effect, time_text, uuid_text
from edocnode.domain.copies import NOT_REACHED
from edocnode.domain.model import DeliveryState, DocumentId, MessageId

PARTS_LOST = "PARTS_LOST"  # reason of a delivery that came back without its parts after a restore
REQUEUED = "delivery.requeued"  # kind of the effect in the journal
RETRIES_AT_ONCE = 200  # deliveries queued again in one transaction

_QUEUED_AGAIN = "then queue it again: edocnode retry ID"
_SEND_ANEW = "and send the document again"
_HELD = {
    "AGENCY_UNKNOWN": f"wait until both nodes hold the newest directory, {_QUEUED_AGAIN}",
    AgencyEndedError.reason: "choose one of the successors that the message names: edocnode retry "
    "ID --instead CODE; of a document of this agency, which has ended: hand it in at its successor",
    EncryptionKeyError.reason: "save its files and send them again with --encrypt to the agency "
    "that the message names",
    NOT_REACHED: "when that agency has confirmed it, let its node know as well: edocnode retry "
    "--all-of CODE",
    "FROM_NOT_OWNED": f"have the registry's officer list the code for this agency, {_QUEUED_AGAIN}",
    "LIMIT_EXCEEDED": f"split the document or make it smaller {_SEND_ANEW}",
    "NOT_CANONICAL": f"update the software of both nodes, {_QUEUED_AGAIN}",
    "PART_DIGEST_MISMATCH": f"look at the disks of both nodes, {_QUEUED_AGAIN}",
    PARTS_LOST: "wait until its parts come back from the recipient, or send the document again",
    "PROCESSING_FAILED": f"ask the recipient's operator what its log says, {_QUEUED_AGAIN}",
    "RECIPIENT_NOT_HERE": f"choose the right recipient {_SEND_ANEW}",
    "SEAL_CERTIFICATE_REFUSED": f"have the registry's officer look at the seal's certificate, "
    f"{_QUEUED_AGAIN}",
    "STATEMENT_TOO_LARGE": f"shorten the document's data {_SEND_ANEW}",
    "STORAGE_DAMAGED": f"restore its damaged part from a backup, {_QUEUED_AGAIN}",
}
_ANY_HELD = f"look for the cause with the recipient's operator, {_QUEUED_AGAIN}"
_REJECTED = f"correct what the reason names {_SEND_ANEW}"
_EXPIRED = "ask the recipient whether it has the document; if not, send it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldDelivery:
    """A delivery as far as queueing it again needs it.

    Attributes:
        place: Row of the delivery; pages go on after it.
        document_id: The document.
        to_node: The node that it is for.
        complete: All parts of the document are here.
        readers: Nodes that can read its encrypted files; None: they are not encrypted.
    """

    place: int
    message_id: MessageId
    document_id: DocumentId
    recipient: str
    to_node: str
    state: DeliveryState
    reason: str
    expires: datetime
    complete: bool
    readers: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPlan:
    """A delivery to be queued again, with the effect that is kept with it."""

    message_id: MessageId
    effect: bytes


def what_to_do(state: DeliveryState, reason: str) -> str:
    """What a person can do about a delivery that did not arrive.

    Returns:
        A clause without capital letter and full stop; empty when there is nothing to do.
    """
    match state:
        case DeliveryState.HELD:
            return _HELD.get(reason, _ANY_HELD)
        case DeliveryState.REJECTED:
            return _REJECTED
        case DeliveryState.EXPIRED:
            return _EXPIRED
        case _:
            return ""


def may_retry(delivery: HeldDelivery, now: datetime) -> bool:
    """Whether a delivery is to be queued again; False when it waits or is offered already.

    Raises:
        DecisionConflictError: It has ended: answered, given up, or void.
        EnvelopeExpiredError: Its envelope has ended; only a new one can arrive.
        StorageDamagedError: Its parts are not all here.
    """
    message_id = uuid_text(delivery.message_id)
    if delivery.state in (DeliveryState.QUEUED, DeliveryState.SENDING):
        return False
    if delivery.state is not DeliveryState.HELD:
        raise DecisionConflictError(
            f"The delivery to {delivery.recipient} is {delivery.state}, not held.",
            hint=f"See: edocnode show {message_id}",
            message_id=message_id,
            state=delivery.state,
        )
    if delivery.expires <= now:
        raise EnvelopeExpiredError(
            f"The envelope to {delivery.recipient} ended at {time_text(delivery.expires)}.",
            hint="Send the document again: edocnode send",
            message_id=message_id,
        )
    if not delivery.complete:
        raise StorageDamagedError(
            f"Not all parts of the document to {delivery.recipient} came back after the restore.",
            hint="Send the document again: edocnode send",
            message_id=message_id,
        )
    return True


def plan_retry(
    delivery: HeldDelivery, *, network: str, agency: str, actor: str, now: datetime
) -> RetryPlan:
    """Prepares what is kept when a delivery is queued again.

    Args:
        actor: Who decided it; goes into the journal.
    """
    effect = Effect(
        network=network,
        agency=agency,
        kind=REQUEUED,
        subject=uuid_text(delivery.message_id),
        actor=actor,
        time=time_text(now),
        detail=f"{delivery.recipient}: {delivery.reason or 'held'}",
    )
    return RetryPlan(message_id=delivery.message_id, effect=canonical.encode(effect))
