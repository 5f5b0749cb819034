"""The values that the parts of a node hand to each other.

Frozen and complete when made; no behaviour beyond reading themselves. Those made for each document
on its way are Structs: a quarter of the time of a dataclass. Ids are the 16 bytes of a
UUIDv7, digests the 32 bytes of SHA-256, moments aware and UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from hashlib import sha256
from typing import NewType

from msgspec import Struct

from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import Operation, Part, Result, Urgency
from edocnode.domain.official_numbers import GivenNumber

MessageId = NewType("MessageId", bytes)
DocumentId = NewType("DocumentId", bytes)
IncomingId = NewType("IncomingId", int)  # row of a received message, local to this node

ABOVE_ALL_EPOCHS = b"\xff" * 16  # no UUIDv7 is as high
INLINE_PART_BYTES = 64 * 1024  # a larger part lies in the blob folder, not in the database
INLINE_PARCEL_BYTES = 256 * 1024  # parts together up to this ride with their envelope


class Lane(IntEnum):
    """Order of service; lower first. Decision 28/2018, Articles 6.2 and 10(k)."""

    HOA_TOC = 0
    THUONG_KHAN = 1
    KHAN = 2
    NORMAL = 3

    @classmethod
    def of(cls, urgency: Urgency) -> "Lane":
        """The lane of an urgency."""
        return cls[urgency.name]


class DeliveryState(StrEnum):
    """Where a delivery to one recipient stands at the sender."""

    QUEUED = "queued"  # kept; sealed or about to be; waits for its turn or its next attempt
    SENDING = "sending"  # its large parts travel, or did and the answer is outstanding
    DELIVERED = "delivered"  # the recipient's receipt is here
    REJECTED = "rejected"  # the recipient's sealed rejection is here
    EXPIRED = "expired"  # not answered before the envelope ended; a later receipt wins
    HELD = "held"  # refused unsealed, quarantined: a person must look
    VOID = "void"  # never offered, or lost in a restore


class PartPlace(StrEnum):
    """Where the bytes of a part lie."""

    INLINE = "inline"
    BLOB = "blob"


# --- Sending ---------------------------------------------------------------------------------


class NewDelivery(Struct, frozen=True, kw_only=True):
    """One recipient of a submission."""

    message_id: MessageId
    recipient: str
    to_node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A document as an office hands it in, checked and complete.

    Attributes:
        request_id: The caller's own name for this request.
        request_hash: SHA-256 over the request; the same id with another hash is a conflict.
        about: Digest of the envelope that a status, update, ... speaks of.
        parts: Part 0 is the record.
        inline: The bytes of all parts up to ``INLINE_PART_BYTES``, joined in order of index;
            larger parts are in the blob folder under their digest, on disk.
        listing: What lists show (subject, number, ...), taken from the record.
        created: When it was handed in.
        send_at: Not sealed before this moment; None: at once.
        number: That was given to it here, to be counted as used; None: none was.
    """

    request_id: str
    request_hash: bytes
    document_id: DocumentId
    sender: str
    urgency: Urgency
    operation: Operation
    about: bytes | None
    parts: tuple[Part, ...]
    inline: bytes
    listing: Mapping[str, str]
    created: datetime
    expires: datetime
    deliveries: tuple[NewDelivery, ...]
    send_at: datetime | None = None
    number: GivenNumber | None = None


