"""The sender's decisions: what goes into a batch, what an answer means, when to try again.

A message keeps its id for ever and its envelope's bytes never change, so offering it again is
always safe. Backoff is kept with the queue and survives restarts; a hello of the peer resets it.

Source: proto/README.md, section Delivery.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from edoccore.errors import SealInvalidError
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Receipt, Result, uuid_bytes
from edocnode.domain.model import (
    INLINE_PARCEL_BYTES,
    DeliveryOutcome,
    DeliveryState,
    QueuedDelivery,
)

BATCH_PARCELS = 200
BATCH_BYTES = 768 * 1024
PARCEL_OVERHEAD = 512  # bytes: proof, framing and a share of the seal
FIRST_BACKOFF = timedelta(seconds=1)
LONGEST_BACKOFF = timedelta(minutes=5)
MAX_DIGEST_FAILURES = 3  # after so many damaged transfers the message is quarantined
MAX_FAULTS = 8  # answers PROCESSING_FAILED until the message is quarantined


@dataclass(frozen=True, slots=True, kw_only=True)
class PartWanted:
    """One part that the recipient asks for, from an offset."""

    index: int
    offset: int


def is_offer(delivery: QueuedDelivery) -> bool:
    """Whether the parts are too large to ride with the envelope."""
    return delivery.content_bytes > INLINE_PARCEL_BYTES


def batches(deliveries: Sequence[QueuedDelivery]) -> Iterator[list[QueuedDelivery]]:
    """Cuts deliveries into batches of at most 200 parcels and 768 KiB, keeping their order."""
    batch: list[QueuedDelivery] = []
    size = 0
    for delivery in deliveries:
        weight = parcel_bytes(delivery)
        if batch and (len(batch) == BATCH_PARCELS or size + weight > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(delivery)
        size += weight
    if batch:
        yield batch


def parcel_bytes(delivery: QueuedDelivery) -> int:
    """Bytes of a delivery in a batch, about."""
    inline = 0 if is_offer(delivery) else delivery.content_bytes
    return (
        len(delivery.envelope.statement)
        + len(delivery.envelope.seal.data)
        + inline
        + PARCEL_OVERHEAD
    )


def backoff(attempts: int, *, jitter: float) -> timedelta:
    """How long to wait after ``attempts`` failures in a row.

    Args:
        attempts: 1 after the first failure.
        jitter: Random number in [0, 1); spreads peers that failed together over +-25 %.
    """
    doubled = FIRST_BACKOFF * (1 << min(attempts - 1, 20))
    return min(doubled, LONGEST_BACKOFF) * (0.75 + jitter / 2)


def on_receipt(
    delivery: QueuedDelivery,
    digest: str,
    receipt: Receipt,
    sealed: SealedStatement,
    *,
    adopted: SealedStatement | None = None,
) -> DeliveryOutcome:
    """Ends a delivery with a receipt whose seal was verified.

    Args:
        digest: SHA-256 of the envelope that the receipt must name.
        adopted: The recipient's stored envelope, with a DUPLICATE answer.

    Raises:
        SealInvalidError: The receipt is for something else.
    """
    if receipt.envelope != digest or uuid_bytes(receipt.message_id) != delivery.message_id:
        raise SealInvalidError(
            f"{delivery.to_node} answered message {receipt.message_id} with a receipt for "
            f"another envelope.",
            agency=delivery.to_node,
        )
    received = receipt.result == Result.RECEIVED
    return DeliveryOutcome(
        message_id=delivery.message_id,
        document_id=delivery.document_id,
        recipient=delivery.recipient,
        state=DeliveryState.DELIVERED if received else DeliveryState.REJECTED,
        receipt=sealed,
        reason="" if received else str(receipt.reason),
        adopted=adopted,
    )


def on_refused(delivery: QueuedDelivery, reason: str, message: str) -> DeliveryOutcome:
    """Quarantines a message that the recipient refused for good."""
    return DeliveryOutcome(
        message_id=delivery.message_id,
        document_id=delivery.document_id,
        recipient=delivery.recipient,
        state=DeliveryState.HELD,
        reason=reason,
        message=message,
    )


def on_try_later(
    delivery: QueuedDelivery,
    reason: str,
    message: str,
    *,
    after: timedelta | None,
    now: datetime,
    jitter: float,
) -> DeliveryOutcome:
    """Plans the next attempt, or quarantines a message that keeps failing by itself."""
    damaged = reason == "PART_DIGEST_MISMATCH"
    if damaged and delivery.digest_failures + 1 >= MAX_DIGEST_FAILURES:
        return on_refused(delivery, reason, message)
    if reason == "PROCESSING_FAILED" and delivery.attempts >= MAX_FAULTS:
        return on_refused(delivery, reason, message)
    wait = max(after or timedelta(), backoff(delivery.attempts + 1, jitter=jitter))
    return DeliveryOutcome(
        message_id=delivery.message_id,
        document_id=delivery.document_id,
        recipient=delivery.recipient,
        state=DeliveryState.QUEUED,
        reason=reason,
        message=message,
        next_at=now + wait,
        digest_failed=damaged,
    )
