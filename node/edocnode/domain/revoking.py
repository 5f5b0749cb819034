"""Taking a document back: what its sender does, and how a recipient destroys it.

The sender freezes the document. A delivery that was never sealed is void at once; for any other its
recipient gets a revocation, since an offer that nobody answered may have arrived all the same: one
for the document and all its updates, which are destroyed together and answered for once. The
recipient destroys what it has under that document's id from that sender, or will have: a
revocation may come first. It answers by a step like any other, sealed and in order.

Source: Decision 28/2018/QD-TTg, Articles 8 and 9; Decree 30/2020/ND-CP, Article 18 and Appendix VI.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Protocol

from edoccore.directory.view import Directory
from edoccore.errors import (
    DecisionConflictError,
    RequestInvalidError,
)
from edoccore.signing import canonical
from edoccore.signing.records import DocumentState, RevocationRecord, StatusStep
from edoccore.signing.statements import (
    RECORD_NAME,
    REVOCATION_MEDIA_TYPE,
    Effect,
    Operation,
    Part,
    Urgency,
    time_text,
    uuid_text,
)
from edocnode.domain.copies import PassedOver
from edocnode.domain.dead_letters import PARTS_LOST
from edocnode.domain.decisions import MAX_ACTOR, check_reason, plan_step, subject_of
from edocnode.domain.model import (
    DeliveryState,
    DocumentId,
    IncomingId,
    MessageId,
    NewDelivery,
    Submission,
)
from edocnode.domain.office import DEFAULT_LIFETIME
from edocnode.domain.office_model import (
    DocumentView,
    InboxEntry,
    RevocationState,
    StepPlan,
    Subject,
    TakenBack,
)
from edocnode.domain.setting_aside import Waiting
from edocnode.domain.workflow import Decision, Step

WITHDRAWN = "WITHDRAWN"  # reason of a delivery that was taken back before it was answered
REVOKED_AT_ONCE = 500  # deliveries in one transaction
_ANSWERED_WITH_NOTHING_KEPT = "rejected"
_NEVER_SEALED = frozenset({"unsealed", "scheduled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeOrder:
    """Who takes a document back, and why."""

    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SentDelivery:
    """A delivery as far as taking it back needs it.

    Attributes:
        place: Row of the delivery; pages go on after it.
        state: As the row has it, with those states that people see as queued.
        envelope_digest: Of the envelope in force; None when none was sealed.
        asks: Its node is asked about the document by this delivery, if by any.
        copies: At nodes that were passed over, which may have it as well.
    """

    place: int
    message_id: MessageId
    recipient: str
    to_node: str
    state: str
    reason: str
    envelope_digest: bytes | None
    asks: bool = True
    copies: tuple[PassedOver, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokePlan:
    """What is kept when a delivery is taken back.

    Attributes:
        sealed: Whether it had an envelope when it was judged; kept only if that is still so.
        revocation: Goes to the recipient; None when nothing can be there.
        to_copies: Go to nodes that were passed over and are still heard.
        not_reached: Nodes that are not heard any more and have or may have a copy.
        effect: Exact bytes of the journal's leaf, without salt.
    """

    message_id: MessageId
    order: RevokeOrder
    sealed: bool
    revocation: Submission | None
    effect: bytes
    to_copies: tuple[Submission, ...] = ()
    not_reached: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRevocation:
    """A revocation that arrived, with the document it takes back.

    Attributes:
        incoming_id, message_id: Of the revocation.
        digest: Of the revocation's envelope.
        envelope: Digest of the envelope that it names.
        entry: The document as it came first; None while it is not here.
        hold: Why it is held here and not destroyed; empty when it is not.
    """

    incoming_id: IncomingId
    message_id: MessageId
    digest: bytes
    document_id: DocumentId
    sender: str
    signer: str
    recipient: str
    urgency: Urgency
    envelope: bytes
    actor: str
    reason: str
    state: RevocationState
    entry: InboxEntry | None
    hold: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationAnswer:
    """The answer to a revocation with everything that is kept with it.

    Kept only if its document is still here, or still not, as when it was judged.
    """

    revocation: ReceivedRevocation
    state: RevocationState
    plan: StepPlan


class SentRevocations(Protocol):
    """What taking documents back needs of storage; each method is one transaction."""

    async def revoked(self, document_id: DocumentId) -> TakenBack | None:
        """The first order by which any delivery of a document was taken back."""

    async def revocable(
        self, document_id: DocumentId, recipients: Sequence[str], after: int, limit: int
    ) -> Sequence[SentDelivery]:
        """Deliveries of a document that were not taken back, oldest first.

        Args:
            recipients: Only to these; empty: to all.
            after: ``place`` of the last one of the page before; 0: from the first.
        """

    async def revoke(self, plans: Sequence[RevokePlan], salts: Sequence[bytes]) -> int:
        """Takes deliveries back, each with its effect; returns how many.

        Those that were taken back before, or sealed since they were judged, are left as they are.
        """


class ReceivedRevocations(Protocol):
    """What destroying documents needs of storage; each method is one transaction."""

    async def open_revocations(
        self, limit: int, *, asks: bool, without: Collection[Waiting] = ()
    ) -> Sequence[Waiting]:
        """Revocations to be answered now, oldest first.

        Args:
            asks: A person answers for documents that are here: those are left out.
            without: Left out too; beside the ``limit``.
        """

    async def revocation_at(self, place: int) -> ReceivedRevocation | None:
        """A revocation to be answered; None when it has its answer by now."""

    async def revocation_of(self, entry: InboxEntry) -> ReceivedRevocation | None:
        """The newest revocation of a received document that a person may answer."""

    async def answer_revocation(self, answer: RevocationAnswer, salt: bytes) -> bool:
        """Keeps an answer; agreeing makes the document inaccessible in the same transaction.

        Returns:
            False when something changed meanwhile; nothing was kept.
        """

    async def to_be_removed(
        self, after: int, limit: int, *, without: Collection[Waiting] = ()
    ) -> Sequence[Waiting]:
        """Destroyed documents whose files may still be there, by place; ``without`` as above.

        Args:
            after: Only those behind this place; 0: from the first.
        """

    async def destroyed_files(self, place: int) -> Sequence[str]:
        """Digests of the large parts of a destroyed document."""

    async def removed(self, places: Iterable[int]) -> None:
        """Notes that the files of destroyed documents are gone, or stay for others."""


def check_order(order: RevokeOrder) -> None:
    """Checks what an office wrote.

    Raises:
        RequestInvalidError: The actor is missing, or the reason hardly says anything.
        NotCanonicalError: A text has a forbidden character.
    """
    if not 1 <= len(order.actor) <= MAX_ACTOR:
        raise RequestInvalidError("Who takes it back must be named.", hint="Add --actor NAME.")
    canonical.check_text(order.actor)
    canonical.check_text(order.reason)
    check_reason(order.reason)


def check_same(before: TakenBack | None, order: RevokeOrder, document_id: DocumentId) -> None:
    """Checks that a document is not taken back for another reason than before.

    Raises:
        DecisionConflictError: It is; recipients were told the first one.
    """
    if before is not None and before.reason != order.reason:
        raise DecisionConflictError(
            f"Document {uuid_text(document_id)} was taken back already, for another reason: "
            f"{before.reason}",
            hint="Repeat it with the same reason, or see: edocnode show ID",
            document_id=uuid_text(document_id),
        )


def plan_revocation(
    document: DocumentView,
    delivery: SentDelivery,
    order: RevokeOrder,
    directory: Directory,
    *,
    agency: str,
    fresh_id: Callable[[], bytes],
) -> RevokePlan:
    """Prepares taking one delivery back.

    Args:
        agency: That owns this node.
        fresh_id: Makes ids of messages, of 16 bytes.
    """
    effect = Effect(
        network=directory.network,
        agency=agency,
        kind="delivery.revoked",
        subject=uuid_text(delivery.message_id),
        actor=order.actor,
        time=time_text(order.at),
        detail=order.reason,
    )
    revocation = None
    not_reached: list[str] = []
    if delivery.asks and may_be_there(delivery) and delivery.envelope_digest is not None:
        revocation = _revocation(document, _place(delivery), order, directory, fresh_id)
        if revocation.deliveries[0].to_node != delivery.to_node:
            not_reached.append(delivery.to_node)
    copies = [item for item in delivery.copies if item.node != delivery.to_node]
    heard = [item for item in copies if _is_heard(item, directory, order.at)]
    not_reached += [item.node for item in copies if item not in heard]
    return RevokePlan(
        message_id=delivery.message_id,
        order=order,
        sealed=delivery.envelope_digest is not None,
        revocation=revocation,
        effect=canonical.encode(effect),
        to_copies=tuple(
            _revocation(document, _place_of_copy(item), order, directory, fresh_id)
            for item in heard
        ),
        not_reached=tuple(not_reached),
    )


def copy_request(message_id: MessageId, node: str) -> str:
    """The request by which a copy at a node is taken back; no office can name one so."""
    return f"revoke/{uuid_text(message_id)}/{node}"


def may_be_there(delivery: SentDelivery) -> bool:
    """Whether a recipient may have the document, or get it yet, by this delivery.

    What was refused is not kept there; what was sealed and not answered may have arrived.
    """
    if delivery.envelope_digest is None or delivery.state in _NEVER_SEALED:
        return False
    if delivery.state == "held":
        return delivery.reason == PARTS_LOST
    return delivery.state != _ANSWERED_WITH_NOTHING_KEPT


def asking(
    deliveries: Iterable[SentDelivery], asked: Collection[tuple[str, str]]
) -> set[MessageId]:
    """By which deliveries of a document its recipients are asked: one each, the first there.

    A document and its updates are destroyed together, so a recipient answers once; of one whose
    agency ended in between each node does, as each has other versions.

    Args:
        deliveries: All of the document, oldest first.
        asked: Recipients who were asked before, with the node.
    """
    first: dict[tuple[str, str], MessageId] = {}
    for delivery in deliveries:
        place = delivery.recipient, delivery.to_node
        if place not in asked and may_be_there(delivery):
            first.setdefault(place, delivery.message_id)
    return set(first.values())


def outcome(
    state: DeliveryState, answer: Step | None, *, sent: bool, reached: bool = True
) -> RevocationState:
    """What became of a delivery since it was taken back.

    Args:
        reached: Its own node was asked, or will be; else nobody there is heard any more.
        answer: What the recipient said to the revocation of the document.
        sent: That went out for this delivery; else for another one of the document.
    """
    if answer is not None and (sent or state is DeliveryState.DELIVERED):
        agreed = answer.step is StatusStep.AGREED
        return RevocationState.AGREED if agreed else RevocationState.DECLINED
    if state is DeliveryState.REJECTED:
        return RevocationState.NEVER_KEPT
    # A receipt that came later all the same shows that the document is there.
    if sent or state is DeliveryState.DELIVERED:
        return RevocationState.PENDING if reached else RevocationState.NOT_REACHED
    return RevocationState.WITHDRAWN


def plan_answer(
    revocation: ReceivedRevocation,
    decision: Decision,
    directory: Directory,
    *,
    agency: str,
    message_id: MessageId,
    now: datetime,
    still_held: Sequence[str] = (),
) -> RevocationAnswer:
    """Prepares the answer to a revocation.

    Args:
        decision: AGREED or DECLINED.
        agency: That owns this node.
        message_id: Fresh, for the status that tells the sender.
        still_held: With AGREED: copies that this node cannot destroy.
    """
    agreed = decision.step is StatusStep.AGREED
    entry = revocation.entry
    here = DocumentState.RECEIVED if entry is None else entry.state
    step = Step(
        order=1 if entry is None else entry.workflow.order + 1,
        step=decision.step,
        state=DocumentState.REVOKED if agreed else here,
        actor=decision.actor,
        at=now,
        code=decision.code,
        reason=decision.reason,
        answers=revocation.digest,
        still_held=(*held_copies(revocation.hold), *still_held) if agreed and entry else (),
    )
    subject = _not_here(revocation) if entry is None else subject_of(entry)
    return RevocationAnswer(
        revocation=revocation,
        state=RevocationState.AGREED if agreed else RevocationState.DECLINED,
        plan=plan_step(subject, step, directory, agency=agency, message_id=message_id),
    )


def held_copies(hold: str) -> tuple[str, ...]:
    """What the sender is told of a document that a legal hold keeps from being destroyed."""
    return (f"Văn bản bị giữ theo yêu cầu pháp lý: {hold} (legal hold).",) if hold else ()


def _not_here(revocation: ReceivedRevocation) -> Subject:
    """What the answer is about while the document has not arrived."""
    return Subject(
        incoming_id=revocation.incoming_id,
        message_id=revocation.message_id,
        document_id=revocation.document_id,
        sender=revocation.sender,
        signer=revocation.signer,
        recipient=revocation.recipient,
        envelope_digest=revocation.envelope,
        urgency=revocation.urgency,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a copy is that is to be destroyed.

    Attributes:
        request_id: Under which the revocation is kept; no office can name one so.
        envelope: Digest of the one by which it came there.
    """

    request_id: str
    recipient: str
    to_node: str
    envelope: bytes


