"""What a hello means: who is back, who was restored, who runs twice.

Epochs are UUIDv7, so byte order is age. Continuing below the head that peers know is told as
"tail lost at restore" and never as tampering; a lower epoch than the newest seen is another copy.

Source: proto/README.md, section Sessions.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from msgspec import UNSET

from edoccore.errors import SealInvalidError
from edoccore.signing.seal import SealedStatement, VerifiedSeal
from edoccore.signing.statements import EpochOpening, uuid_bytes
from edocnode.domain.model import EpochHead, PeerJournal


class HelloKind(StrEnum):
    """How the epoch of a hello stands to the newest one known."""

    FIRST = "first"
    SAME = "same"
    NEWER = "newer"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedEpoch:
    """The opening of an epoch, verified."""

    agency: str
    epoch: bytes
    previous: EpochHead | None
    time: datetime
    statement: SealedStatement


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloVerdict:
    """What follows from a hello.

    Attributes:
        tail_lost: The new epoch leaves out seals that are known here.
    """

    kind: HelloKind
    tail_lost: bool


def read_opening(
    opening: EpochOpening, statement: SealedStatement, seal: VerifiedSeal
) -> OpenedEpoch:
    """Joins an opening and its verified seal.

    Raises:
        SealInvalidError: The statement does not open the epoch of its seal, or is not the first.
    """
    if (
        opening.epoch != seal.seal.epoch
        or opening.agency != seal.seal.signer
        or seal.seal.index != 0
        or statement.leaf != 0
    ):
        raise SealInvalidError(
            f"The opening that {seal.seal.signer} showed does not open the epoch of its seal.",
            agency=seal.seal.signer,
        )
    previous = None
    if opening.previous is not UNSET:
        previous = EpochHead(
            epoch=uuid_bytes(opening.previous.epoch),
            size=opening.previous.size,
            root=bytes.fromhex(opening.previous.root),
        )
    return OpenedEpoch(
        agency=opening.agency,
        epoch=uuid_bytes(opening.epoch),
        previous=previous,
        time=seal.time,
        statement=statement,
    )


def judge_hello(known: PeerJournal, opened: OpenedEpoch) -> HelloVerdict:
    """Compares a hello with what is known of the agency's journal."""
    if known.opening is None:
        return HelloVerdict(kind=HelloKind.FIRST, tail_lost=_leaves_out(known, opened))
    if opened.epoch == known.epoch:
        return HelloVerdict(kind=HelloKind.SAME, tail_lost=False)
    if opened.epoch < known.epoch:
        return HelloVerdict(kind=HelloKind.SUPERSEDED, tail_lost=False)
    return HelloVerdict(kind=HelloKind.NEWER, tail_lost=_leaves_out(known, opened))


def is_after_successor(seal: VerifiedSeal, newest: OpenedEpoch) -> bool:
    """Whether a seal of an old epoch was made after a newer one was opened: two copies run."""
    return uuid_bytes(seal.seal.epoch) < newest.epoch and seal.time > newest.time


def _leaves_out(known: PeerJournal, opened: OpenedEpoch) -> bool:
    if known.highest is None:
        return False
    if opened.previous is None:
        return True
    kept = (opened.previous.epoch, opened.previous.size)
    return (known.highest_epoch, known.highest_index) >= kept
