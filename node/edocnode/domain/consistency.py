"""Whether a peer's journal only grows: what is asked, and what an answer proves.

Every seal states the root over the seals before it in its epoch, so each seal in hand is a head
that its signer cannot take back. Between two of them the signer proves that the later journal
begins with the earlier one. Three things are told apart:

- a restored node opens a new epoch that names an older head: its tail is lost, which is no offence.
  That epoch may be older than what it lost, if its clock was ahead before: then it speaks from an
  epoch that is not the newest one known, of which it has nothing;
- two different seals of one place: two histories, both in hand;
- no proof between two heads of one epoch, or too few seals of the epoch from which the node itself
  speaks, which no restore explains: the journal was altered.

Source: proto/README.md, section Journal and Epochs; RFC 6962, 2.1.2.
"""

from dataclasses import dataclass
from typing import Protocol

from msgspec import UNSET

from edoccore.errors import JournalBrokenError, SealInvalidError
from edoccore.signing import canonical
from edoccore.signing.merkle import leaf_hash, verify_consistency, verify_inclusion
from edoccore.signing.seal import SignedSeal
from edoccore.signing.statements import EpochOpening, Seal, uuid_bytes
from edocnode.domain.alarms import proof_of
from edocnode.domain.model import PeerJournal

JOURNAL_ALTERED = "JOURNAL_ALTERED"
TWO_HISTORIES = "TWO_HISTORIES"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalHead:
    """A head of a peer's journal, as a seal in hand states it.

    Attributes:
        size: Seals of the epoch that it covers.
        stated_by: The seal that states it: the one at this place, or the opening of a later epoch.
    """

    epoch: bytes
    size: int
    root: bytes
    stated_by: SignedSeal


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalProof:
    """What a peer answers: proofs as lists of 32-byte hashes."""

    consistency: tuple[bytes, ...]
    inclusion: tuple[bytes, ...]


class HeldSeals(Protocol):
    """Seals of all agencies as they came; each was verified then."""

    async def first_seal(self, agency: str, epoch: bytes) -> SignedSeal | None:
        """The seal of the lowest place of an epoch that is here."""

    async def seal_below(self, agency: str, epoch: bytes, size: int) -> SignedSeal | None:
        """The seal of the highest place below a size of an epoch that is here."""

    async def seals_from(self, agency: str, epoch: bytes, start: int, limit: int) -> list[bytes]:
        """Exact bytes of seals of an epoch from a place on, in order, without gaps."""


def head_of(seal: SignedSeal) -> JournalHead:
    """The head that a seal states: over all seals before it."""
    stated = canonical.decode(seal.data, Seal)
    return JournalHead(
        epoch=uuid_bytes(stated.epoch),
        size=stated.index,
        root=bytes.fromhex(stated.journal_root),
        stated_by=seal,
    )


def heads_to_check(known: PeerJournal) -> list[JournalHead]:
    """The newest head of a peer's newest epoch, and the one of the epoch before that it names."""
    heads = []
    if known.opening is not None:
        opening = canonical.decode(known.opening.statement, EpochOpening)
        if opening.previous is not UNSET:
            heads.append(
                JournalHead(
                    epoch=uuid_bytes(opening.previous.epoch),
                    size=opening.previous.size,
                    root=bytes.fromhex(opening.previous.root),
                    stated_by=known.opening.seal,
                )
            )
    if known.highest is not None and known.highest_epoch == known.epoch:
        heads.append(head_of(known.highest))
    return heads


def check_grown(older: SignedSeal, newer: JournalHead, proof: JournalProof) -> None:
    """Accepts a proof that the newer journal begins with the older one and holds its seal.

    Args:
        older: A seal in hand of the same epoch, at a lower place than ``newer`` has seals.

    Raises:
        JournalBrokenError, SealInvalidError: It proves something else, or nothing.
    """
    head = head_of(older)
    verify_consistency(
        head.size,
        newer.size,
        first_root=head.root,
        second_root=newer.root,
        proof=proof.consistency,
    )
    verify_inclusion(
        leaf_hash(older.data),
        head.size,
        size=newer.size,
        proof=proof.inclusion,
        root=newer.root,
    )


def altered(agency: str, older: SignedSeal, newer: JournalHead, why: str) -> str:
    """What a person must know when there is no proof between two seals."""
    return (
        f"The journal of {agency} does not continue what {agency} sealed before: there is no proof "
        f"from seal {older.digest().hex()} to the head that seal "
        f"{newer.stated_by.digest().hex()} states. Both are kept. No restore explains it: its data "
        f"was altered, or two copies of its node run. {why}"
    )


def refutation(older: SignedSeal, newer: JournalHead) -> str:
    """The proof of ``altered``: digests of the two seals, and the size that the newer states."""
    return f"{older.digest().hex()} {newer.stated_by.digest().hex()} {newer.size}"


def accused(proof: str) -> tuple[str, int]:
    """The newer seal of a refutation (digest, hex), and the size that it states."""
    _, newer, size = proof.split(" ")
    return newer, int(size)


def rivals(first: SignedSeal, second: SignedSeal) -> str:
    """The proof of ``two_histories``: digests of the two seals."""
    return proof_of(first.digest().hex(), second.digest().hex())


def two_histories(agency: str, first: SignedSeal, second: SignedSeal) -> str:
    """What a person must know of two seals of one place."""
    return (
        f"{agency} sealed twice at one place of its journal: seals "
        f"{first.digest().hex()} and {second.digest().hex()}. Both are kept as evidence: "
        f"its data was altered, or two copies of its node run."
    )


Refuted = (JournalBrokenError, SealInvalidError)  # what a proof that does not hold raises