class SubmissionResult(Struct, frozen=True, kw_only=True):
    """What was kept for a request id.

    Attributes:
        repeated: The request was known already; nothing new was kept.
        deliveries: Message id, recipient and state now, in the order they were submitted.
        position: Of the newest event then; every later change of the deliveries follows it.
        unsealed: Its deliveries were kept now, all at once, and wait for the sealer.
        places: Rows of these deliveries, if known.
    """

    document_id: DocumentId
    deliveries: tuple[tuple[MessageId, str, DeliveryState], ...]
    repeated: bool
    position: int
    unsealed: bool = False
    places: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedDelivery:
    """A sealed envelope that waits for its recipient, with all that is needed to offer it.

    Attributes:
        place: Row of the delivery, local to this node; names what a courier holds.
        inline: As in ``Submission``.
        attempts: Offers made so far.
        digest: SHA-256 of the envelope.
        content_bytes: Of all parts together.
    """

    place: int
    message_id: MessageId
    document_id: DocumentId
    sender: str
    recipient: str
    to_node: str
    lane: Lane
    envelope: SealedStatement
    parts: tuple[Part, ...]
    inline: bytes
    attempts: int
    digest_failures: int
    digest: bytes = field(init=False)
    content_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        """Reckons once what is asked for several times on the way."""
        object.__setattr__(self, "digest", sha256(self.envelope.statement).digest())
        object.__setattr__(self, "content_bytes", sum([part.size for part in self.parts]))


class DeliveryOutcome(Struct, frozen=True, kw_only=True):
    """What became of one offer; recorded before anything else is done.

    Attributes:
        document_id: The document, and ``recipient`` its recipient, for the event.
        state: DELIVERED, REJECTED, HELD, or QUEUED for another attempt.
        receipt: With DELIVERED and REJECTED.
        reason: Reason code of the table, with every state but DELIVERED.
        message: What the peer said, for a person.
        next_at: With QUEUED.
        adopted: The peer's stored envelope replaces ours (DUPLICATE answer).
    """

    message_id: MessageId
    document_id: DocumentId
    recipient: str
    state: DeliveryState
    receipt: SealedStatement | None = None
    reason: str = ""
    message: str = ""
    next_at: datetime | None = None
    adopted: SealedStatement | None = None
    digest_failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerQueue:
    """What waits for one peer.

    Attributes:
        due_at: Earliest moment at which something may be offered.
        best_lane: Most urgent lane with something due.
    """

    to_node: str
    due_at: datetime
    best_lane: Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """How a peer answers, for the queue and for people.

    Attributes:
        down_since: First failure since the last success; None while it answers.
        attempts: Failures in a row.
        reason: Reason code of the last failure, with ``message`` for a person.
    """

    agency: str
    down_since: datetime | None
    attempts: int
    next_at: datetime | None
    reason: str
    message: str
    last_seen: datetime | None


# --- Receiving -------------------------------------------------------------------------------


class Arrival(Struct, frozen=True, kw_only=True):
    """An envelope that passed the checks and is to be kept, or rejected under seal.

    Attributes:
        signer: Agency that sealed it.
        sender: The envelope's ``from``; with ``message_id`` the key of deduplication.
        recipient: The envelope's ``to``.
        inline: As in ``Submission``; empty when rejected.
        result: RECEIVED, or REJECTED with ``reason``.
        kept_at: When it was verified; the receipt's time.
    """

    signer: str
    sender: str
    recipient: str
    message_id: MessageId
    document_id: DocumentId
    urgency: Urgency
    operation: Operation
    about: bytes | None
    envelope: SealedStatement
    envelope_digest: bytes
    epoch: bytes
    seq: int
    seal_index: int
    seal_time: datetime
    parts: tuple[Part, ...]
    inline: bytes
    listing: Mapping[str, str]
    result: Result
    reason: str
    kept_at: datetime


class KeepKind(StrEnum):
    """What became of an arrival."""

    NEW = "new"  # kept now; its receipt will be sealed
    SAME = "same"  # the same bytes were kept before
    EQUAL = "equal"  # the same document under other epoch, seq or created was kept before
    CONFLICT = "conflict"  # another content was kept before under this id


class KnownMessage(Struct, frozen=True, kw_only=True):
    """What is stored under (sender, message id).

    Attributes:
        receipt: None while it waits for the sealer.
    """

    incoming_id: IncomingId
    envelope: SealedStatement
    envelope_digest: bytes
    receipt: SealedStatement | None


