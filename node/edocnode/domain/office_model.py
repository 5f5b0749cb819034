"""What an office sees of documents, and the port to where it is kept.

Read-only views, complete when made. A status that a recipient sent is not a document
in these lists; it shows as the recipient's state of a delivery.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from edoccore.errors import DocumentUnknownError
from edoccore.signing.records import DocumentState
from edoccore.signing.statements import Operation, Part, Urgency, uuid_text
from edocnode.domain.copies import CopyView
from edocnode.domain.dead_letters import HeldDelivery, RetryPlan
from edocnode.domain.forwarding import ForwardPlan
from edocnode.domain.model import DeliveryState, DocumentId, IncomingId, MessageId, Submission
from edocnode.domain.searching import ANYTHING, Filters
from edocnode.domain.signature_checks import SignatureCheck
from edocnode.domain.workflow import Step, Workflow, workflow_of

MIN_PREFIX = 8  # characters of an id, without hyphens


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentView:
    """What lists show of a document.

    Attributes:
        listing: Subject, number, ...; see ``checks.document_listing``.
        parts: All, the record first.
        signatures: Where the check of its signatures stands; None: no part may hold any.
    """

    document_id: DocumentId
    sender: str
    urgency: Urgency
    operation: Operation
    listing: Mapping[str, str]
    parts: tuple[Part, ...]
    signatures: SignatureCheck | None = None


class LinkKind(StrEnum):
    """What another document is to this one; Decree 30/2020, Article 18."""

    REPLACES = "replaces"
    REPLACED_BY = "replaced_by"
    CORRECTS = "corrects"
    CORRECTED_BY = "corrected_by"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLink:
    """How a document belongs to another."""

    kind: LinkKind
    document_id: DocumentId


class VersionState(StrEnum):
    """Where a version of a document stands."""

    IN_FORCE = "in_force"
    SUPERSEDED = "superseded"  # a later one took its place; can still be read
    PENDING = "pending"  # waits for an answer
    DECLINED = "declined"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentVersion:
    """A version of a received document.

    Attributes:
        reason: Of the update; empty of the first version.
    """

    incoming_id: IncomingId
    message_id: MessageId
    received_at: datetime
    reason: str
    state: VersionState


class RevocationState(StrEnum):
    """What became of taking a document back."""

    WITHDRAWN = "withdrawn"  # it never left; only at the sender
    PENDING = "pending"  # not answered: not destroyed yet
    AGREED = "agreed"  # destroyed
    DECLINED = "declined"
    NEVER_KEPT = "never_kept"  # the recipient had refused it; only at the sender
    NOT_REACHED = "not_reached"  # its node is not heard any more; only at the sender


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """That the sender took a document back.

    Attributes:
        actor: Who did.
        state: What became of it here; of a sent document PENDING, for each delivery tells.
    """

    actor: str
    reason: str
    at: datetime
    state: RevocationState = RevocationState.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEntry:
    """A received document.

    Attributes:
        signer: Agency that sealed it.
        received_at: When it had been verified and kept.
        position: In the inbox, in order of arrival; consumers acknowledge it.
        steps: What the office did with it, in order.
        duplicate_of: Documents that came before and look the same; its own id when it came twice.
        arrival_number: Under which it was registered; 0: not yet.
        taken_back: When its sender wants it destroyed, or it was.
        versions: Of a document that was updated; oldest first.
        content_id: Arrival whose content it shows; None: ``incoming_id``.
        links: Documents of the same sender that replace or correct it, or that it does.
    """

    incoming_id: IncomingId
    message_id: MessageId
    document: DocumentView
    signer: str
    recipient: str
    envelope_digest: bytes
    received_at: datetime
    state: DocumentState
    position: int
    steps: tuple[Step, ...] = ()
    arrival_number: int = 0
    taken_back: TakenBack | None = None
    duplicate_of: tuple[DocumentId, ...] = ()
    versions: tuple[DocumentVersion, ...] = ()
    content_id: IncomingId | None = None
    links: tuple[DocumentLink, ...] = ()

    @property
    def workflow(self) -> Workflow:
        """Where it stands, as its steps tell."""
        return workflow_of(self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """A document on its way to one recipient.

    Attributes:
        since: Since when it waits, or when it was answered or given up.
        reason: Reason code, why it is not delivered; with ``message`` for a person, and
            ``advice`` what a person can do.
        next_at: Next offer; None when there is none, or at once.
        position: Place among all deliveries; later ones are higher.
        peer_down_since: Since when the recipient's node does not answer; None while it does.
        recipient_state: What the recipient told of it; None: nothing yet.
        arrived_at: When the recipient had verified and kept it, by its receipt; None in lists of
            documents, like ``timeline``.
        timeline: The steps that the recipient told, in their order; may have gaps.
        revocation: What became of it since it was taken back; None: it was not.
        copies: At nodes that were passed over, which may have it too.
        answer: What the recipient said to that; None: nothing yet.
    """

    message_id: MessageId
    recipient: str
    to_node: str
    state: DeliveryState
    since: datetime
    attempts: int
    reason: str
    message: str
    advice: str
    next_at: datetime | None
    peer_down_since: datetime | None
    recipient_state: DocumentState | None
    recipient_reason: str
    position: int
    arrived_at: datetime | None = None
    timeline: tuple[Step, ...] = ()
    revocation: RevocationState | None = None
    copies: tuple[CopyView, ...] = ()
    answer: Step | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """A document handed in here.

    Attributes:
        send_at: When it is to be sent; None when it was, or is sent at once.
        deliveries: In the order of the request; of many only some.
        counts: Of all deliveries, by state; only states that occur.
        position: Place in the outbox; later ones are higher.
        taken_back: When it was revoked, for some recipients at least.
        links: Documents sent from here that replace or correct it, or that it does.
    """

    document: DocumentView
    created: datetime
    expires: datetime
    send_at: datetime | None
    deliveries: tuple[DeliveryView, ...]
    counts: Mapping[DeliveryState, int]
    position: int
    taken_back: TakenBack | None = None
    links: tuple[DocumentLink, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        kind: What and, after the dot, the state then reached: document.received,
            document.accepted, delivery.delivered, status.received, ...
        agency: The other side.
    """

    position: int
    kind: str
    document_id: DocumentId
    message_id: MessageId
    agency: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which page of a list, newest first.

    Attributes:
        agencies: All spellings of one code; empty: all that the node serves.
        state: Empty: any.
        filters: Of inbox and outbox; not of deliveries.
        after: ``next`` of the page before; empty: the first page.
    """

    agencies: tuple[str, ...] = ()
    state: str = ""
    limit: int = 100
    after: str = ""
    filters: Filters = ANYTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxPage:
    """A page of the inbox; ``next`` is empty on the last one."""

    entries: tuple[InboxEntry, ...]
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxPage:
    """A page of the outbox; ``next`` is empty on the last one."""

    entries: tuple[OutboxEntry, ...]
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveriesPage:
    """A page of the deliveries of a document; ``next`` is empty on the last one."""

    entries: tuple[DeliveryView, ...]
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that an id names: a document as received here, as sent from here, or both.

    Attributes:
        message_id: The one message that the id names; None when it names the document.
        updates: Later versions sent from here, oldest first.
    """

    received: tuple[InboxEntry, ...]
    sent: OutboxEntry | None
    message_id: MessageId | None
    updates: tuple[OutboxEntry, ...] = ()

    def sent_from_here(self) -> OutboxEntry:
        """The document as sent from here, for those who change it or take it back.

        Raises:
            DocumentUnknownError: It was only received here.
        """
        if self.sent is not None:
            return self.sent
        document = self.received[0].document
        raise DocumentUnknownError(
            f"Document {uuid_text(document.document_id)} was sent by {document.sender} and "
            "received here: only that agency changes it or takes it back.",
            hint=f"Give it back with a reason, edocnode reject ID, or write to {document.sender}.",
            id=uuid_text(document.document_id),
        )

    @property
    def newest(self) -> OutboxEntry | None:
        """The version sent last."""
        return self.updates[-1] if self.updates else self.sent

    @property
    def document(self) -> DocumentView:
        """The document itself, the received one first."""
        entry = self.received[0] if self.received else self.newest
        if entry is None:
            raise ValueError("an id was found that names nothing")
        return entry.document


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a step at the recipient is about.

    Attributes:
        incoming_id: Arrival of the document; of its revocation, when that came alone.
        envelope_digest: Of the envelope that the status speaks of.
    """

    incoming_id: IncomingId
    message_id: MessageId
    document_id: DocumentId
    sender: str
    signer: str
    recipient: str
    envelope_digest: bytes
    urgency: Urgency


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """A step with everything that is kept with it.

    Attributes:
        incoming_id, message_id: Of what the step is about.
        step: Kept only if no other has taken its place in the order.
        effect: Exact bytes of the journal's leaf, without salt.
        status: Tells the sender.
        numbered: With acceptance: whether it gets the next arrival number of its recipient (Decree
            30/2020, Article 22); False where software of the agency registers arrivals.
    """

    incoming_id: IncomingId
    message_id: MessageId
    step: Step
    effect: bytes
    status: Submission
    numbered: bool = False


class OfficeStore(Protocol):
    """What the office reads and decides; each method is one transaction."""

    async def inbox(self, page: PageRequest) -> InboxPage:
        """Received documents that are visible.

        Raises:
            RequestInvalidError: ``after`` is no cursor.
        """

    async def outbox(self, page: PageRequest) -> OutboxPage:
        """Documents handed in here, each with some of its deliveries.

        Raises:
            RequestInvalidError: ``after`` is no cursor.
        """

    async def deliveries(self, sent: OutboxEntry, page: PageRequest) -> DeliveriesPage:
        """Deliveries of a document handed in here, oldest first.

        Args:
            page: Its ``agencies`` are spellings of a recipient.

        Raises:
            RequestInvalidError: ``after`` is no cursor.
        """

    async def find(self, text: str) -> Found:
        """Looks up a document by document id, message id, or a unique beginning of one.

        Raises:
            DocumentUnknownError: There is none.
            DocumentQuarantinedError: It is kept apart, or waits for its scan.
            IdAmbiguousError: Several documents begin like this.
            RequestInvalidError: The text is no beginning of an id, or shorter than 8 characters.
        """

    async def inline_part(self, found: Found, index: int) -> bytes | None:
        """Bytes of a part that lies with its document; None when it is in the blob folder.

        Raises:
            DocumentUnknownError: The document has no such part.
        """

    async def decide(self, plan: StepPlan, salt: bytes) -> bool:
        """Keeps a step with its effect, status and event.

        Returns:
            False when another step was taken meanwhile; nothing was kept.
        """

    async def deliveries_of(self, message_ids: Sequence[MessageId]) -> Sequence[HeldDelivery]:
        """Where deliveries stand, as far as queueing them again needs it."""

    async def held_for(self, code: str, after: int, limit: int) -> Sequence[HeldDelivery]:
        """Held deliveries to an agency, or to a node with all that it serves, oldest first.

        Args:
            after: ``place`` of the last one of the page before; 0: from the first.
        """

    async def queue_again(
        self, plans: Sequence[RetryPlan], salts: Sequence[bytes], at: datetime
    ) -> int:
        """Queues held deliveries again with their effects; returns how many were held.

        Args:
            salts: 16 random bytes for each.
        """

    async def send_on(
        self, plans: Sequence[ForwardPlan], salts: Sequence[bytes], at: datetime
    ) -> int:
        """Makes held deliveries new envelopes to other nodes; returns how many were held.

        Args:
            salts: 16 random bytes for each.
        """

    async def fetch(self, consumer: str, limit: int) -> Sequence[InboxEntry]:
        """Received documents that a consumer has not acknowledged, oldest first."""

    async def acknowledge(self, consumer: str, position: int) -> int:
        """Moves a consumer's place forward; returns where it is."""

    async def position(self) -> int:
        """Position of the newest event; 0 when there is none."""

    async def events(
        self, after: int, limit: int, document_id: DocumentId | None = None
    ) -> Sequence[Event]:
        """Events after a position, oldest first."""

    async def history(self, document_id: DocumentId, limit: int) -> Sequence[Event]:
        """The last events of a document, oldest first."""

    async def oldest_undelivered(self) -> Mapping[str, datetime]:
        """When the oldest delivery that waits was handed in, by node."""

    async def undelivered(self) -> Mapping[str, int]:
        """How many deliveries wait to be sealed, offered or answered, by node."""

    async def unsealed(self) -> int:
        """How many statements wait for the sealer."""
