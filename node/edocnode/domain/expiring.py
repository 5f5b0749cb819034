"""The end of a delivery that nobody answered: one last question, then a sealed word about it.

A delivery whose envelope has ended is not offered any more. Before it is given up its recipient is
asked once more whether it holds the message; a receipt still makes it delivered, now or later. What
was asked and heard goes into the journal as an effect, so that the sender can prove when it said
that there was no receipt. An effect and not a statement: nobody is sent it, and it must be kept in
the same transaction in which the delivery ends.

Source: proto/README.md, section Delivery.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from edoccore.errors import PeerUnreachableError, SealerStoppedError
from edoccore.signing import canonical
from edoccore.signing.statements import Effect, Envelope, Seal, time_text, uuid_text
from edocnode.domain.exchange import Answer, Duplicate, Inquiry, Received
from edocnode.domain.model import KnownMessage, MessageId, QueuedDelivery
from edocnode.domain.receiving import error_answer
from edocnode.domain.setting_aside import Waiting

NO_RECEIPT_BY = "delivery.no_receipt_by"  # kind of the effect
NO_RECEIPT = "NO_RECEIPT"  # reason: the recipient said that it does not hold the message
NOT_ASKED = PeerUnreachableError.reason  # reason: the recipient could not be asked
ACTOR = "edocnode"  # nobody decided it
INQUIRIES = 256  # in one question


@dataclass(frozen=True, slots=True)
class Ending(Waiting):
    """A delivery that nobody answered, by its row."""

    to_node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LastWord:
    """What is kept about a delivery that is given up.

    Attributes:
        reason: ``NO_RECEIPT`` or ``NOT_ASKED``, with ``message`` for a person.
        effect: Exact bytes of the journal's leaf, without its salt of 16 random bytes.
    """

    message_id: MessageId
    reason: str
    message: str
    salt: bytes
    effect: bytes


def inquiry_about(delivery: QueuedDelivery) -> Inquiry:
    """Names a delivery to its recipient."""
    return Inquiry(
        message_id=delivery.message_id,
        envelope_digest=delivery.digest,
        sender=canonical.decode(delivery.envelope.statement, Envelope).from_,
    )


def last_word(
    delivery: QueuedDelivery, *, trouble: str, agency: str, salt: bytes, now: datetime
) -> LastWord:
    """Words the end of a delivery without a receipt.

    Args:
        trouble: Why the recipient could not be asked; empty: it was, and does not hold it.
        agency: That owns this node.
    """
    envelope = canonical.decode(delivery.envelope.statement, Envelope)
    heard = (
        f"{delivery.to_node} could not be asked: {trouble}"
        if trouble
        else f"{delivery.to_node} was asked and does not hold it"
    )
    names = names_envelope(envelope, delivery.digest.hex())
    effect = Effect(
        network=envelope.network,
        agency=agency,
        kind=NO_RECEIPT_BY,
        subject=uuid_text(delivery.message_id),
        actor=ACTOR,
        time=time_text(now),
        detail=_plain(f"{names}{heard}"),
    )
    return LastWord(
        message_id=delivery.message_id,
        reason=NOT_ASKED if trouble else NO_RECEIPT,
        message=f"Nobody answered before {envelope.expires}; {heard}.",
        salt=salt,
        effect=canonical.encode(effect),
    )


def names_envelope(envelope: Envelope, digest: str) -> str:
    """How the last word about a delivery begins: with the envelope, recipient and end."""
    return f"envelope {digest} to {envelope.to} ended {envelope.expires}; "


def _plain(text: str) -> str:
    """Text from a peer or a library as a statement may carry it: short, plain ASCII."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)[:1000]


def answer_inquiry(agency: str, inquiry: Inquiry, known: KnownMessage | None) -> Answer | None:
    """What to say of a message that an agency asks about.

    Args:
        known: What is kept under the sender and message id of the inquiry.

    Returns:
        None when it is not held, or was sealed by another agency.
    """
    if known is None or canonical.decode(known.envelope.seal.data, Seal).signer != agency:
        return None
    name = (inquiry.message_id, inquiry.envelope_digest)
    if known.receipt is None:
        return error_answer(*name, SealerStoppedError())
    if known.envelope_digest == inquiry.envelope_digest:
        return Received(message_id=name[0], envelope_digest=name[1], receipt=known.receipt)
    return Duplicate(
        message_id=name[0],
        envelope_digest=name[1],
        envelope=known.envelope,
        receipt=known.receipt,
    )


class ExpiryStore(Protocol):
    """Deliveries whose envelopes have ended; each method is one atomic transaction."""

    async def ending(
        self, now: datetime, limit: int, held: Collection[int] = ()
    ) -> Sequence[Ending]:
        """Deliveries that wait and whose envelopes have ended, oldest first.

        Args:
            held: Places of deliveries that are left out, beside the ``limit``: of those that
                couriers hold an answer may be on its way.
        """

    async def ending_at(self, places: Sequence[int], now: datetime) -> Sequence[QueuedDelivery]:
        """Deliveries of rows, with their envelopes.

        What was answered before a restore, and not again since, ends with that answer here.
        """

    async def give_up(self, words: Sequence[LastWord], now: datetime) -> int:
        """Ends deliveries that still wait, with their effects and events; returns how many."""

    async def never_asked(
        self, to_node: str, limit: int, held: Collection[int] = ()
    ) -> Sequence[Ending]:
        """Deliveries given up while their recipient could not be asked; ``held`` as above."""

    async def asked_now(self, message_ids: Sequence[MessageId], message: str) -> None:
        """Notes that the recipient has been asked since, and does not hold them."""
