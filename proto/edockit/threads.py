"""Work in threads whose result must not get lost when the task that wanted it is cancelled."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

Opened = TypeVar("Opened")


async def opened_in_thread(
    open_it: Callable[[], Opened], give_back: Callable[[Opened], None]
) -> Opened:
    """What a thread opened.

    ``asyncio.to_thread`` alone would let the thread open it all the same when its task is
    cancelled meanwhile, and nobody would hold what is open then.

    Args:
        open_it: Runs in the thread.
        give_back: Closes or removes it, on the event loop, when the task was cancelled meanwhile.

    Raises:
        Exception: What ``open_it`` raised.
    """
    opening = asyncio.ensure_future(asyncio.to_thread(open_it))

    def forgo(done: asyncio.Future[Opened]) -> None:
        if not done.cancelled() and done.exception() is None:
            give_back(done.result())

    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(forgo)
        raise
