"""Of the deliveries of one document to one node one goes ahead with the large parts."""

from hashlib import sha256

from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import Part
from edocnode.domain.model import (
    INLINE_PARCEL_BYTES,
    DocumentId,
    Lane,
    MessageId,
    QueuedDelivery,
)
from edocnode.domain.sharing import REMEMBERED, OneAhead

ONE, TWO, THREE, OTHER = b"1", b"2", b"3", b"4"


def delivery(document: str = "a", size: int = INLINE_PARCEL_BYTES) -> QueuedDelivery:
    digests = [sha256(name.encode()).hexdigest() for name in (document, "attachment")]
    parts = tuple(
        Part(index=index, name=f"{index}", media_type="a/b", size=size, sha256=digest)
        for index, digest in enumerate(digests)
    )
    return QueuedDelivery(
        place=1,
        message_id=MessageId(bytes(16)),
        document_id=DocumentId(sha256(document.encode()).digest()[:16]),
        sender="H29",
        recipient="G01",
        to_node="G01",
        lane=Lane.NORMAL,
        envelope=SealedStatement(b"", 0, (), SignedSeal(b"", b"")),
        parts=parts,
        inline=b"",
        attempts=0,
        digest_failures=0,
    )


def test_others_follow_together_when_the_first_was_delivered() -> None:
    rule = OneAhead()
    assert [rule.may_go(key, delivery()) for key in (ONE, TWO, THREE)] == [True, False, False]
    assert rule.may_go(ONE, delivery())  # offered again, its parts are there
    assert rule.ended(ONE, delivery(), delivered=True) == [TWO, THREE]
    assert [rule.may_go(key, delivery()) for key in (TWO, THREE)] == [True, True]
    assert rule.ended(TWO, delivery(), delivered=True) == []


def test_next_goes_ahead_when_the_first_was_not_delivered() -> None:
    rule = OneAhead()
    for key in (ONE, TWO, THREE):
        rule.may_go(key, delivery())
    assert rule.ended(ONE, delivery(), delivered=False) == [TWO, THREE]
    assert [rule.may_go(key, delivery()) for key in (TWO, THREE)] == [True, False]
    assert rule.ended(TWO, delivery(), delivered=True) == [THREE]


def test_other_documents_and_small_ones_wait_for_nobody() -> None:
    rule = OneAhead()
    assert rule.may_go(ONE, delivery())
    assert rule.may_go(OTHER, delivery("b"))
    assert all(rule.may_go(key, delivery("c", size=100)) for key in (TWO, THREE))
    assert rule.ended(TWO, delivery("c", size=100), delivered=True) == []


def test_what_it_remembers_is_bounded() -> None:
    rule = OneAhead()
    for number in range(REMEMBERED + 1):
        key = b"%d" % number
        assert rule.may_go(key, delivery(str(number)))
        rule.ended(key, delivery(str(number)), delivered=True)
    assert rule.may_go(ONE, delivery("0"))  # forgotten: it goes ahead anew
    assert not rule.may_go(TWO, delivery("0"))
    assert rule.may_go(ONE, delivery("1"))
    assert rule.may_go(TWO, delivery("1"))
