"""What a hello means: first meeting, restart, restore, second copy."""

from datetime import timedelta

import pytest

from edoccore.signing.seal import SealedStatement, SignedSeal
from edocnode.domain.model import EpochHead, PeerJournal
from edocnode.domain.sealing import next_epoch
from edocnode.domain.sessions import HelloKind, OpenedEpoch, judge_hello
from tests.unit.edocnode.conftest import NOW

EPOCHS = [next_epoch(NOW + timedelta(hours=hour), b"", random=bytes(10)) for hour in range(4)]
STATEMENT = SealedStatement(b"{}", 0, (), SignedSeal(b"{}", b""))


def opened(epoch: int, previous: tuple[int, int] | None) -> OpenedEpoch:
    head = None
    if previous is not None:
        head = EpochHead(epoch=EPOCHS[previous[0]], size=previous[1], root=bytes(32))
    return OpenedEpoch(
        agency="H29", epoch=EPOCHS[epoch], previous=head, time=NOW, statement=STATEMENT
    )


def known(epoch: int | None, highest: tuple[int, int] | None) -> PeerJournal:
    return PeerJournal(
        agency="H29",
        epoch=b"" if epoch is None else EPOCHS[epoch],
        opening=None if epoch is None else STATEMENT,
        highest=None if highest is None else STATEMENT.seal,
        highest_epoch=b"" if highest is None else EPOCHS[highest[0]],
        highest_index=-1 if highest is None else highest[1],
    )


@pytest.mark.parametrize(
    ("journal", "hello", "kind", "tail_lost"),
    [
        (known(None, None), opened(0, None), HelloKind.FIRST, False),
        (known(0, (0, 5)), opened(0, None), HelloKind.SAME, False),
        # A restart: the new epoch continues all that is known, or more.
        (known(0, (0, 5)), opened(1, (0, 6)), HelloKind.NEWER, False),
        (known(0, (0, 5)), opened(1, (0, 9)), HelloKind.NEWER, False),
        # A restart that nobody saw lies between.
        (known(0, (0, 5)), opened(2, (1, 1)), HelloKind.NEWER, False),
        # Yesterday's backup: seals 3 to 5 are known here and not continued.
        (known(0, (0, 5)), opened(1, (0, 3)), HelloKind.NEWER, True),
        (known(0, (0, 5)), opened(1, (0, 5)), HelloKind.NEWER, True),
        # A backup from before a clean restart: the whole later epoch is left out.
        (known(1, (1, 0)), opened(2, (0, 9)), HelloKind.NEWER, True),
        # A database that begins anew.
        (known(0, (0, 5)), opened(1, None), HelloKind.NEWER, True),
        # Another copy: older than the newest seen.
        (known(2, (2, 0)), opened(1, (0, 9)), HelloKind.SUPERSEDED, False),
    ],
)
def test_a_hello_is_judged_by_what_is_known(
    journal: PeerJournal, hello: OpenedEpoch, kind: HelloKind, tail_lost: bool
) -> None:
    verdict = judge_hello(journal, hello)
    assert (verdict.kind, verdict.tail_lost) == (kind, tail_lost)
