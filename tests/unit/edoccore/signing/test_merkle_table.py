import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.signing import merkle
from edoccore.signing.merkle import leaf_hash
from edoccore.signing.merkle_table import MerkleTable

LEAVES = [leaf_hash(str(number).encode()) for number in range(300)]


def table_of(size: int) -> MerkleTable:
    table = MerkleTable()
    for leaf in LEAVES[:size]:
        table.append(leaf)
    return table


TABLE = table_of(len(LEAVES))


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 299))
def test_roots_and_proofs_at_any_size_are_those_of_the_whole_tree(
    one: int, other: int, index: int
) -> None:
    first, second = sorted((one, other))
    assert TABLE.root(second) == merkle.root_of(LEAVES[:second])
    assert TABLE.consistency(first, second) == merkle.consistency_proof(LEAVES[:second], first)
    if index < second:
        assert TABLE.inclusion(index, second) == merkle.inclusion_proof(LEAVES[:second], index)


@pytest.mark.parametrize("size", range(40))
def test_a_table_grows_leaf_by_leaf(size: int) -> None:
    table = table_of(size)
    assert (table.size, table.root(size)) == (size, merkle.root_of(LEAVES[:size]))


def test_sizes_that_never_were_have_no_proof() -> None:
    table = table_of(5)
    for ask in (
        lambda: table.root(6),
        lambda: table.consistency(3, 6),
        lambda: table.consistency(4, 3),
        lambda: table.inclusion(5, 5),
        lambda: table.inclusion(0, 6),
    ):
        with pytest.raises(IndexError):
            ask()
