"""Work on the event loop, a piece at a time."""

import asyncio
from collections.abc import Sequence

import pytest

from edockit.pieces import PIECE_BYTES, PIECE_ITEMS, in_pieces


@pytest.mark.parametrize("count", [0, 1, PIECE_ITEMS, PIECE_ITEMS + 1, 5 * PIECE_ITEMS])
async def test_all_items_are_worked_on_in_order_and_few_at_a_time(count: int) -> None:
    sizes: list[int] = []

    def work(piece: Sequence[int]) -> list[int]:
        sizes.append(len(piece))
        return [2 * item for item in piece]

    found = await in_pieces(range(count), lambda _: 1, work)
    assert found == [2 * item for item in range(count)]
    assert all(0 < size <= PIECE_ITEMS for size in sizes)


async def test_a_piece_has_no_more_bytes_than_it_may_unless_one_item_alone_has() -> None:
    pieces: list[list[int]] = []
    sizes = [PIECE_BYTES // 2, PIECE_BYTES // 2, 1, 3 * PIECE_BYTES, 1, PIECE_BYTES - 1, 2]

    def work(piece: Sequence[int]) -> list[int]:
        pieces.append(list(piece))
        return list(piece)

    assert await in_pieces(sizes, lambda size: size, work) == sizes
    assert pieces == [sizes[:2], sizes[2:3], sizes[3:4], sizes[4:6], sizes[6:]]


async def test_others_have_their_turn_between_two_pieces() -> None:
    seen: list[str] = []

    async def other() -> None:
        while len(seen) < 6:
            seen.append("other")
            await asyncio.sleep(0)

    def work(piece: Sequence[int]) -> list[int]:
        seen.append("piece")
        return list(piece)

    task = asyncio.create_task(other())
    await in_pieces(range(3 * PIECE_ITEMS), lambda _: 1, work)
    await task
    assert seen[:5] == ["piece", "other", "piece", "other", "piece"]


async def test_what_a_piece_raises_ends_all() -> None:
    def work(piece: Sequence[int]) -> list[int]:
        raise ValueError(str(len(piece)))

    with pytest.raises(ValueError, match=str(PIECE_ITEMS)):
        await in_pieces(range(2 * PIECE_ITEMS), lambda _: 1, work)
