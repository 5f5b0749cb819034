"""A growing Merkle tree that keeps its complete subtrees: any proof costs log2(size) hashes.

For logs of which many ask, each about another size. 64 bytes of memory for each leaf.

Source: RFC 6962, 2.1.1 and 2.1.2; see ``merkle`` for the hashes and for verifying.
"""

from edoccore.signing.merkle import EMPTY_ROOT, HASH_BYTES, node_hash


class MerkleTable:
    """Appends leaves; gives roots and proofs of the tree at any size it had."""

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]

    @property
    def size(self) -> int:
        """Leaves so far."""
        return len(self._levels[0]) // HASH_BYTES

    def append(self, leaf: bytes) -> None:
        """Adds one leaf hash at the end."""
        node, place, height = leaf, self.size, 0
        self._levels[0] += node
        while place & 1:
            node = node_hash(self._node(height, place - 1), node)
            place, height = place >> 1, height + 1
            if height == len(self._levels):
                self._levels.append(bytearray())
            self._levels[height] += node

    def root(self, size: int) -> bytes:
        """Root of the first ``size`` leaves.

        Raises:
            IndexError: There were never so many.
        """
        self._check(0, size)
        return self._root(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Proof of a leaf in the tree of ``size`` leaves, lowest sibling first.

        Raises:
            IndexError: There is no such leaf.
        """
        self._check(index + 1, size)
        low, high, proof = 0, size, list[bytes]()
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                proof.append(self._root(middle, high))
                high = middle
            else:
                proof.append(self._root(low, middle))
                low = middle
        proof.reverse()
        return proof

    def consistency(self, first: int, second: int) -> list[bytes]:
        """Proof that the tree of ``second`` leaves begins with that of ``first``.

        Raises:
            IndexError: There were never so many.
        """
        self._check(first, second)
        if first in (0, second):
            return []
        low, high, whole, proof = 0, second, True, list[bytes]()
        while first != high:
            middle = low + _split(high - low)
            if first <= middle:
                proof.append(self._root(middle, high))
                high = middle
            else:
                proof.append(self._root(low, middle))
                low, whole = middle, False
        if not whole:
            proof.append(self._root(low, high))
        proof.reverse()
        return proof

    def _check(self, first: int, second: int) -> None:
        if not 0 <= first <= second <= self.size:
            raise IndexError(f"{first} and {second} leaves of a tree of {self.size}")

    def _root(self, low: int, high: int) -> bytes:
        """Root of leaves that RFC 6962 hashes together: ``low`` is a multiple of their split."""
        pending: list[bytes] = []
        while (length := high - low) & (length - 1):
            split = _split(length)
            pending.append(self._node(split.bit_length() - 1, low >> split.bit_length() - 1))
            low += split
        height = length.bit_length() - 1
        node = self._node(height, low >> height)
        for left in reversed(pending):
            node = node_hash(left, node)
        return node

    def _node(self, height: int, place: int) -> bytes:
        start = place * HASH_BYTES
        return bytes(self._levels[height][start : start + HASH_BYTES])


def _split(length: int) -> int:
    """The largest power of two below a length over 1."""
    return 1 << (length - 1).bit_length() - 1
