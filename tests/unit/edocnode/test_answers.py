"""Answers of a peer are read step by step, many at a time, each as if it had come alone."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import pytest
from msgspec import structs

from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement
from edoccore.signing.statements import Envelope, Receipt, Result, time_text, uuid_bytes
from edocnode.domain.exchange import Answer, Duplicate, Received, Refused, TryLater
from edocnode.domain.model import DeliveryState, DocumentId, Lane, MessageId, QueuedDelivery
from edocnode.workers.answers import AnswerReader
from tests.support.nation import Agency
from tests.unit.edocnode.conftest import Post


@pytest.fixture
def reader(post: Post) -> AnswerReader:
    return AnswerReader(
        network=post.nation.network,
        agency=post.sender.code,
        directory=lambda: post.directory,
        clock=lambda: post.now,
        jitter=lambda: 0.5,
    )


def queued(post: Post, sealed: SealedStatement, envelope: Envelope) -> QueuedDelivery:
    return QueuedDelivery(
        place=1,
        message_id=MessageId(uuid_bytes(envelope.message_id)),
        document_id=DocumentId(uuid_bytes(envelope.document_id)),
        sender=post.sender.code,
        recipient=post.recipient.code,
        to_node=post.recipient.code,
        lane=Lane.NORMAL,
        envelope=sealed,
        parts=envelope.parts,
        inline=post.joined(),
        attempts=1,
        digest_failures=0,
    )


def sent(post: Post, count: int) -> list[QueuedDelivery]:
    envelopes = [post.envelope(seq=seq + 1) for seq in range(count)]
    datas = [canonical.encode(envelope) for envelope in envelopes]
    sealed = post.sender.seal(*datas, time=post.now, directory=post.directory.mark)
    return [queued(post, *pair) for pair in zip(sealed, envelopes, strict=True)]


def receipt(
    post: Post, item: QueuedDelivery, envelope: SealedStatement, **changes: object
) -> bytes:
    stated = canonical.decode(envelope.statement, Envelope)
    values: dict[str, object] = {
        "network": post.nation.network,
        "envelope": sha256(envelope.statement).hexdigest(),
        "message_id": stated.message_id,
        "from_": item.recipient,
        "to": item.sender,
        "result": Result.RECEIVED,
        "time": time_text(post.now),
    }
    return canonical.encode(Receipt(**(values | changes)))  # type: ignore[arg-type]


def receipts(
    post: Post, items: Sequence[QueuedDelivery], *datas: bytes, by: Agency | None = None
) -> list[SealedStatement]:
    """Receipts under one seal of the recipient: those given, or one for each item."""
    worded = datas or [receipt(post, item, item.envelope) for item in items]
    return (by or post.recipient).seal(*worded, time=post.now, directory=post.directory.mark)


def received(item: QueuedDelivery, given: SealedStatement) -> Received:
    return Received(message_id=item.message_id, envelope_digest=item.digest, receipt=given)


async def test_each_of_many_receipts_ends_its_own_delivery(
    post: Post, reader: AnswerReader
) -> None:
    items = sent(post, 40)
    given = receipts(post, items)
    found = await reader.read([(i, received(i, r)) for i, r in zip(items, given, strict=True)])
    assert {outcome.state for outcome in found} == {DeliveryState.DELIVERED}
    assert [outcome.message_id for outcome in found] == [item.message_id for item in items]
    assert [outcome.receipt for outcome in found] == given


async def test_t12_what_does_not_hold_among_many_ends_no_delivery_and_spoils_none(
    post: Post, reader: AnswerReader
) -> None:
    """Every answer that is no proof stays one attempt; those beside it count."""
    post.names = ["a.pdf"]
    items = sent(post, 9)
    third = post.nation.add_agency("H30", "Ủy ban nhân dân tỉnh Hà Tây")
    post.directory = post.nation.directory()
    worded = [receipt(post, item, item.envelope) for item in items]
    worded[1] = receipt(post, items[1], items[0].envelope)
    worded[2] = receipt(post, items[2], items[2].envelope, to="G01")
    worded[3] = receipt(post, items[3], items[3].envelope, network="vn-other")
    worded[4] = worded[4].replace(b"{", b"{ ", 1)
    given = receipts(post, items, *worded)
    other = receipts(post, items, worded[5], by=third)[0]
    answers: list[Answer] = [received(*pair) for pair in zip(items, given, strict=True)]
    answers[5] = received(items[5], other)
    answers[6] = received(items[6], structs.replace(given[6], leaf=given[7].leaf))
    proof = (*given[7].proof[:-1], bytes(32))
    answers[7] = received(items[7], structs.replace(given[7], proof=proof))
    found = await reader.read(list(zip(items, answers, strict=True)))
    assert [outcome.state for outcome in found] == [
        DeliveryState.DELIVERED,
        *[DeliveryState.QUEUED] * 7,
        DeliveryState.DELIVERED,
    ]
    assert {outcome.receipt for outcome in found[1:8]} == {None}
    assert [outcome.reason for outcome in found[1:8]] == [
        *["SEAL_INVALID"] * 3,
        "NOT_CANONICAL",
        *["SEAL_INVALID"] * 3,
    ]


async def test_every_kind_of_answer_is_read_in_one_batch(post: Post, reader: AnswerReader) -> None:
    items = sent(post, 5)
    good, _, _, twice, stranger = items
    stored = canonical.decode(twice.envelope.statement, Envelope)
    before = canonical.encode(structs.replace(stored, seq=99))
    unlike = canonical.encode(structs.replace(stored, document_id=stored.message_id, seq=98))
    mark = post.directory.mark
    kept, foreign = post.sender.seal(before, unlike, time=post.now, directory=mark)
    given = receipts(
        post,
        items,
        receipt(post, good, good.envelope),
        receipt(post, twice, kept),
        receipt(post, stranger, foreign),
    )
    why = {"reason": "DISK_FULL", "message": "no room"}
    of = [{"message_id": item.message_id, "envelope_digest": item.digest} for item in items]
    answers: list[Answer] = [
        received(good, given[0]),
        Refused(**of[1], reason="LIMIT_EXCEEDED", message="too much"),  # type: ignore[arg-type]
        TryLater(**of[2], **why, after=None),  # type: ignore[arg-type]
        Duplicate(**of[3], envelope=kept, receipt=given[1]),  # type: ignore[arg-type]
        Duplicate(**of[4], envelope=foreign, receipt=given[2]),  # type: ignore[arg-type]
    ]
    found = await reader.read(list(zip(items, answers, strict=True)))
    assert [(outcome.state, outcome.reason) for outcome in found] == [
        (DeliveryState.DELIVERED, ""),
        (DeliveryState.HELD, "LIMIT_EXCEEDED"),
        (DeliveryState.QUEUED, "DISK_FULL"),
        (DeliveryState.DELIVERED, ""),
        (DeliveryState.QUEUED, "SEAL_INVALID"),
    ]
    assert (found[3].adopted, found[0].adopted) == (kept, None)


async def test_seal_of_a_revoked_certificate_ends_nothing(post: Post, reader: AnswerReader) -> None:
    items = sent(post, 2)
    given = receipts(post, items)
    post.nation.revoke(post.recipient.code)
    post.directory = replace(post, directory=post.nation.directory()).directory
    found = await reader.read([(i, received(i, r)) for i, r in zip(items, given, strict=True)])
    assert {outcome.state for outcome in found} == {DeliveryState.QUEUED}
