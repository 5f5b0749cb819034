"""Merkle trees of RFC 6962: one hash for many leaves, short proofs for each of them.

SHA-256; a leaf is hashed with 0x00 in front, an inner node with 0x01, so neither passes for the
other; the empty tree has SHA-256 of nothing. Used for the statements and the effects of a seal,
and for the journal, whose leaves are an agency's own seals.

Functions take leaf *hashes* (``leaf_hash``), never leaf data, except ``leaf_hash`` itself. Hashes
are 32 bytes. Building may cost memory for all leaves, except with ``Frontier``; verifying costs
log2(size) hashes, and a proof longer than 64 hashes is not looked at.

Source: RFC 6962, 2.1; the verification algorithms of RFC 9162, 2.1.3.2 and 2.1.4.2.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from edoccore.errors import JournalBrokenError, SealInvalidError

HASH_BYTES = 32
MAX_PROOF_HASHES = 64  # enough for 2^64 leaves
EMPTY_ROOT = sha256(b"").digest()

Step = tuple[bytes, int, int]  # on the way up: node, its position, the last position beside it
Proven = dict[Step, Sequence[bytes]]  # steps of one tree, and the rest of a proof that held


def leaf_hash(data: bytes) -> bytes:
    """Hashes the data of one leaf."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hashes two nodes into the one above."""
    return sha256(b"\x01" + left + right).digest()


def _parents(level: Sequence[bytes]) -> list[bytes]:
    """Hashes pairs; a last one without partner moves up as it is."""
    pairs = zip(level[::2], level[1::2], strict=False)
    parents = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    if len(level) % 2:
        parents.append(level[-1])
    return parents


def _levels(leaf_hashes: Sequence[bytes]) -> list[Sequence[bytes]]:
    levels = [leaf_hashes]
    while len(levels[-1]) > 1:
        levels.append(_parents(levels[-1]))
    return levels


def _proofs(levels: Sequence[Sequence[bytes]]) -> list[list[bytes]]:
    """Collects the siblings of all leaves, from the root down: each node lends its own to two."""
    proofs: list[list[bytes]] = [[]]
    for level in reversed(levels[:-1]):
        below: list[list[bytes]] = []
        for at, proof in enumerate(proofs):
            left = 2 * at
            if left + 1 < len(level):
                below += ([level[left + 1], *proof], [level[left], *proof])
            else:
                below.append(proof)
        proofs = below
    return proofs


def _climb(levels: Sequence[Sequence[bytes]], index: int) -> list[bytes]:
    """Collects the siblings on the way up from leaf ``index``."""
    proof = []
    for level in levels:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        index >>= 1
    return proof


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Returns the root over leaves in their order; ``EMPTY_ROOT`` over none."""
    level = leaf_hashes
    while len(level) > 1:
        level = _parents(level)
    return level[0] if level else EMPTY_ROOT


def tree_of(leaf_hashes: Sequence[bytes]) -> tuple[bytes, list[list[bytes]]]:
    """Returns the root over leaves and the proof of each, lowest sibling first, in O(n log n)."""
    if not leaf_hashes:
        return EMPTY_ROOT, []
    levels = _levels(leaf_hashes)
    return levels[-1][0], _proofs(levels)


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Returns the proof of the leaf at ``index``, lowest sibling first.

    Raises:
        IndexError: There is no such leaf.
    """
    if not 0 <= index < len(leaf_hashes):
        raise IndexError(f"leaf {index} of a tree of {len(leaf_hashes)}")
    return _climb(_levels(leaf_hashes), index)


def verify_inclusion(
    leaf: bytes,
    index: int,
    *,
    size: int,
    proof: Sequence[bytes],
    root: bytes,
    proven: Proven | None = None,
) -> None:
    """Proves that a leaf is at ``index`` of the tree with this size and root.

    Args:
        leaf: Its leaf hash.
        index: Its place, from 0.
        size: Leaves of the tree.
        proof: Siblings, lowest first.
        root: Root of the tree.
        proven: What was proven of this very tree before; grows, and saves hashing it again.

    Raises:
        SealInvalidError: The proof does not lead to the root, or is not the proof of such a leaf.
    """
    _check_inclusion_form(leaf, index, size, proof, root)
    steps: list[Step] = []
    node, position, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            raise SealInvalidError("The inclusion proof is longer than the tree is high.")
        if position & 1 or position == last:
            node = sha256(b"\x01" + sibling + node).digest()
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + sibling).digest()
        position, last = position >> 1, last >> 1
        if proven is None:
            continue
        step = node, position, last
        steps.append(step)
        if proven.get(step) == proof[len(steps) :]:  # the same way on as one that led to the root
            break
    else:
        if last or node != root:
            raise SealInvalidError(f"The inclusion proof does not lead leaf {index} to the root.")
    if proven is not None:
        proven.update((step, proof[done:]) for done, step in enumerate(steps, 1))


