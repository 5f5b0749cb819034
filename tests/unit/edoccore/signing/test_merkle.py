import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.errors import JournalBrokenError, SealInvalidError
from edoccore.signing import merkle

VECTORS = json.loads(
    (Path(__file__).parents[3] / "interop/vectors/merkle.json").read_text(encoding="utf-8")
)
LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(70)]


def root_by_the_book(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word: split at the largest power of two smaller than n."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = root_by_the_book(leaves[:split]), root_by_the_book(leaves[split:])
    return sha256(b"\x01" + left + right).digest()


def proof_by_the_book(leaves: list[bytes], index: int) -> list[bytes]:
    """RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*proof_by_the_book(leaves[:split], index), root_by_the_book(leaves[split:])]
    return [*proof_by_the_book(leaves[split:], index - split), root_by_the_book(leaves[:split])]


def growth_by_the_book(leaves: list[bytes], first: int, *, whole: bool = True) -> list[bytes]:
    """RFC 6962, 2.1.2."""
    if first == len(leaves):
        return [] if whole else [root_by_the_book(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if first <= split:
        rest = root_by_the_book(leaves[split:])
        return [*growth_by_the_book(leaves[:split], first, whole=whole), rest]
    left = root_by_the_book(leaves[:split])
    return [*growth_by_the_book(leaves[split:], first - split, whole=False), left]


def test_empty_tree_is_the_hash_of_nothing() -> None:
    assert merkle.root_of([]) == merkle.EMPTY_ROOT == merkle.Frontier().root() == sha256().digest()


def test_a_leaf_is_not_a_node() -> None:
    inner = LEAVES[0] + LEAVES[1]
    assert merkle.leaf_hash(inner) != merkle.root_of(LEAVES[:2])


@pytest.mark.parametrize("size", range(70))
def test_roots_and_proofs_are_those_of_the_rfc(size: int) -> None:
    leaves = LEAVES[:size]
    assert merkle.root_of(leaves) == root_by_the_book(leaves)
    expected = [proof_by_the_book(leaves, index) for index in range(size)]
    assert merkle.tree_of(leaves) == (root_by_the_book(leaves), expected)
    assert [merkle.inclusion_proof(leaves, index) for index in range(size)] == expected
    for first in range(1, size):
        assert merkle.consistency_proof(leaves, first) == growth_by_the_book(leaves, first)


@pytest.mark.parametrize("size", range(1, 40))
def test_every_leaf_is_proven_at_its_place_and_at_no_other(size: int) -> None:
    root = merkle.root_of(LEAVES[:size])
    for index, proof in enumerate(merkle.tree_of(LEAVES[:size])[1]):
        for place in range(size):
            if place == index:
                merkle.verify_inclusion(LEAVES[index], place, size=size, proof=proof, root=root)
                continue
            with pytest.raises(SealInvalidError):
                merkle.verify_inclusion(LEAVES[index], place, size=size, proof=proof, root=root)


@pytest.mark.parametrize("size", range(1, 20))
def test_what_was_proven_before_admits_nothing_else(size: int) -> None:
    root, proofs = merkle.tree_of(LEAVES[:size])
    proven: merkle.Proven = {}
    for turn in range(2):  # the second time all is known
        for index, proof in enumerate(proofs):
            for place in set(range(size)) - {index}:
                with pytest.raises(SealInvalidError):
                    merkle.verify_inclusion(
                        LEAVES[index], place, size=size, proof=proof, root=root, proven=proven
                    )
            for bent in (proof[:-1], [*proof[:-1], LEAVES[60]], [*proof, LEAVES[60]]):
                if bent == proof:
                    continue
                with pytest.raises(SealInvalidError):
                    merkle.verify_inclusion(
                        LEAVES[index], index, size=size, proof=bent, root=root, proven=proven
                    )
            before = len(proven)
            merkle.verify_inclusion(
                LEAVES[index], index, size=size, proof=proof, root=root, proven=proven
            )
            assert len(proven) >= before
            assert turn == 0 or len(proven) == before
    assert len(proven) < 2 * size


@pytest.mark.parametrize("second", range(40))
def test_every_older_tree_is_proven_to_be_the_beginning(second: int) -> None:
    root = merkle.root_of(LEAVES[:second])
    for first in range(second + 1):
        older = merkle.root_of(LEAVES[:first])
        proof = merkle.consistency_proof(LEAVES[:second], first)
        merkle.verify_consistency(first, second, first_root=older, second_root=root, proof=proof)


@given(st.integers(1, 70), st.data())
def test_a_proof_with_anything_changed_is_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(LEAVES[:size], index)
    root = merkle.root_of(LEAVES[:size])
    changed = data.draw(st.sampled_from(list(_alterations(proof))))
    with pytest.raises(SealInvalidError):
        merkle.verify_inclusion(LEAVES[index], index, size=size, proof=changed, root=root)
    with pytest.raises(SealInvalidError):
        merkle.verify_inclusion(LEAVES[index], index, size=size, proof=proof, root=_flip(root))


@given(st.integers(2, 70), st.data())
def test_a_consistency_proof_with_anything_changed_is_refused(
    second: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, second - 1))
    proof = merkle.consistency_proof(LEAVES[:second], first)
    older, newer = merkle.root_of(LEAVES[:first]), merkle.root_of(LEAVES[:second])
    changed = data.draw(st.sampled_from(list(_alterations(proof))))
    for bad_proof, bad_older, bad_newer in (
        (changed, older, newer),
        (proof, _flip(older), newer),
        (proof, older, _flip(newer)),
    ):
        with pytest.raises(JournalBrokenError):
            merkle.verify_consistency(
                first, second, first_root=bad_older, second_root=bad_newer, proof=bad_proof
            )


def _flip(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


def _alterations(proof: list[bytes]) -> list[list[bytes]]:
    changed = [[*proof, LEAVES[0]], [LEAVES[0], *proof]]
    for at, node in enumerate(proof):
        changed += [[*proof[:at], _flip(node), *proof[at + 1 :]], [*proof[:at], *proof[at + 1 :]]]
        changed += [[*proof[:at], node[:31], *proof[at + 1 :]]]
    return changed


def test_a_rewritten_journal_is_not_a_continuation() -> None:
    honest, rewritten = LEAVES[:9], [LEAVES[60], *LEAVES[1:12]]
    with pytest.raises(JournalBrokenError):
        merkle.verify_consistency(
            9,
            12,
            first_root=merkle.root_of(honest),
            second_root=merkle.root_of(rewritten),
            proof=merkle.consistency_proof(rewritten, 9),
        )


@pytest.mark.parametrize(
    ("first", "second", "proof"),
    [
        pytest.param(3, 1, LEAVES[:1], id="the newer is the smaller"),
        pytest.param(3, 3, LEAVES[:1], id="a proof where none belongs"),
        pytest.param(3, 5, [], id="no proof, older tree not complete"),
        pytest.param(4, 5, [], id="no proof, older tree complete"),
    ],
)
def test_one_root_twice_is_not_a_continuation(first: int, second: int, proof: list[bytes]) -> None:
    root = LEAVES[0]
    with pytest.raises(JournalBrokenError):
        merkle.verify_consistency(first, second, first_root=root, second_root=root, proof=proof)


def test_growth_of_a_tall_tree_cannot_be_passed_off_as_that_of_a_low_one() -> None:
    proof = merkle.consistency_proof(LEAVES[:8], 7)
    older, newer = merkle.root_of(LEAVES[:7]), merkle.root_of(LEAVES[:8])
    with pytest.raises(JournalBrokenError):
        merkle.verify_consistency(3, 4, first_root=older, second_root=newer, proof=proof)


@pytest.mark.parametrize("first_root", [LEAVES[0], b""])
def test_an_empty_older_tree_must_have_the_empty_root(first_root: bytes) -> None:
    with pytest.raises(JournalBrokenError):
        merkle.verify_consistency(
            0, 3, first_root=first_root, second_root=merkle.root_of(LEAVES[:3]), proof=[]
        )


def test_a_proof_longer_than_any_tree_is_not_looked_at() -> None:
    with pytest.raises(SealInvalidError, match="too long"):
        merkle.verify_inclusion(
            LEAVES[0], 0, size=2**53, proof=LEAVES[:65], root=merkle.root_of(LEAVES)
        )


@pytest.mark.parametrize("leaf", [b"", b"x", LEAVES[0] + b"x"])
def test_something_else_than_a_hash_is_refused(leaf: bytes) -> None:
    with pytest.raises(SealInvalidError, match="something else than hashes"):
        merkle.verify_inclusion(leaf, 0, size=1, proof=[], root=leaf)
    with pytest.raises(JournalBrokenError, match="no such proof"):
        merkle.verify_consistency(1, 1, first_root=leaf, second_root=leaf, proof=[])


def test_a_tree_cannot_be_passed_off_as_one_of_another_size() -> None:
    pair = merkle.root_of(LEAVES[:2])
    with pytest.raises(SealInvalidError, match="longer than the tree is high"):
        merkle.verify_inclusion(LEAVES[1], 0, size=1, proof=[LEAVES[0]], root=pair)
    with pytest.raises(SealInvalidError, match="has no leaf -1"):
        merkle.verify_inclusion(LEAVES[0], -1, size=1, proof=[], root=LEAVES[0])
    with pytest.raises(SealInvalidError):
        merkle.verify_inclusion(LEAVES[0], 0, size=4, proof=[LEAVES[1]], root=pair)


@pytest.mark.parametrize(("really", "claimed"), [(2, 4), (4, 2), (2, 3), (3, 2)])
def test_a_grown_tree_cannot_be_passed_off_as_one_of_another_size(
    really: int, claimed: int
) -> None:
    proof = merkle.consistency_proof(LEAVES[:really], 1)
    with pytest.raises(JournalBrokenError):
        merkle.verify_consistency(
            1,
            claimed,
            first_root=LEAVES[0],
            second_root=merkle.root_of(LEAVES[:really]),
            proof=proof,
        )


@pytest.mark.parametrize("index", [-1, 3])
def test_a_leaf_outside_the_tree_is_refused(index: int) -> None:
    root = merkle.root_of(LEAVES[:3])
    with pytest.raises(SealInvalidError):
        merkle.verify_inclusion(LEAVES[0], index, size=3, proof=[], root=root)
    with pytest.raises(IndexError):
        merkle.inclusion_proof(LEAVES[:3], index)
    with pytest.raises(IndexError):
        merkle.consistency_proof(LEAVES[:3], index if index < 0 else 4)


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_frontier_knows_every_root_and_goes_on_from_what_was_stored(
    before: int, more: int
) -> None:
    leaves = [merkle.leaf_hash(number.to_bytes(2)) for number in range(before + more)]
    first = merkle.Frontier()
    for leaf in leaves[:before]:
        first.append(leaf)
    frontier = merkle.Frontier(first.size, first.hashes)
    for leaf in leaves[before:]:
        frontier.append(leaf)
    assert frontier.size == len(leaves)
    assert frontier.root() == merkle.root_of(leaves)
    assert len(frontier.hashes) <= 9


@pytest.mark.parametrize(
    ("size", "hashes"), [(3, [LEAVES[0]]), (-1, []), (1, [b"short"]), (0, [LEAVES[0]])]
)
def test_a_frontier_refuses_hashes_of_another_size(size: int, hashes: list[bytes]) -> None:
    with pytest.raises(ValueError, match="no frontier"):
        merkle.Frontier(size, hashes)


@pytest.mark.parametrize("case", VECTORS["trees"], ids=lambda case: f"{case['size']} leaves")
def test_vectors_of_trees_hold(case: dict) -> None:
    leaves = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"][: case["size"]]]
    assert merkle.root_of(leaves).hex() == case["root"]
    proofs = [[node.hex() for node in proof] for proof in merkle.tree_of(leaves)[1]]
    assert proofs == case["inclusion"]
    for first, proof in enumerate(case["consistency"], start=1):
        assert [node.hex() for node in merkle.consistency_proof(leaves, first)] == proof


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_vectors_of_refused_proofs_hold(case: dict) -> None:
    with pytest.raises(SealInvalidError):
        merkle.verify_inclusion(
            bytes.fromhex(case["leaf_hash"]),
            case["index"],
            size=case["size"],
            proof=[bytes.fromhex(node) for node in case["proof"]],
            root=bytes.fromhex(case["root"]),
        )
