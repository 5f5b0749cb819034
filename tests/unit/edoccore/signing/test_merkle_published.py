"""The reference tree of Certificate Transparency, as its log implementations publish it.

Leaves, roots and the audit paths below stand in the tests of several independent logs (RFC 6962);
they are written here as constants, so that nothing of ours made them.
"""

from edoccore.signing import merkle

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
PATH_OF_FIRST_OF_EIGHT = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_roots_of_every_size_are_the_published_ones() -> None:
    hashes = [merkle.leaf_hash(leaf) for leaf in LEAVES]
    assert merkle.root_of([]).hex() == EMPTY
    roots = [merkle.root_of(hashes[:size]).hex() for size in range(1, 9)]
    assert tuple(roots) == ROOTS


def test_the_path_of_the_first_leaf_is_the_published_one() -> None:
    hashes = [merkle.leaf_hash(leaf) for leaf in LEAVES]
    path = merkle.inclusion_proof(hashes, 0)
    assert tuple(item.hex() for item in path) == PATH_OF_FIRST_OF_EIGHT
    root = bytes.fromhex(ROOTS[7])
    merkle.verify_inclusion(hashes[0], 0, size=8, proof=path, root=root)


def test_growth_between_published_roots_is_proven() -> None:
    hashes = [merkle.leaf_hash(leaf) for leaf in LEAVES]
    for first in range(1, 8):
        merkle.verify_consistency(
            first,
            8,
            first_root=bytes.fromhex(ROOTS[first - 1]),
            second_root=bytes.fromhex(ROOTS[7]),
            proof=merkle.consistency_proof(hashes, first),
        )
