"""What a hello means: who is back, who was restored, who runs twice.

Epochs are UUIDv7, so byte order is age. Continuing below the head that peers know is told as
"tail lost at restore" and never as tampering; a lower epoch than the newest seen is another copy.

Source: proto/README.md, section Sessions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from msgspec import UNSET

from edoccore.errors import SealInvalidError
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement, VerifiedSeal
from edoccore.signing.statements import EpochOpening, uuid_bytes
from edocnode.domain.exchange import Hello
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


def judge_hello(known: PeerJournal, newest: OpenedEpoch) -> HelloKind:
    """How the opening that a hello shows stands to the newest one known of its agency."""
    if known.opening is None:
        return HelloKind.FIRST
    if newest.epoch < known.epoch:
        return HelloKind.SUPERSEDED
    return HelloKind.SAME if newest.epoch == known.epoch else HelloKind.NEWER


def speaks_from(hello: Hello, epoch: bytes) -> bool:
    """Whether a peer's hello, which was verified, shows that it speaks from an epoch (16 bytes)."""
    if hello.opening is None:
        return False
    return uuid_bytes(canonical.decode(hello.opening.statement, EpochOpening).epoch) == epoch


def is_after_successor(seal: VerifiedSeal, newest: OpenedEpoch) -> bool:
    """Whether a seal of an old epoch was made after a newer one was opened: two copies run."""
    return uuid_bytes(seal.seal.epoch) < newest.epoch and seal.time > newest.time


def left_out(known: PeerJournal, chain: Sequence[OpenedEpoch]) -> OpenedEpoch | None:
    """The opening that goes on from before the highest seal known, if one does.

    An epoch that nobody met may lie between: only the opening that follows on an epoch at or
    before the one known says what became of it.

    Args:
        known: With the highest seal below the newest epoch of the chain.
        chain: Openings as shown, the newest first. Those that do not follow from each other are
            not looked at.
    """
    if known.highest is None:
        return None
    opened = chain[0]
    for earlier in chain[1:]:
        before = opened.previous
        if before is None or before.epoch <= known.highest_epoch or earlier.epoch != before.epoch:
            break
        opened = earlier
    if opened.previous is None:
        return opened
    kept = (opened.previous.epoch, opened.previous.size)
    return opened if (known.highest_epoch, known.highest_index) >= kept else None