def _place(delivery: SentDelivery) -> _Place:
    assert delivery.envelope_digest is not None  # looked at before
    request_id = f"revoke/{uuid_text(delivery.message_id)}"
    return _Place(request_id, delivery.recipient, delivery.to_node, delivery.envelope_digest)


def _place_of_copy(item: PassedOver) -> _Place:
    request_id = copy_request(item.message_id, item.node)
    return _Place(request_id, item.recipient, item.node, item.envelope)


def _is_heard(item: PassedOver, directory: Directory, at: datetime) -> bool:
    return directory.answering_node(item.node, item.recipient, at) == item.node


def _revocation(
    document: DocumentView,
    place: _Place,
    order: RevokeOrder,
    directory: Directory,
    fresh_id: Callable[[], bytes],
) -> Submission:
    record = canonical.encode(
        RevocationRecord(
            network=directory.network,
            document_id=uuid_text(document.document_id),
            envelope=place.envelope.hex(),
            actor=order.actor,
            reason=order.reason,
            time=time_text(order.at),
        )
    )
    digest = sha256(record)
    part = Part(
        index=0,
        name=RECORD_NAME,
        media_type=REVOCATION_MEDIA_TYPE,
        size=len(record),
        sha256=digest.hexdigest(),
    )
    to = NewDelivery(
        message_id=MessageId(fresh_id()),
        recipient=place.recipient,
        to_node=directory.answering_node(place.to_node, place.recipient, order.at),
    )
    return Submission(
        request_id=place.request_id,
        request_hash=digest.digest(),
        document_id=document.document_id,
        sender=document.sender,
        urgency=document.urgency,
        operation=Operation.REVOKE,
        about=place.envelope,
        parts=(part,),
        inline=record,
        listing={},
        created=order.at,
        expires=order.at + DEFAULT_LIFETIME,
        deliveries=(to,),
    )