class KeepOutcome(Struct, frozen=True, kw_only=True):
    """What ``Inbox.keep`` did with one arrival.

    Attributes:
        known: The stored message whose receipt answers the arrival: the new row, the old one with
            SAME and EQUAL; with CONFLICT the row in which the rival is kept as REJECTED with
            reason MESSAGE_CONFLICT (a repeated rival finds the same row).
    """

    kind: KeepKind
    known: KnownMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedPart:
    """A part of an offer on its way in.

    Attributes:
        sender: Agency that sealed the offer (``Arrival.signer``); staging is per agency.
        offset: Bytes on disk, fsynced.
        complete: All bytes there, digest verified, moved into the blob folder.
    """

    sender: str
    message_id: MessageId
    index: int
    size: int
    sha256: bytes
    offset: int
    complete: bool


# --- Sealing ---------------------------------------------------------------------------------


class EnvelopeDraft(Struct, frozen=True, kw_only=True):
    """A kept delivery that waits for its envelope.

    Attributes:
        place: Row of the delivery; None when only the database knows it.
        inline: As in ``Submission``, for who offers it next; None when it is to be read again.
    """

    message_id: MessageId
    document_id: DocumentId
    sender: str
    recipient: str
    to_node: str
    urgency: Urgency
    operation: Operation
    about: bytes | None
    created: datetime
    expires: datetime
    parts: tuple[Part, ...]
    place: int | None = None
    inline: bytes | None = None


class ReceiptDraft(Struct, frozen=True, kw_only=True):
    """A kept arrival that waits for its receipt, and what offices see of it from then on.

    Attributes:
        listing: As in ``Arrival``.
    """

    incoming_id: IncomingId
    signer: str
    sender: str
    recipient: str
    message_id: MessageId
    document_id: DocumentId
    lane: Lane
    operation: Operation
    about: bytes | None
    envelope_digest: bytes
    listing: Mapping[str, str]
    result: Result
    reason: str
    kept_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectDraft:
    """A local effect that waits for its place in the journal; ``salt`` is 16 random bytes."""

    effect_id: int
    salt: bytes
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsealed:
    """All that waits for the sealer, oldest first, urgent lanes first."""

    envelopes: tuple[EnvelopeDraft, ...]
    receipts: tuple[ReceiptDraft, ...]
    effects: tuple[EffectDraft, ...]


class SealedEnvelope(Struct, frozen=True, kw_only=True):
    """An envelope with its place in the seal."""

    draft: EnvelopeDraft
    seq: int
    data: bytes
    leaf: int
    proof: tuple[bytes, ...]


class SealedReceipt(Struct, frozen=True, kw_only=True):
    """A receipt with its place in the seal."""

    draft: ReceiptDraft
    data: bytes
    leaf: int
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedOwn:
    """A statement about this agency itself (epoch opening, endpoint) with its place in the seal."""

    kind: str
    data: bytes
    leaf: int
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedEffect:
    """An effect with its place in the seal's effect tree."""

    effect_id: int
    leaf: int
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealCommit:
    """One seal and everything under it; committed whole or not at all."""

    agency: str
    epoch: bytes
    index: int
    time: datetime
    seal: SignedSeal
    envelopes: tuple[SealedEnvelope, ...] = ()
    receipts: tuple[SealedReceipt, ...] = ()
    owns: tuple[SealedOwn, ...] = ()
    effects: tuple[SealedEffect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochHead:
    """How far a journal is known: seals 0..size-1 of an epoch, with their Merkle root.

    Attributes:
        time: Of its last seal; None when only an opening tells of the head.
    """

    epoch: bytes
    size: int
    root: bytes
    time: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerJournal:
    """What this node knows of another agency's journal.

    Attributes:
        opening: Opening of the newest epoch seen; None before the first meeting.
        epoch: Its epoch, 16 bytes; empty before the first meeting.
        highest: The seal with the highest (epoch, index) seen.
    """

    agency: str
    epoch: bytes
    opening: SealedStatement | None
    highest: SignedSeal | None
    highest_epoch: bytes
    highest_index: int
