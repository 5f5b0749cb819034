import tracemalloc
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.directory import packing
from edoccore.directory.packing import FileWanted, Unpacking, batches, pieces
from edoccore.errors import DirectoryInvalidError

ONE = [FileWanted("1.root.json", 1000)]
Piece = tuple[int, int, bytes]


def unpack(wanted: Sequence[FileWanted], answer: Sequence[Piece]) -> list[bytes | None]:
    unpacking = Unpacking(wanted)
    for piece in answer:
        unpacking.take(*piece)
    return unpacking.files()


@given(st.lists(st.binary(max_size=3000), max_size=5), st.integers(1, 700))
def test_files_come_out_as_they_went_in(files: list[bytes], chunk: int) -> None:
    wanted = [FileWanted(f"{number}.root.json", 3000) for number in range(len(files))]
    answer = []
    for index, data in enumerate(files):
        packed = b"".join(pieces(data))
        parts = [packed[at : at + chunk] for at in range(0, len(packed) or 1, chunk)]
        answer += [(index, len(data), part) for part in parts]
    assert unpack(wanted, answer) == [data or None for data in files]


def test_a_file_that_a_server_does_not_have_is_told_from_one_it_has() -> None:
    wanted = [FileWanted("2.root.json", 9), FileWanted("timestamp.json", 9)]
    assert unpack(wanted, [(0, 0, b""), (1, 2, zlib.compress(b"{}"))]) == [None, b"{}"]


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        ([(0, 1001, zlib.compress(bytes(1001)))], "longer than 1000 bytes"),
        ([(0, 10, zlib.compress(bytes(11)))], "longer than the 10 bytes"),
        ([(0, 10, zlib.compress(bytes(9)))], "shorter than 10 bytes"),
        ([(0, 10, zlib.compress(bytes(10)) + b"x")], "longer than the 10 bytes"),
        ([(0, 10, zlib.compress(bytes(10))[:-1])], "ended before"),
        ([(0, 10, b"no zlib")], "cannot be unpacked"),
        ([(0, 10, zlib.compress(bytes(10))[:-1] + b"x")], "cannot be unpacked"),
        ([(0, 10, b"")], "longer than it can be"),
        ([(0, 10, bytes(75))], "longer than it can be"),
        ([(1, 10, zlib.compress(bytes(10)))], "not asked for"),
        ([(0, 0, b""), (1, 0, b"")], "not asked for"),
        ([(0, 9, zlib.compress(bytes(9))[:4]), (0, 10, b"x")], "out of order"),
        ([(0, 9, zlib.compress(bytes(9))[:4]), (1, 9, b"x")], "out of order"),
        ([], "ended before"),
    ],
)
def test_an_answer_that_does_not_fit_is_not_taken(answer: list[Piece], match: str) -> None:
    with pytest.raises(DirectoryInvalidError, match=match):
        unpack(ONE, answer)


def test_t26_a_bomb_is_inflated_to_the_stated_size_and_no_byte_further() -> None:
    bomb = zlib.compress(bytes(256 * 1024 * 1024), 9)
    wanted = [FileWanted("timestamp.json", len(bomb))]
    tracemalloc.start()
    try:
        with pytest.raises(DirectoryInvalidError, match="longer than the"):
            unpack(wanted, [(0, len(bomb), bomb)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(bomb) < 2 * 1024 * 1024


def test_questions_keep_order_and_stay_within_their_bounds() -> None:
    sizes = [5_000_000, 1, 4_000_000, 400_000, *[1] * 130]
    wanted = [FileWanted(f"{number}.x.json", size) for number, size in enumerate(sizes)]
    asked = batches(wanted)
    assert [item for question in asked for item in question] == wanted
    assert [len(question) for question in asked] == [1, 2, 64, 64, 3]
    assert batches([]) == []
    assert all(
        len(question) == 1 or sum(item.limit for item in question) <= packing.MAX_BATCH_BYTES
        for question in asked
    )