def consistency_proof(leaf_hashes: Sequence[bytes], first: int) -> list[bytes]:
    """Returns the proof that the tree only grew since it had ``first`` leaves.

    Empty when ``first`` is 0 or all leaves: then there is nothing to prove but the root itself.

    Raises:
        IndexError: The tree never had so many leaves.
    """
    if not 0 <= first <= len(leaf_hashes):
        raise IndexError(f"{first} leaves of a tree of {len(leaf_hashes)}")
    if first in (0, len(leaf_hashes)):
        return []
    proof: list[bytes] = []
    part, whole = leaf_hashes, True  # whole: the old root itself is a node of this subtree
    while first != len(part):
        split = 1 << (len(part) - 1).bit_length() - 1
        if first <= split:
            proof.append(root_of(part[split:]))
            part = part[:split]
        else:
            proof.append(root_of(part[:split]))
            part, first, whole = part[split:], first - split, False
    if not whole:
        proof.append(root_of(part))
    proof.reverse()
    return proof


def verify_consistency(
    first: int, second: int, *, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """Proves that the first ``first`` leaves of the tree of ``second`` are the older tree.

    Args:
        first: Leaves of the older tree; 0 with ``EMPTY_ROOT`` is part of every tree.
        second: Leaves of the newer tree.
        first_root: Root of the older tree.
        second_root: Root of the newer tree.
        proof: What ``consistency_proof`` returned.

    Raises:
        JournalBrokenError: The proof does not lead to both roots.
    """
    if not 0 <= first <= second or not _has_proof_form(
        [first_root, second_root, *proof], len(proof)
    ):
        raise JournalBrokenError(f"There can be no such proof from {first} to {second} leaves.")
    if first in (0, second):
        expected = EMPTY_ROOT if first == 0 else second_root
        if proof or first_root != expected or (second == 0 and second_root != EMPTY_ROOT):
            raise _not_grown(first, second)
        return
    if not proof or _replay(first, second, first_root, proof) != (first_root, second_root):
        raise _not_grown(first, second)


def _replay(
    first: int, second: int, first_root: bytes, proof: Sequence[bytes]
) -> tuple[bytes, bytes] | None:
    """Computes both roots from a consistency proof; None when its length is wrong."""
    position, last = first - 1, second - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    # A complete older tree is a node of the newer one, so the proof leaves it out.
    older, *siblings = proof if first & (first - 1) else (first_root, *proof)
    newer = older
    for sibling in siblings:
        if last == 0:
            return None
        if position & 1 or position == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        position, last = position >> 1, last >> 1
    return None if last else (older, newer)


def _check_inclusion_form(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    if not 0 <= index < size:
        raise SealInvalidError(f"A tree of {size} leaves has no leaf {index}.")
    if not _has_proof_form([leaf, root, *proof], len(proof)):
        raise SealInvalidError("The inclusion proof is too long or has something else than hashes.")


def _has_proof_form(hashes: Iterable[bytes], length: int) -> bool:
    return length <= MAX_PROOF_HASHES and set(map(len, hashes)) <= {HASH_BYTES}


def _not_grown(first: int, second: int) -> JournalBrokenError:
    return JournalBrokenError(
        f"It is not proven that the journal of {second} seals continues the one of {first}."
    )


class Frontier:
    """The right edge of a growing tree: enough to append and to know the root, in O(log n).

    Holds the roots of the complete subtrees that the leaves form, the largest first: one for each
    bit set in ``size``.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Starts empty, or goes on from the ``size`` and ``hashes`` of an earlier frontier.

        Raises:
            ValueError: The two do not belong together.
        """
        if size < 0 or len(hashes) != size.bit_count() or any(len(h) != HASH_BYTES for h in hashes):
            raise ValueError(f"no frontier of {size} leaves has these {len(hashes)} hashes")
        self._size = size
        self._hashes = list(hashes)

    @property
    def size(self) -> int:
        """Leaves appended so far."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees, the largest first; to be stored with ``size``."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Adds one leaf hash at the end."""
        node, position = leaf, self._size
        while position & 1:
            node = node_hash(self._hashes.pop(), node)
            position >>= 1
        self._hashes.append(node)
        self._size += 1

    def root(self) -> bytes:
        """Returns the root over all leaves so far."""
        if not self._hashes:
            return EMPTY_ROOT
        node = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            node = node_hash(left, node)
        return node
