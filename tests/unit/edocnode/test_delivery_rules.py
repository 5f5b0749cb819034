"""The sender's rules: batches, backoff, quarantine."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.errors import SealInvalidError
from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import Part, Receipt, Result, time_text, uuid_bytes
from edocnode.domain.delivery import (
    BATCH_BYTES,
    BATCH_PARCELS,
    FIRST_BACKOFF,
    LONGEST_BACKOFF,
    MAX_DIGEST_FAILURES,
    backoff,
    batches,
    is_offer,
    on_receipt,
    on_try_later,
)
from edocnode.domain.model import DeliveryState, DocumentId, Lane, MessageId, QueuedDelivery
from tests.support.nation import new_uuid7
from tests.unit.edocnode.conftest import NOW, Post


def queued(size: int = 4096, *, digest_failures: int = 0, attempts: int = 0) -> QueuedDelivery:
    part = Part(
        index=0, name="record.json", media_type="a/b", size=size, sha256=sha256(b"").hexdigest()
    )
    return QueuedDelivery(
        place=1,
        message_id=MessageId(uuid_bytes(new_uuid7(NOW))),
        document_id=DocumentId(uuid_bytes(new_uuid7(NOW))),
        sender="H29",
        recipient="G01",
        to_node="G01",
        lane=Lane.NORMAL,
        envelope=SealedStatement(b"e" * 900, 0, (), SignedSeal(b"s" * 900, b"")),
        parts=(part,),
        inline=b"",
        attempts=attempts,
        digest_failures=digest_failures,
    )


@given(st.lists(st.integers(0, 300 * 1024), max_size=500))
def test_batches_keep_order_and_stay_below_their_bounds(sizes: list[int]) -> None:
    deliveries = [queued(size) for size in sizes]
    cut = list(batches(deliveries))
    assert [item for batch in cut for item in batch] == deliveries
    for batch in cut:
        assert 0 < len(batch) <= BATCH_PARCELS
        weight = sum(0 if is_offer(item) else item.parts[0].size for item in batch)
        assert weight <= BATCH_BYTES


@given(st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_backoff_grows_and_is_bounded(attempts: int, jitter: float) -> None:
    wait = backoff(attempts, jitter=jitter)
    assert FIRST_BACKOFF * 0.75 <= wait <= LONGEST_BACKOFF * 1.25
    assert wait <= backoff(attempts + 1, jitter=jitter)


def later(delivery: QueuedDelivery, reason: str) -> DeliveryState:
    outcome = on_try_later(delivery, reason, "", after=None, now=NOW, jitter=0.5)
    assert outcome.state is DeliveryState.HELD or (outcome.next_at or NOW) > NOW
    return outcome.state


def test_a_damaged_document_is_quarantined_after_three_attempts() -> None:
    states = [
        later(queued(digest_failures=count), "PART_DIGEST_MISMATCH")
        for count in range(MAX_DIGEST_FAILURES)
    ]
    assert states == [DeliveryState.QUEUED, DeliveryState.QUEUED, DeliveryState.HELD]


def test_t41_a_message_that_keeps_failing_is_quarantined_and_a_full_disk_never_is() -> None:
    assert later(queued(attempts=100), "PROCESSING_FAILED") is DeliveryState.HELD
    assert later(queued(attempts=100), "DISK_FULL") is DeliveryState.QUEUED


def test_a_receipt_for_another_envelope_ends_nothing(post: Post) -> None:
    delivery = queued()
    digest = sha256(delivery.envelope.statement).hexdigest()
    receipt = Receipt(
        network="vn-test",
        envelope=sha256(b"other").hexdigest(),
        message_id=new_uuid7(NOW),
        from_="G01",
        to="H29",
        result=Result.RECEIVED,
        time=time_text(NOW),
    )
    with pytest.raises(SealInvalidError):
        on_receipt(delivery, digest, receipt, delivery.envelope)
