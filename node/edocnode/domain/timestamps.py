"""Timestamps of seals: one token of an authority for many, and when the next is due.

A batch is the RFC 6962 tree over seals that this node stores, its own and those of others, in the
order in which they came; the authority stamps the root. A leaf is a seal's bytes and its signature,
one after the other, so the token shows that the *signature* existed, not just what was signed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from edoccore.signing import merkle
from edoccore.signing.seal import SignedSeal

DUE_SEALS = 1_000  # as many make a batch before its time
MAX_BATCH = 10_000  # after an outage; a proof then has 14 hashes
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=5)
_MOST_DOUBLINGS = 10


@dataclass(frozen=True, slots=True)
class Unstamped:
    """What waits for a timestamp: how many seals, and since when the oldest is here."""

    count: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Seals for one token, in order of their rows.

    Attributes:
        first: Row of the first; ``last``: of the last.
        leaves: Leaf hash of each.
    """

    first: int
    last: int
    leaves: tuple[bytes, ...]

    @property
    def root(self) -> bytes:
        """What the authority stamps: 32 bytes."""
        return merkle.root_of(self.leaves)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeProof:
    """Shows that a seal existed when an authority stamped its batch.

    Attributes:
        leaf: Place in the batch, from 0; ``size``: seals of the batch.
        root: What the token is over: 32 bytes.
        token: The authority's answer, DER.
    """

    leaf: int
    size: int
    proof: tuple[bytes, ...]
    root: bytes
    token: bytes

    def check_place(self, seal: SignedSeal) -> None:
        """Checks that a seal is where the proof says.

        Raises:
            SealInvalidError: It is not.
        """
        merkle.verify_inclusion(
            seal_leaf(seal), self.leaf, size=self.size, proof=self.proof, root=self.root
        )


def seal_leaf(seal: SignedSeal) -> bytes:
    """Hash of a seal as a leaf of a batch; its bytes are JSON, so it is plain where they end."""
    return merkle.leaf_hash(seal.data + seal.signature)


def proof_of(leaves: Sequence[bytes], seal: SignedSeal, token: bytes) -> TimeProof | None:
    """The proof of a seal of a batch; None when it is not in it."""
    leaf = seal_leaf(seal)
    if leaf not in leaves:
        return None
    index = leaves.index(leaf)
    root, proofs = merkle.tree_of(leaves)
    return TimeProof(
        leaf=index, size=len(leaves), proof=tuple(proofs[index]), root=root, token=token
    )


def is_due(waiting: Unstamped, every: timedelta, now: datetime) -> bool:
    """Whether a batch is to be stamped now: ``DUE_SEALS`` wait, or one has waited long enough."""
    if waiting.since is None:
        return False
    return waiting.count >= DUE_SEALS or now - waiting.since >= every


def wait_after(failures: int) -> timedelta:
    """How long an authority that failed so many times in a row is left alone."""
    doubled = _FIRST_WAIT * (1 << min(failures - 1, _MOST_DOUBLINGS))
    return min(doubled, _LONGEST_WAIT)


class TimestampStore(Protocol):
    """Where tokens are kept; which seals have none yet follows from them."""

    async def unstamped(self) -> Unstamped:
        """What has no token yet; counts no further than ``DUE_SEALS``."""

    async def next_batch(self, limit: int) -> Batch | None:
        """The oldest seals without a token; None: all have one."""

    async def keep_token(self, batch: Batch, token: bytes, at: datetime) -> None:
        """Keeps the token of a batch; ``at``: the moment that it states."""
