"""What a hello means: first meeting, restart, restore, second copy."""

from datetime import timedelta

import pytest

from edoccore.signing.seal import SealedStatement, SignedSeal
from edocnode.domain.model import EpochHead, PeerJournal
from edocnode.domain.sealing import next_epoch
from edocnode.domain.sessions import HelloKind, OpenedEpoch, judge_hello, left_out
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
    ("journal", "chain", "kind", "lost"),
    [
        (known(None, None), [(0, None)], HelloKind.FIRST, None),
        # The highest seal is asked for below the epoch of the hello.
        (known(0, None), [(0, None)], HelloKind.SAME, None),
        # A restart: the new epoch continues all that is known, or more.
        (known(0, (0, 5)), [(1, (0, 6))], HelloKind.NEWER, None),
        (known(0, (0, 5)), [(1, (0, 9))], HelloKind.NEWER, None),
        # A restart that nobody saw lies between.
        (known(0, (0, 5)), [(2, (1, 1)), (1, (0, 6))], HelloKind.NEWER, None),
        (known(0, (0, 5)), [(2, (1, 1))], HelloKind.NEWER, None),
        # Yesterday's backup: seals 3 to 5 are known here and not continued.
        (known(0, (0, 5)), [(1, (0, 3))], HelloKind.NEWER, 1),
        (known(0, (0, 5)), [(1, (0, 5))], HelloKind.NEWER, 1),
        # Yesterday's backup, started more than once before anybody was met.
        (known(0, (0, 5)), [(2, (1, 1)), (1, (0, 3))], HelloKind.NEWER, 1),
        (known(0, (0, 5)), [(3, (2, 1)), (2, (1, 1)), (1, (0, 3))], HelloKind.NEWER, 1),
        (known(1, (1, 4)), [(3, (2, 1)), (2, (0, 9))], HelloKind.NEWER, 2),
        # Openings that do not follow from each other say nothing about what lies between.
        (known(0, (0, 5)), [(3, (2, 1)), (1, (0, 3))], HelloKind.NEWER, None),
        # A backup from before a clean restart: the whole later epoch is left out.
        (known(1, (1, 0)), [(2, (0, 9))], HelloKind.NEWER, 2),
        # A database that begins anew.
        (known(0, (0, 5)), [(1, None)], HelloKind.NEWER, 1),
        (known(0, (0, 5)), [(2, (1, 1)), (1, None)], HelloKind.NEWER, 1),
        # Another copy: older than the newest seen.
        (known(2, (2, 0)), [(1, (0, 9))], HelloKind.SUPERSEDED, None),
    ],
)
def test_a_hello_is_judged_by_what_is_known(
    journal: PeerJournal,
    chain: list[tuple[int, tuple[int, int] | None]],
    kind: HelloKind,
    lost: int | None,
) -> None:
    openings = [opened(epoch, previous) for epoch, previous in chain]
    assert judge_hello(journal, openings[0]) is kind
    if kind is not HelloKind.SUPERSEDED:
        found = left_out(journal, openings)
        assert (found.epoch if found else None) == (None if lost is None else EPOCHS[lost])
