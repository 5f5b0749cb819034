"""When a batch of seals is stamped, and that its proofs lead every seal to the root."""

from datetime import UTC, datetime, timedelta

import pytest

from edoccore.errors import SealInvalidError
from edoccore.signing.merkle import root_of
from edoccore.signing.seal import SignedSeal
from edocnode.domain.timestamps import (
    DUE_SEALS,
    Unstamped,
    is_due,
    proof_of,
    seal_leaf,
    wait_after,
)

NOW = datetime(2026, 11, 27, 6, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SEALS = [SignedSeal(b"{%d}" % number, bytes([number])) for number in range(7)]


@pytest.mark.parametrize(
    ("count", "age_s", "due"),
    [
        (0, None, False),
        (1, 59, False),
        (1, 60, True),
        (DUE_SEALS - 1, 0, False),
        (DUE_SEALS, 0, True),
    ],
)
def test_batch_is_due_when_a_seal_waited_a_minute_or_a_thousand_wait(
    count: int, age_s: int | None, due: bool
) -> None:
    since = None if age_s is None else NOW - timedelta(seconds=age_s)
    assert is_due(Unstamped(count, since), MINUTE, NOW) is due


def test_failing_authority_is_asked_at_longer_and_longer_distances_up_to_five_minutes() -> None:
    waits = [wait_after(failures) for failures in (1, 2, 3, 7, 8, 1000)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (timedelta(seconds=5), timedelta(minutes=5))


def test_every_seal_of_a_batch_is_proven_and_no_other_one() -> None:
    leaves = [seal_leaf(seal) for seal in SEALS]
    for seal in SEALS:
        proof = proof_of(leaves, seal, b"token")
        assert proof is not None
        assert proof.root == root_of(leaves)
        proof.check_place(seal)
        other = SignedSeal(seal.data, seal.signature + b"\0")  # the signature counts too
        with pytest.raises(SealInvalidError):
            proof.check_place(other)
        assert proof_of(leaves, other, b"token") is None
