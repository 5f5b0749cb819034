"""Work that is too long for one step of the event loop and does not pay for a thread.

Under Python's lock a thread of pure computing runs beside nothing: it only takes turns with the
event loop, and each change of turns costs more than judging a document. So such work is done on
the loop itself, a piece at a time, and others have theirs in between.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

PIECE_ITEMS = 32  # about a millisecond of checking documents, half of it of checking receipts
PIECE_BYTES = 256 * 1024  # hashed in a fraction of that

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_pieces(
    items: Sequence[Item],
    size_of: Callable[[Item], int],
    work: Callable[[Sequence[Item]], list[Result]],
) -> list[Result]:
    """What ``work`` makes of items, in order.

    Args:
        items: In pieces of at most 32, and of 256 KiB unless one alone is larger.
        size_of: Bytes of one that are read by ``work``.
        work: Is given each piece, and must not take longer than others can wait.
    """
    found: list[Result] = []
    start = 0
    while start < len(items):
        if start:
            await asyncio.sleep(0)
        stop = _end_of_piece(items, start, size_of)
        found += work(items[start:stop])
        start = stop
    return found


def _end_of_piece(items: Sequence[Item], start: int, size_of: Callable[[Item], int]) -> int:
    most = min(start + PIECE_ITEMS, len(items))
    size = 0
    for stop in range(start, most):
        size += size_of(items[stop])
        if size > PIECE_BYTES:
            return max(stop, start + 1)
    return most
